//! A client of the cluster protocol that knows, of each request, whether it was done, was not done, or that nobody can tell.
//!
//! ```text
//!             ┌─ MOVED ──► another node ─┐
//!  request ───┼─ TRYAGAIN, CLUSTERDOWN, LOADING, nobody there: later, perhaps elsewhere ─┐
//!             │                          └──────────────── until patience ends: refused ─┤
//!             ├─ any other reply: told                                                   │
//!             └─ sent, and the connection ended or no reply came in time: unknown ◄──────┘ never tried again
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bench::clock::{Clock, MILLISECOND_NS};
use model::slot::{SLOTS, Slot};

use crate::stop::Stop;
use crate::wire::{Connection, Reply, encode};

/// Between two tries of what cannot be done yet.
const PAUSE: Duration = Duration::from_millis(5);
/// Redirections that are followed without a pause.
const QUICK_HOPS: u32 = 2;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A node answered.
    Told {
        /// What it said.
        reply: Reply,
        /// Which one.
        by: SocketAddr,
    },
    /// It was not done for certain: nobody took it in time.
    Refused(String),
    /// It was sent, and nobody can tell whether it was done.
    Unknown(String),
}

/// How long a client waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one reply, and for one connection to be made.
    pub reply: Duration,
    /// For a node that takes the request.
    pub taken: Duration,
}

/// What a reply asks its client to do.
enum Next {
    Nothing,
    Moved(u16, SocketAddr),
    Later,
}

/// One try.
enum Try {
    Reply(Reply),
    NotSent(String),
    Lost(String),
}

/// A client: connections to nodes, and what it believes about who owns which slot.
#[derive(Debug)]
pub struct Client {
    seeds: Vec<SocketAddr>,
    next_seed: usize,
    owners: Vec<Option<SocketAddr>>,
    connections: BTreeMap<SocketAddr, Connection>,
    patience: Patience,
    clock: Clock,
    stop: Stop,
}

impl Client {
    /// A client that knows these nodes to begin with.
    #[must_use]
    pub fn new(seeds: Vec<SocketAddr>, patience: Patience, clock: Clock, stop: Stop) -> Self {
        assert!(!seeds.is_empty(), "a client begins somewhere");
        Self {
            seeds,
            next_seed: 0,
            owners: vec![None; usize::from(SLOTS)],
            connections: BTreeMap::new(),
            patience,
            clock,
            stop,
        }
    }

    /// Sends a command about `key` to whoever owns it, until somebody takes it or patience ends.
    pub fn call<T: AsRef<str>>(&mut self, key: &str, arguments: &[T]) -> Outcome {
        let request = encode(arguments);
        let deadline = self.clock.now_ns() + nanoseconds(self.patience.taken);
        let slot = Slot::of(key.as_bytes()).number();
        let mut hops = 0;
        loop {
            let addr = self.owners[usize::from(slot)].unwrap_or_else(|| self.seed());
            let why = match self.attempt(addr, &request) {
                Try::Lost(why) => {
                    self.owners[usize::from(slot)] = None;
                    return Outcome::Unknown(why);
                }
                Try::NotSent(why) => {
                    self.owners[usize::from(slot)] = None;
                    why
                }
                Try::Reply(reply) => match next(&reply) {
                    Next::Nothing => return Outcome::Told { reply, by: addr },
                    Next::Moved(slot, owner) => {
                        self.owners[usize::from(slot)] = Some(owner);
                        format!("{addr} says that {owner} has it")
                    }
                    Next::Later => {
                        self.owners[usize::from(slot)] = None;
                        format!("{addr}: {reply:?}")
                    }
                },
            };
            hops += 1;
            if self.clock.now_ns() > deadline {
                return Outcome::Refused(why);
            }
            if hops > QUICK_HOPS && self.stop.pause(PAUSE) {
                return Outcome::Refused(why);
            }
        }
    }

    fn seed(&mut self) -> SocketAddr {
        self.next_seed = (self.next_seed + 1) % self.seeds.len();
        self.seeds[self.next_seed]
    }

    fn attempt(&mut self, addr: SocketAddr, request: &[u8]) -> Try {
        let kept = self.connections.remove(&addr);
        let mut connection = match kept.filter(Connection::is_usable) {
            Some(connection) => connection,
            None => match Connection::open(addr, self.patience.reply) {
                Ok(connection) => connection,
                Err(error) => return Try::NotSent(format!("{addr}: {error}")),
            },
        };
        let reply = connection.send(request).and_then(|()| connection.receive());
        match reply {
            Ok(reply) => {
                self.connections.insert(addr, connection);
                Try::Reply(reply)
            }
            Err(error) => Try::Lost(format!("{addr}: {error}")),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / MILLISECOND_NS) * MILLISECOND_NS
}

fn next(reply: &Reply) -> Next {
    let Reply::Error(text) = reply else {
        return Next::Nothing;
    };
    let mut words = text.split_whitespace();
    match words.next() {
        Some("MOVED") => match (words.next().map(str::parse), words.next().map(str::parse)) {
            (Some(Ok(slot)), Some(Ok(owner))) if slot < SLOTS => Next::Moved(slot, owner),
            _ => Next::Later,
        },
        // Each says, for certain, that nothing was done and that it may be worth asking again. READONLY is what a
        // primary of yesterday says.
        Some("ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "READONLY") => {
            Next::Later
        }
        Some(_) | None => Next::Nothing,
    }
}
