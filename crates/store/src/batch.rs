//! Writing: a batch is planned, room is made for all of it, then it is appended to one head without failing.
//!
//! What keeps a restart from bringing back the dead (`docs/store.md`, "Deadlines and tombstones"): at any time,
//! every older version of a key in some file expires no later than the current one, or is covered by a
//! tombstone that lives at least as long as it does.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Position, Version};

use crate::cut::Cut;
use crate::disk::{LogPoint, SegmentId};
use crate::entry::format::{self, Control, HEADER_BYTES, Header, Note, What};
use crate::expiry::class_of;
use crate::index::{CellAt, Reference};
use crate::segment::Stage;
use crate::store::{Count, Store};
use crate::{Applied, Key, Kind, Op, Refused, Space, told};

/// Bytes of a `State` entry's value.
pub(crate) const STATE_BYTES: usize = 8 * model::limits::DATABASES as usize;
/// Bytes of a tombstone before its key's.
pub(crate) const TOMBSTONE_BYTES: usize = HEADER_BYTES + 8;
/// How often the log is told the time.
const CLOCK_EVERY_MS: u64 = 1_000;
const CLOCK_RETRY_MS: u64 = 100;

/// What a batch needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// At most this many bytes.
    pub(crate) bytes: usize,
    /// Its latest deadline: all of it goes to this class. `None` if it changes nothing.
    pub(crate) deadline: Option<Deadline>,
    /// It may use the reserve.
    reserve: bool,
    /// Size of the largest entry that an op so far has made current: a later op of the batch may have to
    /// rewrite it.
    largest: usize,
    /// Where each database is by now.
    place_of_db: [u8; model::limits::DATABASES as usize],
}

impl Plan {
    fn add(&mut self, bytes: usize, deadline: Deadline) {
        self.bytes += bytes;
        self.deadline = self.deadline.max(Some(deadline));
    }
}

/// Where a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The caller orders batches.
    Own,
    /// A store that this one follows: what that one has taken must fit here too.
    Followed,
    /// A snapshot of such a store: its entries stand at positions that the log has passed, or will come to.
    Snapshot,
}

/// A batch being appended.
pub(crate) struct Batch {
    pub(crate) slot: usize,
    /// Where it begins.
    pub(crate) start: usize,
    pub(crate) now_ms: u64,
}

impl Store {
    /// Applies a batch, all of it or nothing. `first` is the position of its first entry: the one after the last of the
    /// batch before it, or the first of a later epoch. An entry whose deadline has passed at `now_ms` counts as absent.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn apply(
        &mut self,
        now_ms: u64,
        first: Position,
        ops: &[Op<'_>],
    ) -> Result<Applied, Refused> {
        self.tell_now(now_ms);
        if let [
            Op::Put {
                key,
                kind,
                version,
                deadline,
                value,
            },
        ] = ops
        {
            let header = self.put_header(key, first, *kind, *version, *deadline, value);
            return self.apply_put(now_ms, key, &header, value, Source::Own);
        }
        self.apply_all(now_ms, first, ops, None)
    }

