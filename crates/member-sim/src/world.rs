//! The world of one run: what happens next, until the faults are over and everything must be well.

mod clients;
mod faults;
mod finish;
mod glue;
mod led;
mod losses;
mod plots;
mod queue;
mod scenes;

use cluster::AskId;
use cluster::agent;
use cluster::metadata::{Answer, Ask};
use model::{Member, NodeId, Now, ShardId};
use replica::Standing;
use sim::disk::Crash;
use sim::random::Random;
use sim::trace::Trace;

use crate::client::Client;
use crate::host::{Host, Line, Started};
use crate::judge::{Blackout, Slack, judge};
use crate::network::Links;
use crate::plan::Plan;
use crate::rare::{Counts, Rare};
use crate::record::Operation;
use crate::service::Service;
use crate::{Options, Report};
use faults::Heal;
use led::Led;
use plots::Step;
use queue::Queue;

/// How long a cluster may take to begin, in microseconds.
const BEGIN_US: u64 = 20_000_000;
/// How often it is looked at, in microseconds.
const LOOK_US: u64 = 50_000;
/// What a watch tells takes as long each time, so that it stays in order.
const WATCH_US: u64 = 500;

/// Where only what a copy is matters, and not whether it has its quorum at some time.
const TIMELESS: Now = Now {
    unix_ms: 0,
    mono_us: 0,
};

/// What a message between nodes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Agent,
    Replica,
}

/// Something that happens at a time.
#[derive(Debug)]
enum Event {
    /// A node's loop turns.
    Turn(u32),
    /// Its disk has done something.
    Disk(u32),
    /// Something reaches a process.
    To(u32, u64, Arrival),
    /// A question reaches the metadata store.
    Asked(Member, u64, AskId, Ask),
    /// The metadata store tells a node what its watch has seen.
    Tell(u32),
    /// A client thinks of something.
    Think(usize),
    /// Bytes reach a client.
    Told(Line, Vec<u8>),
    /// A client's connection is over.
    Hangup(Line),
    /// A client looks at how long it has waited.
    Patience(usize),
    /// A fault strikes.
    Fault,
    /// One is over.
    Heal(Heal),
    /// A plot goes on.
    Plot(Step),
}

/// Something that reaches a process.
#[derive(Debug)]
pub(crate) enum Arrival {
    Message(Member, Kind, Vec<u8>),
    Reset(NodeId),
    Answered(AskId, Answer),
    Connect(Line),
    Bytes(Line, Vec<u8>),
    Hangup(Line),
    Leave,
}

/// See the module.
pub struct World {
    plan: Plan,
    options: Options,
    now_us: u64,
    steps: u64,
    queue: Queue,
    hosts: Vec<Host>,
    links: Links,
    service: Service,
    clients: Vec<Client>,
    operations: Vec<Operation>,
    blackouts: Vec<Blackout>,
    led: Led,
    random: Random,
    faults: Random,
    losses: Random,
    trace: Trace,
    counts: Counts,
    /// The least and the most that any wall clock has been ahead, in milliseconds.
    ahead_ms: (i64, i64),
    /// An operator's commands so far.
    commands: u64,
    healed_us: u64,
    /// When the faults are over.
    faulty_until_us: u64,
    /// That is later than the plan says, for the sake of a plot.
    is_longer: bool,
    /// Whoever is to recover a shard next is cut off while it does: see [`plots`].
    is_torn: bool,
    /// No fault strikes any more.
    is_calm: bool,
}

