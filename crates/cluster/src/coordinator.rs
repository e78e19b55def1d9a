//! The coordinator: compares what should be with what is, and says which records should change.
//!
//! A value that a node has only while it holds the role. It keeps nothing that matters: verdicts and reports are learned
//! again within a second by whoever comes next, everything else stands in the map. It never writes; it proposes, and the
//! [`crate::agent`] makes each proposal a transaction that compares the role's record and all that it was made from.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use model::{CopySet, Member, NodeId, Phase, ShardId, limits};

use crate::{
    balance,
    brake::{Brake, Braking},
    court::{Court, Standing},
    decide::{self, Decision, Reason},
    detector::Detector,
    keys::Place,
    map::ClusterMap,
    message::{CopyStatus, Report},
    record::{LossRecord, NodeRecord, NodeState, ShardRecord},
    reports::Reports,
    situation::Situation,
    timing::{BALANCE_MS, REPORT_MS},
};

pub use operate::{Command, Refusal};

mod behind;
mod create;
mod operate;
mod revive;

/// What the coordinator remembers.
#[derive(Clone, Debug, Default)]
pub struct Coordinator {
    brake: Brake,
    reports: Reports,
    /// Places with a transaction under way: nothing else is proposed for them.
    pending: BTreeSet<Place>,
    balanced_ms: u64,
    /// Since when too few members of a shard are left to prove what was acknowledged, as far as this coordinator knows: the next one
    /// waits anew.
    unproved: BTreeMap<ShardId, u64>,
    /// Since when copies of a shard are known to know later epochs than the map.
    behind: BTreeMap<ShardId, u64>,
    /// When it began.
    since_ms: u64,
    /// Until then the store may show what it has lost since: nodes have to say first what they know.
    doubts_until_ms: u64,
}

/// A record that should change, and why. The request is filled in by who makes it a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// A shard's configuration.
    Shard(ShardId, ShardRecord, Reason),
    /// The recovery of a shard of which too few members are left, with what it may lose.
    Revival(ShardId, ShardRecord, LossRecord, Reason),
    /// A node's state.
    Node(NodeId, NodeRecord),
    /// A node is to be forgotten.
    Forget(NodeId),
    /// What these recoveries of a shard may have lost is known: by their epochs.
    Acknowledgement(ShardId, Vec<u32>),
}

/// What the coordinator wants after a look around.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Records that should change, the most urgent first.
    pub proposals: Vec<Proposal>,
    /// Nodes that should be asked whether they are there.
    pub ask: Vec<NodeId>,
}

impl Proposal {
    /// The places that it changes.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        match self {
            Self::Shard(shard, ..) => alloc::vec![Place::Shard(*shard)],
            Self::Revival(shard, _, loss, _) => {
                alloc::vec![Place::Shard(*shard), Place::Loss(*shard, loss.epoch)]
            }
            Self::Node(node, _) | Self::Forget(node) => alloc::vec![Place::Node(*node)],
            Self::Acknowledgement(shard, epochs) => {
                let epochs = epochs.iter();
                epochs.map(|epoch| Place::Loss(*shard, *epoch)).collect()
            }
        }
    }

    /// Whether it changes a shard's primary because the old one is lost.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Shard(_, _, reason) => {
                matches!(reason, Reason::Failover | Reason::Reform | Reason::Behind)
            }
            Self::Revival(..) => true,
            Self::Node(..) | Self::Forget(_) | Self::Acknowledgement(..) => false,
        }
    }
}

