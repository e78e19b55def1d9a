//! What the store asks of the disk, and what it hears back.

/// When a batch counts as persisted, so that it may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// After `fdatasync`: survives the loss of power.
    Always,
    /// After the write has reached the operating system, which survives the death of the process; synced
    /// once a second.
    EverySecond,
    /// As [`SyncMode::EverySecond`], but when to sync is left to the operating system.
    None,
}

/// A segment, in memory and on disk. Never used again in the life of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

/// A place in the stream of everything that was ever appended by this store: only compared, never a place
/// in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPoint(pub u64);

/// What the disk shall do. Ops on one segment's file are done in the order they were asked for; ops on
/// different files in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Create the segment's file and reserve [`model::limits::SEGMENT_BYTES`] of disk space for it, so that
    /// writing to it later cannot run out of space.
    Create {
        /// Which segment.
        segment: SegmentId,
    },
    /// Write `len` bytes of the segment's memory ([`crate::Store::segment_bytes`]) at `offset` of its file.
    Write {
        /// Which segment.
        segment: SegmentId,
        /// Where, in bytes.
        offset: u32,
        /// How many bytes.
        len: u32,
    },
    /// Make everything written to the file so far survive a loss of power, its directory entry too.
    Sync {
        /// Which segment.
        segment: SegmentId,
    },
    /// The segment is full: cut the file to `len` bytes and sync it.
    Close {
        /// Which segment.
        segment: SegmentId,
        /// Its final length in bytes.
        len: u32,
    },
    /// Delete the file. Done when its absence survives a loss of power; a file that is not there is done at
    /// once.
    Delete {
        /// Which segment.
        segment: SegmentId,
    },
    /// The file has failed: mark it, so that a later start reads it but relies on nothing in it being on the disk. The mark need not
    /// survive a loss of power, which leaves nothing else to be read than what the disk has. A file that is not there is done at once.
    Disown {
        /// Which segment.
        segment: SegmentId,
    },
    /// Keep the damaged file for the operator under another name, which the store will not be shown again.
    /// Done when that survives a loss of power.
    Quarantine {
        /// Which segment.
        segment: SegmentId,
    },
}

impl DiskOp {
    /// Whose file it is about.
    #[must_use]
    pub const fn segment(&self) -> SegmentId {
        match *self {
            Self::Create { segment }
            | Self::Write { segment, .. }
            | Self::Sync { segment }
            | Self::Close { segment, .. }
            | Self::Disown { segment }
            | Self::Delete { segment }
            | Self::Quarantine { segment } => segment,
        }
    }
}

/// What became of a [`DiskOp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskEvent {
    /// The op.
    pub op: DiskOp,
    /// How it ended. After an error nothing may be assumed about the file.
    pub result: Result<(), DiskError>,
}

/// How a disk fails, as far as anybody acts differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space left, or over quota.
    NoSpace,
    /// Anything else, with the operating system's error number.
    Io(i32),
}
