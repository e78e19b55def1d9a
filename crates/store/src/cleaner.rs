//! The cleaner, two-level as in RAMCloud (`docs/store.md`, "The cleaner").
//!
//! *Memory compaction* works in place: the live entries of a closed segment slide down within its own memory,
//! and the pages behind them are given back. It needs no memory, so it cannot deadlock; the file stays as it is.
//! *Disk cleaning* rewrites the live entries of a segment to the heads of their classes and deletes its file.
//!
//! All of it is done in small steps: by [`Store::maintain`], and, when memory is short, by the writes
//! themselves, in proportion to what they take, so that no writer outruns the cleaner.

mod compaction;
mod relocation;

use alloc::vec::Vec;

use self::compaction::Compaction;
use self::relocation::Relocation;
use model::Position;

use crate::disk::SegmentId;
use crate::entry::format::{Control, Header, Note, OF_A_MENDING, OF_A_RESTART, What};
use crate::expiry::Sweep;
use crate::files::Fate;
use crate::index::Reference;
use crate::pages::whole_pages;
use crate::store::Store;
use crate::{Entry, Refused};

/// Bytes that background cleaning may look at per millisecond, while little is written.
const CREDIT_PER_MS: usize = 128 << 10;
/// What is little: bytes per millisecond.
const CALM_WRITES_PER_MS: usize = 4 << 10;
/// Most credit that can be saved up.
const MAX_CREDIT: usize = 4 << 20;
/// While more than one in so many bytes is dead, background cleaning goes on.
const CALM_DEAD_SHARE: usize = 16;
/// While much is written, dead bytes are left alone until all that is resident is so many hundredths of the live keys and
/// values: the fewer are left alone, the more live bytes have to be moved for each dead one.
const BUSY_PERCENT: usize = 135;
/// But at least this much is: the same, whatever the entries' sizes, as one in so many live bytes,
const BUSY_DEAD_SHARE: usize = 24;
/// and as bytes.
const BUSY_DEAD_BYTES: usize = 10 << 20;
/// When too much is dead, as many bytes are looked at as are written, and this many times as many for each time that what is
/// too much goes into what is tolerated: so the work of each turn settles at what keeps the balance, and comes in no bursts.
const BUSY_RISE: usize = 96;
/// But no more than so many for each that is written.
const BUSY_PACE: usize = 24;
/// A segment is worth compacting from one dead byte in so many on;
const WORTH_SHARE: usize = 32;
/// when even the reserve is used up, in so many, and worth rewriting: what then stays is half of the reserve's share of the limit.
const PRESSED_SHARE: usize = 256;
/// Tombstones may take one in so many resident bytes before disk cleaning is used to get rid of them.
const TOMBSTONE_SHARE: usize = 24;
/// Controls that may have died are looked at again after this time.
const RECHECK_MS: u64 = 10_000;

/// What the maintenance is busy with.
#[derive(Debug)]
pub(crate) struct Cleaner {
    pub(crate) sweep: Option<Sweep>,
    /// Where the removal of flushed entries stands: a cursor of the index.
    pub(crate) purge: Option<u64>,
    compaction: Option<Compaction>,
    relocation: Option<Relocation>,
    /// What the relocation may bring the used bytes to, if that is more than the limit.
    ceiling: usize,
    /// There was no room left in the reserve: until there is, cleaning looks at little as well.
    pressed: bool,
    /// The relocation in progress has no room or no file to go on.
    blocked: bool,
    /// Not all entries are in yet: no control entry may go.
    pub(crate) restoring: bool,
    /// There may be segments that hold nothing any more.
    pub(crate) look: bool,
    /// See [`Store::set_expiry_limit`].
    pub(crate) expiry_limit_ms: u64,
    /// Bytes that may be looked at, earned by time that passed.
    credit: usize,
    /// The same, earned by what was written when too much was dead.
    owed: usize,
    credited_ms: u64,
    credited: u64,
    /// Bytes that relocations have appended: nobody's writing, so it earns nothing.
    relocated_bytes: u64,
    pub(crate) moved_entries: u64,
    pub(crate) moved_bytes: u64,
    pub(crate) compactions: u64,
    pub(crate) disk_passes: u64,
}

