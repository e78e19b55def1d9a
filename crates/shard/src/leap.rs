//! A copy whose end lies before the primary's backlog: what it has missed is told here from the log itself, and taken as one batch
//! (`docs/replication.md`, "Leaps").

use model::Position;
use replica::Batch;
use store::{Applied, Leap, Refused, Store, Told};

use crate::Shard;
use crate::learn::Learner;
use crate::replicated::Pending;

impl Shard {
    /// [`replica::Effect::Gather`]: what has changed behind `from`, and no earlier time than anything here depends on; `None` if the log
    /// cannot say.
    #[must_use]
    pub fn gather(&self, from: Position) -> Option<(Leap, u64)> {
        let copy = self.copy.as_ref()?;
        let leap = self.store.leap_from(from)?;
        (leap.last == copy.replica.last()).then_some((leap, copy.time_ms))
    }

    /// [`replica::Effect::Leap`]. The bytes have passed [`Told::check`].
    pub fn on_leap(&mut self, leap: Leap, time_ms: u64, floor_ms: u64) {
        let copy = self.replicated();
        copy.time_ms = copy.time_ms.max(floor_ms);
        copy.pending.push_back(Pending::Leap(Batch {
            first: leap.first,
            last: leap.last,
            time_ms,
            bytes: leap.bytes.into(),
        }));
    }
}

/// What [`Shard::on_leap`] has asked for.
pub(crate) fn leap(known: &mut Learner<'_>, batch: &Batch) -> Result<Applied, Refused> {
    let told = Told::trusted(&batch.bytes);
    let positions = (batch.first, batch.last);
    known.follow(told, |store: &mut Store| store.follow_leap(positions, told))
}
