//! The last batches of a copy, so that they can be sent: to standbys by the primary, to a new primary by anyone.
//!
//! The owner has all of them, in its store; this is the end of the chain only, bounded in bytes. What has left it can no longer be
//! sent as batches, and whoever lacks it needs a snapshot.
//!
//! A position is given once, by the one primary of its epoch, which writes only behind a log that it has in full. So two logs that both
//! have a position are equal up to it: comparing ends compares logs.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use model::Position;

use crate::wire::BATCH_HEADER_BYTES;

/// What one command has changed: opaque bytes at positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Position of its first entry.
    pub first: Position,
    /// Position of its last entry: the batch's own name.
    pub last: Position,
    /// The primary's wall clock when it was made, in milliseconds.
    pub time_ms: u64,
    /// The entries.
    pub bytes: Box<[u8]>,
}

impl Batch {
    fn size(&self) -> u64 {
        (self.bytes.len() + BATCH_HEADER_BYTES) as u64
    }
}

/// See the module.
///
/// Invariants: `batches` ascend, in position and time, and follow `start` without a gap; `end - begin` is their size.
#[derive(Debug)]
pub(crate) struct Log {
    /// The end of what is no longer here, and its time.
    start: Position,
    start_ms: u64,
    batches: VecDeque<Kept>,
    begin: u64,
    end: u64,
}

#[derive(Debug)]
struct Kept {
    batch: Batch,
    /// Bytes of everything up to and including this batch.
    end: u64,
}

impl Log {
    /// A log of which everything up to `start` is with the owner.
    pub(crate) fn new(start: Position, start_ms: u64) -> Self {
        Self {
            start,
            start_ms,
            batches: VecDeque::new(),
            begin: 0,
            end: 0,
        }
    }

    /// The end of what is no longer here.
    pub(crate) fn start(&self) -> Position {
        self.start
    }

    /// The position of the last entry.
    pub(crate) fn last(&self) -> Position {
        self.batches.back().map_or(self.start, |k| k.batch.last)
    }

    /// The time of what is at a position: that of the last batch that ends there or before.
    pub(crate) fn time_at(&self, position: Position) -> u64 {
        // Mostly its end is asked for.
        if let Some(kept) = self.batches.back().filter(|k| k.batch.last <= position) {
            return kept.batch.time_ms;
        }
        let index = self.batches.partition_point(|k| k.batch.last <= position);
        let before = index.checked_sub(1).map(|i| self.batches[i].batch.time_ms);
        before.unwrap_or(self.start_ms)
    }

    /// How many batches end at or before this position; `None` if it is not where one of them, or what is before them, ends.
    fn index(&self, position: Position) -> Option<usize> {
        if position == self.start {
            return Some(0);
        }
        let found = self
            .batches
            .binary_search_by_key(&position, |k| k.batch.last);
        found.ok().map(|i| i + 1)
    }

    /// Whether this log has that position, and what follows it can be sent.
    pub(crate) fn reaches(&self, position: Position) -> bool {
        self.index(position).is_some()
    }

    /// The last position that this log has of one that ends at `end`, which it does not have; `None` if that is no longer here.
    pub(crate) fn parting(&self, end: Position) -> Option<Position> {
        let index = self.batches.partition_point(|k| k.batch.last <= end);
        let before = index.checked_sub(1).map(|i| self.batches[i].batch.last);
        before.or((self.start <= end).then_some(self.start))
    }

    /// The batches behind a position that it reaches.
    pub(crate) fn after(&self, position: Position) -> Option<impl Iterator<Item = &Batch>> {
        let index = self.index(position)?;
        Some(self.batches.range(index..).map(|k| &k.batch))
    }

    /// Bytes of the batches that end behind any position.
    pub(crate) fn bytes_beyond(&self, position: Position) -> u64 {
        let index = self.batches.partition_point(|k| k.batch.last <= position);
        let before = index
            .checked_sub(1)
            .map_or(self.begin, |i| self.batches[i].end);
        self.end - before
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        assert!(
            batch.first > self.last() && batch.last >= batch.first,
            "a batch begins behind the log, and ends behind its beginning"
        );
        assert!(
            batch.time_ms >= self.time_at(self.last()),
            "TimeNeverBack: a batch is older than the one before it"
        );
        self.end += batch.size();
        let end = self.end;
        self.batches.push_back(Kept { batch, end });
    }

    /// Bytes of memory that it takes. What a batch counts for its header stands for what an allocation costs.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.end - self.begin) as usize + self.batches.capacity() * size_of::<Kept>()
    }

    /// Lets go of the oldest batches, down to a size, but of nothing behind `committed`.
    pub(crate) fn trim(&mut self, bytes: usize, committed: Position) {
        while self.end - self.begin > bytes as u64
            && let Some(front) = self.batches.front()
            && front.batch.last <= committed
        {
            (self.start, self.begin) = (front.batch.last, front.end);
            self.start_ms = front.batch.time_ms;
            self.batches.pop_front();
        }
    }
}
