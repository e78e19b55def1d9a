//! The cluster, its surroundings and its time: one queue of events, taken one by one.

mod clients;
mod coordinator;
mod counting;
mod faults;
mod judge;
mod leaping;
mod mending;
mod metadata;
mod network;
mod owner;
mod plots;
mod watch;
mod words;

use std::collections::BTreeMap;

use model::ShardConfig;
use replica::Want;
use sim::random::Random;

use crate::history::{Request, Told};
use crate::ledger::Ledger;
use crate::node::Node;
use crate::plan::Plan;
use crate::rare::{Counts, Rare};
use crate::{Options, Report};
use clients::Client;
use coordinator::{Coordinator, Notice};
use metadata::Metadata;
use network::Network;
use plots::Step;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message between copies arrives.
    Message { to: usize, bytes: Vec<u8> },
    /// A node's disk has done the first write of a copy.
    Written {
        node: usize,
        process: u32,
        shard: usize,
    },
    /// A part of a snapshot is to be read.
    Read {
        node: usize,
        process: u32,
        shard: usize,
        want: Want,
    },
    /// What a copy has set aside is there again.
    TakenBack {
        node: usize,
        process: u32,
        shard: usize,
    },
    /// A node looks at its clock.
    Wake { node: usize, process: u32 },
    /// A node is told a configuration.
    Told {
        node: usize,
        config: ShardConfig,
        shard: usize,
    },
    /// The metadata store is asked to replace a configuration by its successor; the answer goes to `reply_to`.
    Change {
        shard: usize,
        from: (u32, bool),
        to: ShardConfig,
        reply_to: Option<usize>,
    },
    /// The coordinator hears.
    Notice(Notice),
    /// A node says that it lives.
    Beat { node: usize },
    /// The coordinator looks around.
    Coordinate,
    /// The coordinator asks a primary to hand over.
    HandOver {
        node: usize,
        shard: usize,
        to: model::Member,
    },
    /// A client's request arrives.
    Ask { node: usize, request: usize },
    /// A client's answer arrives; `None`: not here.
    Answer {
        request: usize,
        told: Option<(Told, u64)>,
    },
    /// A client asks something new, or the same again.
    Turn {
        client: usize,
        request: Option<usize>,
    },
    /// A client has waited long enough.
    Impatient { client: usize, request: usize },
    /// The next fault.
    Fault,
    /// A plot goes on.
    Plot(Step),
    /// A fault ends.
    Mend(Mend),
    /// No more faults.
    Heal,
    /// Is everything well?
    Judge,
}

/// What ends when a fault ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    Start(usize),
    Links,
    Metadata,
    Slow(usize),
    Disk(usize),
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    options: Options,
    pub(crate) time_us: u64,
    /// By time, then by order of planning.
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    steps: u64,
    digest: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) metadata: Metadata,
    pub(crate) coordinator: Coordinator,
    pub(crate) clients: Vec<Client>,
    pub(crate) requests: Vec<Request>,
    /// Whose request each is.
    pub(crate) owners: Vec<usize>,
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) counts: Counts,
    pub(crate) chance: Chance,
    pub(crate) healed_us: Option<u64>,
    /// Clients ask nothing new.
    pub(crate) quiet: bool,
    /// Until when a plot is not to be disturbed.
    pub(crate) plot_until_us: u64,
    /// What copies have said.
    pub(crate) words: words::Words,
    /// Until then no log can say any more what somebody has missed.
    pub(crate) leapless_until_us: u64,
    /// A node that is not started again.
    pub(crate) stays_dead: Option<usize>,
    pub(crate) failure: Option<String>,
    pub(crate) finished: bool,
}

/// A stream for each purpose, so that one more fault does not change what clients ask.
#[derive(Debug)]
pub(crate) struct Chance {
    pub(crate) network: Random,
    pub(crate) disk: Random,
    pub(crate) clients: Random,
    pub(crate) faults: Random,
    pub(crate) metadata: Random,
    pub(crate) coordinator: Random,
    pub(crate) losses: Random,
}

/// Events of a run, at most: more means that something goes round in circles.
const MOST_STEPS: u64 = 2_000_000;

impl World {
    /// A cluster at its beginning.
    #[must_use]
    pub fn new(plan: Plan, options: Options) -> Self {
        let stream = |purpose| Random::new(plan.seed, purpose);
        let chance = Chance {
            network: stream("network"),
            disk: stream("disk"),
            clients: stream("clients"),
            faults: stream("faults"),
            metadata: stream("metadata"),
            coordinator: stream("coordinator"),
            losses: stream("losses"),
        };
        let mut lives = stream("lives");
        let nodes: Vec<Node> = (0..plan.nodes)
            .map(|n| {
                let (low, high) = (lives.bits(), lives.bits());
                let rate = lives.extreme(0, 2 * plan.rate_ppm) as i64 - plan.rate_ppm as i64;
                Node::new(n, u128::from(low) << 64 | u128::from(high), rate)
            })
            .collect();
        let metadata = Metadata::new(&plan, &nodes);
        let mut world = Self {
            network: Network::new(plan.nodes + 1),
            coordinator: Coordinator::new(&metadata, &plan),
            metadata,
            clients: (0..plan.clients).map(|_| Client::new(&plan)).collect(),
            ledgers: (0..plan.shards).map(|_| Ledger::default()).collect(),
            requests: Vec::new(),
            owners: Vec::new(),
            plot_until_us: 0,
            words: words::Words::default(),
            leapless_until_us: 0,
            stays_dead: None,
            counts: Counts::default(),
            chance,
            healed_us: None,
            quiet: false,
            failure: None,
            finished: false,
            time_us: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            digest: 0,
            nodes,
            options,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            self.plan_in(node as u64 * 777, Event::Beat { node });
            self.tell_all(node);
        }
        for client in 0..self.clients.len() {
            let first = Event::Turn {
                client,
                request: None,
            };
            self.plan_in(50_000 + client as u64, first);
        }
        self.plan_in(50_000, Event::Coordinate);
        if !self.plan.faults.is_empty() {
            self.plan_in(200_000, Event::Fault);
        }
        self.plan_in(self.plan.chaos_us, Event::Heal);
    }

