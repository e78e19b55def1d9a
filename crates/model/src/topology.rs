//! A cluster as its clients are told of it: which node answers for which slots.
//!
//! `cluster` makes this from its map, `command` renders it (`CLUSTER SLOTS`, `NODES`, ...), a Sentinel port names its addresses. It is
//! a plain value, so that none of them has to know another.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{NodeId, slot::SLOTS};

/// See the module.
///
/// Invariants: `nodes` ascend by id, `ranges` by slot and do not overlap; every node that a range names is in `nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Who tells this.
    pub me: NodeId,
    /// As of when: grows with each change of the map, on every node alike.
    pub revision: u64,
    /// The nodes that clients can reach.
    pub nodes: Vec<ClusterNode>,
    /// Which slots are whose. Slots that are in none have no owner.
    pub ranges: Vec<SlotRange>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Which.
    pub id: NodeId,
    /// Where cluster-aware clients find it. The host is never empty, as ioredis leaves such nodes out, and has no brackets.
    pub client: Address,
    /// Where clients that know no cluster find it; `None` if it forwards for nobody.
    pub forwarding: Option<Address>,
    /// Where clients that look for a Sentinel find it; `None` if it answers none.
    pub sentinel: Option<Address>,
    /// The port that other nodes find it at; 0 if that is not known.
    pub peer_port: u16,
    /// Whether it is believed to be alive.
    pub alive: bool,
    /// Whether others are to lead what it leads.
    pub outlook: Outlook,
}

/// What a node that lives is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// It stays.
    Stays,
    /// An operator has everything moved away from it.
    Drains,
    /// Its process has been told to end.
    Leaves,
}

/// The number of a node as clients see it: 40 hexadecimal digits.
#[must_use]
pub fn node_name(node: NodeId) -> String {
    alloc::format!("{:040x}", u64::from(node.0) + 1)
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Slots that share their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first slot.
    pub first: u16,
    /// The last one, included.
    pub last: u16,
    /// The epoch of who owns them.
    pub epoch: u32,
    /// Whether they are served, or their new primary is still recovering.
    pub serving: bool,
    /// Who orders their writes.
    pub primary: NodeId,
    /// Who stands by and is well.
    pub standbys: Vec<NodeId>,
    /// How many copies, the primary's included, have a write before it is acknowledged.
    pub quorum: usize,
}

impl Address {
    /// Splits `host:port` at the last colon; brackets of IPv6 go. `None` if there is no host or no port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        (!host.is_empty()).then_some(Self {
            host: host.into(),
            port: port.parse().ok()?,
        })
    }
}

impl ClusterNode {
    /// Whether it is believed to be alive, and to stay so: who is about to end is not.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.alive && self.outlook != Outlook::Leaves
    }
}

impl SlotRange {
    /// How many slots.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Never: a range has a slot.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

impl Topology {
    /// The node with this number.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&ClusterNode> {
        let index = self.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        Some(&self.nodes[index])
    }

    /// The ranges that a node orders the writes of.
    pub fn led_by(&self, id: NodeId) -> impl Iterator<Item = &SlotRange> {
        self.ranges.iter().filter(move |range| range.primary == id)
    }

    /// The ranges that this node led, as `self` has it, and others lead, as `next` has it: each with its new primary. Ranges are
    /// neither split nor joined.
    pub fn lost_until<'t>(
        &'t self,
        next: &'t Self,
    ) -> impl Iterator<Item = (&'t SlotRange, &'t ClusterNode)> {
        self.led_by(self.me).filter_map(move |range| {
            let primary = next.range_of(range.first)?.primary;
            let primary = next.node(primary).filter(|node| node.id != self.me)?;
            Some((range, primary))
        })
    }

    /// What a node is about to do, as far as this one knows; one that is unknown stays.
    #[must_use]
    pub fn outlook(&self, id: NodeId) -> Outlook {
        self.node(id).map_or(Outlook::Stays, |node| node.outlook)
    }

    /// Whom a node that leads nothing stands by for, as Redis Cluster's words have it: the primary of the first such range. `None`
    /// for a node that leads something, or holds nothing.
    #[must_use]
    pub fn master_of(&self, id: NodeId) -> Option<&ClusterNode> {
        if self.led_by(id).next().is_some() {
            return None;
        }
        let first = self.ranges.iter().find(|r| r.standbys.contains(&id))?;
        self.node(first.primary)
    }

    /// The nodes that stand by for a node and lead nothing: its replicas, as Redis Cluster's words have it.
    pub fn replicas_of(&self, id: NodeId) -> impl Iterator<Item = &ClusterNode> {
        let follows =
            move |node: &&ClusterNode| self.master_of(node.id).is_some_and(|m| m.id == id);
        self.nodes.iter().filter(follows)
    }

    /// Which range a slot is in.
    #[must_use]
    pub fn range_of(&self, slot: u16) -> Option<&SlotRange> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= range.last).then_some(range)
    }

    /// Whether every slot is served.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let serving = self.ranges.iter().filter(|range| range.serving);
        serving.map(SlotRange::len).sum::<u32>() == u32::from(SLOTS)
    }

    /// How many standbys have each acknowledged write at least.
    #[must_use]
    pub fn acknowledging_standbys(&self) -> usize {
        let quorums = self.ranges.iter().map(|range| range.quorum);
        quorums.min().unwrap_or(1).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests;
