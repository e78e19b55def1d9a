//! Plain writes: one record replaced, kept, touched or deleted, with everything that a session keeps.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{ConnectionId, Db, Now, Version};
use store::{Op, Refused};

use crate::record::{Meta, Type, kind_of};
use crate::{Record, Shard};

/// Why a key may not be written by this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// Another connection holds it, for this much longer.
    Held {
        /// What is left of the hold.
        remaining_ms: u64,
    },
    /// The id was destroyed or has expired, and may not come back for a while.
    Gone,
}

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

impl Shard {
    /// Whether `connection` may write the key now. The dispatcher asks this for every key of every plain command
    /// that writes, so no command can forget to.
    ///
    /// # Errors
    /// [`Unwritable`].
    #[inline]
    pub fn check_write(
        &mut self,
        _now: Now,
        _connection: ConnectionId,
        _db: Db,
        _key: &[u8],
    ) -> Result<(), Unwritable> {
        Ok(())
    }

    /// Makes or replaces a record. Its version goes up by one; a session keeps its meta and never outlives its
    /// absolute deadline.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn put(&mut self, now: Now, db: Db, key: &[u8], change: Change<'_>) -> Result<(), Refused> {
        let mut prefix = core::mem::take(&mut self.scratch);
        prefix.clear();
        let key = self.data_key(db, key);
        let old = self.store.get(&key, now.unix_ms).map(Record::of);
        let version = old.map_or(Version::FIRST, |old| old.version.next());
        let mut deadline = change.deadline;
        if let Some(meta) = old.and_then(|old| old.meta) {
            deadline = deadline.min(meta.max);
            meta.encode(&mut prefix);
        }
        let result = self.put_parts(now, key, change, &prefix, version, deadline);
        self.scratch = prefix;
        result
    }

    fn put_parts(
        &mut self,
        now: Now,
        key: store::Key<'_>,
        change: Change<'_>,
        prefix: &[u8],
        version: Version,
        deadline: Deadline,
    ) -> Result<(), Refused> {
        let kind = kind_of(change.r#type, !prefix.is_empty());
        // Nearly every record has no meta and one part: no allocation then.
        let many: Vec<&[u8]>;
        let value = if prefix.is_empty() {
            change.body
        } else {
            many = core::iter::once(prefix)
                .chain(change.body.iter().copied())
                .collect();
            &many
        };
        self.apply(
            now,
            &[Op::Put {
                key,
                kind,
                version,
                deadline,
                value,
            }],
        )
        .map(drop)
    }

    /// Removes a record. Returns whether there was one.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn delete(&mut self, now: Now, db: Db, key: &[u8]) -> Result<bool, Refused> {
        if self.record(now, db, key).is_none() {
            return Ok(false);
        }
        let key = self.data_key(db, key);
        self.apply(now, &[Op::Delete { key }])?;
        Ok(true)
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
        let deadline = deadline.min(
            record
                .meta
                .map_or(Deadline::NEVER, |meta: Meta<'_>| meta.max),
        );
        let key = self.data_key(db, key);
        self.apply(now, &[Op::Touch { key, deadline }])?;
        Ok(true)
    }
}
