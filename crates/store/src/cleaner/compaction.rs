//! Memory compaction: the live entries of one segment slide down within it.

use super::{PRESSED_SHARE, WORTH_SHARE};
use crate::entry::format::{self, Control, HEADER_BYTES, Header, Place, SEGMENT_HEADER, What};
use crate::index::Reference;
use crate::pages::{PAGE_BYTES, whole_pages};
use crate::segment::Gap;
use crate::store::Store;

/// Entries whose index buckets are fetched together.
const AHEAD: usize = 16;

/// Fewer dead bytes than this may stay after a compaction: the rest of the last page, and the newest notes (the state of
/// 16 databases, the clock), which are needed and not counted. With a smaller bound a segment could be compacted for ever.
const WORTH_BYTES: usize = PAGE_BYTES + 512;

/// A compaction in progress: what is before `write` is done, what is from `read` on is not looked at yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compaction {
    slot: usize,
    read: usize,
    write: usize,
    /// The batch of the entry before goes on with this one.
    within: bool,
    floor: u64,
}

impl Store {
    /// Compacts for about `budget` bytes. Returns the bytes that it looked at, 0 if nothing is worth it.
    pub(crate) fn compact(&mut self, budget: usize) -> usize {
        let mut work = 0;
        while work < budget {
            let Some(mut job) = self
                .cleaner
                .compaction
                .take()
                .or_else(|| self.next_compaction())
            else {
                return work;
            };
            while work < budget {
                let done = self.compact_some(&mut job);
                if done == 0 {
                    break;
                }
                work += done;
            }
            if self.segment(job.slot).next(job.read).is_some() {
                self.segment_mut(job.slot).gap = gap(&job);
                self.cleaner.compaction = Some(job);
            } else {
                self.end_compaction(job);
                work += 1;
            }
        }
        work
    }

    /// Bytes that the compaction in progress, or the next one, will free.
    pub(super) fn compaction_yield(&mut self) -> usize {
        if self.cleaner.compaction.is_none() {
            self.cleaner.compaction = self.next_compaction();
        }
        let Some(job) = self.cleaner.compaction else {
            return 0;
        };
        let segment = self.segment(job.slot);
        segment.dead_bytes()
    }

    fn next_compaction(&mut self) -> Option<Compaction> {
        let floor = self.floor();
        let share = if self.cleaner.pressed {
            PRESSED_SHARE
        } else {
            WORTH_SHARE
        };
        let worth = self
            .segments
            .iter()
            .enumerate()
            .filter_map(|(slot, segment)| {
                let segment = segment.as_ref()?;
                let dead = self.likely_dead(slot, floor);
                let worth = dead >= (segment.resident / share).max(WORTH_BYTES);
                let restoring = self.cleaner.restoring && segment.is_resyncing();
                let ready = (segment.is_closed() || restoring) && !segment.busy;
                (ready && worth && segment.gap.is_none())
                    .then(|| (dead * 1024 / segment.resident, slot))
            });
        let (_, slot) = worth.max()?;
        self.segment_mut(slot).busy = true;
        Some(Compaction {
            slot,
            read: SEGMENT_HEADER,
            write: SEGMENT_HEADER,
            within: false,
            floor,
        })
    }

    /// Compacts a few entries. Returns the bytes that it looked at, 0 at the end.
    fn compact_some(&mut self, job: &mut Compaction) -> usize {
        let mut ahead = [(0, 0); AHEAD];
        let mut found = 0;
        let mut at = job.read;
        let segment = self.segment(job.slot);
        while found < AHEAD && at < segment.tail {
            let bytes = segment.from(at);
            let header = Header::read(bytes);
            let hash = self.hash_of(&header, bytes);
            self.index.prefetch(hash);
            ahead[found] = (at, hash);
            found += 1;
            at += header.len;
        }
        let work = at - job.read;
        for (offset, hash) in &ahead[..found] {
            self.compact_entry(job, *offset, *hash);
        }
        work
    }

    fn compact_entry(&mut self, job: &mut Compaction, offset: usize, hash: u64) {
        let old = Reference::new(job.slot, offset);
        let header = self.header_at(old);
        job.read = offset + header.len;
        let place = Place::behind(core::mem::replace(&mut job.within, header.more));
        let new = Reference::new(job.slot, job.write);
        match header.what {
            What::User(_) => {
                let Some(at) = self.index.find_reference(hash, old) else {
                    return;
                };
                self.index.replace(at, new);
            }
            What::Control(_) if self.is_needed(old, &header, job.floor) => self.move_note(old, new),
            What::Control(control) => {
                self.forget_control(job.slot, control, header.len);
                return;
            }
        }
        self.slide(job, offset, &header, place);
    }

    /// A note has a new place.
    fn move_note(&mut self, old: Reference, new: Reference) {
        for note in [&mut self.state, &mut self.clock] {
            if *note == Some(old) {
                *note = Some(new);
            }
        }
    }

    /// A control entry is dropped.
    pub(super) fn forget_control(&mut self, slot: usize, control: Control, len: usize) {
        let segment = self.segment_mut(slot);
        match control {
            Control::Tombstone => {
                segment.controls -= len;
                segment.tombstones -= len;
            }
            Control::Touch => segment.controls -= len,
            Control::State | Control::Note => (),
        }
    }

    fn slide(&mut self, job: &mut Compaction, offset: usize, header: &Header, place: Place) {
        let segment = self.segment_mut(job.slot);
        let (salt, end) = (segment.salt, offset + header.len);
        if offset != job.write {
            segment
                .region
                .bytes_mut()
                .copy_within(offset..end, job.write);
        }
        let entry = &mut segment.region.bytes_mut()[job.write..job.write + header.len];
        if header.more || place == Place::Later {
            // Its neighbours may be gone: it stands alone from now on.
            format::finish_copy(entry, (salt, salt), place);
        }
        self.cleaner.moved_entries += 1;
        self.cleaner.moved_bytes += header.len as u64;
        job.write += header.len;
        debug_assert!(header.len >= HEADER_BYTES);
    }

    fn end_compaction(&mut self, job: Compaction) {
        let (now_ms, deleted) = (self.now_ms, self.files.deleted);
        let segment = self.segment_mut(job.slot);
        let before = segment.resident;
        segment.gap = None;
        segment.busy = false;
        segment.file.thinned = segment.is_resyncing();
        segment.tail = job.write;
        segment.resident = whole_pages(job.write);
        segment.region.give_back(job.write, before);
        segment.checked_ms = now_ms.max(1);
        segment.checked_floor = job.floor;
        segment.checked_deleted = deleted;
        let freed = before - segment.resident;
        self.resident -= freed;
        self.cleaner.compactions += 1;
        self.cleaner.look = true;
        self.free_dead_in_time();
    }

    /// Ends a compaction in progress now.
    pub(crate) fn settle_compaction(&mut self) {
        while let Some(mut job) = self.cleaner.compaction.take() {
            while self.compact_some(&mut job) > 0 {}
            self.end_compaction(job);
        }
    }
}

fn gap(job: &Compaction) -> Option<Gap> {
    (job.write != job.read).then_some(Gap {
        from: job.write,
        to: job.read,
    })
}
