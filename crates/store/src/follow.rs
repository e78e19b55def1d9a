//! Following another store: its batches are applied at its positions, its snapshot is filled in behind them.
//!
//! A snapshot is read while its store goes on, so an entry of it may be newer than batches that are still to be applied here: those
//! then find it *overtaken* and leave it alone. When the log has come to the position at which the last part was read, all is as it is
//! there. Each position gets an entry here too, if need be one that says nothing: a restart takes a missing one for a loss.
//!
//! What was removed there is not in the snapshot, and nothing older is here, so it needs no tombstones.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Position};

use crate::batch::{Batch, Plan, Source, TOMBSTONE_BYTES, control};
use crate::disk::LogPoint;
use crate::entry::format::{Control, Header, known_bytes};
use crate::expiry::class_of;
use crate::store::{Count, Store};
use crate::told::{self, Change, Entry, Told};
use crate::{Applied, Key, Op, Refused, Space};

impl Store {
    /// As [`Store::apply`], and tells what has changed, for stores that follow: to be handed to [`Store::follow`] there.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed or was told.
    pub fn apply_and_tell(
        &mut self,
        now_ms: u64,
        first: Position,
        ops: &[Op<'_>],
        told: &mut Vec<u8>,
    ) -> Result<Applied, Refused> {
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
            let applied = self.apply(now_ms, first, ops)?;
            told::write_put(told, first, key, (*kind, *version, *deadline), value);
            return Ok(applied);
        }
        self.tell_now(now_ms);
        self.apply_all(now_ms, first, ops, Some(told))
    }

    /// Takes a position and changes nothing, and tells so: for a batch that only tells the time.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed or was told.
    pub fn tell_nothing(
        &mut self,
        now_ms: u64,
        position: Position,
        told: &mut Vec<u8>,
    ) -> Result<Applied, Refused> {
        let mut nothing = Vec::new();
        told::write_nothing(&mut nothing, position);
        let applied = self.follow(now_ms, (position, position), Told::trusted(&nothing))?;
        told.extend_from_slice(&nothing);
        Ok(applied)
    }

    /// Applies a batch of the store that this one follows, which it made at `now_ms` at the positions `first` to `last`.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed: the same batch is to be tried again.
    pub fn follow(
        &mut self,
        now_ms: u64,
        (first, last): (Position, Position),
        told: Told<'_>,
    ) -> Result<Applied, Refused> {
        self.tell_now(now_ms);
        let entries: Vec<Entry<'_>> = told.entries().collect();
        if let [entry] = &entries[..]
            && let Change::Put(_) = entry.change()
            && let key = told::key_of(self, entry)
            && !self.is_overtaken(&key, entry.header.position)
        {
            let header = self.header_here(entry);
            return self.apply_put(now_ms, &key, &header, &[entry.value], Source::Followed);
        }
        self.check_follows(first);
        self.follow_all(now_ms, last, &entries)
    }

    /// Applies what [`Store::leap_from`] has told. It stands for batches of which some may be hardly later than the last one here, so nothing
    /// counts as expired: by any later time, what was touched in time could be.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed: the same is to be tried again.
    ///
    /// # Panics
    /// If its files hold anything behind its end: see [`Store::found`].
    pub fn follow_leap(
        &mut self,
        (first, last): (Position, Position),
        told: Told<'_>,
    ) -> Result<Applied, Refused> {
        assert!(
            self.found <= self.newest,
            "a leap over what would be taken for a part of it"
        );
        self.check_follows(first);
        let entries: Vec<Entry<'_>> = told.entries().collect();
        self.follow_all(0, last, &entries)
    }

