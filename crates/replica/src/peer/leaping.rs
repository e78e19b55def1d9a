//! How a primary brings a standby on whose end lies before the backlog's beginning: the owner says what has changed behind that end, from
//! its store's own log, and the standby takes it as one batch. It gives nothing up meanwhile, so it counts with what it has.
//!
//! The owner is asked once for each end. If it cannot say, the standby is mended or filled, as if it had not been asked.

use alloc::vec::Vec;

use model::Position;

use super::{Flow, Peer, View};
use crate::wire::{self, Body};
use crate::{Effect, Gathered, Outbox};

/// What has changed behind the end of a standby's log, kept until it has that.
#[derive(Debug)]
pub(super) struct Leaping {
    pub(super) prev: Position,
    first: Position,
    pub(super) last: Position,
    time_ms: u64,
    floor_ms: u64,
    bytes: Vec<u8>,
}

impl Leaping {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Peer {
    /// Whether the owner may know what follows this end of a log, which the backlog does not.
    pub(super) fn may_gather(&self, end: Position, view: &View<'_>) -> bool {
        end < view.log.start() && self.ungathered != Some(end)
    }

    pub(super) fn gather(&mut self, end: Position, out: &mut Outbox) {
        let to = self.member;
        out.effects.push(Effect::Gather { to, from: end });
    }

    /// The owner has said what has changed behind `from`, or that it cannot say.
    pub(crate) fn on_gathered(
        &mut self,
        from: Position,
        gathered: Option<Gathered<'_>>,
        view: &View<'_>,
    ) {
        if !matches!(self.flow, Flow::Gathering(end) if end == from) {
            return;
        }
        let end = view.log.last();
        let Some(gathered) = gathered.filter(|gathered| gathered.last == end) else {
            self.ungathered = Some(from);
            return self.begin_mending(from, true, view);
        };
        let time_ms = view.log.time_at(end);
        self.leaping = Some(Leaping {
            prev: from,
            first: gathered.first,
            last: end,
            time_ms,
            floor_ms: gathered.floor_ms.max(time_ms + view.settings.time_step_ms),
            bytes: Vec::from(gathered.bytes),
        });
        self.stream_from(from, view);
    }

    /// Whether a leap is kept that leads on from here.
    pub(super) fn may_leap(&self, from: Position) -> bool {
        self.leaping.as_ref().is_some_and(|leap| leap.prev == from)
    }

    /// Sends the leap that leads on from where it is.
    pub(super) fn leap(&mut self, view: &View<'_>, out: &mut Outbox) {
        let Some(leap) = &self.leaping else {
            return;
        };
        let body = Body::Leap(wire::Leap {
            sent_us: view.now.mono_us,
            base: view.base,
            commit: view.commit,
            prev: leap.prev,
            first: leap.first,
            last: leap.last,
            time_ms: leap.time_ms,
            floor_ms: leap.floor_ms,
            bytes: &leap.bytes,
        });
        view.post.send(out, view.epoch, self.member, body);
        self.sent = leap.last;
    }
}
