//! One connection with another node: its socket, its buffers, how far it is.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;
use model::{Member, NodeId};

use super::frame::{self, Kind};

/// A buffer that grew beyond this is given back when it is empty.
pub const KEPT_BYTES: usize = 1 << 20;

/// Reads that a farewell waits for.
const DISCARDED_READS: usize = 16;

/// How far a connection is.
///
/// ```text
///   opened:   Connecting ── the socket is connected: hello ──► Greeting ── the other's hello ──► Up
///   accepted:                                                  Greeting ── the other's hello: hello ──► Up
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The system is making the connection.
    Connecting,
    /// The other end has not said who it is.
    Greeting,
    /// Messages go both ways.
    Up {
        /// With whom.
        peer: Member,
        /// In which run of his process.
        run: u64,
    },
}

/// Who opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This node, to reach that one.
    Opened(NodeId),
    /// The other end.
    Accepted,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It will be sent.
    Yes,
    /// There was no room for it.
    LeftOut,
    /// The peer does not read at all.
    Overfull,
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    pub stream: TcpStream,
    pub side: Side,
    pub stage: Stage,
    /// When anything was last heard on it, or when it was made, in microseconds of the monotonic clock.
    pub heard_us: u64,
    /// When the last whole message came on it, if any has.
    pub said_us: u64,
    /// The beginning of a frame whose rest is under way.
    pub partial: Vec<u8>,
    output: Vec<u8>,
    /// How much of `output` was sent.
    sent: usize,
    /// The system takes no more for now, and will say when.
    blocked: bool,
}

impl Link {
    pub fn new(stream: TcpStream, side: Side, now_us: u64) -> Self {
        // A failure costs only time.
        let _ = stream.set_nodelay(true);
        forward::spare_congestion_control(&stream);
        Self {
            stream,
            side,
            stage: match side {
                Side::Opened(_) => Stage::Connecting,
                Side::Accepted => Stage::Greeting,
            },
            heard_us: now_us,
            said_us: 0,
            partial: Vec::new(),
            output: Vec::new(),
            sent: 0,
            blocked: false,
        }
    }

    /// With whom, once that is known.
    pub fn peer(&self) -> Option<NodeId> {
        match self.stage {
            Stage::Up { peer, .. } => Some(peer.node),
            Stage::Connecting | Stage::Greeting => None,
        }
    }

    /// Reads once. `None`: nothing is there.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(scratch) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a frame behind what waits to be sent, if there is room in this share. One message always finds room where none waits.
    pub fn queue_within(&mut self, share: usize, kind: Kind, body: &[u8]) -> Queued {
        match kind {
            // The last quarter is for the agents, whose messages are small: a peer on whose link they pile up does not read.
            Kind::Replica if self.is_full(share - share / 4, body) => return Queued::LeftOut,
            Kind::Agent if self.is_full(share, body) => return Queued::Overfull,
            Kind::Replica | Kind::Agent | Kind::Hello | Kind::Farewell => {}
        }
        self.queue(kind, body);
        Queued::Yes
    }

    /// Whether there is no room in this share for that.
    pub fn is_full(&self, share: usize, body: &[u8]) -> bool {
        let waiting = self.output.len() - self.sent;
        waiting > 0 && waiting + body.len() + frame::OVERHEAD_BYTES > share
    }

    /// Puts a frame behind what waits to be sent.
    pub fn queue(&mut self, kind: Kind, body: &[u8]) {
        if self.output.capacity() - self.output.len() < body.len() + frame::OVERHEAD_BYTES {
            // What was sent need not grow with the rest.
            self.output.drain(..std::mem::take(&mut self.sent));
        }
        frame::write(kind, body, &mut self.output);
    }

    /// Bytes of its buffers.
    pub fn buffered_bytes(&self) -> usize {
        self.output.capacity() + self.partial.capacity()
    }

    /// Whether there is something to send and the system may take it.
    pub fn is_ready(&self) -> bool {
        !self.blocked && self.sent < self.output.len()
    }

    /// The system takes bytes again.
    pub fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Sends what the system takes.
    pub fn write(&mut self) -> io::Result<()> {
        while self.is_ready() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.tidy();
        Ok(())
    }

    /// Takes out of the buffer what was sent.
    fn tidy(&mut self) {
        if self.sent == self.output.len() {
            self.output.clear();
            self.output.shrink_to(KEPT_BYTES);
            self.sent = 0;
        } else if self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Says farewell and closes. Closing with unread bytes makes the system reset the connection, which can overtake the farewell: so
    /// what has arrived is taken out first. Best effort: at worst the other end takes it for a reset.
    pub fn leave(mut self, scratch: &mut [u8]) {
        if self.stage == Stage::Connecting {
            return;
        }
        self.queue(Kind::Farewell, &[]);
        for _ in 0..DISCARDED_READS {
            match self.read(scratch) {
                Ok(Some(count)) if count > 0 => {}
                Ok(Some(_) | None) | Err(_) => break,
            }
        }
        let _ = self.write();
    }
}
