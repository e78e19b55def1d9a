//! One segment: a region of memory, what of it is live, and its file.
//!
//! ```text
//!           roll, seal               Close done              nothing live, no control needed
//!   head ───────────────► closing ───────────────► closed ───────────────► freed (file condemned)
//!                            │ ▲                     │  ▲
//!              a file fails  ▼ │ a fresh file        ▼  │ in place, memory only
//!                           failed                compacting
//! ```
//!
//! The file is the image of the segment as it was appended. Compaction changes only the memory, and only of a
//! closed segment, whose file needs the memory no more.

use alloc::collections::VecDeque;

use model::time::Deadline;

use crate::disk::{DiskOp, SegmentId};
use crate::entry::format::{Control, Header, SEGMENT_HEADER, Salt, What, entry_len};
use crate::pages::{Region, whole_pages};

/// An op that the disk was asked for and has not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) op: DiskOp,
    /// Log point before the first byte that it makes safer.
    pub(crate) from: Option<u64>,
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Taking writes.
    Open,
    /// `Close` was asked for.
    Closing,
    /// Found complete by a restart; the disk was asked to sync it. The memory stays as it is: if that fails, it is all there is.
    Resyncing,
    /// Complete and synced: the disk is done with the memory.
    Closed,
    /// An op has failed. Nothing may be assumed about the file; the segment waits for a fresh one.
    Failed,
}

/// The file of a segment that is in memory.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) stage: Stage,
    /// Bytes whose writing was asked for.
    pub(crate) emitted: usize,
    /// Log point before the first byte whose writing was not asked for.
    pub(crate) unwritten_from: Option<u64>,
    /// Log point before the first byte that no asked-for sync covers.
    pub(crate) unsynced_from: Option<u64>,
    pub(crate) in_flight: VecDeque<Flight>,
    /// Replaces a file that failed: new batches wait until this one is closed.
    pub(crate) replacement: bool,
    /// Found by a restart, and neither it nor what replaces it is known to be synced: the disk may need the memory.
    pub(crate) found: bool,
    /// The memory holds less than the file does, though that is not known to be synced: a restart had no room for all.
    pub(crate) thinned: bool,
    /// Damaged: to be kept aside when it has been replaced, instead of being deleted.
    pub(crate) quarantine: bool,
}

impl File {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Open,
            emitted: 0,
            unwritten_from: None,
            unsynced_from: None,
            in_flight: VecDeque::new(),
            replacement: false,
            found: false,
            thinned: false,
            quarantine: false,
        }
    }

    /// A file that was complete before a restart; only the operating system knows whether it was synced.
    pub(crate) fn found(len: usize) -> Self {
        Self {
            stage: Stage::Resyncing,
            emitted: len,
            ..Self::new()
        }
    }

    fn is_sync(op: &DiskOp) -> bool {
        matches!(op, DiskOp::Sync { .. } | DiskOp::Close { .. })
    }

    pub(crate) fn syncs_in_flight(&self) -> usize {
        let syncs = self.in_flight.iter().filter(|f| Self::is_sync(&f.op));
        syncs.count()
    }

    /// Log point before the first byte that the operating system does not have.
    pub(crate) fn written_below(&self) -> Option<u64> {
        let writes = self.in_flight.iter().filter(|f| !Self::is_sync(&f.op));
        let oldest = writes.filter_map(|f| f.from).min();
        oldest.into_iter().chain(self.unwritten_from).min()
    }

    /// Log point before the first byte that is not safe from a loss of power.
    pub(crate) fn synced_below(&self) -> Option<u64> {
        let oldest = self.in_flight.iter().filter_map(|f| f.from).min();
        oldest.into_iter().chain(self.unsynced_from).min()
    }
}

/// A gap that a compaction or relocation in progress has left: the bytes in it are no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

pub(crate) struct Segment {
    pub(crate) region: Region,
    pub(crate) id: SegmentId,
    pub(crate) salt: Salt,
    pub(crate) class: usize,
    pub(crate) created_ms: u64,
    /// Bytes in use, header included: the next entry goes here.
    pub(crate) tail: usize,
    pub(crate) gap: Option<Gap>,
    /// Bytes that are resident, in whole pages.
    pub(crate) resident: usize,
    pub(crate) sealed: bool,
    /// A job of the maintenance is in it.
    pub(crate) busy: bool,
    /// Bytes and number of the entries that the index leads to.
    pub(crate) live_bytes: usize,
    pub(crate) live_entries: usize,
    /// Bytes of tombstones and touches that are not known to be dead.
    pub(crate) controls: usize,
    /// Those of them that are tombstones.
    pub(crate) tombstones: usize,
    /// When, and with which floor, the controls were looked at.
    pub(crate) checked_ms: u64,
    pub(crate) checked_floor: u64,
    pub(crate) checked_deleted: u64,
    /// Earliest and latest deadline of any entry, as far as known: not after and not before the real ones.
    /// `never` does not count.
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
    /// There are entries that never expire.
    pub(crate) has_never: bool,
    /// Smallest position in the file, and greatest in memory at any time.
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    /// Smallest position of a dead entry in the file; `u64::MAX` if there is none.
    pub(crate) dead_floor: u64,
    /// When the maintenance will look for what has expired: its key in the store's calendar.
    pub(crate) sweep_ms: Option<u64>,
    /// The next sweep is not before this.
    pub(crate) rest_until_ms: u64,
    pub(crate) file: File,
    /// Length of the file's data, once it is complete: the memory may have less.
    pub(crate) file_len: usize,
}

