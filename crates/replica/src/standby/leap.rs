//! How a copy goes on where the primary's backlog does not reach its end: all that has changed since comes as one batch.
//!
//! It is taken whole or not at all, so the copy is at any moment one that its log says it is, and counts as such.

use model::{Member, Now};

use crate::log::Log;
use crate::{Effect, How, Outbox, Replica, wire};

impl Replica {
    pub(crate) fn on_leap(
        &mut self,
        now: Now,
        from: Member,
        epoch: u32,
        leap: wire::Leap<'_>,
        out: &mut Outbox,
    ) {
        if !self.admits(from, epoch, out) {
            return;
        }
        self.hear(now, leap.sent_us, leap.base, leap.commit);
        let end = self.log.last();
        if !self.may_leap() || leap.prev != end {
            self.following.gap = leap.last > end;
            self.following.owes_ack = true;
            return;
        }
        // A primary that has started again may not know how late it is; it is not earlier than it was here.
        let time_ms = leap.time_ms.max(self.log.time_at(end));
        self.log = Log::new(leap.last, time_ms);
        (self.following.matched, self.following.gap) = (true, false);
        out.effects.push(Effect::Leap {
            first: leap.first,
            last: leap.last,
            time_ms,
            floor_ms: leap.floor_ms,
            bytes: leap.bytes.to_vec(),
        });
        out.effects.push(Effect::Whole(How::Leapt));
    }

    /// Whether it is a state of the shard, and the owner's files have nothing behind its end that would stand within what a leap brings.
    pub(super) fn may_leap(&self) -> bool {
        self.keeper.vows().discarded.is_none() && self.found <= self.log.last()
    }
}
