//! Learning from the entries what is kept in memory besides them: holds, users, marks.
//!
//! ```text
//!   a restart      all entries are read once                            Learner::learn_all
//!   a standby      each change that it follows is looked at as it comes  Learner::follow, Learner::maintain
//! ```
//!
//! So a standby knows at any moment what it needs to serve, and beginning to takes no longer the more it has. RAMCloud reads all that
//! a lost master had before it serves, and spreads that over many machines; here the copies are warm, and have read it.
//!
//! What is known of a key follows from its current entry alone. So nothing here depends on which changes a snapshot has overtaken,
//! or on how far one came that the store could not take whole: after a change each key that it names is looked up. Entries that have
//! expired count until the store removes them.
//!
//! A flush forgets all that is known of its database. What a snapshot has already brought from after it comes again, as batches, before
//! this copy has all that it must have to serve.

use alloc::vec::Vec;

use model::{Db, Now};
use store::{About, Entry, Kind, Refused, Space, Store, Told};

use crate::Shard;
use crate::effects::hold_of;
use crate::holds::Holds;
use crate::marks::Marks;
use crate::record::{Meta, has_meta};
use crate::session_key::Named;
use crate::users::Users;

/// Entries that a scan asks for at a time.
const SCAN_AT_ONCE: usize = 4096;

/// See the module.
pub(crate) struct Learner<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) holds: &'a mut Holds,
    pub(crate) users: &'a mut Users,
    pub(crate) marks: &'a mut Marks,
}

/// A session that had a user before it was changed.
struct Had<'t> {
    db: Db,
    id: &'t [u8],
    user: Vec<u8>,
}

impl Shard {
    /// Learns from all entries whose deadline has not passed. To be called once, before the first command. No connection owns
    /// a hold then; whoever knows its fence goes on with it.
    ///
    /// Returns how many hashes had to be removed because the disk has lost a part of them: half a session is
    /// never served. Holds of sessions that are lost, these among them, are removed, too.
    ///
    /// # Errors
    /// There is no room to remove them. A restart with more memory can.
    pub fn rebuild(&mut self, now: Now) -> Result<usize, Refused> {
        let broken = self.remove_what_lost_a_part(now)?;
        self.learn_all(now.unix_ms);
        Ok(broken)
    }

    pub(crate) fn learn_all(&mut self, now_ms: u64) {
        let Self {
            store,
            holds,
            users,
            marks,
            ..
        } = self;
        let mut learner = Learner {
            store,
            holds,
            users,
            marks,
        };
        learner.learn_all(now_ms);
    }
}

impl Learner<'_> {
    fn learn_all(&mut self, now_ms: u64) {
        let mut cursor = 0;
        loop {
            let (holds, users, marks) = (&mut *self.holds, &mut *self.users, &mut *self.marks);
            cursor = self.store.scan(cursor, SCAN_AT_ONCE, &mut |entry| {
                if !entry.deadline().has_passed(now_ms) {
                    learn(&entry, holds, users, marks);
                }
            });
            if cursor == 0 {
                return;
            }
        }
    }

    /// Has `change` do to the store what was told, or as much of it as can be done, and learns what has become of it.
    pub(crate) fn follow<R>(&mut self, told: Told<'_>, change: impl FnOnce(&mut Store) -> R) -> R {
        let had = self.had(told);
        let changed = change(self.store);
        for about in told.about() {
            if let About::Database(db) = about {
                self.holds.flush(db);
                self.users.flush(db);
            }
        }
        for Had { db, id, user } in had {
            self.users.remove(db, &user, id);
            self.look_at(db, Space::Data, id);
        }
        for about in told.about() {
            self.learn_about(&about);
        }
        changed
    }

    /// The sessions whose user may be another when this has happened.
    fn had<'t>(&self, told: Told<'t>) -> Vec<Had<'t>> {
        if self.users.is_empty() {
            return Vec::new();
        }
        told.about()
            .filter_map(|about| self.had_user(about))
            .collect()
    }

    fn had_user<'t>(&self, about: About<'t>) -> Option<Had<'t>> {
        let (db, id, new) = match about {
            About::Put {
                db,
                space: Space::Data,
                key,
                kind,
                value,
            } => (db, key, user_of(kind, value)),
            About::Removed {
                db,
                space: Space::Data,
                key,
            } => (db, key, &[][..]),
            About::Put { .. }
            | About::Removed { .. }
            | About::Touched { .. }
            | About::Database(_)
            | About::Nothing => return None,
        };
        let entry = self
            .store
            .get_expired(&self.store.key(db, Space::Data, id))?;
        let user = user_of(entry.kind(), entry.value());
        (!user.is_empty() && user != new).then(|| Had {
            db,
            id,
            user: user.to_vec(),
        })
    }

    fn learn_about(&mut self, about: &About<'_>) {
        match *about {
            About::Put {
                db,
                space: Space::Data,
                key,
                kind,
                ..
            } => {
                if has_meta(kind) {
                    self.look_at(db, Space::Data, key);
                }
            }
            About::Put { db, space, key, .. }
            | About::Removed { db, space, key }
            | About::Touched { db, space, key } => match space {
                Space::Hold => {
                    self.holds.cancel(Named { db, id: key });
                    self.look_at(db, space, key);
                }
                Space::Mark => self.look_at(db, space, key),
                Space::Data | Space::Chunk => {}
            },
            About::Database(_) | About::Nothing => {}
        }
    }

    /// Learns from the current entry of a key, also of one that has expired.
    fn look_at(&mut self, db: Db, space: Space, key: &[u8]) {
        if let Some(entry) = self.store.get_expired(&self.store.key(db, space, key)) {
            learn(&entry, self.holds, self.users, self.marks);
        }
    }

    /// A bounded step of the store's maintenance: what it removes because it has expired is forgotten.
    pub(crate) fn maintain(&mut self, now_ms: u64, budget_bytes: usize) -> bool {
        let (holds, users) = (&mut *self.holds, &mut *self.users);
        self.store.maintain(now_ms, budget_bytes, &mut |entry| {
            let (db, id) = (entry.db(), entry.key());
            match entry.space() {
                Space::Data => {
                    let user = user_of(entry.kind(), entry.value());
                    if !user.is_empty() {
                        users.remove(db, user, id);
                    }
                }
                Space::Hold => holds.cancel(Named { db, id }),
                Space::Chunk | Space::Mark => {}
            }
        })
    }
}

fn learn(entry: &Entry<'_>, holds: &mut Holds, users: &mut Users, marks: &mut Marks) {
    let (db, id) = (entry.db(), entry.key());
    match entry.space() {
        Space::Data => {
            let user = user_of(entry.kind(), entry.value());
            if !user.is_empty() {
                users.insert(db, user, id);
            }
        }
        Space::Hold => holds.restore(Named { db, id }, hold_of(entry, None)),
        Space::Mark => marks.note(entry.deadline()),
        Space::Chunk => {}
    }
}

/// Whose session it is; empty for nobody's, and for what is no session.
fn user_of(kind: Kind, value: &[u8]) -> &[u8] {
    if has_meta(kind) {
        Meta::split(value).0.user
    } else {
        &[]
    }
}

#[cfg(test)]
pub(crate) mod tests;
