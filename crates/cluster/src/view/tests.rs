use alloc::{format, string::String, vec, vec::Vec};

use model::{CopySet, Incarnation, Member, NodeId, ShardConfig, ShardId, Zone};

use super::{home, id_of, info, nodes, slots};
use crate::{
    format::Record,
    keys::Place,
    map::ClusterMap,
    metadata::{Listing, RequestId, Revision},
    record::{Addresses, NodeRecord, NodeState, ShardRecord},
};

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
    }
}

/// Four nodes; three shards led by 0, 1 and 0; node 3, at an IPv6 address, only stands by.
fn map() -> ClusterMap {
    let mut entries = Vec::new();
    for node in 0..4 {
        let host = if node == 3 {
            "[2001:db8::3]"
        } else {
            "127.0.0.1"
        };
        let record = NodeRecord {
            incarnation: Incarnation(1),
            state: NodeState::Active,
            process: u64::from(node),
            zone: Zone(0),
            addresses: Addresses {
                client: format!("{host}:{}", 7_000 + node),
                peer: format!("{host}:{}", 17_000 + node),
                ..Addresses::default()
            },
            request: RequestId(1),
        };
        entries.push((Place::Node(NodeId(node)).key(), record.encode()));
    }
    for (shard, first_slot, last_slot, members) in [
        (0, 0, 5_460, [0, 1]),
        (1, 5_461, 10_922, [1, 3]),
        (2, 10_923, 16_383, [0, 3]),
    ] {
        let copies = CopySet::new(&members.map(member), 2);
        let config = ShardConfig::create(copies, NodeId(members[0]));
        let config = if shard == 2 {
            config
        } else {
            config.published()
        };
        let record = ShardRecord {
            first_slot,
            last_slot,
            config,
            request: RequestId(1),
        };
        entries.push((Place::Shard(ShardId(shard)).key(), record.encode()));
    }
    let revision = Revision(1);
    ClusterMap::from_listing(&Listing { revision, entries })
}

#[test]
fn slots_are_ascending_and_without_holes() {
    let map = map();
    let rows = slots(&map, &|_| true);
    let told: Vec<String> = rows
        .iter()
        .map(|r| {
            let replicas: Vec<String> = r
                .replicas
                .iter()
                .map(|p| format!("{}:{}", p.host, p.port))
                .collect();
            format!(
                "{}-{} {}:{} {replicas:?}",
                r.first, r.last, r.primary.host, r.primary.port
            )
        })
        .collect();
    let expected = [
        "0-5460 127.0.0.1:7000 [\"127.0.0.1:7001\"]",
        "5461-10922 127.0.0.1:7001 [\"2001:db8::3:7003\"]",
        "10923-16383 127.0.0.1:7000 [\"2001:db8::3:7003\"]",
    ];
    assert_eq!(told, expected);
    let without = slots(&map, &|m| m.node != NodeId(3));
    assert_eq!(without[1].replicas, vec![], "who is not well is not shown");
    assert_eq!(home(&map, ShardId(1)).map(|p| p.port), Some(7_001));
}

#[test]
fn nodes_are_told_as_redis_cluster_tells_them() {
    let golden = include_str!("../../tests/fixtures/cluster-nodes.txt");
    assert_eq!(nodes(&map(), NodeId(1), &|m| m.node != NodeId(2)), golden);
    assert_eq!(id_of(NodeId(0)).len(), 40);
}

#[test]
fn info_is_told_as_redis_cluster_tells_it() {
    let golden = include_str!("../../tests/fixtures/cluster-info.txt").replace('\n', "\r\n");
    assert_eq!(info(&map(), NodeId(1)), golden);
}
