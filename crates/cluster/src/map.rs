//! The cluster map: what the metadata store holds, decoded, as of one revision.
//!
//! Each node keeps one from a list and a watch. It is a hint (the store may be ahead), which is why every decision made from it is a
//! compare-and-set on the exact bytes that it was made from; the map keeps them for that.

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{Incarnation, Member, NodeId, ShardId};

use crate::{
    format::Record,
    keys::Place,
    metadata::{Change, Listing, RequestId, Revision, Transaction},
    record::{LossRecord, NodeRecord, NodeState, Role, Settings, ShardRecord},
};

/// Everything that is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterMap {
    revision: Revision,
    digest: u64,
    bytes: BTreeMap<Place, Vec<u8>>,
    settings: Option<Settings>,
    role: Option<Role>,
    nodes: BTreeMap<NodeId, NodeRecord>,
    /// Of `nodes`, those that are not gone: asked for all the time, and changed hardly ever.
    present: BTreeMap<NodeId, Incarnation>,
    shards: BTreeMap<ShardId, ShardRecord>,
    losses: BTreeMap<(ShardId, u32), LossRecord>,
    /// Places whose bytes cannot be read. Nobody decides anything about them.
    damaged: BTreeSet<Place>,
}

impl ClusterMap {
    /// The map that a list shows.
    #[must_use]
    pub fn from_listing(listing: &Listing) -> Self {
        let mut map = Self {
            revision: listing.revision,
            ..Self::default()
        };
        for (key, value) in &listing.entries {
            map.set(key, Some(value));
        }
        map
    }

    /// Follows one change. The places that differ now, in order.
    pub fn follow(&mut self, change: &Change) -> Vec<Place> {
        self.revision = self.revision.max(change.revision);
        let writes = change.writes.iter();
        writes
            .filter_map(|write| self.set(&write.key, write.value.as_ref()))
            .collect()
    }

    fn set(&mut self, key: &[u8], value: Option<&Vec<u8>>) -> Option<Place> {
        let place = Place::of(key)?;
        self.damaged.remove(&place);
        let understood = match (place, value) {
            (Place::Cluster, value) => decode(value, &mut self.settings),
            (Place::Coordinator, value) => decode(value, &mut self.role),
            (Place::Node(node), value) => self.set_node(node, value),
            (Place::Shard(shard), value) => decode_into(value, &mut self.shards, shard),
            (Place::Loss(shard, epoch), value) => {
                decode_into(value, &mut self.losses, (shard, epoch))
            }
        };
        if !understood {
            self.damaged.insert(place);
        }
        let before = match value {
            Some(value) => self.bytes.insert(place, value.clone()),
            None => self.bytes.remove(&place),
        };
        let share = |value: Option<&Vec<u8>>| value.map_or(0, |value| digest(key, value));
        self.digest = self
            .digest
            .wrapping_sub(share(before.as_ref()))
            .wrapping_add(share(value));
        Some(place)
    }

    fn set_node(&mut self, node: NodeId, value: Option<&Vec<u8>>) -> bool {
        let understood = decode_into(value, &mut self.nodes, node);
        let record = self.nodes.get(&node);
        match record.filter(|record| record.state != NodeState::Gone) {
            Some(record) => self.present.insert(node, record.incarnation),
            None => self.present.remove(&node),
        };
        understood
    }

    /// A number that two maps share if they hold the same, whenever and in whatever order they learned it. A hint, as
    /// any digest: nodes compare it to find out that a watch has stopped.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// As of when.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The bytes at a place.
    #[must_use]
    pub fn bytes(&self, place: Place) -> Option<&[u8]> {
        self.bytes.get(&place).map(Vec::as_slice)
    }

    /// A transaction that only holds while these places are as this map shows them.
    #[must_use]
    pub fn unchanged(&self, places: &[Place]) -> Transaction {
        places
            .iter()
            .fold(Transaction::default(), |transaction, &place| {
                transaction.when(place.key(), self.bytes.get(&place).cloned())
            })
    }

    /// What was chosen at creation; `None` before.
    #[must_use]
    pub const fn settings(&self) -> Option<Settings> {
        self.settings
    }

    /// Who coordinates; `None` if nobody ever did.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        self.role
    }

    /// The coordinator's term; 0 if nobody ever coordinated.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.role.map_or(0, |role| role.term)
    }

    /// The nodes.
    #[must_use]
    pub const fn nodes(&self) -> &BTreeMap<NodeId, NodeRecord> {
        &self.nodes
    }

    /// The shards.
    #[must_use]
    pub const fn shards(&self) -> &BTreeMap<ShardId, ShardRecord> {
        &self.shards
    }

    /// What forced recoveries may have lost.
    #[must_use]
    pub const fn losses(&self) -> &BTreeMap<(ShardId, u32), LossRecord> {
        &self.losses
    }

    /// Places whose bytes cannot be read.
    #[must_use]
    pub const fn damaged(&self) -> &BTreeSet<Place> {
        &self.damaged
    }

    /// Whether this is the present life of a node that is not gone.
    #[must_use]
    pub fn is_present(&self, member: Member) -> bool {
        self.present.get(&member.node) == Some(&member.incarnation)
    }

    /// The nodes that are not gone, with their present lives.
    #[must_use]
    pub const fn present(&self) -> &BTreeMap<NodeId, Incarnation> {
        &self.present
    }

    /// The transaction that wrote what stands at this place.
    #[must_use]
    pub fn request_at(&self, place: Place) -> Option<RequestId> {
        match place {
            Place::Cluster => None,
            Place::Coordinator => self.role.map(|role| role.request),
            Place::Node(node) => self.nodes.get(&node).map(|record| record.request),
            Place::Shard(shard) => self.shards.get(&shard).map(|record| record.request),
            Place::Loss(shard, epoch) => self
                .losses
                .get(&(shard, epoch))
                .map(|record| record.request),
        }
    }

    /// Which shard a slot belongs to.
    #[must_use]
    pub fn shard_of(&self, slot: model::slot::Slot) -> Option<ShardId> {
        let number = slot.number();
        let holds = |record: &ShardRecord| (record.first_slot..=record.last_slot).contains(&number);
        self.shards
            .iter()
            .find(|(_, record)| holds(record))
            .map(|(&shard, _)| shard)
    }

    /// The places at which two maps differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Place> {
        let all: BTreeSet<Place> = self
            .bytes
            .keys()
            .chain(other.bytes.keys())
            .copied()
            .collect();
        all.into_iter()
            .filter(|&place| self.bytes(place) != other.bytes(place))
            .collect()
    }
}

/// FNV-1a. No checksum will do: a record ends with its own, so the CRC of every record is the same.
fn digest(key: &[u8], value: &[u8]) -> u64 {
    let bytes = key.iter().chain(value);
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    sum ^ (sum >> 32)
}

/// Sets `known` to what the bytes say; `false` if they say nothing that can be understood.
fn decode<T: Record>(value: Option<&Vec<u8>>, known: &mut Option<T>) -> bool {
    *known = value.and_then(|bytes| T::decode(bytes).ok());
    known.is_some() || value.is_none()
}

fn decode_into<K: Ord, T: Record>(
    value: Option<&Vec<u8>>,
    known: &mut BTreeMap<K, T>,
    key: K,
) -> bool {
    let mut record = None;
    let understood = decode(value, &mut record);
    match record {
        Some(record) => known.insert(key, record),
        None => known.remove(&key),
    };
    understood
}

#[cfg(test)]
mod tests;
