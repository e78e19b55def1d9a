//! Batches: all that one command changes, put together before any of it happens.
//!
//! A command that changes one entry hands it to the store as it is. One that changes several (a hash
//! with chunks, `MSET`, `RENAME`, a commit that also releases a hold) gathers them here, from as many
//! functions as have something to say, and applies them at once. The bytes are copied, so that a batch
//! can be made of what the store holds and then change it.

use alloc::vec::Vec;
use core::ops::Range;

use model::time::Deadline;
use model::{Db, Now, Position, Version};
use store::{Kind, Op, Refused, Space};

use crate::Shard;

/// See the module.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

struct Item {
    db: Db,
    space: Space,
    key: Range<usize>,
    what: What,
}

enum What {
    Put {
        kind: Kind,
        version: Version,
        deadline: Deadline,
        value: Range<usize>,
    },
    Delete,
    Touch(Deadline),
}

/// What an entry becomes, save its value.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// What the value is.
    pub kind: Kind,
    /// The record's version.
    pub version: Version,
    /// When it ceases to exist.
    pub deadline: Deadline,
}

impl Batch {
    /// The entry becomes the current one of its key. The value comes in parts.
    pub fn put(&mut self, db: Db, space: Space, key: &[u8], header: Header, value: &[&[u8]]) {
        let Header {
            kind,
            version,
            deadline,
        } = header;
        let start = self.bytes.len();
        for part in value {
            self.bytes.extend_from_slice(part);
        }
        let what = What::Put {
            kind,
            version,
            deadline,
            value: start..self.bytes.len(),
        };
        self.push(db, space, key, what);
    }

    /// The key has no entry any more.
    pub fn delete(&mut self, db: Db, space: Space, key: &[u8]) {
        self.push(db, space, key, What::Delete);
    }

    /// The key's entry gets another deadline.
    pub fn touch(&mut self, db: Db, space: Space, key: &[u8], deadline: Deadline) {
        self.push(db, space, key, What::Touch(deadline));
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes gathered so far: keys and values.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn push(&mut self, db: Db, space: Space, key: &[u8], what: What) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.items.push(Item {
            db,
            space,
            key: start..self.bytes.len(),
            what,
        });
    }
}

impl Shard {
    /// Applies a batch, all of it or nothing. The position is that of its last entry.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub(crate) fn apply_batch(&mut self, now: Now, batch: &Batch) -> Result<Position, Refused> {
        let values: Vec<&[u8]> = batch
            .items
            .iter()
            .map(|item| match &item.what {
                What::Put { value, .. } => &batch.bytes[value.clone()],
                What::Delete | What::Touch(_) => &[][..],
            })
            .collect();
        let ops: Vec<Op<'_>> = batch
            .items
            .iter()
            .zip(&values)
            .map(|(item, value)| self.op(batch, item, value))
            .collect();
        self.apply(now, &ops)
    }

    fn op<'a>(&self, batch: &'a Batch, item: &Item, value: &'a &'a [u8]) -> Op<'a> {
        let bytes = &batch.bytes[item.key.clone()];
        let key = self.store.key(item.db, item.space, bytes);
        match item.what {
            What::Put {
                kind,
                version,
                deadline,
                ..
            } => Op::Put {
                key,
                kind,
                version,
                deadline,
                value: core::slice::from_ref(value),
            },
            What::Delete => Op::Delete { key },
            What::Touch(deadline) => Op::Touch { key, deadline },
        }
    }
}
