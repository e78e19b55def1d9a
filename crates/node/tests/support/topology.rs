//! The cluster that golden scripts speak of.

use std::sync::Arc;

use model::topology::{Address, ClusterNode, Outlook, SlotRange};
use model::{NodeId, Topology};

/// Three nodes; 0 and 1 lead a half of the slots each, 2 stands by for both.
pub fn seen_by(me: u32) -> Arc<Topology> {
    let node = |id: u32| ClusterNode {
        id: NodeId(id),
        client: Address {
            host: format!("10.0.0.{}", id + 1),
            port: 7_000,
        },
        forwarding: None,
        sentinel: None,
        peer_port: 17_000,
        alive: true,
        outlook: Outlook::Stays,
    };
    let range = |first, last, primary| SlotRange {
        first,
        last,
        epoch: 4,
        serving: true,
        primary: NodeId(primary),
        standbys: vec![NodeId(2)],
        quorum: 2,
    };
    Arc::new(Topology {
        me: NodeId(me),
        revision: 5,
        nodes: (0..3).map(node).collect(),
        ranges: vec![range(0, 8_191, 0), range(8_192, 16_383, 1)],
    })
}

/// The same as node 1 sees it when it was told to end.
pub fn about_to_leave() -> Arc<Topology> {
    let mut topology = Topology::clone(&seen_by(1));
    topology.nodes[1].outlook = Outlook::Leaves;
    Arc::new(topology)
}

/// The same when all that it led has moved to node 0.
pub fn after_a_move() -> Arc<Topology> {
    let mut topology = Topology::clone(&about_to_leave());
    topology.revision += 1;
    for range in &mut topology.ranges {
        range.primary = NodeId(0);
    }
    Arc::new(topology)
}
