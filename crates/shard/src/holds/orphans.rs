//! Holds whose session the disk has lost.
//!
//! A hold and its session are entries of their own, in files of their own. A damaged range of a file can take the session and leave the
//! hold, and so can what a restart itself removes. Nobody could end such a hold, as its fence is good for nothing without a session, nor
//! make the session anew while it lasts. So it is removed with what it was for. (A lock is held on what need not be there.)

use alloc::vec::Vec;

use model::{Db, Now};
use store::{Entry, Space};

use super::HeldBy;
use crate::Shard;
use crate::batch::Batch;
use crate::effects::hold_of;

/// Whether this is a hold that means nothing without its session.
pub(crate) fn needs_session(entry: &Entry<'_>) -> bool {
    entry.space() == Space::Hold && hold_of(entry, None).by == HeldBy::Session
}

impl Shard {
    /// Removes those of these sessions' holds whose session is not there.
    pub(crate) fn remove_orphaned_holds(&mut self, now: Now, holds: &[(Db, Vec<u8>)]) {
        let mut batch = Batch::default();
        for (db, id) in holds {
            let session = self.store.key(*db, Space::Data, id);
            if self.store.get(&session, now.unix_ms).is_none() {
                batch.delete(*db, Space::Hold, id);
            }
        }
        if !batch.is_empty() {
            self.apply_batch(now, &batch)
                .expect("a node that starts has room and a fresh log");
        }
    }
}

#[cfg(test)]
mod tests;
