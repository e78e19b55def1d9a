use alloc::{collections::BTreeMap, vec, vec::Vec};

use model::{Incarnation, NodeId, Zone};

use super::{super::Proposal, shards};
use crate::{
    brake::Brake,
    court::Court,
    format::Record,
    keys::Place,
    map::ClusterMap,
    metadata::{Listing, RequestId, Revision},
    record::{Addresses, NodeRecord, NodeState, Settings},
    reports::Reports,
    situation::Situation,
};

/// How many of the shards each of so many nodes leads, and how many it has.
fn led_and_held(nodes: u32, shards_in_all: u16, copies: u8) -> Vec<(usize, usize)> {
    let settings = Settings {
        shards: shards_in_all,
        copies,
        write_quorum: copies / 2 + 1,
        initial_nodes: nodes as u16,
    };
    let mut entries = vec![(Place::Cluster.key(), settings.encode())];
    for node in 0..nodes {
        let record = NodeRecord {
            incarnation: Incarnation(1),
            state: NodeState::Active,
            process: u64::from(node),
            zone: Zone(0),
            addresses: Addresses::default(),
            request: RequestId(1),
        };
        entries.push((Place::Node(NodeId(node)).key(), record.encode()));
    }
    let revision = Revision(1);
    let map = ClusterMap::from_listing(&Listing { revision, entries });
    let (court, brake, reports) = (Court::default(), Brake::default(), Reports::default());
    let situation = Situation::new(&map, &court, &brake, &reports, 0).expect("it was created");
    let mut counts: BTreeMap<NodeId, (usize, usize)> = BTreeMap::new();
    for proposal in shards(&situation) {
        let Proposal::Shard(_, record, _) = proposal else {
            panic!("{proposal:?}");
        };
        for member in record.config.copies().members() {
            counts.entry(member.node).or_default().1 += 1;
        }
        counts.entry(record.config.primary().node).or_default().0 += 1;
    }
    counts.into_values().collect()
}

#[test]
fn each_node_leads_as_many_from_the_beginning() {
    for (nodes, copies) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3), (6, 2), (7, 3)] {
        let counts = led_and_held(nodes, 16, copies);
        assert_eq!(counts.len(), nodes as usize);
        let all = counts.iter();
        let spread = |of: fn(&(usize, usize)) -> usize| {
            let (least, most) = (all.clone().map(of).min(), all.clone().map(of).max());
            most.expect("some") - least.expect("some")
        };
        assert!(spread(|c| c.0) <= 1, "led: {counts:?}");
        assert!(spread(|c| c.1) <= 1, "held: {counts:?}");
    }
}
