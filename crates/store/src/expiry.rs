//! Expiry: classes of remaining lifetime, and sweeping segments for what has expired.
//!
//! Entries of one class share a head, so a segment's entries expire at about the same time (SSM's generational
//! tables; Segcache). Most segments are freed whole. Where touches have pulled lifetimes apart, a segment is
//! swept every 1/16 of the time that is left to it, at most once a second.

use model::time::Deadline;

use crate::Entry;
use crate::entry::format::{HEADER_BYTES, Header, What};
use crate::index::Reference;
use crate::store::Store;

/// Heads that a store can have.
pub(crate) const CLASSES: usize = 10;
/// The class of what never expires.
pub(crate) const NEVER: usize = CLASSES - 1;
/// Longest remaining lifetime of the first class; each class is four times the one before, the last but one has
/// no end.
const FIRST_CLASS_MS: u64 = 4_000;
const MIN_SWEEP_MS: u64 = 1_000;

/// The class of an entry that is written now.
#[inline]
pub(crate) fn class_of(deadline: Deadline, now_ms: u64) -> usize {
    match deadline.remaining_ms(now_ms) {
        None => NEVER,
        Some(left) => {
            let steps = left / FIRST_CLASS_MS;
            ((u64::BITS - steps.leading_zeros()).div_ceil(2) as usize).min(NEVER - 1)
        }
    }
}

/// A sweep in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    slot: usize,
    at: usize,
    earliest: u64,
    latest: u64,
}

impl Store {
    /// Puts the segment into the calendar, for when its first entry expires, but not before it has rested.
    pub(crate) fn schedule(&mut self, slot: usize) {
        self.unschedule(slot);
        let segment = self.segment_mut(slot);
        if segment.earliest != u64::MAX {
            let due = segment.earliest.max(segment.rest_until_ms);
            segment.sweep_ms = Some(due);
            self.calendar.insert((due, slot));
        }
    }

    /// Entries were appended: the segment may have to be swept earlier.
    #[inline]
    pub(crate) fn reschedule(&mut self, slot: usize) {
        let segment = self.segment(slot);
        let due = segment.earliest.max(segment.rest_until_ms);
        if due != u64::MAX && !segment.busy && segment.sweep_ms.is_none_or(|ms| ms > due) {
            self.schedule(slot);
        }
    }

    /// Takes the segment out of the calendar.
    pub(crate) fn unschedule(&mut self, slot: usize) {
        if let Some(due) = self.segment_mut(slot).sweep_ms.take() {
            self.calendar.remove(&(due, slot));
        }
    }

    /// Looks for expired entries for about `budget` bytes. Returns the bytes that it looked at, 0 if there was
    /// nothing to do.
    pub(crate) fn sweep(
        &mut self,
        now_ms: u64,
        budget: usize,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> usize {
        let now_ms = now_ms.min(self.cleaner.expiry_limit_ms);
        let Some(mut sweep) = self
            .cleaner
            .sweep
            .take()
            .or_else(|| self.next_sweep(now_ms))
        else {
            return 0;
        };
        let mut work = 0;
        while work < budget {
            let Some(offset) = self.segment(sweep.slot).next(sweep.at) else {
                self.end_sweep(sweep, now_ms);
                return work.max(1);
            };
            let header = Header::read(self.segment(sweep.slot).from(offset));
            sweep.at = offset + header.len;
            // What is passed over costs a line of memory, not its length.
            work += 2 * HEADER_BYTES;
            if header.deadline.has_passed(now_ms) {
                work += self.expire(Reference::new(sweep.slot, offset), &header, expired);
            } else if !header.deadline.is_never() {
                sweep.earliest = sweep.earliest.min(header.deadline.raw());
                sweep.latest = sweep.latest.max(header.deadline.raw());
            }
        }
        self.cleaner.sweep = Some(sweep);
        work
    }

    fn next_sweep(&mut self, now_ms: u64) -> Option<Sweep> {
        let due = self.calendar.iter().take_while(|(due, _)| *due <= now_ms);
        let (_, slot) = due
            .into_iter()
            .find(|(_, slot)| !self.segment(*slot).busy)
            .copied()?;
        self.unschedule(slot);
        self.segment_mut(slot).busy = true;
        Some(Sweep {
            slot,
            at: crate::entry::format::SEGMENT_HEADER,
            earliest: u64::MAX,
            latest: 0,
        })
    }

    /// Removes an expired entry, if it is a current one. Returns the work that this was.
    pub(crate) fn expire(
        &mut self,
        reference: Reference,
        header: &Header,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> usize {
        let What::User(_) = header.what else {
            return 0;
        };
        let hash = self.hash_of(header, self.bytes_at(reference));
        if let Some(at) = self.index.find_reference(hash, reference) {
            if !self.is_flushed(header) {
                expired(self.entry_at(reference));
                self.expired_entries += 1;
            }
            self.index.remove(at, &mut *self.pages);
            self.count_out(reference.slot(), header);
        }
        4 * HEADER_BYTES
    }

    fn end_sweep(&mut self, sweep: Sweep, now_ms: u64) {
        let segment = self.segment_mut(sweep.slot);
        segment.busy = false;
        segment.earliest = sweep.earliest;
        segment.latest = sweep.latest;
        // A segment that still grows may be given entries that end sooner than anything in it; there are few such.
        let range = if segment.sealed {
            sweep.latest.saturating_sub(now_ms)
        } else {
            0
        };
        segment.rest_until_ms = now_ms + (range / 16).max(MIN_SWEEP_MS);
        self.cleaner.look = true;
        self.schedule(sweep.slot);
    }
}