impl World {
    /// The world that this plan describes, before anything has happened.
    #[must_use]
    pub fn new(plan: Plan, options: Options) -> Self {
        let seed = plan.seed;
        let hosts: Vec<Host> = (0..plan.nodes).map(|n| Host::new(&plan, n)).collect();
        let ahead = hosts.iter().map(|host| host.clock.ahead_ms());
        let least = ahead.clone().min().unwrap_or(0);
        let mut trace = Trace::new(options.trace);
        trace.from_turn = options.trace_from;
        let mut world = Self {
            now_us: 1_000_000,
            steps: 0,
            queue: Queue::default(),
            ahead_ms: (least, ahead.max().unwrap_or(0)),
            links: Links::new(seed, plan.delay_us, plan.wild),
            service: Service::default(),
            clients: (0..plan.clients).map(|n| Client::new(&plan, n)).collect(),
            operations: Vec::new(),
            blackouts: Vec::new(),
            led: Led::default(),
            random: Random::new(seed, "world"),
            faults: Random::new(seed, "faults"),
            losses: Random::new(seed, "losses"),
            trace,
            counts: Counts::default(),
            commands: 0,
            healed_us: 0,
            faulty_until_us: 0,
            is_longer: false,
            is_torn: false,
            is_calm: true,
            hosts,
            plan,
            options,
        };
        for host in 0..world.plan.nodes {
            let start_us = world.random.below(50_000);
            world.after(start_us, Event::Heal(Heal::Start(host)));
        }
        world
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(mut self) -> Report {
        let failure = match self.live_through_it() {
            Err(wrong) if !self.is_over() => {
                let described = self.described();
                self.trace.line(|| described);
                Some((self.steps, wrong))
            }
            Err(_) | Ok(()) => None,
        };
        self.count_disks();
        Report {
            digest: self.trace.digest(),
            steps: self.steps,
            answered: self.operations.len() as u64,
            simulated_us: self.now_us,
            healed_us: self.healed_us,
            counts: self.counts,
            failure,
        }
    }

    fn live_through_it(&mut self) -> Result<(), String> {
        self.begin()?;
        self.is_calm = false;
        for client in 0..self.plan.clients {
            let think_us = self.random.below(self.plan.think_us);
            self.after(think_us, Event::Think(client));
        }
        match self.plan.scene {
            Some(scene) => self.set_scene(scene),
            None => {
                self.faulty_until_us = self.now_us + self.plan.faulty_ms * 1_000;
                self.after(0, Event::Fault);
            }
        }
        while self.now_us < self.faulty_until_us {
            self.run_for(self.faulty_until_us - self.now_us)?;
        }
        self.finish()?;
        judge(&self.operations, self.slack(), &self.blackouts)
    }

    /// Until all shards are served for the first time.
    fn begin(&mut self) -> Result<(), String> {
        while let Err(missing) = self.is_served() {
            if self.now_us > BEGIN_US {
                return Err(format!("the cluster does not begin: {missing}"));
            }
            self.run_for(LOOK_US)?;
        }
        Ok(())
    }

    /// By how much deadlines may be off. A new primary starts as late as the old one may have answered, and so on; one that was started again does not
    /// know exactly how late that was (`docs/replication.md`, "Time").
    fn slack(&self) -> Slack {
        let skew_ms = (self.ahead_ms.1 - self.ahead_ms.0) as u64;
        let restart_ms = if self.plan.files.is_some() { 1_000 } else { 0 };
        let off_us = (2 + restart_ms + skew_ms) * 1_000 + self.led.most_ahead_us();
        Slack {
            early_us: off_us,
            late_us: off_us,
        }
    }

    fn is_over(&self) -> bool {
        self.options.steps.is_some_and(|steps| self.steps >= steps)
    }

    fn after(&mut self, delay_us: u64, event: Event) {
        self.queue.push(self.now_us + delay_us, event);
    }

    /// Lets so much time pass.
    fn run_for(&mut self, for_us: u64) -> Result<(), String> {
        let until_us = self.now_us + for_us;
        while let Some((at_us, event)) = self.queue.pop_until(until_us) {
            if self.is_over() {
                return Err("it is over".into());
            }
            self.steps += 1;
            self.now_us = self.now_us.max(at_us);
            self.trace.turn(self.steps);
            self.trace.time(self.now_us);
            self.happen(event)?;
        }
        self.now_us = until_us;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Turn(host) => self.turn(host),
            Event::Disk(host) => self.disk(host),
            Event::To(host, run, arrival) => self.arrive(host, run, arrival),
            Event::Asked(by, run, ask, question) => self.asked(by, run, ask, question),
            Event::Tell(host) => {
                self.tell(host);
                Ok(())
            }
            Event::Think(client) => {
                self.think(client);
                Ok(())
            }
            Event::Told(line, bytes) => self.told(line, &bytes),
            Event::Hangup(line) => {
                self.hung_up(line);
                Ok(())
            }
            Event::Patience(client) => {
                self.lose_patience(client);
                Ok(())
            }
            Event::Fault => self.next_fault(),
            Event::Heal(heal) => self.heal(heal),
            Event::Plot(step) => {
                self.go_on(step);
                Ok(())
            }
        }
    }

    /// Starts a node's process, unless it runs.
    fn start(&mut self, number: u32) -> Result<(), String> {
        let now_us = self.now_us;
        let host = &mut self.hosts[number as usize];
        if host.is_up() {
            return Ok(());
        }
        match host.start(now_us, &mut self.counts)? {
            Started::Again => self.counts.note(Rare::RestartSameLife),
            Started::Anew => self.counts.note(Rare::RestartNewLife),
        }
        let life = host.member.incarnation.0 >> 64 & 0xffff;
        self.trace
            .line(|| format!("node {number} starts in life {life}"));
        self.turn_at(number, now_us);
        Ok(())
    }

