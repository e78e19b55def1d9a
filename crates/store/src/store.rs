//! The store: what it consists of, and reading from it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use model::limits::{DATABASES, SEGMENT_BYTES};
use model::time::Deadline;
use model::{Db, Position, Version};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

use crate::cleaner::Cleaner;
use crate::cut::{Floor, Known};
use crate::disk::LogPoint;
use crate::ends::Ends;
use crate::entry::Hint;
use crate::entry::format::{HEADER_BYTES, Header, What};
use crate::expiry::CLASSES;
use crate::files::Files;
use crate::index::{CellAt, Index, Reference};
use crate::pages::{HeapPages, Pages};
use crate::pool::Pool;
use crate::scan::Scanner;
use crate::segment::Segment;
use crate::tombstones::Tombstones;
use crate::{Entry, Key, Space, StoreConfig, Usage};

const DBS: usize = DATABASES as usize;

/// What no operator changes, but tests and measurements do.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Bytes of a segment; at most [`SEGMENT_BYTES`].
    pub segment_bytes: usize,
    /// Which data directory the segments belong to: files of another one are not accepted.
    pub directory: u64,
    /// Files to have ready for new segments; at least 3.
    pub spare_files: usize,
    /// Whether there will be a restart from the files. If not, disk ops may be answered without doing anything, nothing is
    /// written only so that a restart knows it (tombstones, touches), and a segment in which much is dead is emptied whole, as
    /// there is no file of it whose rewriting could be put off.
    pub files: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            directory: 0,
            spare_files: 3,
            files: true,
        }
    }
}

/// What is counted for each database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Entries in [`Space::Data`], and those of them that have a deadline.
    pub(crate) data: u64,
    pub(crate) data_with_deadline: u64,
    /// Bytes of current entries, and of their keys and values.
    pub(crate) live: usize,
    pub(crate) payload: usize,
}

/// Log-structured memory: see the crate.
///
/// Invariants (asserted by [`Store::check`]):
/// 1. every cell of the index leads to an entry of the caller's whose checksum passes and whose key has the
///    cell's hash; no two cells lead to the same key;
/// 2. a segment's `live_bytes` are the bytes that cells lead to in it; the databases' counts are those of the
///    entries that were not flushed;
/// 3. what is counted as resident is what the segments have touched.
pub struct Store {
    pub(crate) config: StoreConfig,
    pub(crate) tuning: Tuning,
    pub(crate) pages: Box<dyn Pages>,
    secrets: RapidSecrets,
    /// What is mixed into a key's hash for its database and space.
    mix: [u64; 4 * DBS],
    pub(crate) index: Index,
    /// By slot; the numbers of freed ones are in `free_slots`.
    pub(crate) segments: Vec<Option<Segment>>,
    pub(crate) free_slots: Vec<usize>,
    /// The segment that is appended to, by class.
    pub(crate) heads: [Option<usize>; CLASSES],
    /// Where each database is: swapping two swaps these.
    pub(crate) place_of_db: [u8; DBS],
    /// By place: entries before this position are flushed.
    pub(crate) flushed: [u64; DBS],
    pub(crate) counts: [Count; DBS],
    /// The newest `State` and `Clock` entries.
    pub(crate) state: Option<Reference>,
    pub(crate) clock: Option<Reference>,
    pub(crate) clock_ms: u64,
    /// When to sweep which segment.
    pub(crate) calendar: BTreeSet<(u64, usize)>,
    pub(crate) files: Files,
    pub(crate) floor: Floor,
    pub(crate) known: Known,
    /// Where the log ended before it was mended, if nothing has come behind the parting yet.
    pub(crate) strayed: Option<Position>,
    pub(crate) cleaner: Cleaner,
    /// Bytes that segments have touched.
    pub(crate) resident: usize,
    pub(crate) pool: Pool,
    pub(crate) ends: Ends,
    /// See [`Store::set_beside`].
    beside: usize,
    /// Bytes ever appended.
    pub(crate) appended: u64,
    /// Tombstones and touches that were not written, as no restart will read them. They have their positions all the same.
    pub(crate) unlogged: u64,
    pub(crate) now_ms: u64,
    /// See [`Store::set_hidden`].
    hidden_ms: u64,
    /// The newest position.
    pub(crate) newest: Position,
    /// The newest position that a snapshot has brought ([`Store::fill`]).
    pub(crate) filled: Position,
    /// The newest position before the last restart.
    pub(crate) restored: Position,
    /// The newest position that the last restart has found, or that strays have: nothing in the files stands behind it and behind the end of the log.
    pub(crate) found: Position,
    /// What the tombstones of before the last restart amount to.
    pub(crate) tombstones: Tombstones,
    /// Bytes by which the reserve lies above the limit since the last restart, as that found so much, and which are not freed yet.
    pub(crate) excess: usize,
    pub(crate) expired_entries: u64,
    pub(crate) segments_expired_whole: u64,
}

