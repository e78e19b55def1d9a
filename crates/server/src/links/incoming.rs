//! What comes on links: events, bytes, frames, hellos.

use cluster::format::Record as _;
use mio::Registry;
use mio::event::Event;
use model::NodeId;
use tracing::{info, warn};

use super::frame::{self, Frame, Hello, Kind};
use super::link::{KEPT_BYTES, Link, Side, Stage};
use super::{Deliver, End, LISTENER, Links};

/// Full buffers that one link may hand in per turn before the others have theirs.
const READS_PER_TURN: usize = 8;

impl Links {
    /// Something happened to a socket of a link, or to the listener.
    pub fn event(&mut self, event: &Event, registry: &Registry, now_us: u64, deliver: Deliver<'_>) {
        let token = event.token();
        if token == LISTENER {
            return self.accept(registry, now_us);
        }
        if event.is_writable() {
            self.writable(token.0, now_us);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.readable(token.0, now_us, deliver);
        }
    }

    /// Reads the connections that were left with something to read.
    pub fn read_again(&mut self, now_us: u64, deliver: Deliver<'_>) {
        for token in std::mem::take(&mut self.again) {
            self.readable(token, now_us, deliver);
        }
    }

    fn writable(&mut self, token: usize, now_us: u64) {
        let Some(link) = self.open.get_mut(&token) else {
            return;
        };
        link.unblock();
        if let (Stage::Connecting, Side::Opened(node)) = (link.stage, link.side) {
            if link.stream.peer_addr().is_err() {
                // Not yet, or not at all: an error is an event of its own.
                return;
            }
            link.stage = Stage::Greeting;
            let hello = self.me.hello(node);
            link.queue(Kind::Hello, &hello);
        }
        self.write(token, now_us);
    }

    fn readable(&mut self, token: usize, now_us: u64, deliver: Deliver<'_>) {
        // It is taken out so that frames can change the others.
        let Some(mut link) = self.open.remove(&token) else {
            return;
        };
        match self.read(token, &mut link, now_us, deliver) {
            Ok(()) => _ = self.open.insert(token, link),
            Err(End::Unneeded) => link.leave(&mut self.scratch),
            Err(end) => self.ended(token, &link, end, now_us),
        }
    }

    /// Reads until nothing is left, or others should have their turn.
    fn read(
        &mut self,
        token: usize,
        link: &mut Link,
        now_us: u64,
        deliver: Deliver<'_>,
    ) -> Result<(), End> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.read_into(&mut scratch, token, link, now_us, deliver);
        self.scratch = scratch;
        result
    }

    fn read_into(
        &mut self,
        scratch: &mut [u8],
        token: usize,
        link: &mut Link,
        now_us: u64,
        deliver: Deliver<'_>,
    ) -> Result<(), End> {
        for _ in 0..READS_PER_TURN {
            let count = match link.read(scratch) {
                Ok(Some(0)) | Err(_) => return Err(End::Reset),
                Ok(Some(count)) => count,
                Ok(None) => return Ok(()),
            };
            link.heard_us = now_us;
            self.stats.bytes_in += count as u64;
            if link.partial.is_empty() {
                let taken = self.frames(&scratch[..count], token, link, now_us, deliver)?;
                link.partial.extend_from_slice(&scratch[taken..count]);
            } else {
                let mut bytes = std::mem::take(&mut link.partial);
                bytes.extend_from_slice(&scratch[..count]);
                let taken = self.frames(&bytes, token, link, now_us, deliver)?;
                bytes.drain(..taken);
                bytes.shrink_to(KEPT_BYTES);
                link.partial = bytes;
            }
        }
        self.again.push(token);
        Ok(())
    }

    /// Takes whole frames, and says how many bytes they were.
    fn frames(
        &mut self,
        bytes: &[u8],
        token: usize,
        link: &mut Link,
        now_us: u64,
        deliver: Deliver<'_>,
    ) -> Result<usize, End> {
        let mut taken = 0;
        loop {
            let limit = match link.stage {
                Stage::Connecting | Stage::Greeting => frame::MAX_HELLO_BYTES,
                Stage::Up { .. } => frame::MAX_BYTES,
            };
            match frame::read(&bytes[taken..], limit) {
                Ok(None) => return Ok(taken),
                Ok(Some(frame)) => {
                    taken += frame.length;
                    self.stats.frames_in += 1;
                    self.frame(frame, token, link, now_us, deliver)?;
                }
                Err(broken) => {
                    warn!(?broken, side = ?link.side, "a link carries something that is no frame; it is closed");
                    return Err(End::Refused);
                }
            }
        }
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        token: usize,
        link: &mut Link,
        now_us: u64,
        deliver: Deliver<'_>,
    ) -> Result<(), End> {
        let Frame { kind, body, .. } = frame;
        match (kind, link.stage) {
            (Kind::Farewell, _) => Err(End::Farewell),
            (Kind::Hello, Stage::Greeting) => self.greeted(body, token, link, now_us),
            (Kind::Agent | Kind::Replica, Stage::Up { peer, .. }) => {
                deliver(peer.node, kind, body);
                link.said_us = now_us;
                Ok(())
            }
            (Kind::Hello, Stage::Connecting | Stage::Up { .. })
            | (Kind::Agent | Kind::Replica, Stage::Connecting | Stage::Greeting) => {
                Err(End::Refused)
            }
        }
    }

    /// The other end has said who it is.
    fn greeted(
        &mut self,
        body: &[u8],
        token: usize,
        link: &mut Link,
        now_us: u64,
    ) -> Result<(), End> {
        let hello = Hello::decode(body).map_err(|_| End::Refused)?;
        if !self.me.accepts(&hello, link.side) {
            return Err(End::Refused);
        }
        let peer = hello.from.node;
        if !self.prefer(peer, hello.run, link) {
            // The other end has, or will have, made the same choice.
            return Err(End::Unneeded);
        }
        if link.side == Side::Accepted {
            let answer = self.me.hello(peer);
            link.queue(Kind::Hello, &answer);
            self.dirty.push(token);
        }
        link.stage = Stage::Up {
            peer: hello.from,
            run: hello.run,
        };
        self.current.insert(peer, token);
        self.stats.established += 1;
        if let Some(wanted) = self.wanted.get_mut(&peer) {
            (wanted.failures, wanted.at_us) = (0, now_us);
        }
        info!(node = peer.0, side = ?link.side, "a link is up");
        Ok(())
    }

    /// Whether this connection is to be the link with that peer; if so, the one before is ended.
    ///
    /// Of two that different ends opened, the one of the end with the higher number stays. Of two that the same end opened the later
    /// one: its process started again, or it knows that the earlier one is dead.
    fn prefer(&mut self, peer: NodeId, run: u64, link: &Link) -> bool {
        let Some(&token) = self.current.get(&peer) else {
            return true;
        };
        let before = self.open.get(&token).expect("current links are open");
        let same_run = matches!(before.stage, Stage::Up { run: before, .. } if before == run);
        let opened_here = |link: &Link| link.side != Side::Accepted;
        let by_higher = opened_here(link) == (self.me.me.node > peer);
        if same_run && opened_here(before) != opened_here(link) && !by_higher {
            return false;
        }
        let before = self.open.remove(&token).expect("seen just now");
        self.leave(token, before);
        true
    }
}
