//! The records of the metadata store, understood. Their bytes: [`crate::format`].

use alloc::{string::String, vec::Vec};

use model::{
    Incarnation, Member, NodeId, Position, ShardConfig, ShardId, Zone, limits, slot::SLOTS,
};

use crate::metadata::RequestId;

/// What was chosen when the cluster was created, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Into how many shards the slots are divided.
    pub shards: u16,
    /// How many copies each should have.
    pub copies: u8,
    /// How many of so many copies acknowledge a write.
    pub write_quorum: u8,
    /// How many nodes there must be before shards are created.
    pub initial_nodes: u16,
}

/// Who coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// How many times the role has been taken.
    pub term: u64,
    /// By whom.
    pub holder: Member,
    /// The transaction that wrote this.
    pub request: RequestId,
}

/// Where a node stands in the map.
///
/// ```text
///   joining ──► active ──► draining ──► gone      and back to joining with a new incarnation, unless it is draining
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It has registered; the coordinator has not heard it yet.
    Joining,
    /// It gets shards.
    Active,
    /// Its shards are being moved away.
    Draining,
    /// It holds nothing and gets nothing.
    Gone,
}

/// Where a node can be reached: `host:port`, each at most [`limits::MAX_ADDRESS_BYTES`] long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Clients that know the cluster map.
    pub client: String,
    /// Clients that do not: every command is forwarded.
    pub forwarding: String,
    /// Clients that look for a Sentinel.
    pub sentinel: String,
    /// Other nodes.
    pub peer: String,
    /// HTTP.
    pub admin: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its life.
    pub incarnation: Incarnation,
    /// Where it stands.
    pub state: NodeState,
    /// The process that it runs in: nodes with the same number die together.
    pub process: u64,
    /// What else it shares a fate with.
    pub zone: Zone,
    /// Where it can be reached.
    pub addresses: Addresses,
    /// The transaction that wrote this.
    pub request: RequestId,
}

/// A shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRecord {
    /// Its first slot.
    pub first_slot: u16,
    /// Its last slot, included.
    pub last_slot: u16,
    /// Who holds it.
    pub config: ShardConfig,
    /// The transaction that wrote this.
    pub request: RequestId,
}

/// What a recovery went without for which too few members were left, and may therefore have lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRecord {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that began without them.
    pub epoch: u32,
    /// The copy that was known to go furthest.
    pub survivor: Member,
    /// How far it went.
    pub position: Position,
    /// The members that were not asked, or whose lives were over, and how far each was last known to go. What they acknowledged together
    /// after the survivor's position, and what lives that are over had not synced, is lost.
    pub missing: Vec<(Member, Option<Position>)>,
    /// The transaction that wrote this.
    pub request: RequestId,
}

/// Why settings cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongSettings {
    /// Shards: from 1 to [`limits::MAX_SHARDS`].
    Shards,
    /// Copies: from 1 to [`limits::MAX_TARGET_COPIES`].
    Copies,
    /// The write quorum: more than half of the copies, so that fewer than half lost at once lose nothing; at most all.
    WriteQuorum,
    /// Nodes to wait for: from 1 to [`limits::MAX_NODES`].
    InitialNodes,
}

impl Settings {
    /// Checks them.
    pub fn check(self) -> Result<Self, WrongSettings> {
        let Self {
            shards,
            copies,
            write_quorum,
            initial_nodes,
        } = self;
        if !(1..=limits::MAX_SHARDS).contains(&shards) {
            Err(WrongSettings::Shards)
        } else if !(1..=limits::MAX_TARGET_COPIES).contains(&copies) {
            Err(WrongSettings::Copies)
        } else if write_quorum > copies || 2 * write_quorum <= copies {
            Err(WrongSettings::WriteQuorum)
        } else if !(1..=limits::MAX_NODES).contains(&initial_nodes) {
            Err(WrongSettings::InitialNodes)
        } else {
            Ok(self)
        }
    }

    /// The write quorum of a set of so many copies, which may for a while be smaller or larger than it should be: never less
    /// than half of it, and never less than was asked for if it has so many.
    #[must_use]
    pub fn quorum_of(self, copies: usize) -> usize {
        let majority = copies / 2 + 1;
        majority.max(usize::from(self.write_quorum).min(copies))
    }

    /// The first and the last slot of a shard. Sizes differ by one at most.
    #[must_use]
    pub fn slots_of(self, shard: ShardId) -> (u16, u16) {
        let starts = |n: u32| (n * u32::from(SLOTS)).div_ceil(u32::from(self.shards));
        let (from, to) = (starts(u32::from(shard.0)), starts(u32::from(shard.0) + 1));
        (from as u16, (to - 1) as u16)
    }
}

impl NodeRecord {
    /// The node in its present life.
    #[must_use]
    pub const fn member(&self, node: NodeId) -> Member {
        Member {
            node,
            incarnation: self.incarnation,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{ShardId, slot::SLOTS};

    use super::{Settings, WrongSettings};

    fn settings(shards: u16, copies: u8, write_quorum: u8) -> Settings {
        Settings {
            shards,
            copies,
            write_quorum,
            initial_nodes: 1,
        }
    }

    #[test]
    fn shards_divide_the_slots_without_gap_or_overlap() {
        for shards in [1, 2, 3, 7, 128, 1_000, 4_096] {
            let settings = settings(shards, 3, 2);
            let mut next = 0;
            for shard in 0..shards {
                let (first, last) = settings.slots_of(ShardId(shard));
                assert_eq!(first, next);
                assert!(first <= last);
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn quorums_of_sets_in_transition_keep_the_promise() {
        let three = settings(1, 3, 2);
        let quorums: [usize; 4] = core::array::from_fn(|n| three.quorum_of(n + 1));
        assert_eq!(quorums, [1, 2, 2, 3]);
        let all = settings(1, 3, 3);
        let quorums: [usize; 4] = core::array::from_fn(|n| all.quorum_of(n + 1));
        assert_eq!(quorums, [1, 2, 3, 3]);
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        assert_eq!(settings(0, 3, 2).check(), Err(WrongSettings::Shards));
        assert_eq!(settings(1, 9, 5).check(), Err(WrongSettings::Copies));
        assert_eq!(settings(1, 2, 1).check(), Err(WrongSettings::WriteQuorum));
        assert!(settings(1, 1, 1).check().is_ok());
    }
}
