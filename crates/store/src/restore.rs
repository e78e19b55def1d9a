//! A store from its segment files.
//!
//! Segments come in any order. Of each key the entry with the highest position is the current one; among copies
//! of one entry, which the cleaner makes, the one with the earliest deadline. Flushes, tombstones and touches are
//! applied at the end, when every entry is in: none of them depends on the order of the others.
//!
//! What a crash has kept of the last moments may have holes; it is cut before the first of them (`cut`). Segments that were
//! written since the floor are therefore taken in last, when all positions are known.

mod doubts;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use model::Position;

use self::doubts::Doubts;
use crate::StoreConfig;
use crate::cut::{Known, Positions};
use crate::disk::SegmentId;
use crate::entry::format::{self, Control, Header, Note, Salt, What};
use crate::expiry::NEVER;
use crate::index::Reference;
use crate::pages::{Pages, Region, whole_pages};
use crate::scan::{End, Found, Range, ScannedSegment, Scanner, Trace};
use crate::segment::{File, Segment, Stage};
use crate::store::{Store, Tuning};

/// Of how many positions up to the floor it is known whether they were found; and by how many one may be past the newest that was.
const LOOKED_AT: u64 = 1 << 16;
/// Entries whose index buckets are fetched together.
const AHEAD: usize = 16;

/// What a restart found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Segment files that held anything.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Entries that passed, dead ones and the store's own included.
    pub entries: u64,
    /// Current entries of the caller's.
    pub live: u64,
    /// Unfinished ends of segments that were being written: dropped.
    pub torn: Vec<Range>,
    /// Damaged pieces: their files are quarantined, what passes in them is served.
    pub damaged: Vec<Range>,
    /// Pieces that do not pass, behind all that the log knows to be synced: a loss of power leaves such. Their files are quarantined, what
    /// passes in them is served, as far as nothing before it is missing.
    pub hollow: Vec<Range>,
    /// Files of another directory or under a wrong name: quarantined, nothing of them is served.
    pub foreign: Vec<SegmentId>,
    /// Segments that should be there and are not.
    pub missing: Vec<SegmentId>,
    /// Entries that a crash has kept although it lost some before them: dropped. Nothing in them was synced.
    pub cut: u64,
    /// The newest position found: the caller begins an epoch past it.
    pub newest: Position,
    /// The latest time that the log knows to have come, in wall-clock milliseconds.
    pub latest_ms: u64,
}

impl RestoreReport {
    /// Whether nothing is lost that was there when the process ended, if the machine did not end with it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.hollow.is_empty() && self.is_beginning()
    }

    /// Whether the store is a beginning of the log that it was: nothing is lost but, with the power, what had not been synced.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        self.damaged.is_empty() && self.foreign.is_empty() && self.missing.is_empty()
    }
}

/// A store being restored.
pub struct Restore {
    store: Store,
    report: RestoreReport,
    /// By slot: the entries of the caller's that its file holds.
    entries: Vec<usize>,
    /// What the log says of itself.
    known: Known,
    /// Positions past the floor, as far as it was known when they were found, and some before it.
    recent: Positions,
    /// Segments that may hold what has to be cut.
    put_off: Vec<SegmentId>,
    /// Where the log ends, once that is decided.
    end: Option<Position>,
    /// The epochs of the earlier cuts that are about something that was found.
    cuts_found: BTreeSet<u32>,
    /// The newest `State`.
    state: Position,
    doubts: Doubts,
    /// Hashes of the keys of which dead entries were found.
    dead: Vec<u64>,
}

impl Restore {
    /// Begins with nothing.
    #[must_use]
    pub fn new(config: StoreConfig, tuning: Tuning, pages: Box<dyn Pages>) -> Self {
        let mut store = Store::with(config, tuning, pages);
        // What the files hold counts as appended before everything else.
        store.appended = 1;
        store.cleaner.restoring = true;
        Self {
            store,
            report: RestoreReport::default(),
            entries: Vec::new(),
            known: Known::default(),
            recent: Positions::default(),
            put_off: Vec::new(),
            end: None,
            cuts_found: BTreeSet::new(),
            state: Position::ZERO,
            doubts: Doubts::default(),
            dead: Vec::new(),
        }
    }

    /// What reads the files.
    #[must_use]
    pub fn scanner(&self) -> Scanner {
        self.store.scanner()
    }

    /// Memory to read a file into.
    #[must_use]
    pub fn region(&mut self) -> Option<Region> {
        self.store.pages.allocate(self.store.tuning.segment_bytes)
    }