impl Coordinator {
    /// A coordinator that starts now. It balances nothing before it has had time to hear everybody.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            balanced_ms: now_ms + BALANCE_MS,
            since_ms: now_ms,
            ..Self::default()
        }
    }

    /// The store has lost what it had, as this node knows.
    pub fn doubt(&mut self, until_ms: u64) {
        self.doubts_until_ms = self.doubts_until_ms.max(until_ms);
    }

    /// Whether the nodes have told what copies they have, as far as they are there: it may be later than what the map says.
    fn has_listened(&self, situation: &Situation<'_>) -> bool {
        let is_soon = situation.now_ms < self.since_ms + REPORT_MS;
        situation.now_ms >= self.doubts_until_ms && (!is_soon || first_unheard(situation).is_none())
    }

    /// This node stood still since then, or the store is back after an outage: what it has come to believe may be its own fault.
    pub fn distrust(&mut self, map: &ClusterMap, court: &Court, since_ms: u64, now_ms: u64) {
        self.brake
            .distrust(court, map.present().len(), since_ms, now_ms);
    }

    /// A node reports.
    pub fn hear(&mut self, report: &Report, now_ms: u64) {
        self.reports.hear(report, now_ms);
    }

    /// A transaction about these places is under way.
    pub fn begin(&mut self, places: &[Place]) {
        self.pending.extend(places);
    }

    /// It is over, and the map shows what became of it.
    pub fn end(&mut self, places: &[Place]) {
        for place in places {
            self.pending.remove(place);
        }
    }

    /// Since when a node is held to be dead.
    #[must_use]
    pub fn dead_since(&self, member: model::Member) -> Option<u64> {
        self.brake.dead_since(member.node, member.incarnation)
    }

    /// What the primary of this configuration reported lately.
    #[must_use]
    pub fn reported(
        &self,
        shard: ShardId,
        record: &ShardRecord,
        now_ms: u64,
    ) -> Option<CopyStatus> {
        self.reports.of_primary(shard, record, now_ms)
    }

    /// The shards of which copies know later epochs than the map.
    pub fn behind(&self) -> impl Iterator<Item = ShardId> {
        self.behind.keys().copied()
    }

    /// Those of them of which nobody reports anything but what earlier lives have left.
    pub fn behind_by_relics(&self, now_ms: u64) -> impl Iterator<Item = ShardId> {
        let has_relics_only = move |shard: &ShardId| {
            let mut copies = self.reports.fresh(*shard, now_ms);
            copies.all(|(_, status)| status.relic.is_some())
        };
        self.behind().filter(has_relics_only)
    }

    /// Whether the brake holds.
    #[must_use]
    pub const fn is_braked(&self) -> bool {
        self.brake.is_pulled()
    }

    /// Compares what should be with what is.
    pub fn reconcile(
        &mut self,
        map: &ClusterMap,
        court: &Court,
        detector: &Detector,
        me: NodeId,
        now_ms: u64,
    ) -> Wishes {
        let mut wishes = Wishes::default();
        if let Braking::Pulled(convicted) = self.brake.update(court, map.present().len(), now_ms) {
            wishes.ask = convicted;
        }
        for (&shard, record) in map.shards() {
            self.reports.note_unreachable(shard, record, now_ms);
        }
        let present = map.present();
        self.reports.forget(now_ms, present, |shard, member| {
            map.shards()
                .get(&shard)
                .is_some_and(|record| record.config.copies().contains(member))
        });
        if let Some(situation) = Situation::new(map, court, &self.brake, &self.reports, now_ms) {
            self.behind = behind::shards(&situation, &self.behind);
            self.unproved = unproved(&situation, &self.unproved, &self.behind);
            let is_known = self.behind.is_empty() && self.has_listened(&situation);
            wishes.proposals = node_states(&situation, detector, me, is_known);
            if self.has_listened(&situation) {
                wishes
                    .proposals
                    .extend(revivals(&situation, &self.unproved));
                wishes
                    .proposals
                    .extend(behind::go_on(&situation, &self.behind));
                let is_quiet = wishes.proposals.is_empty() && self.behind.is_empty();
                let may_balance = self.balanced_ms <= now_ms && is_quiet;
                let proposals = propose(&situation, may_balance, &self.behind);
                wishes.proposals.extend(proposals);
            }
        }
        wishes.proposals.retain(|proposal| {
            !proposal
                .places()
                .iter()
                .any(|place| self.pending.contains(place))
        });
        wishes
            .proposals
            .sort_by_key(|proposal| !proposal.is_urgent());
        if wishes
            .proposals
            .iter()
            .any(|p| matches!(p, Proposal::Shard(_, _, Reason::Grow | Reason::HandOver)))
        {
            self.balanced_ms = now_ms + BALANCE_MS;
        }
        wishes
    }

    /// What an operator's command asks for.
    pub fn operate(
        &self,
        command: Command,
        map: &ClusterMap,
        court: &Court,
        now_ms: u64,
    ) -> Result<Proposal, Refusal> {
        let situation = Situation::new(map, court, &self.brake, &self.reports, now_ms)
            .ok_or(Refusal::NotCreated)?;
        if let (Command::RecoverLongest(_), Some(node)) = (command, first_unheard(&situation)) {
            return Err(Refusal::NotHeard(node));
        }
        operate::propose(&situation, command)
    }
}

/// One that lives and has not said yet which copies it has. Nobody waits for one that is suspected: its shards may be waiting.
fn first_unheard(situation: &Situation<'_>) -> Option<NodeId> {
    let present = situation.map.present().iter();
    let well = present.filter(|(node, _)| situation.court.standing(**node) == Standing::Well);
    let mut members = well.map(|(&node, &incarnation)| Member { node, incarnation });
    let unheard = members.find(|member| !situation.reports.has_reported(*member))?;
    Some(unheard.node)
}

fn propose(
    situation: &Situation<'_>,
    may_balance: bool,
    behind: &BTreeMap<ShardId, u64>,
) -> Vec<Proposal> {
    let mut proposals: Vec<Proposal> = Vec::new();
    let shards = situation.map.shards();
    let mut budget = Budget::default();
    // What the map says of those is not so.
    for (&shard, record) in shards
        .iter()
        .filter(|(shard, _)| !behind.contains_key(shard))
    {
        if let Some(decision) = decide::decide(situation, shard, record)
            && budget.allows(situation, record, &decision)
        {
            proposals.push(shard_proposal(record, &decision));
        }
    }
    if shards.is_empty() && behind.is_empty() {
        proposals.extend(create::shards(situation));
    } else if proposals.is_empty() && may_balance && is_calm(situation) {
        let step = balance::next(situation);
        proposals.extend(step.map(|decision| shard_proposal(&shards[&decision.shard], &decision)));
    }
    proposals
}

