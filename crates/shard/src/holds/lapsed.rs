//! Locks that were lost: whose late writes must be refused.
//!
//! Middleware that locks with `SET key_LOCK ... NX PX` does not send a fence with its write. What the server
//! can know is the connection: one that took the lock and did not release it before it passed on must not
//! write any more. It is remembered until that connection takes the lock again or is closed. So that a
//! pool's long-lived connections cannot grow this without bound, a connection's oldest are forgotten past
//! [`MOST`].

use alloc::collections::{BTreeMap, VecDeque};

use model::ConnectionId;

use crate::session_key::{Named, SessionKey};

/// Lapsed locks remembered for one connection.
pub(super) const MOST: usize = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Lapsed {
    of: BTreeMap<ConnectionId, VecDeque<SessionKey>>,
}

impl Lapsed {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Of whom something is remembered.
    pub(super) fn of(&self) -> impl Iterator<Item = ConnectionId> {
        self.of.keys().copied()
    }

    pub(super) fn contains(&self, connection: ConnectionId, session: Named<'_>) -> bool {
        let of = self.of.get(&connection);
        of.is_some_and(|keys| keys.iter().any(|key| key.borrowed() == session))
    }

    pub(super) fn insert(&mut self, connection: ConnectionId, key: SessionKey) {
        self.remove(connection, key.borrowed());
        let keys = self.of.entry(connection).or_default();
        if keys.len() == MOST {
            keys.pop_front();
        }
        keys.push_back(key);
    }

    pub(super) fn remove(&mut self, connection: ConnectionId, session: Named<'_>) {
        if let Some(keys) = self.of.get_mut(&connection) {
            keys.retain(|key| key.borrowed() != session);
            if keys.is_empty() {
                self.of.remove(&connection);
            }
        }
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.of.remove(&connection);
    }
}
