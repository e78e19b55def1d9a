//! What a session is called inside the shard: its database and its id.

use alloc::sync::Arc;
use core::hash::{Hash, Hasher};

use hashbrown::Equivalent;
use model::Db;

/// A session's name. Cheap to clone: tables, lines and timers share the id's bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey {
    /// The database.
    pub db: Db,
    /// The id.
    pub id: Arc<[u8]>,
}

impl SessionKey {
    /// The name of this id.
    #[must_use]
    pub fn new(db: Db, id: &[u8]) -> Self {
        Self { db, id: id.into() }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Named<'_> {
        Named {
            db: self.db,
            id: &self.id,
        }
    }
}

impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

/// A borrowed [`SessionKey`], to look things up without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Named<'a> {
    /// The database.
    pub db: Db,
    /// The id.
    pub id: &'a [u8],
}

impl Named<'_> {
    /// The same, owned.
    #[must_use]
    pub fn to_owned(self) -> SessionKey {
        SessionKey::new(self.db, self.id)
    }
}

impl Equivalent<SessionKey> for Named<'_> {
    fn equivalent(&self, key: &SessionKey) -> bool {
        self.db == key.db && *self.id == *key.id
    }
}