impl Segment {
    pub(crate) fn new(region: Region, id: SegmentId, salt: Salt, class: usize) -> Self {
        Self {
            region,
            id,
            salt,
            class,
            created_ms: 0,
            tail: SEGMENT_HEADER,
            gap: None,
            resident: whole_pages(SEGMENT_HEADER),
            sealed: false,
            busy: false,
            live_bytes: 0,
            live_entries: 0,
            controls: 0,
            tombstones: 0,
            checked_ms: 0,
            checked_floor: 0,
            checked_deleted: 0,
            earliest: u64::MAX,
            latest: 0,
            has_never: false,
            first_position: u64::MAX,
            last_position: 0,
            dead_floor: u64::MAX,
            sweep_ms: None,
            rest_until_ms: 0,
            file: File::new(),
            file_len: 0,
        }
    }

    /// The bytes from `offset` to the tail: an entry and what follows it.
    #[inline]
    pub(crate) fn from(&self, offset: usize) -> &[u8] {
        &self.region.bytes()[offset..self.tail]
    }

    /// The entry at `offset`, exactly.
    #[inline]
    pub(crate) fn entry(&self, offset: usize) -> &[u8] {
        let rest = self.from(offset);
        &rest[..entry_len(rest)]
    }

    #[inline]
    pub(crate) fn entry_mut(&mut self, offset: usize) -> &mut [u8] {
        let len = self.entry(offset).len();
        &mut self.region.bytes_mut()[offset..offset + len]
    }

    /// The offset of the first entry at or after `offset`, `None` at the end.
    #[inline]
    pub(crate) fn next(&self, offset: usize) -> Option<usize> {
        let offset = match self.gap {
            Some(gap) if gap.from == offset => gap.to,
            Some(_) | None => offset,
        };
        (offset < self.tail).then_some(offset)
    }

    /// Offsets of all entries in order.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let mut at = SEGMENT_HEADER;
        core::iter::from_fn(move || {
            let offset = self.next(at)?;
            let len = entry_len(self.from(offset));
            assert!(len > 0, "entries follow each other up to the tail");
            at = offset + len;
            Some(offset)
        })
    }

    /// Takes note of an entry that was appended or loaded.
    #[inline]
    pub(crate) fn note(&mut self, header: &Header) {
        if header.what != What::Control(Control::Note) {
            self.first_position = self.first_position.min(header.position.raw());
            self.last_position = self.last_position.max(header.position.raw());
        }
        self.note_deadline(header.deadline);
    }

    #[inline]
    pub(crate) fn note_deadline(&mut self, deadline: Deadline) {
        if deadline.is_never() {
            self.has_never = true;
        } else {
            self.earliest = self.earliest.min(deadline.raw());
            self.latest = self.latest.max(deadline.raw());
        }
    }

    /// Takes note of a control entry that was appended.
    pub(crate) fn count_control(&mut self, control: Control, len: usize) {
        match control {
            Control::Tombstone => {
                self.controls += len;
                self.tombstones += len;
            }
            Control::Touch => self.controls += len,
            Control::State | Control::Note => (),
        }
    }

    /// Whether every deadline in it has passed: tombstones and touches have expired with what they are about.
    pub(crate) fn has_passed(&self, now_ms: u64) -> bool {
        !self.has_never && self.latest <= now_ms
    }

    /// Whether nothing in it is needed any more, the newest notes aside.
    pub(crate) fn is_dead(&self, now_ms: u64) -> bool {
        self.live_bytes == 0 && (self.controls == 0 || self.has_passed(now_ms))
    }

    /// Bytes that are needed, as far as known.
    pub(crate) fn needed_bytes(&self) -> usize {
        self.live_bytes + self.controls
    }

    /// Bytes in memory that nobody needs, as far as known.
    pub(crate) fn dead_bytes(&self) -> usize {
        self.resident
            .saturating_sub(SEGMENT_HEADER + self.live_bytes + self.controls)
    }

    /// Whether its file wants nothing but to be closed.
    pub(crate) fn may_close(&self) -> bool {
        let file = &self.file;
        self.sealed
            && file.stage == Stage::Open
            && file.emitted == self.tail
            && file.in_flight.is_empty()
    }

    /// Whether the disk needs its memory no more, so that it may be changed and freed.
    pub(crate) fn is_closed(&self) -> bool {
        self.file.stage == Stage::Closed
    }

    /// Whether a restart, while it has no room, may take what is dead from the memory.
    pub(crate) fn is_resyncing(&self) -> bool {
        self.file.stage == Stage::Resyncing
    }
}