impl Store {
    /// An empty store in memory of the global allocator.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self::with(config, Tuning::default(), Box::new(HeapPages))
    }

    /// An empty store.
    ///
    /// # Panics
    /// If the tuning makes no sense.
    #[must_use]
    pub fn with(config: StoreConfig, tuning: Tuning, pages: Box<dyn Pages>) -> Self {
        assert!(tuning.segment_bytes <= SEGMENT_BYTES && tuning.segment_bytes >= 4096);
        assert!(tuning.spare_files >= 3);
        let secrets = RapidSecrets::seed(config.seed);
        let mut mix = [0; 4 * DBS];
        for (i, mix) in mix.iter_mut().enumerate() {
            *mix = rapidhash_v3_micro_inline::<true, false>(&[b'd', b'b', i as u8], &secrets);
        }
        Self {
            config,
            tuning,
            pages,
            secrets,
            mix,
            index: Index::new(config.memory_bytes >> 24),
            segments: Vec::new(),
            free_slots: Vec::new(),
            heads: [None; CLASSES],
            place_of_db: core::array::from_fn(|i| i as u8),
            flushed: [0; DBS],
            counts: [Count::default(); DBS],
            state: None,
            clock: None,
            clock_ms: 0,
            calendar: BTreeSet::new(),
            files: Files::new(),
            floor: Floor::default(),
            known: Known::default(),
            strayed: None,
            cleaner: Cleaner::new(),
            resident: 0,
            pool: Pool::default(),
            ends: Ends::default(),
            beside: 0,
            appended: 0,
            unlogged: 0,
            now_ms: 0,
            hidden_ms: 0,
            newest: Position::ZERO,
            filled: Position::ZERO,
            restored: Position::ZERO,
            found: Position::ZERO,
            tombstones: Tombstones::default(),
            excess: 0,
            expired_entries: 0,
            segments_expired_whole: 0,
        }
    }

    pub(crate) fn scanner(&self) -> Scanner {
        Scanner {
            directory: self.tuning.directory,
            segment_bytes: self.tuning.segment_bytes,
            secrets: self.secrets,
        }
    }

    /// A key, hashed for this store.
    #[must_use]
    #[inline]
    pub fn key<'a>(&self, db: Db, space: Space, bytes: &'a [u8]) -> Key<'a> {
        Key {
            db,
            space,
            bytes,
            hash: rapidhash_v3_micro_inline::<true, false>(bytes, &self.secrets),
        }
    }

    /// The hash of a key in the database at `place`.
    #[inline]
    pub(crate) fn hash_at(&self, hash: u64, place: u8, space: Space) -> u64 {
        hash ^ self.mix[usize::from(place) * 4 + space as usize]
    }

    #[inline]
    pub(crate) fn place(&self, db: Db) -> u8 {
        self.place_of_db[usize::from(db.number())]
    }

    #[inline]
    fn full_hash(&self, key: &Key<'_>) -> u64 {
        self.hash_at(key.hash, self.place(key.db), key.space)
    }

    /// The hash of the key of an entry in the log.
    #[inline]
    pub(crate) fn hash_of(&self, header: &Header, entry: &[u8]) -> u64 {
        let hash = rapidhash_v3_micro_inline::<true, false>(header.key(entry), &self.secrets);
        self.hash_at(hash, header.db, header.space)
    }

    /// What prefetching needs to know of a key.
    #[inline]
    #[must_use]
    pub fn hint(&self, key: &Key<'_>) -> Hint {
        Hint(self.full_hash(key))
    }

    /// Asks the processor to fetch the index bucket of a key. To be followed, some work later, by
    /// [`Store::prefetch_entry`].
    #[inline]
    pub fn prefetch_cell(&self, hint: Hint) {
        self.index.prefetch(hint.0);
    }

    /// Asks the processor to fetch the beginning of what looks like the key's entry. To be followed, some work
    /// later, by [`Store::prefetch_value`], where the value will be read.
    #[inline]
    pub fn prefetch_entry(&self, hint: Hint) {
        if let Some(reference) = self.index.guess(hint.0) {
            let bytes = self.segment(reference.slot()).from(reference.offset());
            crate::prefetch::line(bytes.as_ptr());
            crate::prefetch::line(bytes.as_ptr().wrapping_add(64));
        }
    }

    /// Asks the processor to fetch the rest of what looks like the key's entry, as far as the processor would not
    /// do so by itself when the reading has begun.
    #[inline]
    pub fn prefetch_value(&self, hint: Hint) {
        const MOST_BYTES: usize = 1024 + 128;
        if let Some(reference) = self.index.guess(hint.0) {
            let entry = self.bytes_at(reference);
            if let Some(value) = entry.get(128..entry.len().min(MOST_BYTES)) {
                crate::prefetch::lines(value);
            }
        }
    }

    #[inline]
    pub(crate) fn segment(&self, slot: usize) -> &Segment {
        self.segments[slot]
            .as_ref()
            .expect("only slots of segments in memory are kept anywhere")
    }

    #[inline]
    pub(crate) fn segment_mut(&mut self, slot: usize) -> &mut Segment {
        self.segments[slot]
            .as_mut()
            .expect("only slots of segments in memory are kept anywhere")
    }

    #[inline]
    pub(crate) fn bytes_at(&self, reference: Reference) -> &[u8] {
        self.segment(reference.slot()).entry(reference.offset())
    }

    #[inline]
    pub(crate) fn header_at(&self, reference: Reference) -> Header {
        Header::read(self.segment(reference.slot()).from(reference.offset()))
    }

    /// The cell of this key, whatever has become of its entry.
    #[inline]
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<(CellAt, Reference)> {
        let place = self.place(key.db);
        let hash = self.hash_at(key.hash, place, key.space);
        self.find_at(hash, place, key.space, key.bytes)
    }

    #[inline]
    pub(crate) fn find_at(
        &self,
        hash: u64,
        place: u8,
        space: Space,
        key: &[u8],
    ) -> Option<(CellAt, Reference)> {
        self.index.find(hash, |reference| {
            let bytes = self.segment(reference.slot()).from(reference.offset());
            let header = Header::read(bytes);
            header.db == place && header.space == space && header.key(bytes) == key
        })
    }

    /// Hides what has expired by then from whoever looks by an earlier time, without removing it: for a store that is not to remove it yet
    /// ([`Store::set_expiry_limit`]). No batch may be of an earlier time.
    pub fn set_hidden(&mut self, ms: u64) {
        self.hidden_ms = ms;
    }

    /// Whether a flush has done away with this entry.
    #[inline]
    pub(crate) fn is_flushed(&self, header: &Header) -> bool {
        header.position.raw() < self.flushed[usize::from(header.db)]
    }

    #[inline]
    pub(crate) fn is_there(&self, header: &Header, now_ms: u64) -> bool {
        !self.is_flushed(header) && !header.deadline.has_passed(now_ms.max(self.hidden_ms))
    }

    /// The current entry of the key, if it has one whose deadline has not passed at `now_ms`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &Key<'_>, now_ms: u64) -> Option<Entry<'_>> {
        let (_, reference) = self.find(key)?;
        let header = self.header_at(reference);
        self.is_there(&header, now_ms)
            .then(|| self.view(reference, key.db))
    }

    #[inline]
    fn view(&self, reference: Reference, db: Db) -> Entry<'_> {
        let bytes = self.bytes_at(reference);
        let header = Header::read(bytes);
        let What::User(kind) = header.what else {
            panic!("the index leads to the caller's entries only");
        };
        Entry {
            db,
            space: header.space,
            kind,
            version: Version::from_raw(header.version),
            position: header.position,
            deadline: header.deadline,
            key: header.key(bytes),
            value: header.value(bytes),
        }
    }

    /// The database that is at `place`.
    pub(crate) fn db_at(&self, place: u8) -> Db {
        let number = self.place_of_db.iter().position(|p| *p == place);
        let number = number.expect("every place has a database");
        Db::new(number as u8).expect("there are as many places as databases")
    }

    pub(crate) fn entry_at(&self, reference: Reference) -> Entry<'_> {
        let db = self.db_at(self.header_at(reference).db);
        self.view(reference, db)
    }

    /// The current entry of the key, whether it has expired or not.
    #[must_use]
    pub fn get_expired(&self, key: &Key<'_>) -> Option<Entry<'_>> {
        let (_, reference) = self.find(key)?;
        let is_flushed = self.is_flushed(&self.header_at(reference));
        (!is_flushed).then(|| self.view(reference, key.db))
    }

    /// Visits some current entries from `cursor` (0 to begin) on, and returns the cursor to go on with, 0 at
    /// the end. Every entry that is there from the beginning to the end of a scan is visited at least once,
    /// however the store changes in between. `budget` bounds the work: about that many entries are visited.
    /// Expired entries may be visited: look at the deadline.
    pub fn scan(&self, cursor: u64, budget: usize, visit: &mut dyn FnMut(Entry<'_>)) -> u64 {
        self.index.scan(cursor, budget, |reference| {
            let entry = self.entry_at(reference);
            if !self.is_flushed(&self.header_at(reference)) {
                visit(entry);
            }
        })
    }

    /// Some current entry of the database's [`Space::Data`], chosen by `random`; `None` if there is none, or if none was
    /// found within a bounded search.
    #[must_use]
    pub fn random(&self, db: Db, random: u64, now_ms: u64) -> Option<Entry<'_>> {
        if self.len(db) == 0 {
            return None;
        }
        let place = self.place(db);
        let mut cursor = self.index.cursor_at_random(random);
        for _ in 0..64 {
            let mut found = Vec::new();
            cursor = self.index.scan(cursor, 64, |reference| {
                let header = self.header_at(reference);
                let wanted = header.db == place && header.space == Space::Data;
                if wanted && self.is_there(&header, now_ms) {
                    found.push(reference);
                }
            });
            if !found.is_empty() {
                let chosen = (random >> 7) as usize % found.len();
                return Some(self.view(found[chosen], db));
            }
        }
        None
    }

    /// Entries in the database's [`Space::Data`]; expired ones count until they are removed.
    #[must_use]
    pub fn len(&self, db: Db) -> u64 {
        self.counts[usize::from(self.place(db))].data
    }

    /// Those of [`Store::len`] that have a deadline.
    #[must_use]
    pub fn len_with_deadline(&self, db: Db) -> u64 {
        self.counts[usize::from(self.place(db))].data_with_deadline
    }

    /// An entry becomes one that the index leads to.
    #[inline]
    pub(crate) fn count_in(&mut self, slot: usize, header: &Header) {
        let segment = self.segment_mut(slot);
        segment.live_bytes += header.len;
        segment.live_entries += 1;
        let count = &mut self.counts[usize::from(header.db)];
        count.live += header.len;
        count.payload += header.len - HEADER_BYTES;
        if header.space == Space::Data {
            count.data += 1;
            count.data_with_deadline += u64::from(!header.deadline.is_never());
        }
    }

    /// The index leads to this entry no more.
    #[inline]
    pub(crate) fn count_out(&mut self, slot: usize, header: &Header) {
        let segment = self.segment_mut(slot);
        segment.live_bytes -= header.len;
        segment.live_entries -= 1;
        segment.dead_floor = segment.dead_floor.min(header.position.raw());
        if self.is_flushed(header) {
            return;
        }
        let count = &mut self.counts[usize::from(header.db)];
        count.live -= header.len;
        count.payload -= header.len - HEADER_BYTES;
        if header.space == Space::Data {
            count.data -= 1;
            count.data_with_deadline -= u64::from(!header.deadline.is_never());
        }
    }

    /// The deadline of a current entry changes.
    pub(crate) fn count_touch(&mut self, header: &Header, deadline: Deadline) {
        if header.space == Space::Data {
            let count = &mut self.counts[usize::from(header.db)];
            count.data_with_deadline -= u64::from(!header.deadline.is_never());
            count.data_with_deadline += u64::from(!deadline.is_never());
        }
    }

    /// Everything up to here is persisted as the [`crate::SyncMode`] asks.
    #[must_use]
    #[inline]
    pub fn persisted(&self) -> LogPoint {
        LogPoint(self.files.persisted.min(self.appended))
    }

    /// When what is appended counts as persisted; `None` if nothing is ever written to a file.
    #[must_use]
    pub fn sync(&self) -> Option<crate::SyncMode> {
        self.tuning.files.then_some(self.config.sync)
    }

    /// Everything up to here survives a loss of power.
    #[must_use]
    pub fn synced(&self) -> LogPoint {
        LogPoint(self.synced_point())
    }

    /// Everything that was appended so far, by whoever wrote the files that the store was restored from, too.
    #[must_use]
    pub fn appended(&self) -> LogPoint {
        LogPoint(self.appended)
    }

    /// Whether the files have everything that was appended, and none of them is in trouble: those that failed have been replaced.
    #[must_use]
    pub fn is_all_synced(&self) -> bool {
        self.log_trouble().is_none() && self.synced() == self.appended()
    }

    /// Bytes that the memory limit applies to.
    #[must_use]
    #[inline]
    pub fn used(&self) -> usize {
        self.resident
            + self.pool.bytes()
            + self.index.bytes()
            + self.segments.len() * size_of::<Option<Segment>>()
            + self.tombstones.bytes()
            + self.beside
    }

    /// Tells how much memory its caller uses for what belongs to the entries: it counts towards the limit.
    pub fn set_beside(&mut self, bytes: usize) {
        self.beside = bytes;
    }

    /// What the store uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            limit: self.config.memory_bytes,
            used: self.used(),
            live: self.counts.iter().map(|c| c.live).sum(),
            live_payload: self.counts.iter().map(|c| c.payload).sum(),
            segments: self.segments.len() - self.free_slots.len(),
            segment_bytes: self.resident,
            index_bytes: self.index.bytes(),
            files: self.file_count(),
            files_unsynced: self.files_unsynced(),
            disk_bytes: self.disk_bytes(),
            cleaner_moved_entries: self.cleaner.moved_entries,
            cleaner_moved_bytes: self.cleaner.moved_bytes,
            cleaner_compactions: self.cleaner.compactions,
            cleaner_disk_passes: self.cleaner.disk_passes,
            segments_expired_whole: self.segments_expired_whole,
            expired_entries: self.expired_entries,
        }
    }

    /// Bytes that this entry takes: header, key, value and index cell.
    #[must_use]
    pub fn footprint(entry: &Entry<'_>) -> usize {
        entry.key.len() + entry.value.len() + HEADER_BYTES + 10
    }
}
