//! Who keeps a link with whom, and so who listens to whom.
//!
//! A link joins two nodes that hold copies of a shard together, each node and the coordinator, and each node and its
//! [`NEIGHBOURS`] on either side of the ring of node numbers, so that everybody has witnesses, whatever he holds. Not everybody with
//! everybody: the number of links of a node depends on its shards and not on the size of the cluster.

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::NodeId;

use crate::map::ClusterMap;

/// How many nodes on each side of the ring.
pub const NEIGHBOURS: usize = 3;

/// All links: for each present node those at the other ends.
pub type Links = BTreeMap<NodeId, BTreeSet<NodeId>>;

/// The links that this map asks for.
#[must_use]
pub fn of(map: &ClusterMap) -> Links {
    let ring: Vec<NodeId> = map.present().keys().copied().collect();
    let mut links: Links = ring.iter().map(|&node| (node, BTreeSet::new())).collect();
    for (at, &node) in ring.iter().enumerate() {
        for distance in 1..=NEIGHBOURS {
            join(&mut links, node, ring[(at + distance) % ring.len()]);
        }
        if let Some(role) = map.role() {
            join(&mut links, node, role.holder.node);
        }
    }
    for record in map.shards().values() {
        let members: Vec<NodeId> = record
            .config
            .copies()
            .members()
            .iter()
            .map(|m| m.node)
            .collect();
        for (at, &a) in members.iter().enumerate() {
            members[..at].iter().for_each(|&b| join(&mut links, a, b));
        }
    }
    links
}

fn join(links: &mut Links, a: NodeId, b: NodeId) {
    if a == b || !links.contains_key(&a) || !links.contains_key(&b) {
        return;
    }
    for (from, to) in [(a, b), (b, a)] {
        links.get_mut(&from).expect("seen just now").insert(to);
    }
}

/// How many nodes stand between `from` and `to` on the ring, going up.
#[must_use]
pub fn distance(ring: &[NodeId], from: NodeId, to: NodeId) -> usize {
    let after = ring.partition_point(|&node| node <= from);
    let order = ring[after..].iter().chain(&ring[..after]);
    order.take_while(|&&node| node != to).count()
}
