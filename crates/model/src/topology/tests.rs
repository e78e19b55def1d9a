use alloc::vec;

use super::{Address, ClusterNode, Outlook, SlotRange, Topology};
use crate::NodeId;

fn node(id: u32) -> ClusterNode {
    ClusterNode {
        id: NodeId(id),
        client: Address {
            host: "h".into(),
            port: 7_000,
        },
        forwarding: None,
        sentinel: None,
        peer_port: 0,
        alive: true,
        outlook: Outlook::Stays,
    }
}

fn range(first: u16, last: u16, primary: u32, standby: u32) -> SlotRange {
    SlotRange {
        first,
        last,
        epoch: 1,
        serving: true,
        primary: NodeId(primary),
        standbys: vec![NodeId(standby)],
        quorum: 2,
    }
}

fn topology() -> Topology {
    Topology {
        me: NodeId(1),
        revision: 1,
        nodes: vec![node(1), node(2), node(5)],
        ranges: vec![range(0, 99, 2, 5), range(200, 16_383, 1, 5)],
    }
}

#[test]
fn a_slot_is_found_in_its_range_or_in_none() {
    let topology = topology();
    let primary = |slot| topology.range_of(slot).map(|range| range.primary.0);
    assert_eq!(
        [0, 99, 100, 199, 200, 16_383].map(primary),
        [Some(2), Some(2), None, None, Some(1), Some(1)]
    );
    assert!(!topology.is_whole());
    assert_eq!(topology.acknowledging_standbys(), 1);
}

#[test]
fn who_only_stands_by_is_a_replica_of_the_first_primary() {
    let topology = topology();
    assert_eq!(topology.master_of(NodeId(5)).map(|n| n.id), Some(NodeId(2)));
    assert_eq!(topology.master_of(NodeId(1)), None);
    let replicas = |id| topology.replicas_of(NodeId(id)).count();
    assert_eq!([replicas(1), replicas(2), replicas(5)], [0, 1, 0]);
}

#[test]
fn addresses_are_split_at_the_last_colon() {
    let parsed = |text| Address::parse(text).map(|a| (a.host, a.port));
    assert_eq!(
        parsed("[2001:db8::3]:7003"),
        Some(("2001:db8::3".into(), 7_003))
    );
    assert_eq!(parsed("name:1"), Some(("name".into(), 1)));
    for wrong in ["", ":7000", "name", "name:", "name:70000"] {
        assert_eq!(parsed(wrong), None, "{wrong}");
    }
}
