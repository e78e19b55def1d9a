//! A copy whose log has parted from the primary's, mended: what it has touched behind the parting is found here, taken out of what it has
//! and of what it knows of it, and written once more by the primary (`docs/replication.md`, "Mending").

use alloc::vec::Vec;

use model::{Member, Now, Position};
use replica::Rewritten;
use store::{About, Key, Op, Refused, Store, Told, Touched};

use crate::Shard;
use crate::commit::Commits;
use crate::learn::Learner;
use crate::replicated::Pending;

/// Bytes of keys that a copy can have touched and be mended. With more, filling it anew is hardly more work.
const MOST_BYTES: usize = 256 << 10;

impl Shard {
    /// [`replica::Effect::Trace`]: the keys that this copy's batches behind the parting have touched; `None` if it cannot say. They are
    /// in the replica's backlog, or, after a restart, in what the log still holds.
    #[must_use]
    pub fn trace(&self, parting: Position) -> Option<Vec<u8>> {
        let Some(mut batches) = self.replica().batches_after(parting) else {
            let touched = self.store.touched_behind(parting, MOST_BYTES)?;
            return Some(touched.into_told());
        };
        let mut touched = Touched::new();
        let is_told = batches.all(|batch| touched.add(&self.store, Told::trusted(&batch.bytes)));
        (is_told && touched.bytes() <= MOST_BYTES).then(|| touched.into_told())
    }

    /// [`replica::Effect::Mend`]: the log goes on behind the parting. What waits to be applied stands before it, or is none.
    pub fn on_mend(&mut self, parting: Position, keys: Vec<u8>) {
        self.commits = Commits::behind(parting);
        let copy = self.replicated();
        copy.begin_behind(parting);
        copy.pending.push_back(Pending::Mend(parting, keys));
    }

    /// [`replica::Effect::Rewrite`]: proposes the keys once more, as far as they are there, and says how many of them could be, and
    /// where the log ends behind the last. They are told of one by one: what they hold does not change, whoever has only some of them.
    #[must_use]
    pub fn rewrite(&mut self, now: Now, to: Member, attempt: u32, keys: &[u8]) -> Rewritten {
        let (now, mut used, mut end) = (self.time(now), 0, None);
        for (behind, about) in Told::trusted(keys).about_and_ends() {
            if self.rewrite_one(now, &about).is_err() {
                break;
            }
            used = behind;
        }
        if used == keys.len() && self.tell_time(now, u64::MAX).is_ok() {
            end = Some(self.replica().last());
        }
        Rewritten {
            to,
            attempt,
            used,
            end,
        }
    }

    /// What has expired is written too: it is for the primary to see that, and for whoever follows it.
    fn rewrite_one(&mut self, now: Now, about: &About<'_>) -> Result<(), Refused> {
        let About::Removed { db, space, key } = *about else {
            return Ok(());
        };
        let key: Key<'_> = self.store.key(db, space, key);
        let Some(entry) = self.store.get_expired(&key) else {
            return Ok(());
        };
        let (kind, version, deadline) = (entry.kind(), entry.version(), entry.deadline());
        let value = Vec::from(entry.value());
        let put = Op::Put {
            key,
            kind,
            version,
            deadline,
            value: &[&value],
        };
        self.apply_bare(now, &[put])?;
        Ok(())
    }
}

/// What [`Shard::on_mend`] has asked for, done to the store and to what is known of its entries.
pub(crate) fn mend(known: &mut Learner<'_>, parting: Position, keys: &[u8]) -> Result<(), Refused> {
    let told = Told::trusted(keys);
    known.follow(told, |store: &mut Store| store.mend(parting, told))
}
