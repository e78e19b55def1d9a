//! Small identifiers, as newtypes so that they cannot be mixed up.

/// One client's connection, for as long as it lives. Never used again in the life of a node, so a late
/// event for a closed connection can be told from an event for its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One of the [`crate::limits::DATABASES`] numbered databases of `SELECT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Db(u8);

impl Db {
    /// The database of a new connection.
    pub const ZERO: Self = Self(0);

    /// The database with this number, or `None` if there is no such database.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < crate::limits::DATABASES {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, below [`crate::limits::DATABASES`].
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// All databases in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..crate::limits::DATABASES).map(Self)
    }
}