    /// A node's process ends, or its machine's power.
    fn crash(&mut self, number: u32, how: Crash) {
        if !self.hosts[number as usize].is_up() {
            return;
        }
        self.trace.line(|| format!("node {number} ends: {how:?}"));
        self.counts.note(match how {
            Crash::Process => Rare::Killed,
            Crash::Power => Rare::PowerLost,
        });
        if how == Crash::Process {
            self.end_process(number);
        }
        // Of a machine without power nobody is told anything.
        let (now_us, host) = (self.now_us, &mut self.hosts[number as usize]);
        host.crash(how, now_us);
        self.service.forget(host.member);
    }

    /// A machine loses its power, whether its process runs or not.
    fn lose_power(&mut self, number: u32) {
        if self.hosts[number as usize].is_up() {
            return self.crash(number, Crash::Power);
        }
        self.trace
            .line(|| format!("node {number} is without power"));
        self.hosts[number as usize].crash(Crash::Power, self.now_us);
    }

    /// A process is about to end: its connections and links are closed.
    fn end_process(&mut self, number: u32) {
        let process = self.hosts[number as usize].process.as_ref();
        let lines: Vec<Line> = process
            .into_iter()
            .flat_map(|p| p.lines.keys().copied())
            .collect();
        for line in lines {
            self.after(self.plan.delay_us, Event::Hangup(line));
        }
        self.tell_reset(number);
    }

    /// The links of a process that ended are reset, where the network lets that through.
    fn tell_reset(&mut self, number: u32) {
        for peer in (0..self.plan.nodes).filter(|peer| *peer != number) {
            let arrivals = self
                .links
                .arrivals(number, peer, self.now_us, &mut self.counts);
            for at_us in arrivals.into_iter().take(1) {
                let reset = Arrival::Reset(NodeId(number));
                self.queue
                    .push(at_us, Event::To(peer, self.run_of(peer), reset));
            }
        }
    }

    fn run_of(&self, number: u32) -> u64 {
        self.hosts[number as usize].run
    }

    /// Something reaches a process: at once, or when it goes on.
    fn arrive(&mut self, number: u32, run: u64, arrival: Arrival) -> Result<(), String> {
        let now_us = self.now_us;
        let host = &mut self.hosts[number as usize];
        if host.run != run || !host.is_up() {
            if let Arrival::Connect(line) | Arrival::Bytes(line, _) = arrival {
                // Nobody listens there.
                self.after(self.plan.delay_us, Event::Hangup(line));
            }
            return Ok(());
        }
        if host.paused_until_us > now_us || !host.held.is_empty() {
            host.held.push_back(arrival);
            return Ok(());
        }
        self.take_in(number, arrival);
        Ok(())
    }

    /// What has come while it stood still, in order.
    fn take_in_held(&mut self, number: u32) {
        for arrival in std::mem::take(&mut self.hosts[number as usize].held) {
            self.take_in(number, arrival);
        }
    }

    fn take_in(&mut self, number: u32, arrival: Arrival) {
        match arrival {
            Arrival::Message(from, kind, bytes) => self.hear(number, from, kind, &bytes),
            Arrival::Reset(node) => self.tell_agent(number, agent::Input::Reset(node)),
            Arrival::Answered(ask, answer) => {
                self.tell_agent(number, agent::Input::Answered(ask, answer));
            }
            Arrival::Connect(line) => self.accept(number, line),
            Arrival::Bytes(line, bytes) => self.read_client(number, line, bytes),
            Arrival::Hangup(line) => self.client_gone(number, line),
            Arrival::Leave => self.leave(number),
        }
    }

    /// A question has arrived at the metadata store.
    fn asked(&mut self, by: Member, run: u64, ask: AskId, question: Ask) -> Result<(), String> {
        if self.service.paused {
            self.after(50_000, Event::Asked(by, run, ask, question));
            return Ok(());
        }
        let number = by.node.0;
        let is_watch = matches!(question, Ask::Watch(_));
        if is_watch && self.run_of(number) != run {
            return Ok(());
        }
        let asked = self.service.ask(by, ask, question, &mut self.counts);
        let (answer, changed) = asked.map_err(|wrong| format!("node {number}: {wrong}"))?;
        if let Some(answer) = answer
            && let Some(delay_us) = self.links.network.store_delay_us(number)
        {
            let answered = Arrival::Answered(ask, answer);
            self.after(delay_us, Event::To(number, run, answered));
        }
        if is_watch {
            self.after(0, Event::Tell(number));
        }
        if changed {
            self.map_changed();
        }
        Ok(())
    }

