//! Disk cleaning: the live entries of a segment are rewritten to the heads of their classes, so that its file
//! can go. Without files it is the only cleaning, as long as there is memory for it: what it frees is a whole segment, whose
//! memory serves the next one as it is.

use super::{PRESSED_SHARE, TOMBSTONE_SHARE};
use crate::Entry;
use crate::batch::STATE_BYTES;
use crate::entry::format::{self, HEADER_BYTES, Header, Place, SEAL_BYTES, SEGMENT_HEADER, What};
use crate::expiry::{NEVER, class_of};
use crate::index::Reference;
use crate::log::Spares;
use crate::pages::{PAGE_BYTES, whole_pages};
use crate::segment::{Gap, Segment};
use crate::store::Store;

/// The disk may hold this many times the live data before it is cleaned.
const DISK_EXPANSION: usize = 2;
/// Segments with more live data than this, in hundredths, are never rewritten for their space.
const FULL_PERCENT: usize = 98;
/// Small files that are not worth a thought.
const SMALL_CHANGE: usize = 8;
/// Entries whose index buckets are fetched together.
const AHEAD: usize = 16;

/// A segment being emptied: what is before `at` has been moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relocation {
    slot: usize,
    at: usize,
    /// The batch of the entry before goes on with this one.
    within: bool,
    floor: u64,
}

