//! What an operator may ask the coordinator for.

use model::{NodeId, ShardId};

use super::{Proposal, holds_anything, revive};
use crate::{
    record::{NodeRecord, NodeState},
    situation::Situation,
};

/// An operator's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Move everything away from this node. May be said again: whoever says it wants to see how far it is.
    Drain(NodeId),
    /// Let it have shards again after all, also when it is gone.
    Undrain(NodeId),
    /// Remove its record. It holds nothing, and is gone or does not answer.
    Forget(NodeId),
    /// Go on with the longest log of this shard that anybody alive has, though more may have been acknowledged. Only where
    /// waiting is the alternative.
    RecoverLongest(ShardId),
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node is not the coordinator; that one is, as far as it knows.
    NotCoordinator(Option<NodeId>),
    /// The cluster has not been created yet.
    NotCreated,
    /// No such node.
    NoSuchNode,
    /// No such shard.
    NoSuchShard,
    /// The node is not in a state in which that can be asked.
    WrongState(NodeState),
    /// The node still answers.
    StillAlive,
    /// The node still holds copies.
    HoldsCopies,
    /// Enough members of the shard answer: it recovers by itself, and nothing needs to be given up.
    NotNeeded,
    /// Nobody alive has anything of the shard.
    NobodyHasIt,
    /// Something else changed the same record first, or it is not known whether this did. Look, and ask again.
    Overtaken,
}

pub(super) fn propose(situation: &Situation<'_>, command: Command) -> Result<Proposal, Refusal> {
    match command {
        Command::Drain(node) => set_state(situation, node, NodeState::Draining, |s| {
            matches!(
                s,
                NodeState::Active | NodeState::Joining | NodeState::Draining
            )
        }),
        Command::Undrain(node) => set_state(situation, node, NodeState::Active, |s| {
            matches!(s, NodeState::Draining | NodeState::Gone)
        }),
        Command::Forget(node) => forget(situation, node),
        Command::RecoverLongest(shard) => revive::from_longest(situation, shard),
    }
}

fn set_state(
    situation: &Situation<'_>,
    node: NodeId,
    state: NodeState,
    from: impl Fn(NodeState) -> bool,
) -> Result<Proposal, Refusal> {
    let record = situation
        .map
        .nodes()
        .get(&node)
        .ok_or(Refusal::NoSuchNode)?;
    if !from(record.state) {
        return Err(Refusal::WrongState(record.state));
    }
    Ok(Proposal::Node(
        node,
        NodeRecord {
            state,
            ..record.clone()
        },
    ))
}

fn forget(situation: &Situation<'_>, node: NodeId) -> Result<Proposal, Refusal> {
    let record = situation
        .map
        .nodes()
        .get(&node)
        .ok_or(Refusal::NoSuchNode)?;
    if situation.is_alive(record.member(node)) {
        return Err(Refusal::StillAlive);
    }
    if holds_anything(situation, node) {
        return Err(Refusal::HoldsCopies);
    }
    Ok(Proposal::Forget(node))
}

#[cfg(test)]
mod tests;
