//! One node's part in the cluster: everything of this crate, wired together.
//!
//! ```text
//!   ticks, messages, resets ──► detector ──► court ──► takes the role? ──┐
//!   answers of the store ─────► map ──► links                            ├──► transactions
//!   copies, recovered shards ─► reports ──► coordinator, if it is one ───┘
//!   commands ─────────────────────────────────┘
//! ```
//!
//! [`Agent::handle`] takes one input and appends what should be done to the effects. The shell carries them out in order, and calls
//! with [`Input::Tick`] every [`crate::timing::TICK_MS`].

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{Member, NodeId, Now, ShardId, Zone, limits};

use crate::{
    coordinator::{Command, Coordinator, Refusal},
    court::{Court, Evidence, Standing, Statement},
    decide::Reason,
    detector::Detector,
    keys::Place,
    links::{self, Links},
    map::ClusterMap,
    message::{Copies, CopyStatus, Heartbeat, Message, Report},
    metadata::{Answer, Ask},
    record::{Addresses, NodeRecord, Settings},
    timing::{BRAKE_MS, CALLER_MS, HEARTBEAT_MS, REPORT_MS},
};

mod asks;
mod lead;
mod leave;
mod publish;
mod role;
mod store;

/// Names one question to the metadata store; its answers carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// Who this node is, and what it creates if there is nothing yet.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node, in this life.
    pub me: Member,
    /// Nodes with the same number die together.
    pub process: u64,
    /// What else it shares a fate with.
    pub zone: Zone,
    /// Where it can be reached.
    pub addresses: Addresses,
    /// The settings of a cluster that does not exist yet.
    pub settings: Settings,
}

impl Identity {
    /// Whether the record says all of this. What is not said is not known: zones and processes are what copies are kept apart by.
    fn is_shown_by(&self, record: &NodeRecord) -> bool {
        let is_there = record.process == self.process && record.zone == self.zone;
        record.incarnation == self.me.incarnation && record.addresses == self.addresses && is_there
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A message came on the link with this node.
    Message(NodeId, Message),
    /// Something whole came on the link with this member, whatever it was, at this time (microseconds of the monotonic clock): it lives.
    /// Heartbeats alone would not do, as they may stand in line behind a snapshot.
    Heard(Member, u64),
    /// The link with this node was reset or closed by the other side.
    Reset(NodeId),
    /// The metadata store says something about this question.
    Answered(AskId, Answer),
    /// The state of all of this node's copies, now.
    Copies(Copies),
    /// This node, as its primary, has recovered the shard in this epoch: a write quorum has everything.
    Recovered(ShardId, u32),
    /// An operator's command, with a number for its answer.
    Operate(u64, Command),
    /// This node is about to end: others shall lead what it leads.
    Leave,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this, if there is a link.
    Send(NodeId, Message),
    /// Ask the metadata store.
    Ask(AskId, Ask),
    /// Keep links with exactly these.
    Links(BTreeSet<NodeId>),
    /// The shard's record in [`Agent::map`] is another now.
    ShardChanged(ShardId),
    /// For the log and the console.
    Event(Event),
    /// The answer to a command.
    Operated(u64, Result<(), Refusal>),
}

/// What an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node coordinates now.
    TookRole {
        /// The term.
        term: u64,
    },
    /// It does not any more.
    LostRole,
    /// It holds another to be dead.
    Convicted(NodeId),
    /// The coordinator holds back.
    Braked,
    /// The coordinator proposed a configuration.
    Decided {
        /// For which shard.
        shard: ShardId,
        /// Its number.
        epoch: u32,
        /// Why.
        reason: Reason,
    },
    /// An operator has seen what a recovery may have lost: the map does not say so any more.
    Acknowledged {
        /// Of which shard.
        shard: ShardId,
        /// In which epoch.
        epoch: u32,
    },
    /// The node itself stood still for so long.
    StoodStill {
        /// In milliseconds.
        for_ms: u64,
    },
    /// There is no room in the map for one more node.
    Full,
    /// Another process has taken this node's number.
    Superseded,
    /// The metadata store has lost what it had: what it shows is of an earlier time, or nothing.
    WentBack,
}

