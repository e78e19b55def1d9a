//! Whose sessions are whose: an index from user to sessions, in memory.
//!
//! The truth is in the sessions themselves, each of which names its user. This index only says where to
//! look: it knows every session that has a user, and may for a short while know one that has just expired
//! and was not yet swept. So whoever reads from it looks at each session too. It is rebuilt at start, and
//! kept right at one place for all commands: see `effects`.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Bound;

use model::Db;

type Sessions = BTreeSet<Box<[u8]>>;

/// See the module.
#[derive(Default)]
pub struct Users {
    of: BTreeMap<Db, BTreeMap<Box<[u8]>, Sessions>>,
    sessions: usize,
    /// Bytes of all ids and user names, as [`boxed_bytes`] counts them.
    bytes: usize,
}

/// What a name takes in one of the trees: itself, what the allocator adds to it, and its place in nodes that are on average two
/// thirds full.
const fn boxed_bytes(name: &[u8]) -> usize {
    name.len() + 16 + 24
}

/// What a user takes besides: a tree, and its first node.
const USER_BYTES: usize = 24 + 192;

impl Users {
    /// Whether no session has a user.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions == 0
    }

    /// Sessions that have a user.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// About the memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn insert(&mut self, db: Db, user: &[u8], id: &[u8]) {
        let users = self.of.entry(db).or_default();
        if !users.contains_key(user) {
            users.insert(user.into(), Sessions::new());
            self.bytes += boxed_bytes(user) + USER_BYTES;
        }
        let sessions = users.get_mut(user).expect("it was just put there");
        if !sessions.contains(id) {
            sessions.insert(id.into());
            self.sessions += 1;
            self.bytes += boxed_bytes(id);
        }
    }

    pub(crate) fn remove(&mut self, db: Db, user: &[u8], id: &[u8]) {
        let Some(users) = self.of.get_mut(&db) else {
            return;
        };
        let Some(sessions) = users.get_mut(user) else {
            return;
        };
        if sessions.remove(id) {
            self.sessions -= 1;
            self.bytes -= boxed_bytes(id);
        }
        if sessions.is_empty() {
            users.remove(user);
            self.bytes -= boxed_bytes(user) + USER_BYTES;
        }
    }

    /// Whether the user is known to have this session.
    pub(crate) fn contains(&self, db: Db, user: &[u8], id: &[u8]) -> bool {
        let users = self.of.get(&db);
        let sessions = users.and_then(|users| users.get(user));
        sessions.is_some_and(|sessions| sessions.contains(id))
    }

    /// The user's sessions whose ids come after `after`, in the order of their bytes. Some may have expired.
    pub(crate) fn after<'a>(
        &'a self,
        db: Db,
        user: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = self.of.get(&db).and_then(|users| users.get(user));
        let range = sessions.map(|sessions| sessions.range::<[u8], _>((from, Bound::Unbounded)));
        range.into_iter().flatten().map(|id| &**id)
    }

    /// How many sessions the user has. Some may have expired.
    pub(crate) fn count(&self, db: Db, user: &[u8]) -> usize {
        let users = self.of.get(&db);
        users
            .and_then(|users| users.get(user))
            .map_or(0, Sessions::len)
    }

    pub(crate) fn flush(&mut self, db: Option<Db>) {
        self.of.retain(|of, _| db.is_some_and(|db| db != *of));
        (self.sessions, self.bytes) = (0, 0);
        for (user, sessions) in self.of.values().flatten() {
            self.sessions += sessions.len();
            let ids: usize = sessions.iter().map(|id| boxed_bytes(id)).sum();
            self.bytes += boxed_bytes(user) + USER_BYTES + ids;
        }
    }

    pub(crate) fn swap(&mut self, a: Db, b: Db) {
        let (of_a, of_b) = (self.of.remove(&a), self.of.remove(&b));
        if let Some(of_a) = of_a {
            self.of.insert(b, of_a);
        }
        if let Some(of_b) = of_b {
            self.of.insert(a, of_b);
        }
    }
}
