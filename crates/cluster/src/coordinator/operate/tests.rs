use alloc::vec;
use alloc::vec::Vec;

use model::{CopySet, Incarnation, Member, NodeId, Position, ShardConfig, ShardId};

use super::super::Proposal;
use super::{Command, Refusal, propose};
use crate::{
    brake::Brake,
    court::Court,
    fixture::Draft,
    keys::Place,
    metadata::RequestId,
    record::{LossRecord, NodeState, Settings},
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

/// What an acknowledgement of this shard's losses asks for, where shards 0 and 1 have one and two.
fn acknowledged(shard: u16) -> Result<Vec<u32>, Refusal> {
    let settings = Settings {
        shards: 3,
        copies: 1,
        write_quorum: 1,
        initial_nodes: 1,
    };
    let survivor = Member {
        node: NodeId(0),
        incarnation: Incarnation(1),
    };
    let serving = |draft: Draft, shard| {
        let config = ShardConfig::create(CopySet::new(&[survivor], 1), survivor.node);
        draft.shard(ShardId(shard), (shard, shard), config)
    };
    let lost = |draft: Draft, (shard, epoch)| {
        let loss = LossRecord {
            shard: ShardId(shard),
            epoch,
            survivor,
            position: Position::ZERO,
            missing: Vec::new(),
            request: RequestId(1),
        };
        draft.record(Place::Loss(ShardId(shard), epoch), &loss)
    };
    let draft = (0..3).fold(Draft::new(&settings).nodes(1), serving);
    let draft = [(0, 7), (1, 4), (1, 9)].into_iter().fold(draft, lost);
    let map = draft.map();
    let (court, brake, reports) = (Court::default(), Brake::default(), Reports::default());
    let situation = Situation::new(&map, &court, &brake, &reports, 0).expect("it was created");
    let proposal = propose(&situation, Command::Acknowledge(ShardId(shard)))?;
    let Proposal::Acknowledgement(of, epochs) = proposal else {
        panic!("{proposal:?}");
    };
    assert_eq!(of, ShardId(shard));
    Ok(epochs)
}

#[test]
fn losses_are_acknowledged_by_shard() {
    assert_eq!(acknowledged(0), Ok(vec![7]));
    assert_eq!(acknowledged(1), Ok(vec![4, 9]));
    assert_eq!(acknowledged(2), Err(Refusal::NothingLost));
    assert_eq!(acknowledged(3), Err(Refusal::NoSuchShard));
}
