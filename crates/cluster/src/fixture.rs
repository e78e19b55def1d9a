//! Maps for unit tests, record by record.

use alloc::{vec, vec::Vec};

use model::{Incarnation, NodeId, ShardConfig, ShardId, Zone};

use crate::{
    format::Record,
    keys::Place,
    map::ClusterMap,
    metadata::{Key, Listing, RequestId, Revision},
    record::{Addresses, NodeRecord, NodeState, Settings, ShardRecord},
};

/// What a listing of the metadata store is to have.
pub(crate) struct Draft(Vec<(Key, Vec<u8>)>);

impl Draft {
    /// A cluster without anything.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(vec![(Place::Cluster.key(), settings.encode())])
    }

    pub(crate) fn record(mut self, place: Place, record: &impl Record) -> Self {
        self.0.push((place.key(), record.encode()));
        self
    }

    /// A node in a process and zone of its own kind: its number, and the only one.
    pub(crate) fn node(self, node: u32, incarnation: Incarnation, state: NodeState) -> Self {
        let record = NodeRecord {
            incarnation,
            state,
            process: u64::from(node),
            zone: Zone(0),
            addresses: Addresses::default(),
            request: RequestId(1),
        };
        self.record(Place::Node(NodeId(node)), &record)
    }

    /// So many active nodes in their first lives.
    pub(crate) fn nodes(self, count: u32) -> Self {
        let first = Incarnation(1);
        (0..count).fold(self, |draft, node| {
            draft.node(node, first, NodeState::Active)
        })
    }

    pub(crate) fn shard(
        self,
        shard: ShardId,
        (first_slot, last_slot): (u16, u16),
        config: ShardConfig,
    ) -> Self {
        let record = ShardRecord {
            first_slot,
            last_slot,
            config,
            request: RequestId(1),
        };
        self.record(Place::Shard(shard), &record)
    }

    pub(crate) fn listing(self) -> Listing {
        Listing {
            revision: Revision(1),
            entries: self.0,
        }
    }

    pub(crate) fn map(self) -> ClusterMap {
        ClusterMap::from_listing(&self.listing())
    }
}
