use alloc::{format, string::String, vec::Vec};

use model::{
    CopySet, Incarnation, Member, NodeId, ShardConfig, ShardId, Zone,
    topology::{Address, SlotRange},
};

use super::{home, topology};
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
fn what_is_served_by_whom_is_told() {
    let map = map();
    let told = |range: &SlotRange| {
        let standbys = &range.standbys;
        let (first, last, primary) = (range.first, range.last, range.primary.0);
        let serving = if range.serving { "" } else { " recovering" };
        format!("{first}-{last} {primary} {standbys:?}{serving}")
    };
    let topology = topology(&map, NodeId(1), &|_| true);
    let ranges: Vec<String> = topology.ranges.iter().map(told).collect();
    let expected = [
        "0-5460 0 [NodeId(1)]",
        "5461-10922 1 [NodeId(3)]",
        "10923-16383 0 [NodeId(3)] recovering",
    ];
    assert_eq!(ranges, expected);
    let third = topology.node(NodeId(3)).expect("it is there");
    assert_eq!(
        third.client,
        Address::parse("[2001:db8::3]:7003").expect("an address")
    );
    assert_eq!((third.peer_port, third.alive), (17_003, true));
    assert_eq!(home(&map, ShardId(1)).map(|a| a.port), Some(7_001));
}

#[test]
fn who_is_not_well_stands_by_for_nobody() {
    let topology = topology(&map(), NodeId(1), &|m| m.node != NodeId(3));
    assert_eq!(topology.ranges[1].standbys, []);
    assert!(!topology.node(NodeId(3)).expect("it is there").alive);
}
