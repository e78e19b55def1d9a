//! What an operator may ask the coordinator for.

use alloc::vec::Vec;

use model::{NodeId, ShardId, limits};

use super::{Proposal, holds_anything, revive};
use crate::{
    record::{NodeRecord, NodeState},
    situation::Situation,
};

/// Records of losses that one command removes: it compares the role, too.
const MOST_LOSSES: usize = limits::MAX_TRANSACTION_KEYS - 1;

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
    /// Remove the records of what recoveries of this shard may have lost: somebody has seen to it.
    Acknowledge(ShardId),
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
    /// This node answers and has not said yet which copies it has: it may have the longest log.
    NotHeard(NodeId),
    /// There is no record of a loss of the shard.
    NothingLost,
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
        Command::Acknowledge(shard) => acknowledge(situation, shard),
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

/// As many records as a transaction has room for, the oldest first; who sees that some are left asks again.
fn acknowledge(situation: &Situation<'_>, shard: ShardId) -> Result<Proposal, Refusal> {
    if !situation.map.shards().contains_key(&shard) {
        return Err(Refusal::NoSuchShard);
    }
    let losses = situation.map.losses().range((shard, 0)..=(shard, u32::MAX));
    let epochs: Vec<u32> = losses
        .map(|((_, epoch), _)| *epoch)
        .take(MOST_LOSSES)
        .collect();
    if epochs.is_empty() {
        return Err(Refusal::NothingLost);
    }
    Ok(Proposal::Acknowledgement(shard, epochs))
}

#[cfg(test)]
mod tests;
