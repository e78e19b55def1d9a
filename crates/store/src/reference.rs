//! The store as a `BTreeMap`: slow, in memory, and obviously right. What the real one is tested against.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::ops::Bound;

use model::limits::MAX_BATCH_BYTES;
use model::time::Deadline;
use model::{Db, Position, Version};

use crate::{
    Applied, DiskEvent, DiskOp, Entry, Key, Kind, LogPoint, Op, Refused, SegmentId, Space,
    StoreConfig, Usage,
};

type Id = (Db, Space, Vec<u8>);

struct Record {
    kind: Kind,
    version: Version,
    position: Position,
    deadline: Deadline,
    value: Vec<u8>,
}

/// See the crate.
pub struct Store {
    config: StoreConfig,
    records: BTreeMap<Id, Record>,
    appended: u64,
}

fn view<'a>(id: &'a Id, record: &'a Record) -> Entry<'a> {
    Entry {
        db: id.0,
        space: id.1,
        kind: record.kind,
        version: record.version,
        position: record.position,
        deadline: record.deadline,
        key: &id.2,
        value: &record.value,
    }
}

fn id(key: &Key<'_>) -> Id {
    (key.db, key.space, key.bytes.to_vec())
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self {
            config,
            records: BTreeMap::new(),
            appended: 0,
        }
    }

    /// A key, hashed for this store.
    #[must_use]
    pub fn key<'a>(&self, db: Db, space: Space, bytes: &'a [u8]) -> Key<'a> {
        let mut hasher = Fnv(self.config.seed ^ 0xcbf2_9ce4_8422_2325);
        hasher.write(bytes);
        Key {
            db,
            space,
            bytes,
            hash: hasher.finish(),
        }
    }

    /// Asks the processor to fetch the index bucket of this key. To be followed, some work later, by
    /// [`Store::prefetch_entry`].
    pub fn prefetch_cell(&self, _key: &Key<'_>) {}

    /// Asks the processor to fetch what looks like the key's entry.
    pub fn prefetch_entry(&self, _key: &Key<'_>) {}

    /// The current entry of the key, if it has one whose deadline has not passed at `now_ms`.
    #[must_use]
    pub fn get(&self, key: &Key<'_>, now_ms: u64) -> Option<Entry<'_>> {
        let (id, record) = self.records.get_key_value(&id(key))?;
        (!record.deadline.has_passed(now_ms)).then(|| view(id, record))
    }

    /// Applies a batch, all of it or nothing. `first` is the position of its first entry and is past that of
    /// every batch before it. An entry whose deadline has passed at `now_ms` counts as absent.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn apply(
        &mut self,
        now_ms: u64,
        first: Position,
        ops: &[Op<'_>],
    ) -> Result<Applied, Refused> {
        let bytes: usize = ops.iter().map(size).sum();
        if bytes > MAX_BATCH_BYTES {
            return Err(Refused::BatchTooLarge);
        }
        let mut next = first;
        for op in ops {
            self.one(now_ms, next, op);
            next = next.plus(1);
        }
        self.appended += bytes as u64;
        Ok(Applied {
            last: Position::from_raw(next.raw() - 1),
            log: LogPoint(self.appended),
        })
    }

    fn one(&mut self, now_ms: u64, position: Position, op: &Op<'_>) {
        match *op {
            Op::Put {
                ref key,
                kind,
                version,
                deadline,
                value,
            } => {
                let value = value.concat();
                self.records.insert(
                    id(key),
                    Record {
                        kind,
                        version,
                        position,
                        deadline,
                        value,
                    },
                );
            }
            Op::Delete { ref key } => {
                self.records.remove(&id(key));
            }
            Op::Touch { ref key, deadline } => {
                if let Some(record) = self.records.get_mut(&id(key))
                    && !record.deadline.has_passed(now_ms)
                {
                    record.deadline = deadline;
                }
            }
            Op::Flush { db } => self.records.retain(|id, _| db.is_some_and(|db| db != id.0)),
            Op::Swap { a, b } => {
                self.records = core::mem::take(&mut self.records)
                    .into_iter()
                    .map(|((db, space, key), record)| {
                        let db = if db == a {
                            b
                        } else if db == b {
                            a
                        } else {
                            db
                        };
                        ((db, space, key), record)
                    })
                    .collect();
            }
        }
    }

    /// Visits some current entries from `cursor` (0 to begin) on, and returns the cursor to go on with, 0 at
    /// the end. Every entry that is there from the beginning to the end of a scan is visited at least once,
    /// however the store changes in between. `budget` bounds the work: about that many entries are visited.
    /// Expired entries may be visited: look at the deadline.
    pub fn scan(&self, cursor: u64, budget: usize, visit: &mut dyn FnMut(Entry<'_>)) -> u64 {
        for (i, (id, record)) in self.records.iter().enumerate().skip(cursor as usize) {
            if i >= cursor as usize + budget {
                return i as u64;
            }
            visit(view(id, record));
        }
        0
    }

    /// Some current entry of the database's [`Space::Data`], chosen by `random`; `None` if there is none, or if none was
    /// found within a bounded search.
    #[must_use]
    pub fn random(&self, db: Db, random: u64, now_ms: u64) -> Option<Entry<'_>> {
        let range = (
            Bound::Included((db, Space::Data, Vec::new())),
            Bound::Excluded((db, Space::Chunk, Vec::new())),
        );
        let alive: Vec<_> = self
            .records
            .range(range)
            .filter(|(_, r)| !r.deadline.has_passed(now_ms))
            .collect();
        let (id, record) = alive.get((random % alive.len().max(1) as u64) as usize)?;
        Some(view(id, record))
    }

    /// Entries in the database's [`Space::Data`]; expired ones count until they are removed.
    #[must_use]
    pub fn len(&self, db: Db) -> u64 {
        self.records
            .keys()
            .filter(|(d, space, _)| *d == db && *space == Space::Data)
            .count() as u64
    }

    /// Those of [`Store::len`] that have a deadline.
    #[must_use]
    pub fn len_with_deadline(&self, db: Db) -> u64 {
        let of_db = self
            .records
            .iter()
            .filter(|((d, space, _), _)| *d == db && *space == Space::Data);
        of_db.filter(|(_, r)| !r.deadline.is_never()).count() as u64
    }

    /// Does a bounded step of removing what has expired and of cleaning, at most about `budget_bytes` of
    /// moving or looking at. Each entry that is removed because its deadline has passed is shown to `expired`
    /// before. Returns whether there is more to do at once.
    pub fn maintain(
        &mut self,
        now_ms: u64,
        _budget_bytes: usize,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> bool {
        self.records.retain(|id, record| {
            let gone = record.deadline.has_passed(now_ms);
            if gone {
                expired(view(id, record));
            }
            !gone
        });
        false
    }

    /// When [`Store::maintain`] has something to do next, in wall-clock milliseconds.
    #[must_use]
    pub fn next_maintenance_ms(&self) -> Option<u64> {
        self.records
            .values()
            .filter(|r| !r.deadline.is_never())
            .map(|r| r.deadline.raw())
            .min()
    }

    /// Moves what the disk shall do next to `ops`. Called once at the end of each turn of the loop.
    pub fn take_disk_ops(&mut self, _ops: &mut Vec<DiskOp>) {}

    /// Takes note of what the disk did.
    pub fn disk_event(&mut self, _event: DiskEvent) {}

    /// Everything up to here is persisted as the [`crate::SyncMode`] asks.
    #[must_use]
    pub fn persisted(&self) -> LogPoint {
        LogPoint(self.appended)
    }

    /// Bytes of a segment in memory, as a [`DiskOp::Write`] names them.
    #[must_use]
    pub fn segment_bytes(&self, _segment: SegmentId, _offset: u32, _len: u32) -> &[u8] {
        &[]
    }

    /// What the store uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let payload = self
            .records
            .iter()
            .map(|(id, r)| id.2.len() + r.value.len())
            .sum();
        Usage {
            limit: self.config.memory_bytes,
            live_payload: payload,
            used: payload,
            live: payload,
            ..Usage::default()
        }
    }

    /// Bytes that this entry takes: header, key, value and index cell.
    #[must_use]
    pub fn footprint(entry: &Entry<'_>) -> usize {
        entry.key.len() + entry.value.len() + 32 + 10
    }
}

fn size(op: &Op<'_>) -> usize {
    match op {
        Op::Put { key, value, .. } => {
            32 + key.bytes.len() + value.iter().map(|part| part.len()).sum::<usize>()
        }
        Op::Delete { key } | Op::Touch { key, .. } => 48 + key.bytes.len(),
        Op::Flush { .. } | Op::Swap { .. } => 64,
    }
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