    /// Takes a segment in, or puts it off: see [`Restore::put_off`].
    pub fn add(&mut self, scanned: ScannedSegment) {
        self.store.files.taken(scanned.id);
        self.known.learn(&scanned.known);
        self.report.newest = self.report.newest.max(scanned.newest);
        if self.end.is_none() && scanned.newest > self.low() {
            self.note_positions(&scanned);
        }
        let is_recent = scanned.newest > self.known.floor || scanned.may_be_hollow();
        if self.end.is_none() && is_recent {
            self.put_off.push(scanned.id);
            return;
        }
        if scanned.empty {
            self.report.torn.extend(scanned.torn);
            self.store
                .condemn(scanned.id, scanned.file_len, u64::MAX, false);
            return;
        }
        self.report.bytes += scanned.file_len as u64;
        self.report.segments += 1;
        if scanned.foreign {
            self.report.foreign.push(scanned.id);
            self.store
                .condemn(scanned.id, scanned.file_len, u64::MAX, true);
            return;
        }
        self.report.torn.extend(scanned.torn);
        let is_hollow = scanned.may_be_hollow() && self.is_behind(scanned.trace);
        let wrong = if is_hollow {
            &mut self.report.hollow
        } else {
            &mut self.report.damaged
        };
        wrong.extend(&scanned.damage);
        self.report.entries += scanned.found.len() as u64;
        self.adopt(scanned, is_hollow);
        self.keep_to_limit();
    }

    fn note_positions(&mut self, scanned: &ScannedSegment) {
        let low = self.low();
        for one in &scanned.found {
            let entry = &scanned.region.bytes()[one.offset..];
            let header = Header::read(entry);
            if header.position > low && header.shows_position(entry) {
                self.recent.insert(header.position);
            }
        }
    }

    /// Positions up to here are not looked at one by one.
    fn low(&self) -> Position {
        Position::from_raw(self.known.floor.raw().saturating_sub(LOOKED_AT))
    }

    /// Whether what left this trace was not in the log yet when that was synced up to the floor. A segment is written from its beginning to its
    /// end, so nothing up to the floor stood behind an entry that is not before it, nor where all positions from such an entry to the floor are
    /// in the log anyway.
    fn is_behind(&self, trace: Trace) -> bool {
        let floor = self.known.floor;
        let reaches = |before: Position| {
            let known = Known {
                floor: before,
                cuts: self.known.cuts.clone(),
            };
            before >= floor || (before >= self.low() && known.end(&self.recent) >= floor)
        };
        floor == Position::ZERO
            || trace.is_blank
            || (trace.there > floor && trace.there.raw() <= self.report.newest.raw() + LOOKED_AT)
            || trace.oldest.is_some_and(|oldest| oldest > floor)
            || trace.before.is_some_and(reaches)
    }

    /// Decides where the log ends, for which every segment must have been added once, and gives the segments that could not
    /// be taken in before that was known: each is to be scanned and added again. They are few, those written in the last
    /// seconds, and this way they take no memory meanwhile.
    pub fn put_off(&mut self) -> Vec<SegmentId> {
        self.end.get_or_insert(self.known.end(&self.recent));
        core::mem::take(&mut self.put_off)
    }

    /// Whether an entry of this position does not count: see `cut`.
    fn is_cut(&self, position: Position) -> bool {
        self.is_past_end(position) || self.known.cuts_of(position).next().is_some()
    }

    fn is_past_end(&self, position: Position) -> bool {
        self.end.is_some_and(|end| position > end)
    }

    fn note_cut(&mut self, position: Position) {
        self.report.cut += u64::from(self.is_past_end(position));
        let cuts = self.known.cuts_of(position).map(|cut| cut.epoch);
        self.cuts_found.extend(cuts);
    }

    fn adopt(&mut self, scanned: ScannedSegment, is_hollow: bool) {
        let (damaged, disowned) = (!scanned.damage.is_empty(), scanned.disowned);
        let ScannedSegment {
            id,
            mut region,
            header,
            file_len,
            found,
            tail,
            end,
            ..
        } = scanned;
        region.give_back(tail + format::SEAL_BYTES, region.bytes().len());
        let salt = Salt::new(self.store.tuning.directory, id);
        let class = header.map_or(NEVER, |header| (header.class as usize).min(NEVER));
        let mut segment = Segment::new(region, id, salt, class);
        segment.created_ms = header.map_or(0, |header| header.created_ms);
        segment.tail = tail;
        segment.resident = whole_pages(tail);
        segment.file_len = file_len;
        match end {
            End::Cut => segment.file = File::found(file_len),
            End::Sealed | End::Open => segment.file.emitted = tail,
        }
        segment.sealed = end != End::Open;
        segment.file.found = true;
        segment.file.unsynced_from = (end != End::Cut || disowned).then_some(0);
        let slot = self
            .store
            .add_segment(segment)
            .expect("there are slots for a terabyte");
        self.index(slot, &found);
        match end {
            End::Cut if damaged || disowned => (),
            End::Cut => self.store.files.queue_resync(id),
            End::Sealed => self.store.activate(slot),
            End::Open if damaged => self.store.stand_alone(slot),
            End::Open => self.store.seal_segment(slot),
        }
        if is_hollow && !disowned {
            self.store.disown_file(slot);
        } else if damaged || disowned {
            self.store.give_up_file(slot, damaged);
        }
    }

