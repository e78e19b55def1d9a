use alloc::{collections::BTreeMap, vec};

use model::{Incarnation, NodeId};

use super::{Brake, Braking};
use crate::court::{Court, Evidence, Statement};
use crate::detector::Detector;
use crate::timing::BRAKE_MS;

const LIFE: Incarnation = Incarnation(1);
const NODES: usize = 3;

/// Nodes 1 and 2 say, at this time, that they do not hear node 0.
fn convicted_at(now_ms: u64) -> Court {
    let mut court = Court::default();
    for witness in [1, 2] {
        let statement = Statement {
            at_ms: now_ms,
            listens_to: 2,
            suspect_count: 1,
            suspects: vec![(NodeId(0), LIFE)],
        };
        court.hear(NodeId(witness), statement);
    }
    let nodes: BTreeMap<NodeId, Incarnation> = (0..3).map(|node| (NodeId(node), LIFE)).collect();
    let evidence = Evidence {
        me: NodeId(2),
        detector: &Detector::new(now_ms),
        links: &BTreeMap::new(),
        nodes: &nodes,
    };
    court.judge(evidence, now_ms);
    court
}

#[test]
fn what_was_found_before_the_observer_stood_still_is_believed() {
    let court = convicted_at(1_000);
    let mut brake = Brake::default();
    brake.distrust(&court, NODES, 1_010, 1_130);
    assert_eq!(brake.dead_since(NodeId(0), LIFE), Some(1_130));
    assert_eq!(brake.update(&court, NODES, 1_140), Braking::Held);
    assert_eq!(brake.dead_since(NodeId(0), LIFE), Some(1_130));
}

#[test]
fn what_was_found_since_is_believed_only_if_it_lasts() {
    let court = convicted_at(1_050);
    let mut brake = Brake::default();
    brake.distrust(&court, NODES, 1_010, 1_130);
    assert_eq!(brake.update(&court, NODES, 1_140), Braking::Held);
    assert_eq!(brake.dead_since(NodeId(0), LIFE), None);
    assert_eq!(brake.update(&court, NODES, 1_130 + BRAKE_MS), Braking::Free);
    assert_eq!(brake.dead_since(NodeId(0), LIFE), Some(1_130 + BRAKE_MS));
}

#[test]
fn too_many_at_once_are_not_believed_either_way() {
    let court = convicted_at(1_000);
    let mut brake = Brake::default();
    brake.believed.insert((NodeId(1), LIFE), 900);
    brake.distrust(&court, NODES, 1_010, 1_130);
    assert_eq!(brake.dead_since(NodeId(0), LIFE), None);
}
