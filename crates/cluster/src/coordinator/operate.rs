//! What an operator may ask the coordinator for.

use alloc::vec::Vec;

use model::{CopySet, Member, NodeId, Phase, Position, ShardConfig, ShardId};

use super::{Proposal, holds_anything, served_by};
use crate::{
    placement::{self, Site},
    record::{LossRecord, NodeRecord, NodeState, ShardRecord},
    situation::{Health, Situation},
};

/// An operator's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Move everything away from this node.
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
            matches!(s, NodeState::Active | NodeState::Joining)
        }),
        Command::Undrain(node) => set_state(situation, node, NodeState::Active, |s| {
            matches!(s, NodeState::Draining | NodeState::Gone)
        }),
        Command::Forget(node) => forget(situation, node),
        Command::RecoverLongest(shard) => recover_longest(situation, shard),
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

fn recover_longest(situation: &Situation<'_>, shard: ShardId) -> Result<Proposal, Refusal> {
    let record = situation
        .map
        .shards()
        .get(&shard)
        .ok_or(Refusal::NoSuchShard)?;
    if situation.is_provable(record) {
        return Err(Refusal::NotNeeded);
    }
    let survivors = situation.reports.survivors(shard, situation.now_ms);
    let alive = survivors.filter(|(member, _)| situation.is_alive(*member));
    let longest = alive.max_by_key(|&(member, position)| (position, core::cmp::Reverse(member)));
    let (survivor, position) = longest.ok_or(Refusal::NobodyHasIt)?;
    let config = forced(situation, shard, record, survivor).ok_or(Refusal::NotNeeded)?;
    let loss = loss(situation, shard, record, survivor, position, config.epoch());
    let record = ShardRecord { config, ..*record };
    Ok(Proposal::Forced(shard, record, loss))
}

/// The survivor leads; whoever else is alive of the old set stays, and others fill it up.
fn forced(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    survivor: Member,
) -> Option<ShardConfig> {
    let target = usize::from(situation.settings.copies);
    let mut members = alloc::vec![survivor];
    let old = record.config.copies().members().iter().copied();
    members.extend(
        old.filter(|m| m.node != survivor.node && situation.is_alive(*m))
            .take(target - 1),
    );
    while members.len() < target {
        let held: Vec<Site> = members
            .iter()
            .filter_map(|m| situation.site(m.node))
            .collect();
        let Some(site) = placement::choose(shard, &situation.steady_sites(), &held) else {
            break;
        };
        members.push(situation.map.nodes()[&site.node].member(site.node));
    }
    let copies = CopySet::checked(&members, situation.settings.quorum_of(members.len()))?;
    let phase = Phase::Recovering {
        from: Some(served_by(record, survivor)),
    };
    ShardConfig::checked(record.config.epoch() + 1, copies, survivor.node, phase)
}

fn loss(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    survivor: Member,
    position: Position,
    epoch: u32,
) -> LossRecord {
    let source = Situation::source(record).unwrap_or(*record.config.copies());
    let missing = source
        .members()
        .iter()
        .filter(|m| **m != survivor && situation.health(**m) != Health::Well);
    let missing = missing
        .map(|&m| (m, situation.reports.position(shard, m)))
        .collect();
    LossRecord {
        shard,
        epoch,
        survivor,
        position,
        missing,
        request: Default::default(),
    }
}