    fn index(&mut self, slot: usize, found: &[Found]) {
        let mut entries = 0;
        for (i, one) in found.iter().enumerate() {
            if i % AHEAD == 0 {
                for ahead in &found[i..found.len().min(i + AHEAD)] {
                    let header = Header::read(self.store.segment(slot).from(ahead.offset));
                    let hash = self.store.hash_at(ahead.hash, header.db, header.space);
                    self.store.index.prefetch(hash);
                }
            }
            entries += self.index_one(Reference::new(slot, one.offset), one.hash);
        }
        if self.entries.len() <= slot {
            self.entries.resize(slot + 1, 0);
        }
        self.entries[slot] = entries;
    }

    fn index_one(&mut self, reference: Reference, hash: u64) -> usize {
        let header = self.store.header_at(reference);
        self.store.segment_mut(reference.slot()).note(&header);
        let is_cut = self.is_cut(header.position);
        if is_cut {
            self.note_cut(header.position);
        }
        match header.what {
            What::User(_) => {
                if !is_cut {
                    self.restore_entry(reference, &header, hash);
                }
                return 1;
            }
            What::Control(control @ (Control::Tombstone | Control::Touch)) => {
                let segment = self.store.segment_mut(reference.slot());
                segment.count_control(control, header.len);
                if control == Control::Tombstone && !is_cut {
                    self.store.note_tombstone(reference);
                }
            }
            What::Control(Control::State) if header.position >= self.state && !is_cut => {
                self.state = header.position;
                self.store.state = Some(reference);
            }
            What::Control(Control::State) => (),
            // What a note says is so, whatever was lost.
            What::Control(Control::Note) => self.note(reference, &header),
        }
        0
    }

    /// An entry read back becomes the current one of its key, unless there is a newer one.
    fn restore_entry(&mut self, reference: Reference, header: &Header, hash: u64) {
        let store = &mut self.store;
        let hash = store.hash_at(hash, header.db, header.space);
        let key = header.key(store.bytes_at(reference));
        let Some((at, other)) = store.find_at(hash, header.db, header.space, key) else {
            store.index.insert(hash, reference, true, &mut *store.pages);
            store.count_in(reference.slot(), header);
            return;
        };
        let other_header = store.header_at(other);
        // A copy may have the deadline of a touch that is cut; one that is not cut is applied anyway.
        let newer =
            (header.position, other_header.deadline) > (other_header.position, header.deadline);
        let (winner, loser) = if newer {
            (header, &other_header)
        } else {
            (&other_header, header)
        };
        if loser.position < winner.position && loser.deadline > winner.deadline {
            self.doubts.add(hash, loser.position.raw(), loser.deadline);
        }
        self.dead.push(hash);
        store.index.set_alone(at, false);
        if newer {
            store.index.replace(at, reference);
            store.count_out(other.slot(), &other_header);
            store.count_in(reference.slot(), header);
        }
    }

    fn note(&mut self, reference: Reference, header: &Header) {
        let ms = header.version >> 8;
        if header.note() == Some(Note::Clock) && ms >= self.store.clock_ms {
            self.store.clock_ms = ms;
            self.store.clock = Some(reference);
        }
    }

    /// Files hold more than memory may: what is known to be dead is compacted away.
    fn keep_to_limit(&mut self) {
        while self.store.room(false) < self.store.tuning.segment_bytes {
            if self.store.compact(self.store.tuning.segment_bytes) == 0 {
                return;
            }
        }
    }

    /// The log goes on from its end.
    fn end_log(&mut self) {
        let end = self.end.expect("it was decided");
        let store = &mut self.store;
        (store.newest, store.restored) = (end, end);
        store.found = end.max(self.report.newest);
        store.files.keep_condemned_until(end);
        store.floor.begin(self.known.floor);
        store.known = self.known.clone();
        store.known.forget_all_but(&self.cuts_found);
        self.report.newest = self.report.newest.max(end);
    }

    /// Applies all tombstones and touches.
    fn restore_controls(&mut self) {
        for slot in 0..self.store.segments.len() {
            let segment = self.store.segments[slot].as_ref();
            let Some(segment) = segment.filter(|s| s.controls > 0) else {
                continue;
            };
            let offsets: Vec<usize> = segment.offsets().collect();
            for offset in offsets {
                self.restore_control(Reference::new(slot, offset));
            }
        }
    }

