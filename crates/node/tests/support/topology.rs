//! The cluster that golden scripts speak of.

use std::sync::Arc;

use model::topology::{Address, ClusterNode, SlotRange};
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
        peer_port: 17_000,
        well: true,
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
        nodes: (0..3).map(node).collect(),
        ranges: vec![range(0, 8_191, 0), range(8_192, 16_383, 1)],
    })
}
