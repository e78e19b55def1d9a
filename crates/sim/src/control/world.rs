//! The world of one run: what happens next, until the faults are over and everything must be well.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use cluster::{
    Agent, AskId, Effect, Event, Identity, Input,
    coordinator::{Command, Refusal},
    message::{Copies, Message},
    metadata::{Ask, Revision},
    record::Addresses,
};
use model::{Incarnation, Member, NodeId, Now, ShardId, Zone};

use super::{
    data::Data,
    judge::Judge,
    network::Network,
    plan::ControlPlan,
    report::{Counts, Report},
    store::{Fate, SimStore},
};
use crate::random::Random;

mod asked;
mod faults;
mod finish;

/// How often a node's data plane takes a step, and a node looks around.
const STEP_US: u64 = 20_000;
const TICK_US: u64 = cluster::timing::TICK_MS * 1_000;

/// Everything of one run.
pub struct ControlWorld {
    plan: ControlPlan,
    trace: bool,
    pub(super) now_us: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Slot)>>,
    happenings: BTreeMap<u64, Happening>,
    sequence: u64,
    pub(super) nodes: Vec<Node>,
    network: Network,
    pub(super) store: SimStore,
    store_paused: bool,
    watches: Vec<Watch>,
    data: Data,
    judge: Judge,
    random: Random,
    faults_random: Random,
    report: Report,
    operated: BTreeMap<u64, Result<(), Refusal>>,
    commands: u64,
}

/// Orders events of one time; the event itself is beside the queue.
type Slot = u64;

pub(super) struct Node {
    pub(super) member: Member,
    pub(super) agent: Option<Agent>,
    pub(super) paused: bool,
    /// What arrived while it was paused.
    held: Vec<Happening>,
    /// When it last could not do its work, and so may rightly have been held to be dead.
    pub(super) unwell_us: u64,
    lives: u32,
}

#[derive(Clone, Debug)]
enum Happening {
    Tick(u32),
    Step(u32),
    Input(u32, Incarnation, Input),
    Asked(u32, Incarnation, AskId, Ask),
    Pump(usize),
    Fault,
    Restart(u32),
    Resume(u32),
    Heal,
    StoreUp,
    StoreResumed,
}

struct Watch {
    node: u32,
    life: Incarnation,
    ask: AskId,
    told: Revision,
    restarts: u64,
    over: bool,
}

impl ControlWorld {
    /// The world that this plan describes, before anything has happened.
    #[must_use]
    pub fn new(plan: ControlPlan, trace: bool) -> Self {
        let mut world = Self {
            plan,
            trace,
            now_us: 1_000_000,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            nodes: Vec::new(),
            network: Network::new(plan.seed, plan.delay_us),
            store: SimStore::default(),
            store_paused: false,
            watches: Vec::new(),
            data: Data::default(),
            judge: Judge::default(),
            random: Random::new(plan.seed, "world"),
            faults_random: Random::new(plan.seed, "faults"),
            report: Report::default(),
            operated: BTreeMap::new(),
            commands: 0,
        };
        for node in 0..plan.nodes {
            let member = Member {
                node: NodeId(node),
                incarnation: Incarnation(0),
            };
            world.nodes.push(Node {
                member,
                agent: None,
                paused: false,
                held: Vec::new(),
                unwell_us: 0,
                lives: 0,
            });
            let start_us = world.random.below(400_000);
            world.after(start_us, Happening::Restart(node));
        }
        world
    }

    fn after(&mut self, delay_us: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((
            self.now_us + delay_us,
            self.sequence,
            self.sequence,
        )));
        self.happenings.insert(self.sequence, happening);
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Report {
        let outcome = self.live_through_it();
        self.report.simulated_ms = self.now_us / 1_000;
        if let Err(wrong) = outcome {
            for shard in self.judge.map().shards().keys() {
                self.trace(|| format!("{shard:?}: {}", self.data.describe(*shard)));
            }
            self.report.failure = Some((self.now_us / 1_000, wrong));
        }
        self.report
    }

