//! What an operator sees of the cluster, as one node knows it: the JSON of `GET /cluster` on the admin port.

use std::collections::BTreeSet;

use cluster::agent::Agent;
use cluster::court::Standing;
use cluster::message::CopyStatus;
use cluster::record::{LossRecord, NodeRecord, NodeState, ShardRecord};
use model::{Member, NodeId, Phase, ShardId};
use serde::{Deserialize, Serialize};

use crate::links::Links;

/// The cluster. Only the coordinator is told how copies are: asked of another node, [`ShardRow::bytes`] and [`MemberRow::complete`] are
/// not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// Its name.
    pub cluster: String,
    /// Who was asked.
    pub node: u32,
    /// Who coordinates, as far as that is known.
    pub coordinator: Option<u32>,
    /// How many times the role has been taken.
    pub term: u64,
    /// Whether the metadata store answers the node that was asked.
    pub store_answers: bool,
    /// How many copies each shard should have; 0 before the cluster was created.
    pub copies: u8,
    /// How many of them have a write before it is acknowledged.
    pub quorum: u8,
    /// How many shards there are to be.
    pub shard_count: u16,
    /// The nodes, by number.
    pub nodes: Vec<NodeRow>,
    /// The shards, by number.
    pub shards: Vec<ShardRow>,
    /// What forced recoveries may have lost.
    pub losses: Vec<LossRow>,
    /// Shards of which copies know later epochs than the map, as the node that was asked coordinates and was told: the metadata store has lost them.
    #[serde(default)]
    pub behind: Vec<u16>,
    /// Those of them of which only relics are left: the lives that had copies are over, and an operator has to decide.
    #[serde(default)]
    pub behind_by_relics: Vec<u16>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its number.
    pub node: u32,
    /// The present life of its data, in hexadecimal.
    pub life: String,
    /// joining, active, draining or gone.
    pub state: String,
    /// well, accused, convicted or returning, in the opinion of the node that was asked.
    pub standing: String,
    /// What it shares a fate with.
    pub zone: u16,
    /// The process that it runs in, in hexadecimal: no two copies of a shard come into one.
    #[serde(default)]
    pub process: String,
    /// Where clients reach it.
    pub client: String,
    /// Where clients that know no cluster reach it; empty if it forwards nothing.
    pub forwarding: String,
    /// Where nodes reach it.
    pub peer: String,
    /// Its admin port.
    pub admin: String,
    /// Shards that it leads.
    pub primaries: usize,
    /// Shards that it holds.
    pub copies: usize,
    /// Whether the node that was asked has a link with it.
    pub linked: bool,
}

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRow {
    /// Its number.
    pub shard: u16,
    /// Its first slot.
    pub first_slot: u16,
    /// Its last slot.
    pub last_slot: u16,
    /// The number of its configuration.
    pub epoch: u32,
    /// serving or recovering.
    pub phase: String,
    /// Who leads.
    pub primary: u32,
    /// How many of its members have a write before it is acknowledged.
    pub quorum: usize,
    /// Who holds it.
    pub members: Vec<MemberRow>,
    /// Bytes of live data.
    pub bytes: Option<u64>,
    /// Writes per second, lately.
    pub writes_per_s: Option<u32>,
}

/// A member of a shard's set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The node.
    pub node: u32,
    /// Whether it is the node's present life that is a member.
    pub present: bool,
    /// Whether it has everything, as the primary says.
    pub complete: Option<bool>,
}

/// What a recovery may have lost for which too few members were left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRow {
    /// The shard.
    pub shard: u16,
    /// The epoch that began so.
    pub epoch: u32,
    /// The node whose log went furthest.
    pub survivor: u32,
    /// Whether that was left by an earlier life of the node, which ended before all of its log was synced.
    pub relic: bool,
    /// The nodes that were not asked, or whose lives were over.
    pub missing: Vec<u32>,
}

impl Survey {
    /// The cluster as this node's agent knows it.
    pub fn of(name: &str, agent: &Agent, links: &Links) -> Self {
        let map = agent.map();
        let settings = map.settings();
        let linked: Vec<NodeId> = links.up().collect();
        let nodes = map.nodes().iter();
        let shards = map.shards().iter();
        let losses = map.losses().values();
        Self {
            cluster: name.to_owned(),
            node: agent.me().node.0,
            coordinator: map.role().map(|role| role.holder.node.0),
            term: map.role().map_or(0, |role| role.term),
            store_answers: agent.store_answers(),
            copies: settings.map_or(0, |s| s.copies),
            quorum: settings.map_or(0, |s| s.write_quorum),
            shard_count: settings.map_or(0, |s| s.shards),
            nodes: nodes
                .map(|(&node, record)| node_row(agent, node, record, linked.contains(&node)))
                .collect(),
            shards: shards
                .map(|(&shard, record)| shard_row(agent, shard, record))
                .collect(),
            losses: losses.map(loss_row).collect(),
            behind: agent.behind().map(|shard| shard.0).collect(),
            behind_by_relics: agent.behind_by_relics().map(|shard| shard.0).collect(),
        }
    }
}

