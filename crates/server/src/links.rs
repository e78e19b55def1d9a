//! Links: one connection with each node that this one exchanges messages with.
//!
//! ```text
//!   the map asks for a link ──► the end with the higher node number opens it; the other end too, if none has come for a while
//!   each end says hello: cluster, secret, who, whom it means ──► frames both ways
//!   of two connections between the same two processes one stays: both ends choose the same
//!   ended from the other side without a farewell ──► a reset, which the agent is told of
//! ```
//!
//! Heartbeats of the agents and messages of the copies share a link, so that a link that is heard carries both. Everything happens on
//! the node's own thread: a message costs no hop between threads, and one write a peer and turn. A link may lose any message and
//! all after it; whoever sent it repeats what matters.
//!
//! Nothing waits for a peer: what it does not take is bounded, for all links together. Past its share of that a link takes no more messages of
//! copies, which are sent again anyway, each 100 ms the whole window: without a bound a standby that stands still would be sent so much
//! until its silence is noticed. Heartbeats find room all the same; a link on which even they pile up is dropped. A link that is silent for longer
//! than heartbeats explain is opened anew, since TCP's own repetitions grow rare during an outage.

mod frame;
mod incoming;
mod introduction;
mod link;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use model::{Member, NodeId};
use tracing::{debug, info, warn};

use self::link::{Link, Queued, Side, Stage};
use crate::accept::{Accepted, Listener};

pub use self::frame::Kind;
pub use self::introduction::{Introduction, is_same};

/// Tokens of links: from here upwards, and below those of the listeners. No token is used twice.
pub const FIRST_TOKEN: usize = usize::MAX - (1 << 40);
/// The token of the listener.
pub const LISTENER: Token = Token(usize::MAX - 1);

/// Bytes of the buffer that all links are read into.
const SCRATCH_BYTES: usize = 256 << 10;
/// How long a connection may take to be made, and then to say hello.
const GREETING_US: u64 = 1_000_000;
/// A link that is silent for so long is opened anew. Heartbeats come each 50 ms.
const SILENCE_US: u64 = 2_000_000;
/// How much longer the end with the lower number waits before it opens a link: it is the other's turn.
const OTHERS_TURN_US: u64 = 150_000;
/// Between two tries to open a link: at first, and at most.
const RETRY_US: u64 = 20_000;
const RETRY_MAX_US: u64 = 1_000_000;
/// Accepted connections that have not said hello.
const MAX_STRANGERS: usize = 256;

/// How many of what, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkStats {
    /// Links that came up.
    pub established: u64,
    /// Links that were reset by the other side.
    pub resets: u64,
    /// Links that were dropped because their peer did not read.
    pub overfull: u64,
    /// Messages of copies that found no room on their link: their senders repeat them.
    pub left_out: u64,
    /// Connections and frames that were refused.
    pub refused: u64,
    /// Frames that came, and went.
    pub frames_in: u64,
    /// Frames that went.
    pub frames_out: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that went, before the system took them.
    pub bytes_out: u64,
}

/// Takes a message: from whom, what kind, its bytes.
pub type Deliver<'a> = &'a mut dyn FnMut(NodeId, Kind, &[u8]);

/// A link that the map asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    address: SocketAddr,
    /// When to open it, if it is not there.
    at_us: u64,
    failures: u32,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The other side ended it, or its machine did.
    Reset,
    /// The other side said farewell.
    Farewell,
    /// It could not be made, or is not what it should be.
    Refused,
    /// Nothing was heard for too long.
    Silent,
    /// The other side does not read.
    Overfull,
    /// There is a better one with the same peer: this side says farewell.
    Unneeded,
}

/// See the module.
pub struct Links {
    me: Introduction,
    listener: Listener,
    /// Connections by their tokens, from [`FIRST_TOKEN`] on.
    open: BTreeMap<usize, Link>,
    next: usize,
    /// The connection with each peer that is up.
    current: BTreeMap<NodeId, usize>,
    wanted: BTreeMap<NodeId, Wanted>,
    /// Connections with something to send.
    dirty: Vec<usize>,
    /// Connections that may have more to read, and no event will say so.
    again: Vec<usize>,
    resets: Vec<NodeId>,
    scratch: Box<[u8]>,
    /// Bytes that the buffers of all links may take together.
    room: usize,
    /// Counters.
    pub stats: LinkStats,
}