    /// Runs to the end.
    #[must_use]
    pub fn run(mut self) -> Report {
        while !self.finished && self.failure.is_none() {
            let Some(((time_us, _), event)) = self.queue.pop_first() else {
                self.fail("nothing happens any more");
                break;
            };
            self.time_us = time_us;
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.fail("too much happens");
            }
            if self.options.steps.is_some_and(|most| self.steps > most) {
                break;
            }
            self.note(&event);
            self.happen(event);
        }
        if self.failure.is_none() && self.finished {
            let checked = crate::history::check(&self.requests, &self.ledgers);
            self.failure = checked.err().or_else(|| self.wrong_exchange());
        }
        Report {
            digest: self.digest,
            steps: self.steps,
            requests: self.requests.iter().filter(|r| r.answer.is_some()).count() as u64,
            failovers: self.ledgers.iter().map(|l| u64::from(l.served)).sum(),
            simulated_us: self.time_us,
            counts: self.counts,
            failure: self.failure.map(|wrong| (self.steps, wrong)),
        }
    }

    pub(crate) fn fail(&mut self, wrong: impl Into<String>) {
        self.failure.get_or_insert(wrong.into());
    }

    pub(crate) fn note_rare(&mut self, event: Rare) {
        self.counts.note(event);
    }

    /// Mixes an event into the digest, and shows it.
    fn note(&mut self, event: &Event) {
        let text = if self.options.trace || self.options.digest {
            format!("{event:?}")
        } else {
            String::new()
        };
        let mixed = text.bytes().fold(self.digest ^ self.time_us, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.digest = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.sequence;
        self.trace(|| describe(event).unwrap_or(text));
    }

    /// Shows a line, if anybody wants to see it.
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.options.trace && self.steps >= self.options.from {
            use std::io::Write as _;
            let seconds = self.time_us as f64 / 1e6;
            // A reader who closes the pipe has seen enough.
            let _ = writeln!(
                std::io::stdout(),
                "{:6} {seconds:9.6} {}",
                self.steps,
                line()
            );
        }
    }

    pub(crate) fn plan_in(&mut self, in_us: u64, event: Event) {
        self.sequence += 1;
        self.queue
            .insert((self.time_us + in_us, self.sequence), event);
    }

    fn happen(&mut self, event: Event) {
        if let Some((node, process)) = self.of_node(&event) {
            let n = &self.nodes[node];
            if !n.up || process.is_some_and(|p| p != n.process) {
                return;
            }
            if n.paused_until_us > self.time_us {
                return self.plan_in(n.paused_until_us - self.time_us, event);
            }
        }
        match event {
            Event::Message { to, bytes } => self.on_message(to, &bytes),
            Event::Written { node, shard, .. } => self.on_written(node, shard),
            Event::Read {
                node, shard, want, ..
            } => self.on_read(node, shard, want),
            Event::TakenBack { node, shard, .. } => self.on_taken_back(node, shard),
            Event::Wake { node, .. } => self.on_wake(node),
            Event::Told {
                node,
                shard,
                config,
            } => self.on_told(node, shard, config),
            Event::Change {
                shard,
                from,
                to,
                reply_to,
            } => self.on_change(shard, from, to, reply_to),
            Event::Notice(notice) => self.on_notice(notice),
            Event::Beat { node } => self.on_beat(node),
            Event::Coordinate => self.coordinate(),
            Event::HandOver { node, shard, to } => {
                self.input(node, shard, replica::Input::HandOver(to));
            }
            Event::Ask { node, request } => self.on_ask(node, request),
            Event::Answer { request, told } => self.on_answer(request, told),
            Event::Turn { client, request } => self.on_turn(client, request),
            Event::Impatient { client, request } => self.on_impatient(client, request),
            Event::Fault => self.on_fault(),
            Event::Plot(step) => self.on_plot(step),
            Event::Mend(mend) => self.on_mend(mend),
            Event::Heal => self.on_heal(),
            Event::Judge => self.on_judge(),
        }
    }

    /// The node, and the process of it, that an event is for.
    fn of_node(&self, event: &Event) -> Option<(usize, Option<u32>)> {
        match event {
            Event::Message { to, .. } => Some((*to, None)),
            Event::Written { node, process, .. }
            | Event::Read { node, process, .. }
            | Event::TakenBack { node, process, .. }
            | Event::Wake { node, process } => Some((*node, Some(*process))),
            Event::Told { node, .. } | Event::HandOver { node, .. } | Event::Ask { node, .. } => {
                (*node < self.nodes.len()).then_some((*node, None))
            }
            Event::Change { .. }
            | Event::Notice(_)
            | Event::Beat { .. }
            | Event::Coordinate
            | Event::Answer { .. }
            | Event::Turn { .. }
            | Event::Impatient { .. }
            | Event::Fault
            | Event::Plot(_)
            | Event::Mend(_)
            | Event::Heal
            | Event::Judge => None,
        }
    }
}

/// A message in words, rather than in bytes.
fn describe(event: &Event) -> Option<String> {
    let Event::Message { to, bytes } = event else {
        return None;
    };
    let message = replica::wire::decode(bytes)?;
    Some(format!(
        "node {to} <- {} shard {} epoch {}: {:?}",
        message.from.node.0, message.shard.0, message.epoch, message.body
    ))
}
