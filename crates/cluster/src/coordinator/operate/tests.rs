use alloc::vec::Vec;

use model::{Incarnation, NodeId};

use super::super::Proposal;
use super::{Command, Refusal, propose};
use crate::{
    brake::Brake,
    court::Court,
    fixture::Draft,
    record::{NodeState, Settings},
    reports::Reports,
    situation::Situation,
};

const STATES: [NodeState; 4] = [
    NodeState::Joining,
    NodeState::Active,
    NodeState::Draining,
    NodeState::Gone,
];

/// What becomes of a node in each of these states that is asked for this.
fn states_after(command: fn(NodeId) -> Command) -> Vec<Result<NodeState, Refusal>> {
    let settings = Settings {
        shards: 1,
        copies: 1,
        write_quorum: 1,
        initial_nodes: 4,
    };
    let states = (0..).zip(STATES);
    let draft = states.fold(Draft::new(&settings), |draft, (node, state)| {
        draft.node(node, Incarnation(1), state)
    });
    let map = draft.map();
    let (court, brake, reports) = (Court::default(), Brake::default(), Reports::default());
    let situation = Situation::new(&map, &court, &brake, &reports, 0).expect("it was created");
    let asked = (0..4).map(|node| {
        let proposal = propose(&situation, command(NodeId(node)))?;
        let Proposal::Node(_, record) = proposal else {
            panic!("{proposal:?}");
        };
        Ok(record.state)
    });
    asked.collect()
}

#[test]
fn who_asks_for_a_drain_again_wants_to_see_how_far_it_is() {
    let (drained, gone) = (NodeState::Draining, NodeState::Gone);
    assert_eq!(
        states_after(Command::Drain),
        [
            Ok(drained),
            Ok(drained),
            Ok(drained),
            Err(Refusal::WrongState(gone))
        ]
    );
    let active = NodeState::Active;
    assert_eq!(
        states_after(Command::Undrain),
        [
            Err(Refusal::WrongState(NodeState::Joining)),
            Err(Refusal::WrongState(active)),
            Ok(active),
            Ok(active)
        ]
    );
}