    fn restore_control(&mut self, reference: Reference) {
        let header = self.store.header_at(reference);
        let What::Control(control @ (Control::Tombstone | Control::Touch)) = header.what else {
            return;
        };
        if self.is_cut(header.position) {
            return;
        }
        let store = &mut self.store;
        let entry = store.bytes_at(reference);
        let hash = store.hash_of(&header, entry);
        let Some((at, target)) = store.find_at(hash, header.db, header.space, header.key(entry))
        else {
            if control == Control::Touch {
                self.doubts.add(hash, header.version, header.deadline);
            }
            return;
        };
        let current = store.header_at(target);
        let position = current.position.raw();
        if control == Control::Tombstone && position <= header.version {
            store.index.remove(at, &mut *store.pages);
            self.dead.push(hash);
            store.count_out(target.slot(), &current);
            if current.deadline > header.deadline {
                self.doubts.add(hash, position, current.deadline);
            }
        } else if control == Control::Touch && current.deadline < header.deadline {
            if position == header.version {
                store.lengthen(target, &current, header.deadline);
            } else if position > header.version {
                self.doubts.add(hash, header.version, header.deadline);
            }
        }
    }

    /// The store, as it is at `now_ms`. What has expired is gone at once for readers, and shown to the first
    /// calls of [`Store::maintain`].
    #[must_use]
    pub fn finish(mut self, now_ms: u64) -> (Store, RestoreReport) {
        let again = self.put_off();
        assert!(again.is_empty(), "what is put off is added again");
        self.store.settle_compaction();
        self.store.cleaner.restoring = false;
        self.end_log();
        self.store.restore_state();
        self.restore_controls();
        self.store.tell_now(now_ms.max(self.store.clock_ms));
        core::mem::take(&mut self.doubts).settle(&mut self.store);
        self.dead.sort_unstable();
        self.store.tombstones.complete(&self.dead);
        for slot in 0..self.store.segments.len() {
            let entries = self.entries.get(slot).copied().unwrap_or(0);
            let Some(segment) = &mut self.store.segments[slot] else {
                continue;
            };
            if segment.live_entries < entries {
                segment.dead_floor = segment.first_position;
            }
            self.store.schedule(slot);
        }
        self.store.cleaner.look = true;
        self.keep_to_limit();
        self.store.excess = self.store.above_limit();
        self.report.live = self.store.index.cells() as u64;
        self.report.latest_ms = self.store.clock_ms;
        (self.store, self.report)
    }
}

impl Store {
    /// Takes a tombstone in that tells of before the restart.
    fn note_tombstone(&mut self, reference: Reference) {
        let header = self.header_at(reference);
        let mut tombstones = core::mem::take(&mut self.tombstones);
        let entry = self.bytes_at(reference);
        tombstones.note(self.hash_of(&header, entry), &header, entry);
        self.tombstones = tombstones;
    }

    /// Takes over the newest `State`, and removes what was flushed.
    fn restore_state(&mut self) {
        let Some(reference) = self.state else {
            return;
        };
        let entry = self.bytes_at(reference);
        let header = Header::read(entry);
        let place_of_db = core::array::from_fn(|db| (header.version >> (4 * db) & 0xf) as u8);
        let mut flushed = [0; _];
        for (position, bytes) in flushed.iter_mut().zip(header.value(entry).as_chunks().0) {
            *position = u64::from_le_bytes(*bytes);
        }
        self.place_of_db = place_of_db;
        let mut gone = Vec::new();
        self.index.scan(0, usize::MAX, |reference| {
            let header = self.header_at(reference);
            if header.position.raw() < flushed[usize::from(header.db)] {
                gone.push(reference);
            }
        });
        for reference in gone {
            self.remove(reference);
        }
        self.flushed = flushed;
    }

    /// Ends a segment whose damage was cut out of its memory: none of its entries is part of a batch any more.
    fn stand_alone(&mut self, slot: usize) {
        let segment = self.segment_mut(slot);
        let salt = segment.salt;
        let offsets: Vec<usize> = segment.offsets().collect();
        for offset in offsets {
            format::finish(segment.entry_mut(offset), salt, true, false);
        }
        self.seal_segment(slot);
    }

    /// The power has left holes in the file: it is disowned, so that the next start does not take them for damage when the log tells that it is
    /// synced beyond them, then replaced.
    fn disown_file(&mut self, slot: usize) {
        let file = &mut self.segment_mut(slot).file;
        (file.stage, file.quarantine) = (Stage::Failed, true);
        self.activate(slot);
        let id = self.segment(slot).id;
        self.files.disown(id, slot);
    }

    /// The file is damaged, and to be kept aside, or was disowned: it is to be replaced.
    fn give_up_file(&mut self, slot: usize, damaged: bool) {
        let file = &mut self.segment_mut(slot).file;
        file.stage = Stage::Failed;
        file.quarantine = damaged;
        self.activate(slot);
        self.files.queue_replacement(slot);
    }
}
