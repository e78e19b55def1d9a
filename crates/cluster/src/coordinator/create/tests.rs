use alloc::{collections::BTreeMap, vec::Vec};

use model::{Incarnation, Member, NodeId};

use super::{super::Proposal, shards};
use crate::{
    brake::Brake, court::Court, fixture::Draft, message::Report, record::Settings,
    reports::Reports, situation::Situation,
};

/// How many of the shards each of so many nodes leads, and how many it has, when so many have said that they have none.
fn led_and_held(nodes: u32, silent: u32, shards_in_all: u16, copies: u8) -> Vec<(usize, usize)> {
    let settings = Settings {
        shards: shards_in_all,
        copies,
        write_quorum: copies / 2 + 1,
        initial_nodes: nodes as u16,
    };
    let map = Draft::new(&settings).nodes(nodes).map();
    let (court, brake, mut reports) = (Court::default(), Brake::default(), Reports::default());
    for node in silent..nodes {
        let from = Member {
            node: NodeId(node),
            incarnation: Incarnation(1),
        };
        let copies = Vec::new();
        reports.hear(
            &Report {
                from,
                copies,
                is_all: true,
            },
            0,
        );
    }
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
fn who_has_not_said_that_it_has_nothing_may_have_what_the_map_has_lost() {
    assert!(led_and_held(3, 1, 16, 3).is_empty());
}

#[test]
fn each_node_leads_as_many_from_the_beginning() {
    for (nodes, copies) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3), (6, 2), (7, 3)] {
        let counts = led_and_held(nodes, 0, 16, copies);
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
