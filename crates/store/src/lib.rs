//! Log-structured memory grouped by expiry: the store of one node.
//!
//! A store maps keys to *entries*. An entry is immutable, checksummed, and the same bytes in memory, on
//! disk and on the wire; the newest entry of a key is the current one. The store knows what a key, a
//! version, a deadline and a batch are. It does not know what a value means (that is `shard`), who orders
//! the batches (its caller hands it positions), nor that it may be replicated.
//!
//! It does no I/O: what the disk shall do comes out as [`DiskOp`]s, and what the disk did goes in as
//! [`DiskEvent`]s. See `docs/store.md` for the promises and the data flow.
#![no_std]

extern crate alloc;

mod batch;
mod check;
mod cleaner;
mod cut;
mod disk;
mod ends;
mod entry;
mod expiry;
mod files;
mod follow;
mod index;
mod leap;
mod log;
mod mend;
mod pages;
mod pool;
mod prefetch;
mod restore;
mod scan;
mod segment;
mod store;
mod told;
mod tombstones;

pub use disk::{DiskError, DiskEvent, DiskOp, LogPoint, SegmentId, SyncMode};
pub use entry::{Entry, Hint, Key, Kind, Space};
pub use leap::Leap;
pub use mend::Touched;
pub use pages::{HeapPages, PAGE_BYTES, Pages, Region};
pub use restore::{Restore, RestoreReport};
pub use scan::{Range, ScannedSegment, Scanner};
pub use store::{Store, Tuning};
pub use told::{About, Damaged, Told};

use model::time::Deadline;
use model::{Db, Position, Version};

/// What is decided once, when a store is made.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Bytes that the store may keep resident: segments, index, its own buffers.
    pub memory_bytes: usize,
    /// When a batch counts as persisted.
    pub sync: SyncMode,
    /// Secret of the index's hash, so that nobody can choose keys that collide.
    pub seed: u64,
}

/// One change of a batch. See [`Store::apply`].
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// The entry becomes the current one of its key.
    Put {
        /// The key.
        key: Key<'a>,
        /// What the value is, for the caller; the store only keeps it.
        kind: Kind,
        /// The record's version.
        version: Version,
        /// When the entry ceases to exist.
        deadline: Deadline,
        /// The value, in parts that are written one after the other.
        value: &'a [&'a [u8]],
    },
    /// The key has no current entry any more. Nothing happens if it has none.
    Delete {
        /// The key.
        key: Key<'a>,
    },
    /// The current entry of the key gets another deadline, without rewriting its value where that can be
    /// avoided. Its version stays; its position becomes that of this op if it is rewritten, which it is if the deadline
    /// becomes earlier or the entry is not in its file yet. Nothing happens if it has none.
    Touch {
        /// The key.
        key: Key<'a>,
        /// The new deadline.
        deadline: Deadline,
    },
    /// Every entry of the database, in every space, or of all databases, ceases to exist.
    Flush {
        /// Which database; all of them when `None`.
        db: Option<Db>,
    },
    /// Two databases change places.
    Swap {
        /// One of them.
        a: Db,
        /// The other.
        b: Db,
    },
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Position of the batch's last entry: the next batch starts right after it. Only ops that change something take a
    /// position, so it is the one before the batch's first if nothing has changed.
    pub last: Position,
    /// What [`Store::persisted`] must reach before the batch may be acknowledged.
    pub log: LogPoint,
}

/// Why a batch was refused. Nothing of it has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The batch needs room and the memory limit leaves none, not even after cleaning.
    OutOfMemory,
    /// The log's next file is on its way: the caller tries the same command again after the next
    /// [`DiskEvent`].
    LogBusy,
    /// The log cannot take writes until the disk recovers.
    LogUnavailable(DiskError),
    /// More than [`model::limits::MAX_BATCH_BYTES`].
    BatchTooLarge,
}

/// What the store uses, in bytes unless said otherwise. All live figures count entries whole: header,
/// key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The configured limit.
    pub limit: usize,
    /// Resident in total: what the limit applies to.
    pub used: usize,
    /// Current entries, neither deleted, overwritten nor known to have expired.
    pub live: usize,
    /// Key and value bytes of the current entries.
    pub live_payload: usize,
    /// Segments in memory, and their resident bytes.
    pub segments: usize,
    /// Resident bytes of all segments.
    pub segment_bytes: usize,
    /// The index.
    pub index_bytes: usize,
    /// Segment files.
    pub files: usize,
    /// Segment files that a restart found, and that are not synced yet, or not replaced by one that is: their memory is not cleaned.
    pub files_unsynced: usize,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Entries that the cleaner has moved, since the start.
    pub cleaner_moved_entries: u64,
    /// Bytes that the cleaner has moved, since the start.
    pub cleaner_moved_bytes: u64,
    /// Segments that memory compaction has freed or shrunk, since the start.
    pub cleaner_compactions: u64,
    /// Segments that disk cleaning has freed, since the start.
    pub cleaner_disk_passes: u64,
    /// Segments freed whole because all their entries had expired, since the start.
    pub segments_expired_whole: u64,
    /// Entries removed because their deadline had passed, since the start.
    pub expired_entries: u64,
}

impl Usage {
    /// What two stores use that share one limit.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            limit: self.limit.max(other.limit),
            used: self.used + other.used,
            live: self.live + other.live,
            live_payload: self.live_payload + other.live_payload,
            segments: self.segments + other.segments,
            segment_bytes: self.segment_bytes + other.segment_bytes,
            index_bytes: self.index_bytes + other.index_bytes,
            files: self.files + other.files,
            files_unsynced: self.files_unsynced + other.files_unsynced,
            disk_bytes: self.disk_bytes + other.disk_bytes,
            cleaner_moved_entries: self.cleaner_moved_entries + other.cleaner_moved_entries,
            cleaner_moved_bytes: self.cleaner_moved_bytes + other.cleaner_moved_bytes,
            cleaner_compactions: self.cleaner_compactions + other.cleaner_compactions,
            cleaner_disk_passes: self.cleaner_disk_passes + other.cleaner_disk_passes,
            segments_expired_whole: self.segments_expired_whole + other.segments_expired_whole,
            expired_entries: self.expired_entries + other.expired_entries,
        }
    }
}