    /// [`Store::apply`] of any batch. What has changed is written to `told`.
    pub(crate) fn apply_all(
        &mut self,
        now_ms: u64,
        first: Position,
        ops: &[Op<'_>],
        told: Option<&mut Vec<u8>>,
    ) -> Result<Applied, Refused> {
        let plan = self.plan(now_ms, ops);
        let Some(deadline) = plan.deadline else {
            return Ok(Applied {
                last: Position::from_raw(first.raw().saturating_sub(1)),
                log: LogPoint(self.appended),
            });
        };
        self.check_follows(first);
        if plan.bytes > self.max_batch() {
            return Err(Refused::BatchTooLarge);
        }
        let class = class_of(deadline, now_ms);
        let slot = self.reserve(class, plan.bytes, plan.reserve)?;
        Ok(self.append_batch(slot, now_ms, first, ops, told))
    }

    /// What [`Store::apply`] does for a lone put, which most batches are: its key is looked up once.
    pub(crate) fn apply_put(
        &mut self,
        now_ms: u64,
        key: &Key<'_>,
        header: &Header,
        value: &[&[u8]],
        source: Source,
    ) -> Result<Applied, Refused> {
        if source != Source::Snapshot {
            self.check_follows(header.position);
        }
        let found = self.find(key);
        let older = found.map(|(_, reference)| self.header_at(reference));
        let older = older.filter(|older| self.is_there(older, now_ms));
        if let (Some((_, reference)), Some(older)) = (found, &older)
            && self.may_overwrite(older, header)
        {
            if source != Source::Snapshot {
                self.come_to(header.position);
            }
            return Ok(self.overwrite(reference, older, header, value));
        }
        let older = older.map(|older| older.deadline);
        let tombstone = if older.is_some_and(|older| older > header.deadline) {
            TOMBSTONE_BYTES + key.bytes.len()
        } else {
            0
        };
        let bytes = self.known.note_bytes() + header.len + tombstone;
        if bytes > self.max_batch() {
            return Err(Refused::BatchTooLarge);
        }
        let latest = older.map_or(header.deadline, |older| older.max(header.deadline));
        let reserve = source != Source::Own || matches!(key.space, Space::Hold | Space::Mark);
        let moved = self.cleaner.moved_entries;
        let slot = self.reserve(class_of(latest, now_ms), bytes, reserve)?;
        // Making room may have moved what was found.
        let found = if self.cleaner.moved_entries == moved {
            found
        } else {
            self.find(key)
        };
        let start = self.segment(slot).tail;
        if source != Source::Snapshot {
            self.come_to(header.position);
        }
        let batch = Batch {
            slot,
            start,
            now_ms,
        };
        self.put(&batch, key, header, value, found);
        self.tell_time(slot, now_ms);
        self.complete(slot, start);
        Ok(Applied {
            last: header.position,
            log: LogPoint(self.appended),
        })
    }

    /// Whether a put of the same size is written over the entry that it replaces, so that the old value's memory is touched.
    #[must_use]
    #[inline]
    pub fn overwrites(&self) -> bool {
        !self.tuning.files
    }

    /// Whether a put may be written over the entry that it replaces. A file needs the old bytes, and a later deadline is as good
    /// in this segment as a touch to it.
    #[inline]
    fn may_overwrite(&self, older: &Header, header: &Header) -> bool {
        self.overwrites() && older.len == header.len && older.deadline <= header.deadline
    }

    /// Writes a put over the entry that it replaces: no memory is taken, nothing has to be cleaned.
    fn overwrite(
        &mut self,
        at: Reference,
        older: &Header,
        header: &Header,
        value: &[&[u8]],
    ) -> Applied {
        self.count_touch(older, header.deadline);
        self.unlogged += 1;
        let segment = self.segment_mut(at.slot());
        segment.note(header);
        let salt = segment.salt;
        format::overwrite(segment.entry_mut(at.offset()), salt, header, value);
        Applied {
            last: header.position,
            log: LogPoint(self.appended),
        }
    }

    #[inline]
    pub(crate) fn put_header(
        &self,
        key: &Key<'_>,
        position: Position,
        kind: Kind,
        version: Version,
        deadline: Deadline,
        value: &[&[u8]],
    ) -> Header {
        let value_len: usize = value.iter().map(|part| part.len()).sum();
        Header {
            len: HEADER_BYTES + key.bytes.len() + value_len,
            more: false,
            what: What::User(kind),
            db: self.place(key.db),
            space: key.space,
            position,
            version: version.raw(),
            deadline,
            key_len: key.bytes.len(),
        }
    }

    fn append_batch(
        &mut self,
        slot: usize,
        now_ms: u64,
        first: Position,
        ops: &[Op<'_>],
        mut told: Option<&mut Vec<u8>>,
    ) -> Applied {
        let start = self.segment(slot).tail;
        let batch = Batch {
            slot,
            start,
            now_ms,
        };
        let mut taken = 0;
        for op in ops {
            let before = (self.segment(slot).tail, self.unlogged);
            self.append_op(&batch, first.plus(taken), op);
            if (self.segment(slot).tail, self.unlogged) != before {
                if let Some(told) = told.as_deref_mut() {
                    told::write(told, first.plus(taken), op);
                }
                taken += 1;
            }
        }
        if taken > 0 {
            self.come_to(first.plus(taken - 1));
        }
        self.tell_time(slot, now_ms);
        self.complete(slot, start);
        Applied {
            last: Position::from_raw((first.raw() + taken).saturating_sub(1)),
            log: LogPoint(self.appended),
        }
    }

    /// A restart takes a missing position for a loss. Where there will be none, a store may begin anywhere.
    #[inline]
    pub(crate) fn check_follows(&self, first: Position) {
        let anywhere = !self.tuning.files && self.newest == Position::ZERO;
        let begins = first.epoch() > self.newest.epoch() && (first.sequence() == 1 || anywhere);
        let follows = first.raw() == self.newest.raw() + 1;
        assert!(begins || follows, "positions have no gaps");
    }

    /// The log has come to this position. If an epoch has begun, the batch that did so tells where the one before ended.
    pub(crate) fn come_to(&mut self, position: Position) {
        if position.epoch() > self.newest.epoch() {
            // A floor that was told before the log was mended leads to where it ended then.
            for last in [Some(self.newest), self.strayed.take()]
                .into_iter()
                .flatten()
            {
                self.known.cuts.push(Cut {
                    last,
                    epoch: position.epoch(),
                });
            }
            self.clock = None;
        }
        self.newest = position;
    }

    fn plan(&self, now_ms: u64, ops: &[Op<'_>]) -> Plan {
        let mut plan = self.empty_plan();
        for op in ops {
            self.plan_op(&mut plan, now_ms, op);
        }
        plan
    }

    pub(crate) fn empty_plan(&self) -> Plan {
        Plan {
            bytes: self.known.note_bytes(),
            deadline: None,
            reserve: true,
            largest: 0,
            place_of_db: self.place_of_db,
        }
    }

    /// An op counts with the latest deadline of all ops before it, as one of them may have set its entry's.
    pub(crate) fn plan_op(&self, plan: &mut Plan, now_ms: u64, op: &Op<'_>) {
        match *op {
            Op::Put {
                ref key,
                deadline,
                value,
                ..
            } => {
                plan.reserve &= matches!(key.space, Space::Hold | Space::Mark);
                let small = HEADER_BYTES + key.bytes.len();
                let len = small + value.iter().map(|part| part.len()).sum::<usize>();
                let older = self
                    .planned(plan, now_ms, key)
                    .map(|(header, _)| header.deadline);
                let tombstone = older
                    .max(plan.deadline)
                    .is_some_and(|older| older > deadline);
                let small = if tombstone { small + 8 } else { 0 };
                plan.add(
                    len + small,
                    older.map_or(deadline, |older| older.max(deadline)),
                );
                plan.largest = plan.largest.max(len);
            }
            Op::Delete { ref key } => {
                let older = self
                    .planned(plan, now_ms, key)
                    .map(|(header, _)| header.deadline);
                if let Some(deadline) = older.max(plan.deadline) {
                    plan.add(TOMBSTONE_BYTES + key.bytes.len(), deadline);
                }
            }
            Op::Touch { ref key, deadline } => {
                let older = self.planned(plan, now_ms, key);
                let latest = older.map(|(header, _)| header.deadline).max(plan.deadline);
                let len = older.map_or(0, |(header, _)| header.len).max(plan.largest);
                if let Some(latest) = latest {
                    // A tombstone is longer than a touch.
                    let unwritten = older.is_some_and(|(_, at)| self.is_unwritten(at));
                    let rewritten = deadline < latest || unwritten;
                    let rewrite = if rewritten { len } else { 0 };
                    plan.add(
                        TOMBSTONE_BYTES + key.bytes.len() + rewrite,
                        latest.max(deadline),
                    );
                    plan.largest = len;
                }
            }
            Op::Flush { .. } => plan.add(HEADER_BYTES + STATE_BYTES, Deadline::NEVER),
            Op::Swap { a, b } => {
                plan.add(HEADER_BYTES + STATE_BYTES, Deadline::NEVER);
                plan.place_of_db
                    .swap(usize::from(a.number()), usize::from(b.number()));
            }
        }
    }

    /// The key's entry before the batch, if it is there.
    fn planned(&self, plan: &Plan, now_ms: u64, key: &Key<'_>) -> Option<(Header, Reference)> {
        let place = plan.place_of_db[usize::from(key.db.number())];
        let hash = self.hash_at(key.hash, place, key.space);
        let (_, reference) = self.find_at(hash, place, key.space, key.bytes)?;
        let header = self.header_at(reference);
        self.is_there(&header, now_ms)
            .then_some((header, reference))
    }

    /// Whether the file does not have this entry yet. Its deadline must not change in place: the file would have the new
    /// one, whatever becomes of the touch.
    fn is_unwritten(&self, reference: Reference) -> bool {
        let file = &self.segment(reference.slot()).file;
        file.stage == Stage::Open && reference.offset() >= file.emitted
    }

    pub(crate) fn append_op(&mut self, batch: &Batch, position: Position, op: &Op<'_>) {
        match *op {
            Op::Put {
                ref key,
                kind,
                version,
                deadline,
                value,
            } => {
                let header = self.put_header(key, position, kind, version, deadline, value);
                let found = self.find(key);
                self.put(batch, key, &header, value, found);
            }
            Op::Delete { ref key } => self.delete(batch, position, key),
            Op::Touch { ref key, deadline } => self.touch(batch, position, key, deadline),
            Op::Flush { db } => self.flush(batch.slot, position, db),
            Op::Swap { a, b } => {
                self.place_of_db
                    .swap(usize::from(a.number()), usize::from(b.number()));
                self.append_state(batch.slot, position);
            }
        }
    }

    /// `found` is what the key leads to so far.
    pub(crate) fn put(
        &mut self,
        batch: &Batch,
        key: &Key<'_>,
        header: &Header,
        value: &[&[u8]],
        found: Option<(CellAt, Reference)>,
    ) {
        let reference = self.append(batch.slot, header, key.bytes, value);
        match found {
            None => {
                let hash = self.hash_at(key.hash, header.db, header.space);
                self.index.insert(hash, reference, true, &mut *self.pages);
            }
            Some((at, old)) => self.put_over(batch, key, header, (at, reference), old),
        }
        self.count_in(batch.slot, header);
    }

    /// The entry takes the place of an older one, which may need a tombstone: then, and if it was not there any
    /// more, the new one is as alone as if there had been none.
    fn put_over(
        &mut self,
        batch: &Batch,
        key: &Key<'_>,
        header: &Header,
        (at, reference): (CellAt, Reference),
        old: Reference,
    ) {
        let older = self.header_at(old);
        let file = self.only_file(at, old);
        let there = self.is_there(&older, batch.now_ms);
        self.index.replace(at, reference);
        self.count_out(old.slot(), &older);
        if there && older.deadline > header.deadline {
            self.append_tombstone(batch.slot, header.position, key.bytes, &older, file);
        } else {
            self.index.set_alone(at, !there);
        }
    }

    /// The file that alone holds what a tombstone of this current entry would be for.
    fn only_file(&self, at: CellAt, reference: Reference) -> Option<SegmentId> {
        let alone = self.index.is_alone(at);
        alone.then(|| self.segment(reference.slot()).id)
    }

    fn delete(&mut self, batch: &Batch, position: Position, key: &Key<'_>) {
        let Some((at, reference)) = self.find(key) else {
            return;
        };
        let header = self.header_at(reference);
        if self.is_there(&header, batch.now_ms) {
            let file = self.only_file(at, reference);
            self.append_tombstone(batch.slot, position, key.bytes, &header, file);
            self.index.remove(at, &mut *self.pages);
            self.count_out(reference.slot(), &header);
        }
    }

    fn touch(&mut self, batch: &Batch, position: Position, key: &Key<'_>, deadline: Deadline) {
        let Some((at, reference)) = self.find(key) else {
            return;
        };
        let header = self.header_at(reference);
        if !self.is_there(&header, batch.now_ms) || header.deadline == deadline {
            return;
        }
        let in_batch = reference.slot() == batch.slot && reference.offset() >= batch.start;
        if deadline > header.deadline && (in_batch || !self.is_unwritten(reference)) {
            self.append_touch(batch.slot, position, key.bytes, &header, deadline);
            self.lengthen(reference, &header, deadline);
            return;
        }
        let rewritten = Header {
            position,
            deadline,
            ..header
        };
        let file = self.only_file(at, reference);
        let copy = self.append_copy(reference, batch.slot, &rewritten);
        self.index.replace(at, copy);
        self.count_out(reference.slot(), &header);
        self.count_in(batch.slot, &rewritten);
        if deadline < header.deadline {
            self.append_tombstone(batch.slot, position, key.bytes, &header, file);
        } else {
            self.index.set_alone(at, false);
        }
    }

    /// Gives a current entry a later deadline where it stands.
    pub(crate) fn lengthen(&mut self, reference: Reference, header: &Header, deadline: Deadline) {
        self.count_touch(header, deadline);
        let segment = self.segment_mut(reference.slot());
        format::set_deadline(segment.entry_mut(reference.offset()), deadline);
        segment.note_deadline(deadline);
    }

    fn flush(&mut self, slot: usize, position: Position, db: Option<Db>) {
        match db {
            Some(db) => {
                let place = usize::from(self.place(db));
                self.flushed[place] = position.raw();
                self.counts[place] = Count::default();
                self.cleaner.purge = Some(0);
            }
            None => {
                self.flushed = [position.raw(); _];
                self.counts = [Count::default(); _];
                self.index.clear();
                for segment in self.segments.iter_mut().flatten() {
                    segment.live_bytes = 0;
                    segment.live_entries = 0;
                    segment.dead_floor = segment.dead_floor.min(segment.first_position);
                }
                self.cleaner.purge = None;
            }
        }
        self.append_state(slot, position);
    }

    /// The end of a batch, or of an entry of the store's own, that began at `start`: checksums are computed, and
    /// the disk gets to do. Without files no restart has to tell which entries are one batch, and each stands alone: so
    /// it can be written over.
    pub(crate) fn complete(&mut self, slot: usize, start: usize) {
        let batches = self.tuning.files;
        let segment = self.segment_mut(slot);
        let (salt, tail) = (segment.salt, segment.tail);
        if start == tail {
            // Nothing that was asked for changed anything.
            return;
        }
        let mut at = start;
        while at < tail {
            let entry = segment.entry_mut(at);
            let len = entry.len();
            let (first, more) = (at == start || !batches, batches && at + len < tail);
            format::finish(entry, salt, first, more);
            at += len;
        }
        assert_eq!(at, tail, "a batch ends at the tail");
        self.hand_over(slot, start);
    }

    /// What was appended from `start` on is complete: the disk gets to do.
    pub(crate) fn hand_over(&mut self, slot: usize, start: usize) {
        let before = self.appended;
        let segment = self.segment_mut(slot);
        let tail = segment.tail;
        segment.file.unwritten_from.get_or_insert(before);
        segment.file.unsynced_from.get_or_insert(before);
        self.appended += (tail - start) as u64;
        self.floor.complete(self.appended);
        self.activate(slot);
        self.reschedule(slot);
    }

    pub(crate) fn append_state(&mut self, slot: usize, position: Position) {
        let mut places = 0;
        for (db, place) in self.place_of_db.iter().enumerate() {
            places |= u64::from(*place) << (4 * db);
        }
        let mut value = [0; STATE_BYTES];
        for (bytes, position) in value.as_chunks_mut().0.iter_mut().zip(self.flushed) {
            *bytes = position.to_le_bytes();
        }
        let header = control(Control::State, position, places, STATE_BYTES);
        self.state = Some(self.append(slot, &header, b"", &[&value]));
    }

    /// Tells the log the time, if it was not told lately.
    pub(crate) fn tell_time(&mut self, slot: usize, now_ms: u64) {
        if self.is_time_to_tell(now_ms) {
            self.clock_ms = self.clock_ms.max(now_ms);
            self.append_clock(slot);
        }
    }

    pub(crate) fn is_time_to_tell(&self, now_ms: u64) -> bool {
        now_ms >= self.clock_ms + CLOCK_EVERY_MS || self.clock.is_none()
    }

    /// When the log may be told the time again; later, if that should have been and could not be.
    pub(crate) fn next_clock_ms(&self) -> u64 {
        (self.clock_ms + CLOCK_EVERY_MS).max(self.now_ms + CLOCK_RETRY_MS)
    }

    pub(crate) fn append_clock(&mut self, slot: usize) {
        self.known.floor = self.floor.synced;
        let value = format::write_known(&self.known);
        let version = self.clock_ms << 8 | Note::Clock as u64;
        let header = control(Control::Note, self.newest, version, value.len());
        self.clock = Some(self.append(slot, &header, b"", &[&value]));
        self.floor.tell();
    }

    /// What keeps the entry `dead` of this key, and all before it, dead after a restart. `file` is the only one
    /// that holds any of them, if there is such a one.
    pub(crate) fn append_tombstone(
        &mut self,
        slot: usize,
        position: Position,
        key: &[u8],
        dead: &Header,
        file: Option<SegmentId>,
    ) {
        if !self.tuning.files {
            self.unlogged += 1;
            return;
        }
        let rest = key.len() + TOMBSTONE_BYTES - HEADER_BYTES;
        let header = Header {
            db: dead.db,
            space: dead.space,
            deadline: dead.deadline,
            key_len: key.len(),
            ..control(Control::Tombstone, position, dead.position.raw(), rest)
        };
        let file = file.map_or(0, |file| file.0).to_le_bytes();
        self.append_control(slot, &header, key, &[&file]);
    }

    fn append_touch(
        &mut self,
        slot: usize,
        position: Position,
        key: &[u8],
        of: &Header,
        deadline: Deadline,
    ) {
        if !self.tuning.files {
            self.unlogged += 1;
            return;
        }
        let header = Header {
            db: of.db,
            space: of.space,
            deadline,
            key_len: key.len(),
            ..control(Control::Touch, position, of.position.raw(), key.len())
        };
        self.append_control(slot, &header, key, &[]);
    }

    pub(crate) fn append_control(
        &mut self,
        slot: usize,
        header: &Header,
        key: &[u8],
        value: &[&[u8]],
    ) {
        self.append(slot, header, key, value);
        if let What::Control(control) = header.what {
            self.segment_mut(slot).count_control(control, header.len);
        }
    }
}

/// The header of a control entry. Its deadline has passed: it does not keep its segment.
pub(crate) fn control(control: Control, position: Position, version: u64, rest: usize) -> Header {
    Header {
        len: HEADER_BYTES + rest,
        more: false,
        what: What::Control(control),
        db: 0,
        space: Space::Data,
        position,
        version,
        deadline: Deadline::from_raw(0),
        key_len: 0,
    }
}