/// The shards that cannot be proved, each since when.
fn unproved(
    situation: &Situation<'_>,
    before: &BTreeMap<ShardId, u64>,
    behind: &BTreeMap<ShardId, u64>,
) -> BTreeMap<ShardId, u64> {
    let shards = situation.map.shards().iter();
    let shards = shards.filter(|(shard, _)| !behind.contains_key(shard));
    let shards = shards.filter(|(_, record)| !situation.is_provable(record));
    let since = |shard: &ShardId| before.get(shard).copied().unwrap_or(situation.now_ms);
    shards.map(|(shard, _)| (*shard, since(shard))).collect()
}

fn revivals(situation: &Situation<'_>, unproved: &BTreeMap<ShardId, u64>) -> Vec<Proposal> {
    let revivals = unproved.iter().filter_map(|(&shard, since_ms)| {
        let record = &situation.map.shards()[&shard];
        revive::from_relics(situation, shard, record, situation.now_ms - since_ms)
    });
    revivals.collect()
}

fn shard_proposal(record: &ShardRecord, decision: &Decision) -> Proposal {
    let record = ShardRecord {
        config: decision.config,
        ..*record
    };
    Proposal::Shard(decision.shard, record, decision.reason)
}

/// Every shard serves with all of its members complete, and nobody is in doubt.
fn is_calm(situation: &Situation<'_>) -> bool {
    let mut shards = situation.map.shards().iter();
    let whole = |(shard, record): (&ShardId, &ShardRecord)| {
        let members = record.config.copies().members();
        let complete = members
            .iter()
            .all(|m| situation.is_complete(*shard, record, *m));
        record.config.phase() == Phase::Serving && complete
    };
    let mut present = situation.map.present().keys().copied();
    shards.all(whole) && present.all(|node| situation.court.standing(node) == Standing::Well)
}

/// Copies that decisions of one look around have given to nodes, which the situation does not show yet.
#[derive(Debug, Default)]
struct Budget {
    given: BTreeMap<NodeId, usize>,
}

impl Budget {
    /// Whether the members that this decision adds can be received and sent within the limits.
    fn allows(
        &mut self,
        situation: &Situation<'_>,
        before: &ShardRecord,
        decision: &Decision,
    ) -> bool {
        let old = before.config.copies();
        let new = decision
            .config
            .copies()
            .members()
            .iter()
            .filter(|m| !old.contains(**m));
        let new: Vec<NodeId> = new.map(|m| m.node).collect();
        let primary = decision.config.primary().node;
        // A shard that cannot serve without its new members does not wait for those that can.
        if new.is_empty() || decision.reason == Reason::Reform {
            return true;
        }
        let given = |node: NodeId| self.given.get(&node).copied().unwrap_or(0);
        let receives = |node: NodeId| {
            situation.burden(node).receiving + given(node) < limits::MAX_REPAIRS_PER_NODE
        };
        let sends =
            situation.burden(primary).sending + given(primary) < limits::MAX_REPAIRS_PER_NODE;
        if !sends || !new.iter().all(|&node| receives(node)) {
            return false;
        }
        for node in new.into_iter().chain([primary]) {
            *self.given.entry(node).or_default() += 1;
        }
        true
    }
}

/// `is_known`: the map knows who holds what.
fn node_states(
    situation: &Situation<'_>,
    detector: &Detector,
    me: NodeId,
    is_known: bool,
) -> Vec<Proposal> {
    let nodes = situation.map.nodes().iter();
    let changed = nodes.filter_map(|(&node, record)| {
        let heard =
            node == me || detector.hears(node) && situation.court.standing(node) == Standing::Well;
        let state = match record.state {
            NodeState::Joining if heard => NodeState::Active,
            NodeState::Draining if is_known && !holds_anything(situation, node) => NodeState::Gone,
            NodeState::Joining | NodeState::Active | NodeState::Draining | NodeState::Gone => {
                return None;
            }
        };
        Some(Proposal::Node(
            node,
            NodeRecord {
                state,
                ..record.clone()
            },
        ))
    });
    changed.collect()
}

/// Whether any life of this node is a member of any shard, or of a set that a shard still has to be recovered from.
fn holds_anything(situation: &Situation<'_>, node: NodeId) -> bool {
    let in_set = |set: &CopySet| set.members().iter().any(|m| m.node == node);
    let mut shards = situation.map.shards().values();
    shards.any(|record| {
        in_set(record.config.copies()) || Situation::source(record).is_some_and(|set| in_set(&set))
    })
}
