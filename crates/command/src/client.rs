//! What a node knows of its connections, for commands such as `CLIENT LIST`.

use alloc::string::String;
use alloc::vec::Vec;

use model::{ConnectionId, Db};
use resp::Protocol;

/// Whether a connection is sent replies: `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Yes.
    #[default]
    On,
    /// No.
    Off,
    /// Not to the next command.
    SkipNext,
}

/// One connection, as commands see it.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub id: ConnectionId,
    /// The other end, `address:port`.
    pub address: String,
    /// This end.
    pub local_address: String,
    /// When it was accepted, in microseconds of the monotonic clock.
    pub created_us: u64,
    /// When it last sent a command.
    pub active_us: u64,
    /// `CLIENT SETNAME`.
    pub name: Vec<u8>,
    /// `CLIENT SETINFO LIB-NAME`.
    pub library_name: Vec<u8>,
    /// `CLIENT SETINFO LIB-VER`.
    pub library_version: Vec<u8>,
    /// The selected database.
    pub db: Db,
    /// The protocol version.
    pub protocol: Protocol,
    /// Whether it may do more than authenticate.
    pub authenticated: bool,
    /// Whether it is sent replies.
    pub reply: ReplyMode,
    /// `CLIENT NO-EVICT`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// `CLIENT MAINT_NOTIFICATIONS`: it is told when slots are to leave this node, and when they have.
    pub wants_moves: bool,
    /// Its command waits: kept up to date by the dispatcher.
    pub waits: bool,
    /// To be closed as soon as what was already written has been sent.
    pub closing: bool,
    /// Name of the last command, for `CLIENT LIST`.
    pub last_command: &'static str,
    /// Bytes received and not yet run, bytes written and not yet sent: kept up to date by the node.
    pub query_bytes: usize,
    /// See [`Client::query_bytes`].
    pub output_bytes: usize,
}

impl Client {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(id: ConnectionId, address: String, local_address: String, now_us: u64) -> Self {
        Self {
            id,
            address,
            local_address,
            created_us: now_us,
            active_us: now_us,
            name: Vec::new(),
            library_name: Vec::new(),
            library_version: Vec::new(),
            db: Db::ZERO,
            protocol: Protocol::V2,
            authenticated: false,
            reply: ReplyMode::On,
            no_evict: false,
            no_touch: false,
            wants_moves: false,
            waits: false,
            closing: false,
            last_command: "",
            query_bytes: 0,
            output_bytes: 0,
        }
    }

    /// Back to how a new connection is, save what it is and when it came; whether it is authenticated is for the
    /// caller to say.
    pub fn reset(&mut self) {
        self.name.clear();
        self.db = Db::ZERO;
        self.protocol = Protocol::V2;
        self.reply = ReplyMode::On;
        self.no_evict = false;
        self.no_touch = false;
        self.wants_moves = false;
    }

    /// The letters of `CLIENT LIST`.
    #[must_use]
    pub fn flags(&self) -> String {
        let letters = [
            (self.waits, 'b'),
            (self.closing, 'c'),
            (self.no_evict, 'e'),
            (self.no_touch, 'T'),
        ];
        let set: String = letters
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, l)| *l)
            .collect();
        if set.is_empty() {
            String::from("N")
        } else {
            set
        }
    }
}

/// All connections of a node, by number.
///
/// A number is `generation << 20 | place`: the place is used again after a connection is closed, the
/// number never is. Eight thousand million connections stay below 2^53, for clients that keep numbers as doubles.
#[derive(Default, Debug)]
pub struct Clients {
    places: Vec<Option<Client>>,
    free: Vec<u32>,
    generation: u64,
    /// Connections that a command wants closed, this one or others.
    pub to_close: Vec<ConnectionId>,
}

/// Connections at once are at most two to the power of this.
pub const PLACE_BITS: u32 = 20;

/// The place of a connection: an index below the number of connections that were ever open at once.
#[must_use]
pub fn place(connection: ConnectionId) -> usize {
    (connection.0 & ((1 << PLACE_BITS) - 1)) as usize
}

impl Clients {
    /// Adds a connection and gives it its number.
    pub fn add(&mut self, address: String, local_address: String, now_us: u64) -> ConnectionId {
        self.generation += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        assert!(
            place < 1 << PLACE_BITS,
            "more connections than there are places"
        );
        let id = ConnectionId(self.generation << PLACE_BITS | u64::from(place));
        self.places[place as usize] = Some(Client::new(id, address, local_address, now_us));
        id
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: ConnectionId) {
        if self.get(id).is_some() {
            self.places[place(id)] = None;
            self.free.push(place(id) as u32);
        }
    }

    /// The connection with this number, if it is still there.
    #[inline]
    pub fn get(&mut self, id: ConnectionId) -> Option<&mut Client> {
        self.places
            .get_mut(place(id))?
            .as_mut()
            .filter(|client| client.id == id)
    }

    /// The connection with this number, which the caller knows to be there.
    #[inline]
    pub fn expect(&mut self, id: ConnectionId) -> &mut Client {
        self.get(id)
            .expect("a command runs on a connection that is open")
    }

    /// All connections, oldest place first.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.places.iter().flatten()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