    fn live_through_it(&mut self) -> Result<(), String> {
        self.run_for(3_000)?;
        self.after(0, Happening::Fault);
        self.run_for(self.plan.faulty_ms)?;
        self.finish()
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, for_ms: u64) -> Result<(), String> {
        let until_us = self.now_us + for_ms * 1_000;
        while let Some(&Reverse((at_us, _, slot))) = self.queue.peek() {
            if at_us > until_us {
                break;
            }
            self.queue.pop();
            self.now_us = at_us;
            let happening = self.happenings.remove(&slot).expect("it was queued");
            self.happen(happening)?;
        }
        self.now_us = until_us;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Tick(node) => {
                self.after(TICK_US, Happening::Tick(node));
                self.input(node, Input::Tick)
            }
            Happening::Step(node) => {
                self.after(STEP_US, Happening::Step(node));
                self.step_data(node)
            }
            Happening::Input(node, life, input) => self.deliver(node, life, input),
            Happening::Asked(node, life, ask, question) => self.on_asked(node, life, ask, question),
            Happening::Pump(watch) => {
                self.pump(watch);
                Ok(())
            }
            Happening::Restart(node) => {
                self.start(node);
                Ok(())
            }
            Happening::Resume(node) => self.resume(node),
            Happening::Fault | Happening::Heal | Happening::StoreUp | Happening::StoreResumed => {
                self.fault(&happening)
            }
        }
    }

    fn deliver(&mut self, node: u32, life: Incarnation, input: Input) -> Result<(), String> {
        let target = &mut self.nodes[node as usize];
        if target.member.incarnation != life || target.agent.is_none() {
            return Ok(());
        }
        if target.paused {
            target.held.push(Happening::Input(node, life, input));
            return Ok(());
        }
        self.input(node, input)
    }

    /// Hands an agent its input and does what it asks for.
    pub(super) fn input(&mut self, node: u32, input: Input) -> Result<(), String> {
        let now = Now {
            unix_ms: self.now_us / 1_000,
            mono_us: self.now_us,
        };
        let target = &mut self.nodes[node as usize];
        let Some(agent) = target.agent.as_mut().filter(|_| !target.paused) else {
            return Ok(());
        };
        let mut effects = Vec::new();
        agent.handle(now, input, &mut effects);
        for effect in effects {
            self.effect(node, effect)?;
        }
        Ok(())
    }

    fn effect(&mut self, node: u32, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Send(to, message) => {
                self.send(node, to.0, &message);
                Ok(())
            }
            Effect::Ask(ask, question) => {
                let life = self.nodes[node as usize].member.incarnation;
                if let Some(delay_us) = self.network.store_delay_us(node) {
                    self.after(delay_us, Happening::Asked(node, life, ask, question));
                }
                Ok(())
            }
            Effect::Links(_) | Effect::ShardChanged(_) => Ok(()),
            Effect::Event(event) => self.on_event(node, event),
            Effect::Operated(number, result) => {
                self.trace(|| format!("node {node} answers the operator: {result:?}"));
                self.operated.insert(number, result);
                Ok(())
            }
        }
    }

    fn send(&mut self, from: u32, to: u32, message: &Message) {
        if to as usize >= self.nodes.len() {
            return;
        }
        if let Some(delay_us) = self.network.delay_us(from, to) {
            // Through the bytes, as on a real link.
            let message =
                Message::decode(&message.encode()).expect("what an agent sends can be read");
            let life = self.nodes[to as usize].member.incarnation;
            self.after(
                delay_us,
                Happening::Input(to, life, Input::Message(NodeId(from), message)),
            );
        }
    }

    fn on_event(&mut self, node: u32, event: Event) -> Result<(), String> {
        self.trace(|| format!("node {node}: {event:?}"));
        let counts = &mut self.report.counts;
        match event {
            Event::TookRole { .. } => counts.terms += 1,
            Event::Braked => counts.braked += 1,
            Event::StoodStill { .. } => counts.stood_still += 1,
            Event::Decided { shard, reason, .. } => {
                counts.reasons[reason as usize] += 1;
                return self.judge_failover(shard, reason);
            }
            Event::LostRole
            | Event::WentBack
            | Event::Acknowledged { .. }
            | Event::Convicted(_)
            | Event::Full
            | Event::Superseded => {}
        }
        Ok(())
    }

    /// Without faults that deceive, nobody who is well loses a shard.
    fn judge_failover(
        &self,
        shard: ShardId,
        reason: cluster::decide::Reason,
    ) -> Result<(), String> {
        if reason != cluster::decide::Reason::Failover || self.plan.faults.can_deceive() {
            return Ok(());
        }
        let Some(record) = self.judge.map().shards().get(&shard) else {
            return Ok(());
        };
        let primary = record.config.primary();
        let node = &self.nodes[primary.node.0 as usize];
        let well = node.member == primary
            && node.agent.is_some()
            && !node.paused
            && node.unwell_us + 12_000_000 < self.now_us;
        if well {
            Err(format!(
                "{shard:?} is taken from {primary:?}, which is well"
            ))
        } else {
            Ok(())
        }
    }

    /// The data plane of one node: every shard that it leads or has a copy of, as its own map says.
    fn step_data(&mut self, node: u32) -> Result<(), String> {
        let me = self.nodes[node as usize].member;
        let Some(agent) = self.nodes[node as usize]
            .agent
            .as_ref()
            .filter(|_| !self.nodes[node as usize].paused)
        else {
            return Ok(());
        };
        let shards: Vec<_> = agent.map().shards().iter().map(|(s, r)| (*s, *r)).collect();
        let up: Vec<Member> = self
            .nodes
            .iter()
            .filter(|n| n.agent.is_some() && !n.paused)
            .map(|n| n.member)
            .collect();
        let network = &self.network;
        let reaches = |other: Member| {
            let ways = network.reaches(me.node.0, other.node.0)
                && network.reaches(other.node.0, me.node.0);
            up.contains(&other) && ways
        };
        let (mut statuses, mut recovered) = (Vec::new(), Vec::new());
        for (shard, record) in &shards {
            if record.config.primary() == me
                && let Some(log) = self.data.step(*shard, record, me, &reaches)
            {
                recovered.push((*shard, record.config.epoch(), log));
            }
            statuses.extend(self.data.status(*shard, record, me, &reaches));
        }
        let is_all = true;
        self.input(node, Input::Copies(Copies { statuses, is_all }))?;
        for (shard, epoch, log) in recovered {
            self.judge_log(shard, epoch, log)?;
            self.input(node, Input::Recovered(shard, epoch))?;
        }
        Ok(())
    }

    /// A new primary has everything that was ever acknowledged, unless an operator gave it up.
    fn judge_log(&mut self, shard: ShardId, epoch: u32, log: u64) -> Result<(), String> {
        let acked = self.data.acked.get(&shard).copied().unwrap_or(0);
        let current = self
            .judge
            .map()
            .shards()
            .get(&shard)
            .is_some_and(|record| record.config.epoch() == epoch);
        if !current || log >= acked {
            return Ok(());
        }
        let forced = self
            .judge
            .map()
            .losses()
            .range((shard, 0)..=(shard, epoch))
            .next_back();
        if forced.is_some() {
            self.data.acked.insert(shard, log);
            return Ok(());
        }
        Err(format!(
            "{shard:?} in epoch {epoch} goes on from {log}, but {acked} was acknowledged"
        ))
    }

    pub(super) fn start(&mut self, node: u32) {
        if self.nodes[node as usize].agent.is_some() {
            return;
        }
        let target = &mut self.nodes[node as usize];
        target.lives += 1;
        target.member.incarnation =
            Incarnation(u128::from(node + 1) << 96 | u128::from(target.lives) << 64);
        target.unwell_us = self.now_us;
        let process = u64::from(node / self.plan.nodes_per_process);
        let identity = Identity {
            me: target.member,
            process,
            zone: Zone((process % u64::from(self.plan.zones)) as u16),
            addresses: Addresses::default(),
            settings: self.plan.settings,
        };
        let now = Now {
            unix_ms: self.now_us / 1_000,
            mono_us: self.now_us,
        };
        target.agent = Some(Agent::new(identity, now));
        if target.lives == 1 {
            let phase_us = self.random.below(TICK_US);
            self.after(phase_us, Happening::Tick(node));
            self.after(phase_us, Happening::Step(node));
        }
        self.trace(|| format!("node {node} starts"));
    }

    /// The node's process ends; its peers' links are reset.
    pub fn kill(&mut self, node: u32) {
        if self.nodes[node as usize].agent.take().is_none() {
            return;
        }
        self.trace(|| format!("node {node} is killed"));
        let target = &mut self.nodes[node as usize];
        target.paused = false;
        target.held.clear();
        target.unwell_us = self.now_us;
        let member = target.member;
        self.data.forget(member);
        self.tell_reset(node);
    }

    /// The links of a process that ended are reset, where the network lets that through.
    fn tell_reset(&mut self, node: u32) {
        for peer in 0..self.plan.nodes {
            if peer != node
                && let Some(delay_us) = self.network.delay_us(node, peer)
            {
                let life = self.nodes[peer as usize].member.incarnation;
                self.after(
                    delay_us,
                    Happening::Input(peer, life, Input::Reset(NodeId(node))),
                );
            }
        }
    }

    /// The node's process is stopped: it does nothing, and what is sent to it waits.
    pub fn pause(&mut self, node: u32) {
        self.trace(|| format!("node {node} is stopped"));
        let target = &mut self.nodes[node as usize];
        target.paused = target.agent.is_some();
        target.unwell_us = self.now_us;
    }

    /// It goes on, and finds all that waits at once.
    pub fn resume(&mut self, node: u32) -> Result<(), String> {
        let target = &mut self.nodes[node as usize];
        if !target.paused {
            return Ok(());
        }
        target.paused = false;
        target.unwell_us = self.now_us;
        let held = std::mem::take(&mut target.held);
        self.trace(|| format!("node {node} goes on"));
        // The loop may find its timer or its sockets first.
        if self.random.chance(5_000) {
            self.input(node, Input::Tick)?;
        }
        for happening in held {
            self.happen(happening)?;
        }
        Ok(())
    }

    /// The map as the store has it.
    #[must_use]
    pub fn map(&self) -> &cluster::map::ClusterMap {
        self.judge.map()
    }

    /// The time, in milliseconds.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.report.counts
    }

    pub(super) fn set_fate(&mut self, fate: Fate) {
        self.store.push_fate(fate);
    }

    /// The node that leads, as the store has it, if it is there.
    #[must_use]
    pub fn leader(&self) -> Option<u32> {
        let holder = self.judge.map().role()?.holder;
        let node = self.nodes.get(holder.node.0 as usize)?;
        (node.member == holder && node.agent.is_some()).then_some(holder.node.0)
    }

    /// Gives the leader an operator's command; the number that its answer will carry.
    pub fn command(&mut self, command: Command) -> Result<Option<u64>, String> {
        let Some(leader) = self.leader() else {
            return Ok(None);
        };
        self.commands += 1;
        let number = self.commands;
        self.trace(|| format!("operator to node {leader}: {command:?}"));
        self.input(leader, Input::Operate(number, command))?;
        Ok(Some(number))
    }

    /// The answer to a command.
    #[must_use]
    pub fn answer_to(&self, number: u64) -> Option<Result<(), Refusal>> {
        self.operated.get(&number).copied()
    }

    #[allow(clippy::print_stdout, reason = "it is asked for on the command line")]
    fn trace(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9.3} {}", self.now_us as f64 / 1e6, what());
        }
    }
}