impl Store {
    /// Cleans the disk for about `budget` bytes. Returns the bytes that it looked at, 0 if there was nothing to
    /// do, or no room or file to do it.
    pub(super) fn relocate(
        &mut self,
        now_ms: u64,
        budget: usize,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> usize {
        if self.files.broken.is_some() {
            return 0;
        }
        let Some(mut job) = self
            .cleaner
            .relocation
            .take()
            .or_else(|| self.next_relocation())
        else {
            return 0;
        };
        let budget = if self.tuning.files {
            budget
        } else {
            budget.min(self.allowance())
        };
        let mut work = 0;
        while work < budget {
            let done = self.relocate_some(&mut job, now_ms, expired);
            if done == 0 {
                break;
            }
            work += done;
        }
        self.spend(work);
        self.cleaner.blocked = work == 0;
        if self.segment(job.slot).next(job.at).is_none() {
            self.end_relocation(job);
            return work + 1;
        }
        if self.is_short() {
            self.empty_up_to(job);
        }
        self.cleaner.relocation = Some(job);
        work
    }

    /// Moves a few entries. Returns the bytes that it looked at, 0 at the end or if nothing can be moved now.
    fn relocate_some(
        &mut self,
        job: &mut Relocation,
        now_ms: u64,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> usize {
        let mut ahead = [(0, 0); AHEAD];
        let (mut found, mut at) = (0, self.segment(job.slot).next(job.at));
        while let Some(offset) = at.filter(|_| found < AHEAD) {
            let bytes = self.segment(job.slot).from(offset);
            let header = Header::read(bytes);
            let hash = self.hash_of(&header, bytes);
            self.index.prefetch(hash);
            ahead[found] = (offset, hash);
            found += 1;
            at = self.segment(job.slot).next(offset + header.len);
        }
        for &(offset, hash) in &ahead[..found] {
            let reference = Reference::new(job.slot, offset);
            if self.index.find_reference(hash, reference).is_some() {
                crate::prefetch::lines(self.bytes_at(reference));
            }
        }
        let mut work = 0;
        for &(offset, _) in &ahead[..found] {
            let header = self.header_at(Reference::new(job.slot, offset));
            let reference = Reference::new(job.slot, offset);
            if !self.relocate_entry(now_ms, reference, &header, *job, expired) {
                break;
            }
            job.at = offset + header.len;
            job.within = header.more;
            work += header.len;
        }
        work
    }

    /// Whether memory is so short that cleaning has to give back at once what it has emptied.
    fn is_short(&self) -> bool {
        self.room(false) < 4 * self.tuning.segment_bytes
    }

    /// Moves one entry to its class's head, if anybody needs it. False if that cannot be done now.
    fn relocate_entry(
        &mut self,
        now_ms: u64,
        reference: Reference,
        header: &Header,
        job: Relocation,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> bool {
        let place = Place::behind(job.within);
        match header.what {
            What::User(_) => {
                let hash = self.hash_of(header, self.bytes_at(reference));
                let Some(at) = self.index.find_reference(hash, reference) else {
                    return true;
                };
                let expiry_ms = now_ms.min(self.cleaner.expiry_limit_ms);
                if self.is_flushed(header) || header.deadline.has_passed(expiry_ms) {
                    self.expire(reference, header, expired);
                    return true;
                }
                let Some(copy) = self.copy_to_head(now_ms, reference, header, place) else {
                    return false;
                };
                self.index.replace(at, copy);
                self.count_out(reference.slot(), header);
                self.count_in(copy.slot(), header);
            }
            What::Control(control) => {
                let slot = reference.slot();
                let needed = self.is_needed(reference, header, job.floor);
                let is_note = self.state == Some(reference) || self.clock == Some(reference);
                if needed && !is_note {
                    let Some(copy) = self.copy_to_head(now_ms, reference, header, place) else {
                        return false;
                    };
                    self.segment_mut(copy.slot())
                        .count_control(control, header.len);
                }
                self.forget_control(slot, control, header.len);
            }
        }
        true
    }

    /// A copy of the entry that stands alone at the tail of its class's head. `None` if there is no room or no file
    /// for it.
    fn copy_to_head(
        &mut self,
        now_ms: u64,
        from: Reference,
        header: &Header,
        place: Place,
    ) -> Option<Reference> {
        let needed = header.len + 128;
        let ceiling = self.cleaner.ceiling;
        if self.room(true) < needed && self.used() + needed > ceiling {
            return None;
        }
        let class = class_of(header.deadline, now_ms);
        let slot = self.head(class, header.len, Spares::TakeLast).ok()?;
        let salts = (self.segment(from.slot()).salt, self.segment(slot).salt);
        let start = self.segment(slot).tail;
        let copy = self.append_copy(from, slot, header);
        format::finish_copy(self.segment_mut(slot).entry_mut(start), salts, place);
        self.hand_over(slot, start);
        self.cleaner.moved_entries += 1;
        self.cleaner.moved_bytes += header.len as u64;
        self.cleaner.relocated_bytes += header.len as u64;
        Some(copy)
    }

    /// Gives back the pages that the job has emptied.
    fn empty_up_to(&mut self, job: Relocation) {
        let segment = self.segment_mut(job.slot);
        segment.gap = Some(Gap {
            from: SEGMENT_HEADER,
            to: job.at,
        });
        let before = segment.resident;
        let empty = (job.at / PAGE_BYTES * PAGE_BYTES).saturating_sub(PAGE_BYTES);
        segment.region.give_back(PAGE_BYTES, PAGE_BYTES + empty);
        segment.resident = whole_pages(segment.tail) - empty;
        let freed = before - segment.resident;
        self.resident -= freed;
    }

    fn end_relocation(&mut self, job: Relocation) {
        self.cleaner.disk_passes += 1;
        let tail = self.segment(job.slot).tail;
        if self.is_short() {
            self.empty_up_to(Relocation { at: tail, ..job });
        }
        let segment = self.segment_mut(job.slot);
        segment.busy = false;
        segment.gap = Some(Gap {
            from: SEGMENT_HEADER,
            to: tail,
        });
        assert!(
            segment.live_bytes == 0 && segment.controls == 0,
            "all that lives has moved"
        );
        self.cleaner.look = true;
        self.free_dead();
    }

    fn next_relocation(&mut self) -> Option<Relocation> {
        let slot = self
            .choose_for_reserve()
            .or_else(|| self.choose_for_memory())
            .or_else(|| self.choose_for_disk())
            .or_else(|| self.choose_for_tombstones())?;
        self.unschedule(slot);
        let floor = self.floor();
        // A store that is over its limit (after a restart with a lower one, or with tombstones that only cleaning
        // gets rid of) could never get below it if cleaning were held to it. What is copied is given back where it
        // came from as the job goes on, so this takes no more than a segment.
        let over = self.used() > self.config.memory_bytes;
        self.cleaner.ceiling = if over {
            self.used() + self.tuning.segment_bytes
        } else {
            0
        };
        self.segment_mut(slot).busy = true;
        let at = SEGMENT_HEADER;
        Some(Relocation {
            slot,
            at,
            within: false,
            floor,
        })
    }

    /// Whether cleaning will make room in the reserve.
    pub(super) fn can_relieve(&self) -> bool {
        if !self.cleaner.pressed || self.files.broken.is_some() || !self.has_spare() {
            return false;
        }
        match self.cleaner.relocation {
            Some(_) => !self.cleaner.blocked,
            // What names files that wait to be deleted will not be needed then.
            None if !self.files.is_condemned_empty() && self.has_many_tombstones() => true,
            None => self.choose_for_reserve().is_some(),
        }
    }

    /// Whether a good part of the reserve may be tombstones.
    fn has_many_tombstones(&self) -> bool {
        let tombstones: usize = self.segments.iter().flatten().map(|s| s.tombstones).sum();
        tombstones > self.cleaner_bytes() / 2
    }

    /// When even the reserve is used up: first what takes most memory for what it holds, as compaction leaves whole pages, and tombstones
    /// stay as long as the files that they name; then what else keeps tombstones needed. A file in which nothing is dead is left alone, so
    /// this comes to an end.
    fn choose_for_reserve(&self) -> Option<usize> {
        if !self.cleaner.pressed {
            return None;
        }
        let most = self.cleaner_bytes();
        let worn = self.best(|segment| {
            let needed = segment.needed_bytes();
            let wasted = segment.resident.saturating_sub(needed);
            let dead = segment.file_len.saturating_sub(needed);
            let worth = (segment.resident / PRESSED_SHARE).max(PAGE_BYTES / 4);
            let fits = whole_pages(needed) <= most;
            if fits && wasted >= worth && dead >= worth {
                ((wasted as u64) << 20) / (needed + self.tuning.segment_bytes / 64) as u64
            } else {
                0
            }
        });
        let many = self.has_many_tombstones();
        worn.or_else(|| many.then(|| self.choose_for_fewer_tombstones()).flatten())
    }

    /// Without files, when there is something to clean and credit for it, the segment whose cleaning pays best.
    fn choose_for_memory(&self) -> Option<usize> {
        let wanted = !self.tuning.files && self.allowance() > 0;
        wanted
            .then(|| self.best(|segment| self.benefit(segment)))
            .flatten()
    }

    /// When the files hold much more than what lives, the segment whose cleaning pays best.
    fn choose_for_disk(&self) -> Option<usize> {
        let segment_bytes = self.tuning.segment_bytes;
        let closed = || {
            self.segments
                .iter()
                .flatten()
                .filter(|segment| segment.is_closed())
        };
        let bytes: usize = closed().map(|segment| segment.file_len).sum();
        let needed: usize = closed().map(Segment::needed_bytes).sum();
        let full = bytes > DISK_EXPANSION * needed + SMALL_CHANGE * segment_bytes;
        let many = closed().count() > 2 * DISK_EXPANSION * (needed / segment_bytes + SMALL_CHANGE);
        if full || many {
            self.best(|segment| self.benefit(segment))
        } else {
            None
        }
    }

    /// When tombstones take much memory, a segment whose file keeps them needed.
    fn choose_for_tombstones(&self) -> Option<usize> {
        let tombstones: usize = self.segments.iter().flatten().map(|s| s.tombstones).sum();
        let much = tombstones > self.resident / TOMBSTONE_SHARE
            && tombstones > self.tuning.segment_bytes / 4;
        if !much || self.cleaner.credit == 0 {
            return None;
        }
        self.choose_for_fewer_tombstones()
    }

    fn choose_for_fewer_tombstones(&self) -> Option<usize> {
        // Two kinds of tombstones, two cures, in turn: those that name a file go with it, so the file that holds
        // most dead entries for what its cleaning costs; the others go when nothing older than they is dead in any
        // file, so the file with the oldest dead entry. Neither cure may starve the other, nor wait for it.
        let most_dead = || {
            self.best(|segment| {
                let dead = segment.file_len.saturating_sub(segment.needed_bytes());
                (dead * 64 / (segment.needed_bytes() + self.tuning.segment_bytes / 64)) as u64
            })
        };
        // As long as files wait to be deleted it is not known what the second cure would cure. But above the limit there
        // is no time to find out.
        let over = self.used() > self.config.memory_bytes;
        let oldest_dead = || {
            (over || self.files.is_condemned_empty())
                .then(|| self.best(|segment| u64::MAX - segment.dead_floor))
                .flatten()
        };
        if self.cleaner.disk_passes.is_multiple_of(2) {
            most_dead().or_else(oldest_dead)
        } else {
            oldest_dead().or_else(most_dead)
        }
    }

    fn best(&self, score: impl Fn(&Segment) -> u64) -> Option<usize> {
        let segments = self.segments.iter().enumerate();
        let scores = segments.filter_map(|(slot, segment)| {
            let segment = segment.as_ref()?;
            let score = score(segment);
            // One with a gap has been emptied already, and waits to be freed.
            let whole = segment.is_closed() && !segment.busy && segment.gap.is_none();
            (whole && score > 0).then_some((score, slot))
        });
        scores.max().map(|(_, slot)| slot)
    }

    /// Cost and benefit as in LFS and RAMCloud: (1 - u) * age / u.
    fn benefit(&self, segment: &Segment) -> u64 {
        let bytes = self.tuning.segment_bytes;
        let used = (segment.needed_bytes() * 100 / bytes).max(1);
        if used > FULL_PERCENT {
            return 0;
        }
        let age = self.now_ms.saturating_sub(segment.created_ms) / 100 + 1;
        (100 - used) as u64 * age / used as u64 + 1
    }

    /// Writes the newest notes again if they stand in this segment, which is going to be freed. False if that
    /// cannot be done now.
    pub(super) fn rescue_notes(&mut self, slot: usize) -> bool {
        let here = |note: Option<Reference>| note.is_some_and(|note| note.slot() == slot);
        let (state, clock) = (here(self.state), here(self.clock));
        if !state && !clock {
            return true;
        }
        let Some(head) = self.note_head() else {
            return false;
        };
        if let Some(old) = self.state.filter(|_| state) {
            let start = self.segment(head).tail;
            let position = self.header_at(old).position;
            self.append_state(head, position);
            self.complete(head, start);
        }
        if clock {
            let start = self.segment(head).tail;
            self.append_clock(head);
            self.complete(head, start);
        }
        true
    }

    /// A head with room for the notes. Any will do: they move on with what lives.
    fn note_head(&mut self) -> Option<usize> {
        let bytes = HEADER_BYTES + STATE_BYTES + self.known.note_bytes() + SEAL_BYTES;
        let fits = |slot: &usize| self.segment(*slot).tail + bytes <= self.tuning.segment_bytes;
        let open = self.heads.iter().rev().flatten().copied().find(fits);
        open.or_else(|| self.head(NEVER, bytes, Spares::TakeLast).ok())
    }

    /// Tells the log the time although nothing is written: something has expired, and must not come back with a
    /// clock that was set back; or there is a new floor.
    pub(crate) fn tell_time_alone(&mut self) {
        if !self.is_time_to_tell(self.now_ms) {
            return;
        }
        let Some(head) = self.note_head() else {
            return;
        };
        let start = self.segment(head).tail;
        self.tell_time(head, self.now_ms);
        self.complete(head, start);
    }
}