impl Links {
    /// No links yet. Their buffers are to keep to `room` bytes together.
    pub fn new(me: Introduction, listener: Listener, room: usize) -> Self {
        Self {
            me,
            listener,
            open: BTreeMap::new(),
            next: FIRST_TOKEN,
            current: BTreeMap::new(),
            wanted: BTreeMap::new(),
            dirty: Vec::new(),
            again: Vec::new(),
            resets: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            room,
            stats: LinkStats::default(),
        }
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&mut self, registry: &Registry) -> io::Result<()> {
        self.listener.listen(registry, LISTENER)
    }

    /// Where peers connect.
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// Keeps links with exactly these from now on; those that others opened are theirs to end.
    pub fn want(&mut self, peers: &BTreeMap<NodeId, SocketAddr>, now_us: u64) {
        self.wanted.retain(|node, _| peers.contains_key(node));
        for (&node, &address) in peers {
            let wait_us = if self.me.me.node > node {
                0
            } else {
                OTHERS_TURN_US
            };
            let wanted = self.wanted.entry(node).or_insert(Wanted {
                address,
                at_us: now_us + wait_us,
                failures: 0,
            });
            wanted.address = address;
        }
        self.leave_unwanted();
    }

    fn leave_unwanted(&mut self) {
        let wanted = &self.wanted;
        let unwanted = self.open.extract_if(.., |_, link| match link.side {
            Side::Opened(node) => !wanted.contains_key(&node),
            Side::Accepted => false,
        });
        let unwanted: Vec<(usize, Link)> = unwanted.collect();
        for (token, link) in unwanted {
            self.leave(token, link);
        }
    }

    /// Ends a connection without anybody taking it for a failure.
    fn leave(&mut self, token: usize, link: Link) {
        if let Some(peer) = link.peer()
            && self.current.get(&peer) == Some(&token)
        {
            self.current.remove(&peer);
        }
        link.leave(&mut self.scratch);
    }

    /// With whom links are up.
    pub fn up(&self) -> impl Iterator<Item = NodeId> {
        self.current.keys().copied()
    }

    /// From whom a whole message has come since then, and when.
    pub fn heard_since(&self, since_us: u64) -> Vec<(Member, u64)> {
        let current = self
            .current
            .values()
            .filter_map(|token| self.open.get(token));
        let heard = current.filter_map(|link| match link.stage {
            Stage::Up { peer, .. } if link.said_us >= since_us => Some((peer, link.said_us)),
            Stage::Up { .. } | Stage::Connecting | Stage::Greeting => None,
        });
        heard.collect()
    }

    /// Whether some connection has more to read, though no event will say so.
    pub fn is_busy(&self) -> bool {
        !self.again.is_empty()
    }

    /// Sends a message, if there is a link, and on it room: at the end of the turn.
    pub fn send(&mut self, to: NodeId, kind: Kind, body: &[u8], now_us: u64) {
        let Some(&token) = self.current.get(&to) else {
            return;
        };
        let share = self.share();
        let link = self.open.get(&token).expect("current links are open");
        if link.is_full(share / 2, body) {
            // What the system takes at once need not wait for the end of the turn.
            self.write(token, now_us);
        }
        let Some(link) = self.open.get_mut(&token) else {
            return;
        };
        match link.queue_within(share, kind, body) {
            Queued::Yes => {
                self.stats.frames_out += 1;
                self.stats.bytes_out += body.len() as u64;
                self.dirty.push(token);
            }
            Queued::LeftOut => self.stats.left_out += 1,
            Queued::Overfull => {
                let link = self.open.remove(&token).expect("seen just now");
                self.ended(token, &link, End::Overfull, now_us);
            }
        }
    }

    /// Bytes that may wait on one link, so that all together keep to their room: a buffer that grows takes twice what is in it.
    fn share(&self) -> usize {
        self.room / (2 * self.current.len().max(1))
    }

    /// Bytes of the buffers of all links.
    pub fn buffered_bytes(&self) -> usize {
        self.open.values().map(Link::buffered_bytes).sum()
    }

    /// Sends what waits: one write a link, unless the system takes it in parts.
    pub fn flush(&mut self, now_us: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for token in dirty.drain(..) {
            self.write(token, now_us);
        }
        self.dirty = dirty;
    }

    fn write(&mut self, token: usize, now_us: u64) {
        let Some(link) = self.open.get_mut(&token) else {
            return;
        };
        if link.is_ready() && link.write().is_err() {
            let link = self.open.remove(&token).expect("seen just now");
            self.ended(token, &link, End::Reset, now_us);
        }
    }