    fn follow_all(
        &mut self,
        now_ms: u64,
        last: Position,
        entries: &[Entry<'_>],
    ) -> Result<Applied, Refused> {
        let values: Vec<[&[u8]; 1]> = entries.iter().map(|entry| [entry.value]).collect();
        let ops: Vec<Option<Op<'_>>> = entries
            .iter()
            .zip(&values)
            .map(|(entry, value)| self.op_of(entry, value))
            .collect();
        let plan = self.plan_followed(now_ms, entries, &ops);
        if plan.bytes > self.max_batch() {
            return Err(Refused::BatchTooLarge);
        }
        let deadline = plan.deadline.unwrap_or(Deadline::from_raw(0));
        let slot = self.reserve(class_of(deadline, self.now_ms), plan.bytes, true)?;
        let start = self.segment(slot).tail;
        let batch = Batch {
            slot,
            start,
            now_ms,
        };
        for (entry, op) in entries.iter().zip(&ops) {
            // Each by itself: a leap may lead into another epoch.
            self.come_to(entry.header.position);
            self.follow_one(&batch, entry, op.as_ref());
        }
        self.come_to(last);
        self.tell_time(slot, now_ms);
        self.complete(slot, start);
        Ok(Applied {
            last,
            log: self.appended(),
        })
    }

    /// What the batch needs: no more than it needed where it was made, since what does nothing here takes no more than it took there.
    /// What a snapshot has overtaken is passed over, unless a flush in the same batch takes that.
    fn plan_followed(&self, now_ms: u64, entries: &[Entry<'_>], ops: &[Option<Op<'_>>]) -> Plan {
        let (mut plan, mut is_flushed) = (self.empty_plan(), false);
        for (entry, op) in entries.iter().zip(ops) {
            let before = plan.bytes;
            let position = entry.header.position;
            // A flush takes what has overtaken them.
            if let Some(op) = op.filter(|op| is_flushed || !self.is_op_overtaken(op, position)) {
                is_flushed |= matches!(op, Op::Flush { .. });
                self.plan_op(&mut plan, now_ms, &op);
            }
            if plan.bytes == before {
                plan.bytes += TOMBSTONE_BYTES + entry.key.len();
            }
        }
        // The note has room for the cut of one epoch.
        let epochs = entries
            .windows(2)
            .filter(|pair| epoch(&pair[0]) < epoch(&pair[1]));
        plan.bytes += known_bytes(epochs.count()) - known_bytes(0);
        plan
    }

    fn follow_one(&mut self, batch: &Batch, entry: &Entry<'_>, op: Option<&Op<'_>>) {
        let position = entry.header.position;
        let before = (self.segment(batch.slot).tail, self.unlogged);
        if let Some(op) = op.filter(|op| !self.is_op_overtaken(op, position)) {
            self.append_op(batch, position, op);
            if let Op::Flush { db: Some(db) } = op {
                self.recount_after_flush(*db, position);
            }
        }
        if (self.segment(batch.slot).tail, self.unlogged) == before {
            self.append_nothing(batch.slot, entry);
        }
    }

    /// Takes the position, and does nothing: a tombstone for nothing. It names the key that the change was about, so that the log tells of each
    /// position which key it may have touched, also where a change had no effect ([`crate::leap`]).
    fn append_nothing(&mut self, slot: usize, entry: &Entry<'_>) {
        if self.tuning.files {
            let file = 0u64.to_le_bytes();
            let rest = entry.key.len() + file.len();
            let header = Header {
                db: self.place(entry.db()),
                space: entry.header.space,
                key_len: entry.key.len(),
                ..control(Control::Tombstone, entry.header.position, 0, rest)
            };
            self.append_control(slot, &header, entry.key, &[&file]);
        }
    }

    fn is_op_overtaken(&self, op: &Op<'_>, position: Position) -> bool {
        match op {
            Op::Put { key, .. } | Op::Delete { key } | Op::Touch { key, .. } => {
                self.is_overtaken(key, position)
            }
            Op::Flush { .. } | Op::Swap { .. } => false,
        }
    }

    /// Whether a snapshot has brought what the key became at this position or later.
    fn is_overtaken(&self, key: &Key<'_>, position: Position) -> bool {
        position <= self.filled
            && self
                .find(key)
                .is_some_and(|(_, at)| self.header_at(at).position >= position)
    }

    /// A flush counts nothing in its database; a snapshot may have brought what came there after it.
    fn recount_after_flush(&mut self, db: Db, position: Position) {
        if position > self.filled {
            return;
        }
        let place = self.place(db);
        let mut count = Count::default();
        self.index.scan(0, usize::MAX, |at| {
            let header = self.header_at(at);
            if header.db == place && !self.is_flushed(&header) {
                count.add(&header);
            }
        });
        self.counts[usize::from(place)] = count;
    }

    /// The header of an entry that was told of, in this store.
    fn header_here(&self, entry: &Entry<'_>) -> Header {
        Header {
            more: false,
            db: self.place(entry.db()),
            ..entry.header
        }
    }

    fn op_of<'a>(&self, entry: &Entry<'a>, value: &'a [&'a [u8]; 1]) -> Option<Op<'a>> {
        let key = told::key_of(self, entry);
        match entry.change() {
            Change::Put(kind) => Some(Op::Put {
                key,
                kind,
                version: model::Version::from_raw(entry.header.version),
                deadline: entry.header.deadline,
                value,
            }),
            Change::Delete => Some(Op::Delete { key }),
            Change::Touch => Some(Op::Touch {
                key,
                deadline: entry.header.deadline,
            }),
            Change::Flush(db) => Some(Op::Flush { db }),
            Change::Nothing => None,
        }
    }

    /// Adds a part of a snapshot, as [`Store::tell_all`] gave it. What is here at a newer position stays. Returns what
    /// [`Store::persisted`] must reach for all of it to be persisted.
    ///
    /// # Errors
    /// [`Refused`]: the same part is to be tried again.
    pub fn fill(&mut self, now_ms: u64, told: Told<'_>) -> Result<LogPoint, Refused> {
        self.tell_now(now_ms);
        for entry in told.entries() {
            let key = told::key_of(self, &entry);
            let position = entry.header.position;
            self.filled = self.filled.max(position);
            if !matches!(entry.change(), Change::Put(_)) || self.is_overtaken(&key, position) {
                continue;
            }
            let header = self.header_here(&entry);
            self.apply_put(now_ms, &key, &header, &[entry.value], Source::Snapshot)?;
        }
        if self.tuning.files && self.clock.is_none() {
            // Where the log of an empty snapshot ends, and when, is told by nothing else.
            self.tell_time_alone();
            self.clock.ok_or(Refused::LogBusy)?;
        }
        Ok(self.appended())
    }

    /// Tells of some entries from `cursor` (0 to begin) on, about `bytes` of them, and returns the cursor to go on with; `None` at the
    /// end. What holds for [`Store::scan`] holds here.
    pub fn tell_all(&self, mut cursor: u64, bytes: usize, told: &mut Vec<u8>) -> Option<u64> {
        let (enough, mut looked_at) = (told.len() + bytes, 0);
        while told.len() < enough && looked_at < MOST_LOOKED_AT {
            looked_at += 1;
            cursor = self.scan(cursor, 1, &mut |entry| {
                let key = self.key(entry.db(), entry.space(), entry.key());
                let head = (entry.kind(), entry.version(), entry.deadline());
                told::write_put(told, entry.position(), &key, head, &[entry.value()]);
            });
            if cursor == 0 {
                return None;
            }
        }
        Some(cursor)
    }

    /// An empty store goes on behind this position, which is of this time: it is to be filled with what a store holds that has come there.
    ///
    /// # Panics
    /// If it is not empty.
    pub fn begin_behind(&mut self, position: Position, time_ms: u64) {
        assert!(self.newest == Position::ZERO, "only an empty store begins");
        (self.newest, self.clock_ms) = (position, time_ms);
        self.floor.begin(position);
    }
}

fn epoch(entry: &Entry<'_>) -> u32 {
    entry.header.position.epoch()
}

/// Buckets that one call of [`Store::tell_all`] looks at, where most are empty.
const MOST_LOOKED_AT: usize = 10_000;

impl Count {
    fn add(&mut self, header: &Header) {
        self.live += header.len;
        self.payload += header.len - crate::entry::format::HEADER_BYTES;
        if header.space == Space::Data {
            self.data += 1;
            self.data_with_deadline += u64::from(!header.deadline.is_never());
        }
    }
}
