//! Keys and entries as the store's callers see them.

pub(crate) mod format;

use model::time::Deadline;
use model::{Db, Position, Version};

/// Keys of different spaces never meet: a hold's key is the key that it holds, in another space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What users see.
    Data,
    /// Parts of large collections.
    Chunk,
    /// Holds on sessions.
    Hold,
    /// Marks that an id is gone, or leads to another.
    Mark,
}

/// What a value is. The store keeps it for its caller, who chooses values up to [`Kind::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    /// The largest kind of the caller's; the ones above are the store's own.
    pub const MAX: u8 = 11;

    /// The kind with this number, at most [`Kind::MAX`].
    #[must_use]
    pub const fn new(number: u8) -> Self {
        assert!(number <= Self::MAX);
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// A key with its hash, made by [`crate::Store::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    pub(crate) db: Db,
    pub(crate) space: Space,
    pub(crate) bytes: &'a [u8],
    pub(crate) hash: u64,
}

/// What prefetching needs to know of a key, made by [`crate::Store::hint`]. It may outlive the key, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub struct Hint(pub(crate) u64);

impl<'a> Key<'a> {
    /// The database.
    #[must_use]
    pub fn db(&self) -> Db {
        self.db
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A view of one entry, valid until the store changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub(crate) db: Db,
    pub(crate) space: Space,
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    pub(crate) position: Position,
    pub(crate) deadline: Deadline,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The database.
    #[must_use]
    pub fn db(&self) -> Db {
        self.db
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// What the value is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The record's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the entry stands in its shard's order.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// When it ceases to exist.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }
}
