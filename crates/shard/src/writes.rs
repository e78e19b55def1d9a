//! Plain writes: records replaced, moved, copied, touched or deleted, with everything that a session keeps
//! and every chunk that a big hash has.
//!
//! The functions named `plan_*` only add to a [`Batch`], so that callers combine them with changes of their own
//! (`SESSION.COMMIT` adds its meta and its hold); the others apply at once. A record's chunks are handled
//! here and in `hash` and nowhere else.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Now, Version};
use store::{Op, Refused, Space};

use crate::batch::{Batch, Header};
use crate::hash::directory::{ChunkKey, Directory};
use crate::record::{CHUNK, Meta, Type, kind_of};
use crate::{Record, Shard};

/// What becomes of a record.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Its type and the layout of `body`.
    pub r#type: Type,
    /// When it ceases to exist, before the session's absolute deadline is applied.
    pub deadline: Deadline,
    /// The new body, in parts.
    pub body: &'a [&'a [u8]],
}

/// What a copy has besides the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied<'a> {
    pub(crate) deadline: Deadline,
    pub(crate) meta: Option<Meta<'a>>,
    pub(crate) version: Version,
}

/// A key in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The database.
    pub db: Db,
    /// The key.
    pub key: &'a [u8],
}

impl Shard {
    /// The current record of a key, without noting that it was read.
    #[inline]
    pub(crate) fn peek(&self, now: Now, db: Db, key: &[u8]) -> Option<Record<'_>> {
        let key = self.data_key(db, key);
        self.store.get(&key, now.unix_ms).map(Record::of)
    }

    /// Makes or replaces a record. Its version goes up by one; a session keeps its meta and never outlives its
    /// absolute deadline.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn put(&mut self, now: Now, db: Db, key: &[u8], change: Change<'_>) -> Result<(), Refused> {
        let old = self.peek(now, db, key);
        if old.is_some_and(|old| old.meta.is_some() || old.r#type == Type::BigHash) {
            let mut batch = Batch::default();
            self.plan_put(now, Place { db, key }, change, &mut batch);
            return self.apply_batch(now, &batch).map(drop);
        }
        let op = Op::Put {
            key: self.data_key(db, key),
            kind: kind_of(change.r#type, false),
            version: old.map_or(Version::FIRST, |old| old.version.next()),
            deadline: change.deadline,
            value: change.body,
        };
        self.apply(now, &[op]).map(drop)
    }

    /// Makes or replaces several strings without a deadline, all or none. Of a key that is named twice the last
    /// value counts.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn put_strings(
        &mut self,
        now: Now,
        db: Db,
        pairs: &[(&[u8], &[u8])],
    ) -> Result<(), Refused> {
        let mut last: Vec<(&[u8], usize)> = pairs.iter().zip(0..).map(|(p, i)| (p.0, i)).collect();
        last.sort_unstable_by(|a, b| a.0.cmp(b.0).then(b.1.cmp(&a.1)));
        last.dedup_by_key(|(key, _)| *key);
        let mut batch = Batch::default();
        for (key, index) in last {
            let change = Change {
                r#type: Type::String,
                deadline: Deadline::NEVER,
                body: &[pairs[index].1],
            };
            self.plan_put(now, Place { db, key }, change, &mut batch);
        }
        self.apply_batch(now, &batch).map(drop)
    }

    /// See [`Shard::put`].
    pub(crate) fn plan_put(&self, now: Now, to: Place<'_>, change: Change<'_>, batch: &mut Batch) {
        let old = self.peek(now, to.db, to.key);
        self.plan_drop_chunks(to, old, batch);
        let version = old.map_or(Version::FIRST, |old| old.version.next());
        let meta = old.and_then(|old| old.meta);
        plan_record(to, change, version, meta, batch);
    }

    /// Removes a record. Returns whether there was one.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn delete(&mut self, now: Now, db: Db, key: &[u8]) -> Result<bool, Refused> {
        self.delete_many(now, db, core::iter::once(key))
            .map(|removed| removed == 1)
    }

    /// Removes records, all or none. Returns how many there were.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn delete_many<'k>(
        &mut self,
        now: Now,
        db: Db,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
    ) -> Result<usize, Refused> {
        let mut batch = Batch::default();
        let mut found: Vec<&[u8]> = Vec::with_capacity(keys.len());
        for key in keys {
            if self.record(now, db, key).is_some() {
                found.push(key);
            }
        }
        found.sort_unstable();
        found.dedup();
        for key in &found {
            self.plan_delete(now, Place { db, key }, &mut batch);
        }
        if !batch.is_empty() {
            self.apply_batch(now, &batch)?;
        }
        Ok(found.len())
    }

    /// Adds the removal of a record, if there is one. Returns whether there is.
    pub(crate) fn plan_delete(&self, now: Now, place: Place<'_>, batch: &mut Batch) -> bool {
        let old = self.peek(now, place.db, place.key);
        if old.is_some() {
            self.plan_drop_chunks(place, old, batch);
            batch.delete(place.db, Space::Data, place.key);
        }
        old.is_some()
    }

    /// Gives a record another deadline, at most the session's absolute one. Returns whether there was a record.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn touch(
        &mut self,
        now: Now,
        db: Db,
        key: &[u8],
        deadline: Deadline,
    ) -> Result<bool, Refused> {
        let Some(record) = self.record(now, db, key) else {
            return Ok(false);
        };
        let deadline = deadline.min(record.meta.map_or(Deadline::NEVER, |meta| meta.max));
        if record.r#type == Type::BigHash {
            let mut batch = Batch::default();
            self.plan_touch(now, Place { db, key }, deadline, &mut batch);
            self.apply_batch(now, &batch)?;
        } else {
            let key = self.data_key(db, key);
            self.apply(now, &[Op::Touch { key, deadline }])?;
        }
        Ok(true)
    }

    /// Adds another deadline for a record and its chunks. The caller has applied the absolute deadline.
    pub(crate) fn plan_touch(
        &self,
        now: Now,
        place: Place<'_>,
        deadline: Deadline,
        batch: &mut Batch,
    ) {
        let Place { db, key } = place;
        if let Some(directory) = chunks_of(self.peek(now, db, key)) {
            let mut chunk_key = ChunkKey::of(key);
            for chunk in directory.chunks() {
                batch.touch(db, Space::Chunk, chunk_key.number(chunk.number), deadline);
            }
        }
        batch.touch(db, Space::Data, key, deadline);
    }

    /// Copies a record: its value and its deadline, and nothing that makes it a session. What was at `to` is
    /// replaced. Returns whether there was something to copy.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn copy(&mut self, now: Now, from: Place<'_>, to: Place<'_>) -> Result<bool, Refused> {
        assert!(from != to, "a copy onto itself");
        let by_alias = self.alias(now, from.db, from.key);
        let from = Place {
            key: by_alias.as_deref().unwrap_or(from.key),
            ..from
        };
        let Some(record) = self.record(now, from.db, from.key) else {
            return Ok(false);
        };
        let copied = Copied {
            deadline: record.deadline,
            meta: None,
            version: record.version.next(),
        };
        let mut batch = Batch::default();
        self.plan_copy_as(now, from, to, copied, &mut batch);
        self.apply_batch(now, &batch)?;
        Ok(true)
    }

    /// Moves a record with all that belongs to it. What was at `to` is replaced. Returns whether there was
    /// something to move.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn r#move(&mut self, now: Now, from: Place<'_>, to: Place<'_>) -> Result<bool, Refused> {
        if self.record(now, from.db, from.key).is_none() {
            return Ok(false);
        }
        if from == to {
            return Ok(true);
        }
        let Some(record) = self.peek(now, from.db, from.key) else {
            return Ok(false);
        };
        let moved = Copied {
            deadline: record.deadline,
            meta: record.meta,
            version: record.version.next(),
        };
        let mut batch = Batch::default();
        self.plan_copy_as(now, from, to, moved, &mut batch);
        self.plan_delete(now, from, &mut batch);
        self.apply_batch(now, &batch)?;
        Ok(true)
    }

    /// Adds a copy of the value at `from` under `to`, replacing what is there.
    pub(crate) fn plan_copy_as(
        &self,
        now: Now,
        from: Place<'_>,
        to: Place<'_>,
        copied: Copied<'_>,
        batch: &mut Batch,
    ) {
        let Some(record) = self.peek(now, from.db, from.key) else {
            return;
        };
        self.plan_drop_chunks(to, self.peek(now, to.db, to.key), batch);
        if let Some(directory) = chunks_of(Some(record)) {
            self.plan_copy_chunks(now, from, to, copied.deadline, &directory, batch);
        }
        let change = Change {
            r#type: record.r#type,
            deadline: copied.deadline,
            body: &[record.body],
        };
        plan_record(to, change, copied.version, copied.meta, batch);
    }

    fn plan_copy_chunks(
        &self,
        now: Now,
        from: Place<'_>,
        to: Place<'_>,
        deadline: Deadline,
        directory: &Directory,
        batch: &mut Batch,
    ) {
        let (mut old, mut new) = (ChunkKey::of(from.key), ChunkKey::of(to.key));
        for chunk in directory.chunks() {
            let value = self.chunk(now, from.db, old.number(chunk.number));
            let header = Header {
                kind: CHUNK,
                version: Version::FIRST,
                deadline,
            };
            batch.put(
                to.db,
                Space::Chunk,
                new.number(chunk.number),
                header,
                &[value],
            );
        }
    }

    /// Adds the removal of the chunks that belong to `old`, the current record of the place.
    pub(crate) fn plan_drop_chunks(
        &self,
        place: Place<'_>,
        old: Option<Record<'_>>,
        batch: &mut Batch,
    ) {
        if let Some(directory) = chunks_of(old) {
            let mut chunk_key = ChunkKey::of(place.key);
            for chunk in directory.chunks() {
                batch.delete(place.db, Space::Chunk, chunk_key.number(chunk.number));
            }
        }
    }

    /// Removes everything in a database, or in all.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn flush(&mut self, now: Now, db: Option<Db>) -> Result<(), Refused> {
        self.apply(now, &[Op::Flush { db }]).map(drop)
    }

    /// Lets two databases change places.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn swap(&mut self, now: Now, a: Db, b: Db) -> Result<(), Refused> {
        self.apply(now, &[Op::Swap { a, b }]).map(drop)
    }
}

fn chunks_of(record: Option<Record<'_>>) -> Option<Directory> {
    record
        .filter(|record| record.r#type == Type::BigHash)
        .map(|record| Directory::decode(record.body))
}

/// Adds a record with its meta, if it has one; its deadline is cut to the absolute one.
pub(crate) fn plan_record(
    to: Place<'_>,
    change: Change<'_>,
    version: Version,
    meta: Option<Meta<'_>>,
    batch: &mut Batch,
) {
    let mut prefix = Vec::new();
    if let Some(meta) = meta {
        meta.encode(&mut prefix);
    }
    let header = Header {
        kind: kind_of(change.r#type, meta.is_some()),
        version,
        deadline: change
            .deadline
            .min(meta.map_or(Deadline::NEVER, |meta| meta.max)),
    };
    let parts: Vec<&[u8]> = core::iter::once(&prefix[..])
        .chain(change.body.iter().copied())
        .collect();
    batch.put(to.db, Space::Data, to.key, header, &parts);
}