/// One node's part in the cluster.
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    now_ms: u64,
    store: store::Store,
    claim: store::Claim,
    map: ClusterMap,
    links: Links,
    /// Whether the map has changed since the links were worked out.
    links_stale: bool,
    /// Those who sent a heartbeat lately. Whoever has a newer map may count on a link that this node does not know of: he
    /// is answered, or he would take ignorance for silence.
    callers: BTreeMap<NodeId, u64>,
    detector: Detector,
    court: Court,
    /// Those whom this node's court holds to be dead, as last told.
    convicted: BTreeSet<NodeId>,
    role: role::Succession,
    coordinator: Option<Coordinator>,
    /// Until then whoever coordinates doubts what the store shows, as it has lost what it had.
    doubts_until_ms: u64,
    publisher: publish::Publisher,
    copies: Copies,
    is_leaving: bool,
    heartbeat_ms: u64,
    report_ms: u64,
    reported_to: Option<Member>,
    reconcile_ms: u64,
}

impl Agent {
    /// An agent that starts now. `Incarnation`s are chosen by the shell; nothing else here needs chance.
    #[must_use]
    pub fn new(identity: Identity, now: Now) -> Self {
        let now_ms = now.mono_us / 1_000;
        Self {
            store: store::Store::new(identity.me),
            claim: store::Claim::default(),
            identity,
            now_ms,
            map: ClusterMap::default(),
            links: Links::new(),
            links_stale: false,
            callers: BTreeMap::new(),
            detector: Detector::new(now_ms),
            court: Court::default(),
            convicted: BTreeSet::new(),
            role: role::Succession::default(),
            coordinator: None,
            doubts_until_ms: 0,
            publisher: publish::Publisher::default(),
            copies: Copies::default(),
            is_leaving: false,
            heartbeat_ms: now_ms,
            report_ms: now_ms,
            reported_to: None,
            reconcile_ms: now_ms,
        }
    }

    /// What this node knows of the cluster.
    #[must_use]
    pub const fn map(&self) -> &ClusterMap {
        &self.map
    }

    /// Who this is.
    #[must_use]
    pub const fn me(&self) -> Member {
        self.identity.me
    }

    /// The term in which this node coordinates, if it does.
    #[must_use]
    pub fn leads(&self) -> Option<u64> {
        self.coordinator.as_ref()?;
        self.map.role().map(|role| role.term)
    }

    /// Where a node stands before this node's court.
    #[must_use]
    pub fn standing(&self, node: NodeId) -> Standing {
        self.court.standing(node)
    }