    /// Those whose links were reset since this was last asked.
    pub fn take_resets(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.resets)
    }
}

/// Opening and ending.
impl Links {
    /// Opens what is due, and gives up what takes too long.
    pub fn tend(&mut self, registry: &Registry, now_us: u64) {
        let late = |link: &mut Link| {
            let limit_us = match link.stage {
                Stage::Connecting | Stage::Greeting => GREETING_US,
                Stage::Up { .. } => SILENCE_US,
            };
            now_us >= link.heard_us + limit_us
        };
        let late: Vec<(usize, Link)> = self.open.extract_if(.., |_, link| late(link)).collect();
        for (token, link) in late {
            self.ended(token, &link, End::Silent, now_us);
        }
        let due = self.wanted.iter().filter(|(node, wanted)| {
            now_us >= wanted.at_us && !self.current.contains_key(node) && !self.is_opening(**node)
        });
        let due: Vec<(NodeId, SocketAddr)> = due.map(|(&node, w)| (node, w.address)).collect();
        for (node, address) in due {
            if let Err(error) = self.open(node, address, registry, now_us) {
                debug!(node = node.0, %address, %error, "cannot open a link");
                self.put_off(node, now_us);
            }
        }
        if self.listener.retry_at_us().is_some_and(|at| at <= now_us) {
            self.accept(registry, now_us);
        }
    }

    fn is_opening(&self, node: NodeId) -> bool {
        let mut links = self.open.values();
        links.any(|link| link.side == Side::Opened(node))
    }

    fn open(
        &mut self,
        node: NodeId,
        address: SocketAddr,
        registry: &Registry,
        now_us: u64,
    ) -> io::Result<()> {
        let stream = TcpStream::connect(address)?;
        self.keep(Link::new(stream, Side::Opened(node), now_us), registry)
    }

    fn keep(&mut self, mut link: Link, registry: &Registry) -> io::Result<()> {
        let token = self.next;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut link.stream, Token(token), interest)?;
        self.next += 1;
        self.open.insert(token, link);
        Ok(())
    }

    fn accept(&mut self, registry: &Registry, now_us: u64) {
        loop {
            match self.listener.accept(now_us) {
                Accepted::Connection(stream, _) if self.strangers() >= MAX_STRANGERS => {
                    drop(stream)
                }
                Accepted::Connection(stream, _) => {
                    let link = Link::new(stream, Side::Accepted, now_us);
                    if let Err(error) = self.keep(link, registry) {
                        warn!(%error, "cannot watch a link; it is closed");
                    }
                }
                Accepted::Nobody => return,
                Accepted::Refused(error) => {
                    warn!(%error, "cannot accept a link; trying again in 100 ms");
                    return;
                }
            }
        }
    }

    fn strangers(&self) -> usize {
        let links = self.open.values();
        links.filter(|link| link.stage == Stage::Greeting).count()
    }

    /// A connection is over, and no longer among the open ones.
    fn ended(&mut self, token: usize, link: &Link, end: End, now_us: u64) {
        if let Side::Opened(node) = link.side {
            self.put_off(node, now_us);
        }
        let peer = link
            .peer()
            .filter(|peer| self.current.get(peer) == Some(&token));
        self.count(end, peer.is_some());
        let Some(peer) = peer else {
            return;
        };
        self.current.remove(&peer);
        if link.side == Side::Accepted
            && let Some(wanted) = self.wanted.get_mut(&peer)
        {
            wanted.at_us = now_us + OTHERS_TURN_US;
        }
        info!(node = peer.0, ?end, "a link is down");
        match end {
            End::Reset => self.resets.push(peer),
            End::Farewell | End::Refused | End::Silent | End::Overfull | End::Unneeded => {}
        }
    }

    fn count(&mut self, end: End, was_up: bool) {
        match end {
            End::Reset => self.stats.resets += u64::from(was_up),
            End::Overfull => self.stats.overfull += 1,
            End::Refused => self.stats.refused += 1,
            End::Farewell | End::Silent | End::Unneeded => {}
        }
    }

    /// Tries this link again later, each time after twice as long.
    fn put_off(&mut self, node: NodeId, now_us: u64) {
        if let Some(wanted) = self.wanted.get_mut(&node) {
            let wait_us = (RETRY_US << wanted.failures.min(16)).min(RETRY_MAX_US);
            wanted.failures += 1;
            wanted.at_us = now_us + wait_us;
        }
    }
}

#[cfg(test)]
mod tests;
