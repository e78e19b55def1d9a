//! Whose holds were when this copy ceased to lead.
//!
//! The log does not know connections, and they stay open while a copy does not lead: for a moment, when the shard's set changes and
//! the same node leads again; or for long, while others lead, and release, take and break what is held. When the copy leads again, what is
//! still held under the same fence belongs to the same connection; a lock that is not has passed on, and its late writes are refused.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model::{ConnectionId, Fence};

use super::HeldBy;
use crate::session_key::SessionKey;

/// A hold that a connection had.
pub(super) struct Had {
    pub(super) key: SessionKey,
    pub(super) fence: Fence,
    pub(super) by: HeldBy,
}

/// See the module. Empty while the copy leads.
#[derive(Default)]
pub(super) struct Owners {
    of: BTreeMap<ConnectionId, Vec<Had>>,
}

impl Owners {
    pub(super) fn insert(&mut self, connection: ConnectionId, had: Had) {
        self.of.entry(connection).or_default().push(had);
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.of.remove(&connection);
    }

    /// Who had a lock.
    pub(super) fn of_locks(&self) -> impl Iterator<Item = ConnectionId> {
        let locks = |had: &Vec<Had>| had.iter().any(|had| had.by == HeldBy::Lock);
        let of = self.of.iter().filter(move |(_, had)| locks(had));
        of.map(|(connection, _)| *connection)
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = (ConnectionId, Had)> {
        let each =
            |(connection, had): (_, Vec<Had>)| had.into_iter().map(move |had| (connection, had));
        self.of.into_iter().flat_map(each)
    }
}
