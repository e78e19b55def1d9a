//! What clients of Redis Cluster are told of the map: pure functions; `command` renders what they return.
//!
//! A node here leads some shards and stands by for others, which Redis Cluster has no words for. The topology tells it as it is;
//! `command` shows whoever leads anything as a master, and whoever only stands by as a replica.

use alloc::vec::Vec;

use model::{
    Member, NodeId, Phase, ShardId, Topology,
    topology::{Address, ClusterNode, Outlook, SlotRange},
};

use crate::{
    map::ClusterMap,
    record::{NodeRecord, NodeState, ShardRecord},
};

/// The cluster as `me` tells its clients. `is_alive` says which nodes are believed to be.
#[must_use]
pub fn topology(map: &ClusterMap, me: NodeId, is_alive: &dyn Fn(Member) -> bool) -> Topology {
    let is_alive = |member: Member| map.is_present(member) && is_alive(member);
    let shown = map.nodes().iter();
    let shown = shown.filter(|(_, record)| record.state != NodeState::Gone);
    let nodes = shown.filter_map(|(&id, record)| {
        let alive = id == me || is_alive(record.member(id));
        node(id, record, alive)
    });
    let nodes: Vec<ClusterNode> = nodes.collect();
    let is_shown = |id: NodeId| nodes.binary_search_by_key(&id, |n| n.id).is_ok();
    let owned = map.shards().values();
    let owned = owned.filter(|record| is_shown(record.config.primary().node));
    let is_shown = |member: Member| is_alive(member) && is_shown(member.node);
    let mut ranges: Vec<SlotRange> = owned.map(|record| range(record, &is_shown)).collect();
    ranges.sort_by_key(|range| range.first);
    Topology {
        me,
        revision: map.revision().0,
        nodes,
        ranges,
    }
}

/// `None` for a node that clients cannot reach.
fn node(id: NodeId, record: &NodeRecord, alive: bool) -> Option<ClusterNode> {
    Some(ClusterNode {
        id,
        client: Address::parse(&record.addresses.client)?,
        forwarding: Address::parse(&record.addresses.forwarding),
        sentinel: Address::parse(&record.addresses.sentinel),
        peer_port: Address::parse(&record.addresses.peer).map_or(0, |peer| peer.port),
        alive,
        outlook: match record.state {
            NodeState::Draining => Outlook::Drains,
            NodeState::Joining | NodeState::Active | NodeState::Gone => Outlook::Stays,
        },
    })
}

fn range(record: &ShardRecord, is_shown: &dyn Fn(Member) -> bool) -> SlotRange {
    let config = &record.config;
    let standbys = config.copies().members().iter();
    let standbys = standbys.filter(|m| **m != config.primary() && is_shown(**m));
    SlotRange {
        first: record.first_slot,
        last: record.last_slot,
        epoch: config.epoch(),
        serving: config.phase() == Phase::Serving,
        primary: config.primary().node,
        standbys: standbys.map(|member| member.node).collect(),
        quorum: config.copies().write_quorum(),
    }
}

/// Where a shard is: what `-MOVED slot host:port` says. `None` for a shard that was not created, or whose primary cannot be reached.
#[must_use]
pub fn home(map: &ClusterMap, shard: ShardId) -> Option<Address> {
    let record = map.shards().get(&shard)?;
    let primary = map.nodes().get(&record.config.primary().node)?;
    Address::parse(&primary.addresses.client)
}

#[cfg(test)]
mod tests;
