//! Hashes that a restart finds incomplete.
//!
//! A big hash is a root and its chunks, in several entries. A damaged range of a file, or a crash that keeps one
//! unsynced batch and loses another, can take a chunk and leave the root. Half a session is never served: the
//! hash is removed, before the first command, and the number of such hashes is told. The same look at all entries finds holds whose
//! session is lost.

use alloc::vec::Vec;

use model::{Db, Now};
use store::{Entry, Refused, Space};

use super::directory::{ChunkKey, Directory};
use crate::batch::Batch;
use crate::holds::needs_session;
use crate::record::{Record, Type};
use crate::{Place, Shard};

/// Entries that are asked for at a time.
const SCAN_AT_ONCE: usize = 4096;

impl Shard {
    /// Removes the big hashes of which a chunk is missing: in a damaged range of a file, or in the part of the log
    /// that a crash took. Returns how many. Then removes the holds of sessions that are not there.
    ///
    /// # Errors
    /// There is no room for that.
    pub(crate) fn remove_what_lost_a_part(&mut self, now: Now) -> Result<usize, Refused> {
        let mut broken: Vec<(Db, Vec<u8>)> = Vec::new();
        let mut holds: Vec<(Db, Vec<u8>)> = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = self.store.scan(cursor, SCAN_AT_ONCE, &mut |entry| {
                let passed = entry.deadline().has_passed(now.unix_ms);
                if entry.space() == Space::Data
                    && !passed
                    && !self.is_whole(now, Record::of(entry), &entry)
                {
                    broken.push((entry.db(), entry.key().to_vec()));
                }
                if !passed && needs_session(&entry) {
                    holds.push((entry.db(), entry.key().to_vec()));
                }
            });
            if cursor == 0 {
                break;
            }
        }
        // One at a time: together they may be more than a batch takes.
        for (db, key) in &broken {
            let mut batch = Batch::default();
            self.plan_delete(now, Place { db: *db, key }, &mut batch);
            self.apply_batch(now, &batch)?;
        }
        self.remove_orphaned_holds(now, &holds)?;
        Ok(broken.len())
    }

    fn is_whole(&self, now: Now, record: Record<'_>, entry: &Entry<'_>) -> bool {
        if record.r#type != Type::BigHash {
            return true;
        }
        let mut chunk_key = ChunkKey::of(entry.key());
        Directory::decode(record.body).chunks().iter().all(|chunk| {
            let key = self
                .store
                .key(entry.db(), Space::Chunk, chunk_key.number(chunk.number));
            self.store.get(&key, now.unix_ms).is_some()
        })
    }
}