impl Survey {
    /// Whether all shards are there and served, by whom the map says.
    #[must_use]
    pub fn is_served(&self) -> bool {
        let served = self.shards.iter().filter(|shard| shard.phase == "serving");
        let is_known = self.shard_count > 0 && self.behind.is_empty();
        is_known && served.count() == usize::from(self.shard_count)
    }

    /// Whether besides that each shard has as many complete copies as it should have, or more while one is moved.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        let complete = |shard: &ShardRow| {
            let members = shard.members.iter();
            members.filter(|m| m.complete == Some(true)).count()
        };
        let target = usize::from(self.copies);
        let mut shards = self.shards.iter();
        self.is_served() && shards.all(|shard| complete(shard) >= target)
    }

    /// How many processes there are for copies to stay in: of nodes that are not to go. Fewer than there should be copies: a drain cannot
    /// end before others are there.
    #[must_use]
    pub fn staying_processes(&self) -> usize {
        let stays = |node: &&NodeRow| node.state == "active" || node.state == "joining";
        let staying = self.nodes.iter().filter(stays);
        staying
            .map(|node| &node.process)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Whether besides that nothing is being moved.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let target = usize::from(self.copies);
        let mut shards = self.shards.iter();
        self.is_safe() && shards.all(|shard| shard.members.len() == target)
    }
}

fn node_row(agent: &Agent, node: NodeId, record: &NodeRecord, linked: bool) -> NodeRow {
    let shards = agent.map().shards().values();
    let holds = |record: &&ShardRecord| {
        let mut members = record.config.copies().members().iter();
        members.any(|m| m.node == node)
    };
    let held: Vec<&ShardRecord> = shards.filter(holds).collect();
    let led = held.iter().filter(|r| r.config.primary().node == node);
    NodeRow {
        node: node.0,
        life: format!("{:032x}", record.incarnation.0),
        state: state_name(record.state).into(),
        standing: standing_name(agent.standing(node)).into(),
        zone: record.zone.0,
        process: format!("{:016x}", record.process),
        client: record.addresses.client.clone(),
        forwarding: record.addresses.forwarding.clone(),
        peer: record.addresses.peer.clone(),
        admin: record.addresses.admin.clone(),
        primaries: led.count(),
        copies: held.len(),
        linked,
    }
}

fn shard_row(agent: &Agent, shard: ShardId, record: &ShardRecord) -> ShardRow {
    let config = &record.config;
    let reported = agent.reported(shard);
    let members = config.copies().members().iter().enumerate();
    let member = |(at, member): (usize, &Member)| {
        let present = agent.map().is_present(*member);
        MemberRow {
            node: member.node.0,
            present,
            // The primary may not have heard yet that this life is over.
            complete: reported.map(|status| present && status.complete & (1 << at) != 0),
        }
    };
    ShardRow {
        shard: shard.0,
        first_slot: record.first_slot,
        last_slot: record.last_slot,
        epoch: config.epoch(),
        phase: match config.phase() {
            Phase::Serving => "serving".into(),
            Phase::Recovering { .. } => "recovering".into(),
        },
        primary: config.primary().node.0,
        quorum: config.copies().write_quorum(),
        members: members.map(member).collect(),
        bytes: reported.map(|CopyStatus { bytes, .. }| bytes),
        writes_per_s: reported.map(|status| status.writes_per_s),
    }
}

fn loss_row(loss: &LossRecord) -> LossRow {
    LossRow {
        shard: loss.shard.0,
        epoch: loss.epoch,
        survivor: loss.survivor.node.0,
        relic: loss
            .missing
            .iter()
            .any(|(missing, _)| missing.node == loss.survivor.node),
        missing: loss.missing.iter().map(|(m, _)| m.node.0).collect(),
    }
}

/// The word for a node's state.
#[must_use]
pub fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Active => "active",
        NodeState::Draining => "draining",
        NodeState::Gone => "gone",
    }
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Well => "well",
        Standing::Accused => "accused",
        Standing::Convicted { .. } => "convicted",
        Standing::Returning { .. } => "returning",
    }
}
