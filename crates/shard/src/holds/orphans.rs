//! Holds whose session the disk has lost.
//!
//! A hold and its session are entries of their own, in files of their own. A damaged range of a file can take the session and leave the
//! hold, and so can what a restart itself removes. Nobody could end such a hold, as its fence is good for nothing without a session, nor
//! make the session anew while it lasts. So it is removed with what it was for. (A lock is held on what need not be there.)

use alloc::vec::Vec;

use model::{Db, Now};
use store::{Entry, Refused, Space};

use super::HeldBy;
use crate::Shard;
use crate::batch::Batch;
use crate::effects::hold_of;

/// About as many bytes of ids are removed at once, however many there are: a batch is limited.
const REMOVED_AT_ONCE_BYTES: usize = 64 << 10;

/// Whether this is a hold that means nothing without its session.
pub(crate) fn needs_session(entry: &Entry<'_>) -> bool {
    entry.space() == Space::Hold && hold_of(entry, None).by == HeldBy::Session
}

impl Shard {
    /// Removes those of these sessions' holds whose session is not there.
    ///
    /// # Errors
    /// There is no room for that.
    pub(crate) fn remove_orphaned_holds(
        &mut self,
        now: Now,
        holds: &[(Db, Vec<u8>)],
    ) -> Result<(), Refused> {
        let mut batch = Batch::default();
        for (db, id) in holds {
            let session = self.store.key(*db, Space::Data, id);
            if self.store.get(&session, now.unix_ms).is_none() {
                batch.delete(*db, Space::Hold, id);
            }
            if batch.len_bytes() > REMOVED_AT_ONCE_BYTES {
                self.apply_batch(now, &core::mem::take(&mut batch))?;
            }
        }
        self.apply_batch(now, &batch).map(drop)
    }
}

#[cfg(test)]
mod tests;