    /// Whether a node has said that it is about to end.
    #[must_use]
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.court.is_leaving(node)
    }

    /// Whether the metadata store answers, as far as this node has asked it anything.
    #[must_use]
    pub fn store_answers(&self) -> bool {
        self.store.answers()
    }

    /// Whom this node cannot hear, of those that it listens to.
    #[must_use]
    pub fn suspects(&self) -> Vec<NodeId> {
        self.detector.suspects().map(|(node, _)| node).collect()
    }

    /// How a shard's copies are, as their primary told this node lately; `None` unless this node coordinates and was told.
    #[must_use]
    pub fn reported(&self, shard: ShardId) -> Option<CopyStatus> {
        let record = self.map.shards().get(&shard)?;
        self.coordinator
            .as_ref()?
            .reported(shard, record, self.now_ms)
    }

    /// The shards of which copies know later epochs than the map; none, unless this node coordinates.
    pub fn behind(&self) -> impl Iterator<Item = ShardId> {
        let coordinator = self.coordinator.iter();
        coordinator.flat_map(Coordinator::behind)
    }

    /// Those of them of which nobody reports anything but relics: they wait for an operator.
    pub fn behind_by_relics(&self) -> impl Iterator<Item = ShardId> {
        let coordinator = self.coordinator.iter();
        coordinator.flat_map(|coordinator| coordinator.behind_by_relics(self.now_ms))
    }

    /// Takes one input in.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        self.now_ms = self.now_ms.max(now.mono_us / 1_000);
        match input {
            Input::Tick => self.on_tick(out),
            Input::Message(from, message) => self.on_message(from, message, out),
            Input::Heard(member, at_us) => {
                if self.map.is_present(member) {
                    let Member { node, incarnation } = member;
                    self.detector.hear(node, incarnation, at_us / 1_000);
                }
            }
            Input::Reset(node) => {
                self.detector.on_reset(node, self.now_ms);
                self.after_opinions(out);
            }
            Input::Answered(ask, answer) => self.on_answer(ask, answer, out),
            Input::Copies(copies) => self.copies = copies,
            Input::Recovered(shard, epoch) => {
                self.publisher.recovered(shard, epoch);
                self.publish(out);
            }
            Input::Operate(number, command) => self.operate(number, command, out),
            Input::Leave => self.leave(out),
        }
    }

    fn on_tick(&mut self, out: &mut Vec<Effect>) {
        let for_ms = self.detector.tick(self.now_ms);
        if for_ms > 0 {
            self.court.adjourn();
            self.distrust_myself(self.now_ms - for_ms);
            out.push(Effect::Event(Event::StoodStill { for_ms }));
        }
        self.tend_store(out);
        self.relink(out);
        self.after_opinions(out);
        self.succeed_or_lead(out);
        self.publish(out);
        if self.now_ms >= self.heartbeat_ms {
            self.beat(out);
        }
        // Whoever has just taken the role waits for it.
        let is_new = self.reported_to != self.map.role().map(|role| role.holder);
        if is_new || self.now_ms >= self.report_ms {
            self.report(out);
        }
    }

    fn distrust_myself(&mut self, since_ms: u64) {
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.distrust(&self.map, &self.court, since_ms, self.now_ms);
        }
    }

    fn succeed_or_lead(&mut self, out: &mut Vec<Effect>) {
        if self.coordinator.is_some() {
            if self.now_ms >= self.reconcile_ms {
                self.lead(out);
            }
        } else {
            self.consider_role(out);
        }
    }

    /// New opinions, of this node or of others: holds court, and tells the others at once what is new.
    fn after_opinions(&mut self, out: &mut Vec<Effect>) {
        let evidence = Evidence {
            me: self.identity.me.node,
            detector: &self.detector,
            links: &self.links,
            nodes: self.map.present(),
        };
        self.court.judge(evidence, self.now_ms);
        let court = &self.court;
        self.convicted.retain(|node| court.has_convicted(*node));
        for (node, ..) in self.court.convicted() {
            if self.convicted.insert(node) {
                out.push(Effect::Event(Event::Convicted(node)));
                // Something follows from this: do not wait for the next round.
                self.reconcile_ms = self.now_ms;
            }
        }
        if self.role.has_new_suspects(&self.detector) {
            self.beat(out);
        }
    }

    /// Tells every peer that this node lives, and whom it cannot hear.
    fn beat(&mut self, out: &mut Vec<Effect>) {
        self.heartbeat_ms = self.now_ms + HEARTBEAT_MS;
        let heartbeat = self.heartbeat(false);
        let now_ms = self.now_ms;
        self.callers
            .retain(|_, called_ms| now_ms < *called_ms + CALLER_MS);
        let linked = self.links.get(&self.identity.me.node).into_iter().flatten();
        let all: BTreeSet<NodeId> = linked.chain(self.callers.keys()).copied().collect();
        for peer in all {
            out.push(Effect::Send(peer, Message::Heartbeat(heartbeat.clone())));
        }
    }

    fn heartbeat(&self, is_answer: bool) -> Heartbeat {
        let mut suspects: Vec<_> = self.detector.suspects().collect();
        let suspect_count = suspects.len() as u16;
        suspects.truncate(limits::MAX_SUSPECTS);
        Heartbeat {
            from: self.identity.me,
            term: self.map.term(),
            map: self.map.digest(),
            store_answers: self.store.answers(),
            is_answer,
            is_leaving: self.is_leaving,
            listens_to: self.detector.peers() as u16,
            suspect_count,
            suspects,
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, out: &mut Vec<Effect>) {
        if let Message::Heartbeat(heartbeat) = &message {
            self.note_term(heartbeat.term);
        }
        let sender = message.from();
        // Whoever has another life than the map says is either forgotten or not known yet.
        if sender.node != from || !self.map.is_present(sender) {
            return;
        }
        match message {
            Message::Heartbeat(heartbeat) => self.on_heartbeat(heartbeat, out),
            Message::Report(report) => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.hear(&report, self.now_ms);
                }
            }
            Message::Question(_) => {
                let answer = Message::Heartbeat(self.heartbeat(true));
                out.push(Effect::Send(from, answer));
            }
        }
    }

    fn on_heartbeat(&mut self, heartbeat: Heartbeat, out: &mut Vec<Effect>) {
        let Member { node, incarnation } = heartbeat.from;
        self.detector.hear(node, incarnation, self.now_ms);
        self.callers.insert(node, self.now_ms);
        if heartbeat.is_answer {
            self.court.exonerate(node, self.now_ms + BRAKE_MS);
        }
        self.court.note_leaving(node, heartbeat.is_leaving);
        self.hear_coordinator(&heartbeat);
        let has_suspects = !heartbeat.suspects.is_empty();
        let statement = Statement {
            at_ms: self.now_ms,
            listens_to: heartbeat.listens_to,
            suspect_count: heartbeat.suspect_count,
            suspects: heartbeat.suspects,
        };
        self.court.hear(node, statement);
        if has_suspects {
            self.after_opinions(out);
            self.succeed_or_lead(out);
        }
    }

    /// The links that the map asks for, when it has changed.
    fn relink(&mut self, out: &mut Vec<Effect>) {
        if !core::mem::take(&mut self.links_stale) {
            return;
        }
        self.links = links::of(&self.map);
        let present = self.map.present();
        let mine = self.links.get(&self.identity.me.node);
        let mine = mine.filter(|_| !self.claim.is_superseded());
        let mine: BTreeSet<NodeId> = mine.cloned().unwrap_or_default();
        let peers = mine.iter().map(|node| (*node, present[node])).collect();
        self.detector.set_peers(&peers, self.now_ms);
        out.push(Effect::Links(mine));
    }

    /// Tells the coordinator how this node's copies are.
    fn report(&mut self, out: &mut Vec<Effect>) {
        self.report_ms = self.now_ms + REPORT_MS;
        self.reported_to = self.map.role().map(|role| role.holder);
        let Some(role) = self.map.role() else {
            return;
        };
        let from = self.identity.me;
        let statuses = &self.copies.statuses;
        let mut parts: Vec<_> = statuses.chunks(limits::MAX_REPORTED_COPIES).collect();
        if parts.is_empty() {
            // That it has none may be what the coordinator waits for.
            parts.push(&[]);
        }
        let last = parts.len() - 1;
        for (at, part) in parts.into_iter().enumerate() {
            let report = Report {
                from,
                copies: part.to_vec(),
                is_all: self.copies.is_all && at == last,
            };
            match &mut self.coordinator {
                Some(coordinator) => coordinator.hear(&report, self.now_ms),
                None => out.push(Effect::Send(role.holder.node, Message::Report(report))),
            }
        }
    }

    /// The map has changed at these places.
    fn after_map(&mut self, places: &[Place], out: &mut Vec<Effect>) {
        if places.is_empty() {
            return;
        }
        for place in places {
            match place {
                Place::Shard(shard) => out.push(Effect::ShardChanged(*shard)),
                Place::Cluster | Place::Coordinator | Place::Node(_) | Place::Loss(..) => {}
            }
        }
        self.links_stale = true;
        self.role.map_changed(self.now_ms);
        self.after_role_change(out);
    }
}

#[cfg(test)]
mod tests;