    fn map_changed(&mut self) {
        let role = self.service.map().role().map_or(0, |role| role.term);
        self.trace.numbers(&[self.now_us, role]);
        self.trace.line(|| describe(self.service.map()));
        let step_us = self.plan.replica.time_step_ms * 1_000;
        if self.service.is_behind() {
            self.led.forget();
        } else {
            self.led.follow(self.service.map(), step_us, self.now_us);
        }
        self.count_epochs();
        self.tear_recovery();
        for host in 0..self.plan.nodes {
            let lags = self.plan.faults.watch && !self.is_calm && self.random.chance(500);
            let lag_us = self.random.below(if lags { 2_000_000 } else { 1_000 });
            self.after(lag_us, Event::Tell(host));
        }
    }

    fn tell(&mut self, number: u32) {
        if self.service.paused {
            return self.after(50_000, Event::Tell(number));
        }
        let member = self.hosts[number as usize].member;
        if self.links.network.store_delay_us(number).is_none() {
            return self.service.forget(member);
        }
        let run = self.run_of(number);
        for (ask, answer) in self.service.tell(member, &mut self.counts) {
            let answered = Arrival::Answered(ask, answer);
            self.after(WATCH_US, Event::To(number, run, answered));
        }
    }

    /// Counts what two nodes think of themselves at once.
    fn count_epochs(&mut self) {
        let hosts = self.hosts.iter();
        let up = hosts.filter_map(|host| host.process.as_ref());
        let leaders = up.clone().filter(|process| process.agent.leads().is_some());
        if leaders.count() > 1 {
            self.counts.note(Rare::TwoCoordinators);
        }
        let shards: Vec<ShardId> = self.service.map().shards().keys().copied().collect();
        for shard in shards {
            let copies = up.clone().flat_map(|process| process.node.shards());
            let copies = copies.filter(|(id, _)| *id == shard);
            let standings = copies.map(|(_, data)| data.replica().standing(TIMELESS));
            let (mut serving, mut recovering) = (0, 0);
            for standing in standings {
                match standing {
                    Standing::Serving { .. } => serving += 1,
                    Standing::Recovering => recovering += 1,
                    Standing::Standby => {}
                }
            }
            if serving > 1 {
                self.counts.note(Rare::TwoPrimaries);
            }
            if recovering > 1 {
                self.counts.note(Rare::TwoRecoverers);
            }
        }
    }

    /// What every copy is like, for whoever has to find out why.
    fn described(&self) -> String {
        let mut text = describe(self.service.map());
        for host in &self.hosts {
            let now = host.clock.now(self.now_us);
            let copies = host
                .process
                .iter()
                .flat_map(|process| process.node.shards());
            for (shard, data) in copies {
                let replica = data.replica();
                text += &format!(
                    "\n  node {} {shard:?}: {:?}, to {}, committed {}, persisted {}, {:?}",
                    host.member.node.0,
                    replica.standing(now),
                    replica.last(),
                    replica.committed(),
                    data.store().persisted().0,
                    replica.vows(),
                );
                for (member, acked, heard_us) in replica.heard() {
                    text += &format!("\n    heard of {} {acked:?} {heard_us}", member.node.0);
                }
            }
        }
        text
    }

    fn count_disks(&mut self) {
        for host in &self.hosts {
            let of = |event| host.storage.counts.of(event);
            let met = [
                (Rare::WriteTorn, of(sim::Rare::TornWrite)),
                (Rare::UnsyncedLost, of(sim::Rare::LostUnsynced)),
                (Rare::DiskFull, of(sim::Rare::NoSpace)),
                (
                    Rare::WriteFailed,
                    of(sim::Rare::WriteFailed) + of(sim::Rare::SyncFailed),
                ),
                (Rare::FolderReturned, host.storage.returned),
                (Rare::KeptThoughFull, host.storage.kept_though_full[0]),
                (Rare::NewThoughFull, host.storage.kept_though_full[1]),
            ];
            for (event, times) in met {
                self.counts.note_times(event, times);
            }
        }
    }
}

/// The map, in a line.
fn describe(map: &cluster::map::ClusterMap) -> String {
    let role = map.role().map(|role| (role.term, role.holder.node.0));
    let mut text = format!("map: coordinator {role:?}");
    for (node, record) in map.nodes() {
        text += &format!("; node {} {:?}", node.0, record.state);
    }
    for (shard, record) in map.shards() {
        let config = &record.config;
        let members: Vec<u32> = config.copies().members().iter().map(|m| m.node.0).collect();
        let (epoch, primary, phase) = (config.epoch(), config.primary().node.0, config.phase());
        let phase = match phase {
            model::Phase::Serving => "served",
            model::Phase::Recovering { .. } => "to be recovered",
        };
        text += &format!(
            "; shard {}: epoch {epoch} {members:?} {phase} by {primary}",
            shard.0
        );
    }
    text
}