impl Cleaner {
    pub(crate) fn new() -> Self {
        Self {
            sweep: None,
            purge: None,
            compaction: None,
            relocation: None,
            ceiling: 0,
            pressed: false,
            blocked: false,
            restoring: false,
            look: false,
            expiry_limit_ms: u64::MAX,
            credit: 0,
            owed: 0,
            credited_ms: 0,
            credited: 0,
            relocated_bytes: 0,
            moved_entries: 0,
            moved_bytes: 0,
            compactions: 0,
            disk_passes: 0,
        }
    }
}

impl Store {
    /// Does a bounded step of removing what has expired and of cleaning, at most about `budget_bytes` of
    /// moving or looking at. Each entry that is removed because its deadline has passed is shown to `expired`
    /// before. Returns whether there is more to do at once.
    pub fn maintain(
        &mut self,
        now_ms: u64,
        budget_bytes: usize,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> bool {
        self.tell_now(now_ms);
        self.excess = self.excess.min(self.above_limit());
        self.cleaner.pressed &= self.room(true) < self.reserve_bytes();
        self.replace_failed();
        self.free_dead_in_time();
        self.pool.expire(now_ms);
        self.earn(now_ms);
        // What writes have to pay for is done now, or they would outrun it.
        let mut left = budget_bytes.max(self.cleaner.owed);
        while left > 0 {
            let done = self.maintain_once(now_ms, left, expired);
            if done == 0 {
                return false;
            }
            left = left.saturating_sub(done);
        }
        true
    }

    /// One piece of the most urgent work. Returns how much it was, 0 if there was none.
    fn maintain_once(
        &mut self,
        now_ms: u64,
        budget: usize,
        expired: &mut dyn FnMut(Entry<'_>),
    ) -> usize {
        let before = self.expired_entries;
        let done = self.sweep(now_ms, budget, expired);
        if self.expired_entries > before {
            self.tell_time_alone();
        }
        if done > 0 {
            self.free_dead_in_time();
            return done;
        }
        if self.floor.is_news() {
            self.tell_time_alone();
        }
        let done = self.purge(budget);
        if done > 0 {
            return done;
        }
        let done = self.relocate(now_ms, budget, expired);
        if done > 0 {
            return done;
        }
        self.compact_in_background(budget)
    }

    /// When something may have expired that is still there, in wall-clock milliseconds.
    #[must_use]
    pub fn next_sweep_ms(&self) -> Option<u64> {
        self.calendar.first().map(|(due, _)| *due)
    }

    /// Nothing is removed because it has expired whose deadline is later than this, whatever time it is: for a store whose log may have to be
    /// taken back, and which may then hear that the entry was given a later deadline in time.
    pub fn set_expiry_limit(&mut self, ms: u64) {
        self.cleaner.expiry_limit_ms = ms;
    }

    /// What has expired by then is gone for good.
    pub(crate) fn expiry_ms(&self) -> u64 {
        self.now_ms.min(self.cleaner.expiry_limit_ms)
    }

    /// When [`Store::maintain`] has something to do next, in wall-clock milliseconds.
    #[must_use]
    pub fn next_maintenance_ms(&self) -> Option<u64> {
        let sweep = self
            .next_sweep_ms()
            .filter(|due| *due <= self.cleaner.expiry_limit_ms);
        let again = self.is_untidy() || self.cleaner.relocation.is_some() || self.can_relieve();
        let again = again.then_some(self.now_ms + 1);
        let disk = self.next_disk_ms();
        let tell = self.floor.is_news().then(|| self.next_clock_ms());
        let pool = self.pool.due_ms();
        let dues = sweep.into_iter().chain(again).chain(disk).chain(tell);
        dues.chain(pool).min()
    }

    /// Background work is paid for by what is written, when too much is dead, and by time that passes while little is.
    fn earn(&mut self, now_ms: u64) {
        let (dead, tolerated) = (self.dead_bytes(), self.tolerated_bytes());
        let cleaner = &mut self.cleaner;
        let passed = now_ms.saturating_sub(cleaner.credited_ms) as usize;
        let by_writers = self.appended - cleaner.relocated_bytes;
        let written = (by_writers - cleaner.credited) as usize;
        cleaner.credited_ms = cleaner.credited_ms.max(now_ms);
        cleaner.credited = by_writers;
        if written <= passed.saturating_mul(CALM_WRITES_PER_MS) {
            let earned = passed.saturating_mul(CREDIT_PER_MS);
            cleaner.credit = cleaner.credit.saturating_add(earned).min(MAX_CREDIT);
        }
        cleaner.owed = match dead.checked_sub(tolerated) {
            Some(excess) if excess > 0 => {
                let rise = excess.saturating_mul(BUSY_RISE).saturating_mul(written) / tolerated;
                (written + rise).min(written.saturating_mul(BUSY_PACE))
            }
            Some(_) | None => 0,
        };
    }

    /// Bytes that background cleaning may look at now.
    fn allowance(&self) -> usize {
        if self.cleaner.owed > 0 {
            self.cleaner.credit + self.cleaner.owed
        } else if self.is_untidy() {
            self.cleaner.credit
        } else {
            0
        }
    }

    /// Pays for work that was done.
    fn spend(&mut self, work: usize) {
        let cleaner = &mut self.cleaner;
        let of_writes = work.min(cleaner.owed);
        cleaner.owed -= of_writes;
        cleaner.credit -= (work - of_writes).min(cleaner.credit);
    }

    /// Bytes of segments that are not known to be needed.
    fn dead_bytes(&self) -> usize {
        let live: usize = self.counts.iter().map(|count| count.live).sum();
        // What a head takes from the pool is resident before it is filled.
        let heads = self.heads.iter().flatten().map(|slot| self.segment(*slot));
        let unfilled: usize = heads.map(|s| s.resident - whole_pages(s.tail)).sum();
        self.resident.saturating_sub(live + unfilled)
    }

    /// Dead bytes that are left alone while much is written; never 0.
    fn tolerated_bytes(&self) -> usize {
        let (live, payload) = self.counts.iter().fold((0, 0), |(live, payload), count| {
            (live + count.live, payload + count.payload)
        });
        let needed = live + self.index.bytes();
        (payload / 100 * BUSY_PERCENT)
            .saturating_sub(needed)
            .max(live / BUSY_DEAD_SHARE)
            .max(BUSY_DEAD_BYTES.min(self.config.memory_bytes / 32))
            .max(1)
    }

    /// Whether there is something to clean when there is time.
    fn is_untidy(&self) -> bool {
        let dead = self.dead_bytes();
        dead > 4 * self.tuning.segment_bytes.min(1 << 20) && dead > self.resident / CALM_DEAD_SHARE
    }

    fn compact_in_background(&mut self, budget: usize) -> usize {
        let wanted = self.tuning.files || self.cleaner.compaction.is_some();
        let allowance = if wanted { self.allowance() } else { 0 };
        if allowance == 0 {
            return 0;
        }
        let done = self.compact(budget.min(allowance));
        self.spend(done);
        done
    }

    /// Sees to it that `bytes` can be added.
    pub(crate) fn make_room(&mut self, bytes: usize, reserve: bool) -> Result<(), Refused> {
        let low = (2 * self.tuning.segment_bytes).min(self.config.memory_bytes / 16);
        // Cleaning takes memory before it gives some back.
        let bytes = bytes + if reserve { self.cleaner_bytes() } else { 0 };
        let room = self.room(reserve);
        if room >= bytes + low {
            return Ok(());
        }
        self.pay(bytes, room < bytes);
        while self.room(reserve) < bytes {
            if self.pool.empty() == 0
                && self.free_dead() == 0
                && self.compact(self.tuning.segment_bytes) == 0
            {
                if reserve && !core::mem::replace(&mut self.cleaner.pressed, true) {
                    continue;
                }
                return Err(self.no_room(reserve));
            }
        }
        Ok(())
    }

    /// A write's share of the cleaning: as much as frees what it takes.
    fn pay(&mut self, bytes: usize, short: bool) {
        let yields = self.compaction_yield().max(1);
        let factor = (self.tuning.segment_bytes / yields).min(64) + 1;
        if !short {
            self.compact(bytes * factor);
        }
    }

    /// Nothing can be freed now. If the disk's answers will let something be, the caller may try again.
    fn no_room(&mut self, reserve: bool) -> Refused {
        let worth = self.tuning.segment_bytes / 4;
        let slots: Vec<usize> = self.heads.iter().copied().flatten().collect();
        for slot in slots {
            let segment = self.segment(slot);
            if segment.tail >= worth && self.likely_dead(slot, self.floor()) >= segment.tail / 4 {
                self.seal_segment(slot);
            }
        }
        let waiting = self.segments.iter().enumerate().any(|(slot, segment)| {
            let sealed = segment.as_ref().is_some_and(|s| s.sealed && !s.is_closed());
            sealed && self.likely_dead(slot, self.floor()) >= worth / 8
        });
        // Tombstones that fill the memory are not data: disk cleaning gets rid of them, and is at it.
        let tombstones: usize = self.segments.iter().flatten().map(|s| s.tombstones).sum();
        let cleaning = self.files.broken.is_none() && tombstones > self.config.memory_bytes / 8;
        // Who may use the reserve is refused only when no cleaning can help any more.
        let relieving = reserve && self.can_relieve();
        if waiting || cleaning || relieving {
            Refused::LogBusy
        } else {
            Refused::OutOfMemory
        }
    }

    /// Below this position, no file holds a dead entry: tombstones of such entries are not needed.
    fn floor(&self) -> u64 {
        let floors = self
            .segments
            .iter()
            .flatten()
            .map(|segment| segment.dead_floor);
        floors
            .min()
            .unwrap_or(u64::MAX)
            .min(self.files.condemned_floor())
    }

    /// Bytes of the segment that compaction would free, as far as can be known without looking.
    fn likely_dead(&self, slot: usize, floor: u64) -> usize {
        let segment = self.segment(slot);
        // Entries that have passed and were not swept yet keep their touches.
        if segment.has_passed(self.expiry_ms()) && segment.live_entries == 0 {
            return segment.dead_bytes() + segment.controls;
        }
        let stale = self.now_ms >= segment.checked_ms + RECHECK_MS || segment.checked_ms == 0;
        let touches = if stale {
            segment.controls - segment.tombstones
        } else {
            0
        };
        let tombstones = if floor > segment.checked_floor {
            segment.tombstones
        } else {
            // As many as files have gone since, of those that there are.
            let gone = (self.files.deleted - segment.checked_deleted) as usize;
            segment.tombstones * gone.min(self.files.open.len()) / self.files.open.len().max(1)
        };
        segment.dead_bytes() + (touches + tombstones) / 2
    }

    /// Whether this entry of the store's own is still needed. `floor` was found after it was written.
    fn is_needed(&mut self, reference: Reference, header: &Header, floor: u64) -> bool {
        match header.what {
            What::User(_) => false,
            What::Control(Control::Touch) if self.cleaner.restoring => true,
            What::Control(Control::Tombstone) if self.cleaner.restoring => {
                self.covers_restored(reference, header)
            }
            What::Control(Control::Tombstone | Control::Touch) if self.is_cut(header) => false,
            What::Control(Control::Tombstone) => {
                !header.deadline.has_passed(self.expiry_ms())
                    && self.is_tombstone_needed(reference, header, floor)
                    && header.version >= self.flushed[usize::from(header.db)]
            }
            What::Control(Control::Touch) => self.is_touch_needed(reference, header),
            What::Control(Control::State) => self.state == Some(reference),
            // What a restart thins may have to be written to another file, which needs its end.
            What::Control(Control::Note) => {
                let is_end = self.cleaner.restoring && header.note() == Some(Note::Seal);
                is_end || self.clock == Some(reference)
            }
        }
    }

    /// Whether a restart has cut this entry away.
    pub(crate) fn is_cut(&self, header: &Header) -> bool {
        header.position > self.newest || self.known.cuts_of(header.position).next().is_some()
    }

    fn is_tombstone_needed(&mut self, reference: Reference, header: &Header, floor: u64) -> bool {
        let value = header.value(self.bytes_at(reference));
        let file = u64::from_le_bytes(*value.first_chunk().expect("a tombstone names a file"));
        // Copies that the cleaner made of one entry may be in files that wait to be deleted.
        let waiting = header.version >= self.files.condemned_floor();
        match self.files.fate(SegmentId(file)) {
            // It may stand before what a restart found, and is about that all the same.
            _ if file == OF_A_MENDING.0 => header.version >= floor,
            // What a tombstone of before a restart says of files was true then.
            _ if header.position <= self.restored => {
                header.version >= floor && self.covers_restored(reference, header)
            }
            _ if file == 0 || file == OF_A_RESTART.0 => header.version >= floor,
            // It stands behind what it is for in the very file, so they go together.
            Fate::There if file == self.segment(reference.slot()).id.0 => waiting,
            Fate::There => true,
            Fate::Gone => waiting,
            Fate::Unknown => header.version >= floor,
        }
    }

    /// Whether this tombstone of before the last restart covers what no other does.
    fn covers_restored(&mut self, reference: Reference, header: &Header) -> bool {
        let entry = self.segments[reference.slot()]
            .as_ref()
            .expect("only slots of segments in memory are kept anywhere")
            .entry(reference.offset());
        let hash = self.hash_of(header, entry);
        self.tombstones.is_needed(hash, header, entry)
    }

    fn is_touch_needed(&self, reference: Reference, header: &Header) -> bool {
        let entry = self.bytes_at(reference);
        let hash = self.hash_of(header, entry);
        let current = self.find_at(hash, header.db, header.space, header.key(entry));
        current.is_some_and(|(_, current)| {
            let current = self.header_at(current);
            current.position.raw() == header.version && current.deadline == header.deadline
        })
    }

    /// Removes entries that a flush has done away with. Returns the work that this was.
    fn purge(&mut self, budget: usize) -> usize {
        let Some(cursor) = self.cleaner.purge else {
            return 0;
        };
        let mut found = Vec::new();
        let mut looked = 0;
        let next = self.index.scan(cursor, (budget / 64).max(64), |reference| {
            looked += 64;
            if self.is_flushed(&self.header_at(reference)) {
                found.push(reference);
            }
        });
        for reference in found {
            self.remove(reference);
        }
        self.cleaner.purge = (next != 0).then_some(next);
        self.cleaner.look = true;
        looked + 64
    }

    /// Takes a current entry out of the index.
    pub(crate) fn remove(&mut self, reference: Reference) {
        let header = self.header_at(reference);
        let hash = self.hash_of(&header, self.bytes_at(reference));
        if let Some(at) = self.index.find_reference(hash, reference) {
            self.index.remove(at, &mut *self.pages);
            self.count_out(reference.slot(), &header);
        }
    }

    /// As [`Store::free_dead`], but nothing until something is written after a restart, unless room is needed: what was written last, dead or
    /// not, tells others what they have missed ([`crate::leap`]), and they ask for it before that.
    pub(crate) fn free_dead_in_time(&mut self) {
        let is_unchanged = self.restored > Position::ZERO && self.newest == self.restored;
        if !is_unchanged {
            self.free_dead();
        }
    }

    /// Frees the segments that hold nothing any more. Returns how many bytes that were.
    pub(crate) fn free_dead(&mut self) -> usize {
        if self.cleaner.restoring || !core::mem::take(&mut self.cleaner.look) {
            return 0;
        }
        let before = self.resident;
        let now_ms = self.expiry_ms();
        for slot in 0..self.segments.len() {
            let empty = self.segments[slot].as_ref().is_some_and(|segment| {
                segment.is_closed() && !segment.busy && segment.is_dead(now_ms)
            });
            if empty {
                self.free_segment(slot);
            }
        }
        // Notes that were in them may have taken more anew.
        before.saturating_sub(self.resident)
    }

    /// Frees a segment's memory and condemns its file. Nothing in it is needed but, possibly, the newest notes,
    /// which are written again.
    fn free_segment(&mut self, slot: usize) {
        if !self.rescue_notes(slot) {
            self.cleaner.look = true;
            return;
        }
        self.unschedule(slot);
        let whole = self.segment(slot).has_passed(self.expiry_ms());
        self.segments_expired_whole += u64::from(whole);
        let segment = self.segments[slot]
            .take()
            .expect("only segments in memory are freed");
        assert!(segment.is_closed() && segment.live_bytes == 0);
        self.resident -= segment.resident;
        self.free_slots.push(slot);
        self.files.open.remove(&segment.id);
        self.condemn(segment.id, segment.file_len, segment.first_position, false);
        if segment.resident == whole_pages(segment.tail) {
            self.keep_region(segment.region, segment.resident);
        }
    }
}
