use alloc::vec;

use model::topology::{Address, ClusterNode, Outlook, SlotRange, node_name};
use model::{NodeId, Topology};

use super::text;

fn node(id: u32, host: &str, alive: bool) -> ClusterNode {
    let port = 7_000 + id as u16;
    ClusterNode {
        id: NodeId(id),
        client: Address {
            host: host.into(),
            port,
        },
        forwarding: None,
        sentinel: None,
        peer_port: port + 10_000,
        alive,
        outlook: Outlook::Stays,
    }
}

fn range(first: u16, last: u16, primary: u32, standby: u32, serving: bool) -> SlotRange {
    SlotRange {
        first,
        last,
        epoch: 1,
        serving,
        primary: NodeId(primary),
        standbys: vec![NodeId(standby)],
        quorum: 2,
    }
}

/// Four nodes; three shards led by 0, 1 and 0, the last still recovering; node 3, at an IPv6 address, only stands by; node 2 is dead.
fn topology() -> Topology {
    Topology {
        me: NodeId(1),
        revision: 1,
        nodes: vec![
            node(0, "127.0.0.1", true),
            node(1, "127.0.0.1", true),
            node(2, "127.0.0.1", false),
            node(3, "2001:db8::3", true),
        ],
        ranges: vec![
            range(0, 5_460, 0, 1, true),
            range(5_461, 10_922, 1, 3, true),
            range(10_923, 16_383, 0, 3, false),
        ],
    }
}

#[test]
fn nodes_are_told_as_redis_cluster_tells_them() {
    let golden = include_str!("../../tests/fixtures/cluster-nodes.txt");
    assert_eq!(text::nodes(&topology()), golden);
    assert_eq!(node_name(NodeId(0)).len(), 40);
}

#[test]
fn info_is_told_as_redis_cluster_tells_it() {
    let golden = include_str!("../../tests/fixtures/cluster-info.txt").replace('\n', "\r\n");
    assert_eq!(text::info(&topology()), golden);
}

#[test]
fn who_has_been_told_to_end_has_not_failed_until_it_has_ended() {
    let mut now = topology();
    now.nodes[0].outlook = Outlook::Leaves;
    let line = |now: &Topology| text::node(now, &now.nodes[0]);
    assert!(line(&now).contains(" master - 0 0 1 connected 0-5460 "));
    for range in [0, 2] {
        now.ranges[range].primary = NodeId(1);
    }
    let answered = line(&now);
    assert!(answered.contains(" master - 0 0 0 connected"), "{answered}");
    now.nodes[0].alive = false;
    assert!(line(&now).contains(" master,fail "), "{}", line(&now));
}
