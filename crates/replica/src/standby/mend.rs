//! How a copy whose log has parted from the primary's is mended: it goes on from the parting, and what it has touched behind it is written
//! over.
//!
//! ```text
//!   asked ──traced: these keys──► vowed: it counts for nothing ──saved──► begun: the log ends at the parting, batches follow it
//!     └──cannot say, and so it is filled anew                                └──all has come, up to what was written once more──► synced
//! ```
//!
//! The vow is that of a copy that is filled anew, so a restart on the way, or another epoch, leads to that.

use alloc::vec::Vec;

use model::{Member, Position};

use crate::log::Log;
use crate::wire::{self, Body};
use crate::{Effect, Outbox, Replica};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mending {
    /// What it was asked last, until it is traced.
    asked: Option<wire::Mend>,
    /// What it has vowed to do.
    vowed: Option<Vowed>,
    /// The answer to be given, and whether it is due.
    answer: Option<Answer>,
    is_due: bool,
}

#[derive(Debug)]
struct Vowed {
    mend: wire::Mend,
    is_begun: bool,
    need: Option<Position>,
}

/// What [`Body::Touched`] says.
#[derive(Debug)]
struct Answer {
    attempt: u32,
    keys: Option<Vec<u8>>,
}

impl Mending {
    /// The log ends at the parting, or goes on from there.
    pub(super) fn is_begun(&self) -> bool {
        self.vowed.as_ref().is_some_and(|vowed| vowed.is_begun)
    }

    /// Up to where the log must have come for the copy to be whole, once that is known.
    pub(super) fn need(&self) -> Option<Position> {
        let vowed = self.vowed.as_ref().filter(|vowed| vowed.is_begun);
        vowed.and_then(|vowed| vowed.need)
    }

    fn answer(&mut self, attempt: u32, keys: Option<&[u8]>) {
        let keys = keys.map(Vec::from);
        self.answer = Some(Answer { attempt, keys });
        self.is_due = true;
    }
}

impl Replica {
    pub(crate) fn on_mend(&mut self, from: Member, epoch: u32, mend: wire::Mend, out: &mut Outbox) {
        if !self.admits(from, epoch, out) {
            return;
        }
        self.following.owes_ack = true;
        let mending = &mut self.following.mending;
        if let Some(vowed) = mending
            .vowed
            .as_mut()
            .filter(|v| v.mend.attempt == mend.attempt)
        {
            vowed.need = vowed.need.or(mend.need);
            // Asked again, it has not been heard.
            mending.is_due = mend.need.is_none();
            return;
        }
        // What is not persisted may still be on its way to where it would be traced: it is asked again.
        if mend.attempt <= self.keeper.vows().attempt || self.persisted < self.log.last() {
            return;
        }
        if self.may_mend(mend.parting) {
            let (attempt, parting) = (mend.attempt, mend.parting);
            self.following.mending.asked = Some(mend);
            out.effects.push(Effect::Trace { attempt, parting });
        } else {
            self.following.mending.answer(mend.attempt, None);
        }
    }

    /// Whether it is a whole copy, of another log that goes on behind this position.
    fn may_mend(&self, parting: Position) -> bool {
        let whole = self.keeper.vows().discarded.is_none();
        let parted = parting >= self.committed && parting < self.log.last();
        whole && parted && !self.counts() && !self.following.matched
    }

    pub(crate) fn on_traced(&mut self, attempt: u32, keys: Option<&[u8]>) {
        let mending = &mut self.following.mending;
        let Some(mend) = mending.asked.take_if(|mend| mend.attempt == attempt) else {
            return;
        };
        mending.answer(attempt, keys);
        if keys.is_some() {
            let needed = Some(mend.needed);
            mending.vowed = Some(Vowed {
                mend,
                is_begun: false,
                need: None,
            });
            self.keeper.discard(self.log.last(), attempt, needed, false);
        }
    }

    /// The vow is saved: what stands behind the parting does not count any more.
    pub(super) fn begin_mending(&mut self, out: &mut Outbox) {
        let mending = &mut self.following.mending;
        let Some(vowed) = mending.vowed.as_mut().filter(|vowed| !vowed.is_begun) else {
            return;
        };
        vowed.is_begun = true;
        let (parting, time_ms) = (vowed.mend.parting, vowed.mend.time_ms);
        let keys = mending.answer.as_ref().and_then(|told| told.keys.clone());
        assert!(
            parting >= self.committed,
            "I12 CommittedPrefix: told to go on from before what is committed"
        );
        self.found = self.found.max(self.log.last());
        self.log = Log::new(parting, time_ms);
        self.persisted = parting;
        self.following.matched = true;
        self.following.owes_ack = true;
        out.effects.push(Effect::Mend {
            parting,
            time_ms,
            keys: keys.unwrap_or_default(),
        });
    }

    pub(super) fn tell_touched(&mut self, out: &mut Outbox) {
        let (epoch, source) = (self.following.epoch, self.following.source);
        let mending = &mut self.following.mending;
        let (Some(to), true) = (source, mending.is_due) else {
            return;
        };
        mending.is_due = false;
        if let Some(answer) = &mending.answer {
            let body = Body::Touched {
                attempt: answer.attempt,
                keys: answer.keys.as_deref(),
            };
            self.post.send(out, epoch, to, body);
        }
    }
}
