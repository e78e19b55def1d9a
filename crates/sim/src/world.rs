//! The loop: faults, inputs, the end of the turn, disk, replies.

mod boot;
mod clients;
mod crash;

use model::Now;
use model::time::SteadyClock;
use node::{CopyId, DiskTask, Input, Node, Outbox};
use store::DiskEvent;

use crate::client::Link;
use crate::disk::{Crash, Disk};
use crate::oracle::{Go, Oracle, Outcome};
use crate::plan::Plan;
use crate::random::Random;
use crate::rare::{Counts, Rare};
use crate::trace::Trace;
use crate::workload::Workload;
use crate::{Options, Report};

/// When every run begins: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

/// Turns between two looks at every byte of the store.
const CHECK_EVERY: u64 = 16;

/// How long a restarted node may use more memory than it should, in microseconds.
const SETTLE_US: u64 = 30_000_000;

/// How long the node has to answer everything once the faults have stopped, beside what clients have asked to wait, in milliseconds.
const LIVENESS_MS: u64 = 600_000;

/// One run. See the module.
pub struct World {
    plan: Plan,
    options: Options,
    now: Now,
    /// The node's wall clock.
    clock: SteadyClock,
    chance: Random,
    workload: Workload,
    disk: Disk,
    node: Node,
    /// By client; `None` while it is not connected.
    links: Vec<Option<Link>>,
    /// Connections that have something to send and whose clients are slow.
    later: Vec<model::ConnectionId>,
    oracle: Oracle,
    trace: Trace,
    counts: Counts,
    turn: u64,
    /// Commands have run since the last turn began to end.
    ran_after_turn: bool,
    /// Points of this turn that are still to come before a crash strikes.
    fuse: Option<(u32, Crash)>,
    /// Until when the disk is full, in microseconds.
    full_until_us: u64,
    /// The last time that the process was not running when it should have been, in microseconds.
    stood_still_us: u64,
    /// The last time that the node's clock was ahead, having been set back: then its seconds last two.
    slow_clock_us: u64,
    /// When the last restart was, in microseconds.
    restarted_us: u64,
    restarted_turn: u64,
    /// A restart may meet damage.
    disk_hurt: bool,
    /// See [`World::watch_lag`].
    lagging_since_us: Option<u64>,
    well_since_us: Option<u64>,
    before_us: u64,
    epoch: u32,
    commands: u64,
    restarts: u64,
    unavailable: bool,
    /// The workload has ended, faults too.
    calm: bool,
}

/// Why a turn ended early.
enum Stop {
    /// Something is wrong.
    Wrong(String),
    /// The process died or the power went.
    Crashed(Crash),
}

impl From<String> for Stop {
    fn from(wrong: String) -> Self {
        Self::Wrong(wrong)
    }
}

type Step<T = ()> = Result<T, Stop>;

impl World {
    /// A world where nothing has happened.
    #[must_use]
    pub fn new(plan: Plan, options: Options) -> Self {
        let now = Now {
            unix_ms: START_MS,
            mono_us: 1_000_000,
        };
        let seed = plan.seed;
        let disk = Disk::new(
            plan.segment_bytes,
            plan.disk.clone(),
            Random::new(seed, "disk"),
        );
        let mut trace = Trace::new(options.trace);
        trace.from_turn = options.trace_from;
        Self {
            node: boot::first(&plan, now),
            now,
            clock: SteadyClock::new(now),
            chance: Random::new(seed, "world"),
            workload: Workload::new(seed),
            disk,
            links: (0..plan.clients).map(|_| None).collect(),
            later: Vec::new(),
            oracle: Oracle::new(&plan),
            trace,
            counts: Counts::default(),
            turn: 0,
            ran_after_turn: false,
            fuse: None,
            full_until_us: 0,
            stood_still_us: 0,
            slow_clock_us: 0,
            restarted_us: 0,
            restarted_turn: 0,
            disk_hurt: false,
            lagging_since_us: None,
            well_since_us: None,
            before_us: now.mono_us,
            epoch: 1,
            commands: 0,
            restarts: 0,
            unavailable: false,
            calm: false,
            plan,
            options,
        }
    }

    /// Runs to the end, or to the first thing that is wrong.
    #[must_use]
    pub fn run(mut self) -> Report {
        let failure = self.whole().err();
        Report {
            digest: self.trace.digest(),
            commands: self.commands,
            restarts: self.restarts,
            simulated_ms: (self.now.mono_us - 1_000_000) / 1000,
            failure: failure.map(|wrong| (self.turn, wrong)),
            counts: self.counts,
        }
    }

    fn whole(&mut self) -> Result<(), String> {
        let most = self.options.turns.unwrap_or(u64::MAX);
        while self.turn < self.plan.turns {
            if self.turn >= most {
                return Ok(());
            }
            self.one_turn()?;
        }
        self.become_calm();
        let until_us = self.now.mono_us + (LIVENESS_MS + self.waits_ms()) * 1000;
        while !self.is_quiet() {
            if self.now.mono_us > until_us {
                return Err(self.unanswered());
            }
            self.one_turn()?;
        }
        self.final_checks()
    }

    /// How long it takes at most until each client has waited as often, and each time as long, as it has asked for: one command after the
    /// other, beside the other clients. The node's clock goes at half speed while it is ahead.
    fn waits_ms(&self) -> u64 {
        let waits = self.links.iter().flatten().map(Link::waits_ms);
        let is_ahead = self.node_ms() > self.now.unix_ms;
        waits.max().unwrap_or(0) * if is_ahead { 2 } else { 1 }
    }

    fn one_turn(&mut self) -> Result<(), String> {
        self.turn += 1;
        self.trace.turn(self.turn);
        self.advance_clocks();
        self.light_fuse();
        match self.turn_steps() {
            Ok(()) => {
                self.fuse = None;
                self.check()
            }
            Err(Stop::Wrong(wrong)) => Err(wrong),
            Err(Stop::Crashed(how)) => self.restart(how),
        }
    }

    fn turn_steps(&mut self) -> Step {
        self.spark()?;
        self.inputs()?;
        let mut outbox = Outbox::default();
        self.ran_after_turn = false;
        self.give(Input::EndOfTurn, &mut outbox)?;
        self.spark()?;
        self.ask_disk(std::mem::take(&mut outbox.disk));
        self.spark()?;
        self.send(&mut outbox)?;
        self.close(&mut outbox);
        self.may_sleep()?;
        self.spark()
    }

    /// The server sleeps if the node wants no turn. What commands want of the disk that ran after the end of this one must not wait for
    /// something else to happen.
    fn may_sleep(&self) -> Step {
        if self.ran_after_turn && !self.node.is_busy() {
            return Err(
                "commands ran after the end of the turn, and no other is wanted"
                    .to_owned()
                    .into(),
            );
        }
        Ok(())
    }

    /// Time passes: not much while there is work, else until something is due.
    fn advance_clocks(&mut self) {
        let plan = &self.plan;
        let mut us = self.chance.extreme(1, plan.longest_turn_us);
        if self.node.is_busy() && self.chance.chance(9_000) {
            // The server turns again at once.
            us = us.min(1_000);
        } else if self.calm {
            us = us.max(self.next_event_us());
        } else if let Some(due) = self.node.next_deadline_ms() {
            // The server never sleeps past what the node has asked for.
            us = us.min((due.saturating_sub(self.node_ms()) + 1) * 1000);
        }
        if !self.calm && self.chance.chance(plan.pause) {
            us = self.chance.extreme(1_000, 60_000_000);
            self.counts.note(Rare::Pause);
            self.stood_still_us = self.now.mono_us + us;
        }
        self.now.mono_us += us;
        self.now.unix_ms += us / 1000 + u64::from(us % 1000 > self.chance.below(1000));
        if !self.calm && self.chance.chance(plan.clock_jump) {
            self.jump();
        }
        let full = !self.calm && self.chance.chance(self.plan.full_disk);
        if full {
            self.full_until_us = self.now.mono_us + self.chance.extreme(1_000, 20_000_000);
        }
        self.disk.full = self.now.mono_us < self.full_until_us;
        if self.node_ms() > self.now.unix_ms {
            self.slow_clock_us = self.now.mono_us;
        }
        self.trace.time(self.now.mono_us);
        self.trace
            .numbers(&[self.turn, self.now.mono_us, self.now.unix_ms]);
    }

    fn jump(&mut self) {
        let by_ms = self.chance.extreme(1, 3_600_000);
        if self.chance.chance(5_000) {
            self.now.unix_ms -= by_ms;
            self.counts.note(Rare::ClockBack);
        } else {
            self.now.unix_ms += by_ms;
        }
        let unix_ms = self.now.unix_ms;
        self.trace.line(|| format!("the clock jumps to {unix_ms}"));
    }

    /// Microseconds until the disk or the node has something to do.
    fn next_event_us(&self) -> u64 {
        let disk = self.disk.next_ready_us();
        let disk = disk.map(|at| at.saturating_sub(self.now.mono_us));
        let node = self.node.next_deadline_ms();
        let node = node.map(|at| at.saturating_sub(self.node_ms()) * 1000);
        disk.into_iter()
            .chain(node)
            .min()
            .unwrap_or(1_000)
            .min(1_000_000)
    }

    fn light_fuse(&mut self) {
        if self.calm {
            return;
        }
        let how = if self.chance.chance(self.plan.kill) {
            Crash::Process
        } else if self.chance.chance(self.plan.power) || self.strikes_again() {
            Crash::Power
        } else {
            return;
        };
        self.fuse = Some((self.chance.extreme(0, 12) as u32, how));
    }

    /// Where the power goes at all, it likes to go again while a restarted node is still busy with what it found.
    fn strikes_again(&mut self) -> bool {
        let just_restarted = self.restarts > 0 && self.turn < self.restarted_turn + 6;
        self.plan.power > 0 && just_restarted && self.chance.chance(1_000)
    }

    /// A point at which the process may die.
    fn spark(&mut self) -> Step {
        match &mut self.fuse {
            Some((0, how)) => Err(Stop::Crashed(*how)),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What the node takes the time to be.
    fn node_ms(&self) -> u64 {
        self.clock.clone().tell(self.now).unix_ms
    }

    /// Hands an input to the node and has everything judged that it ran.
    fn give(&mut self, input: Input<'_>, outbox: &mut Outbox) -> Step {
        self.clock.tell(self.now);
        self.node.handle(self.now, input, outbox);
        self.read_again(outbox);
        self.judge()?;
        Ok(())
    }

    /// Judges what an input has run, in the order in which it ran.
    fn judge(&mut self) -> Result<(), String> {
        for (connection, written) in self.node.ran().to_vec() {
            let of = |link: &&mut Link| link.id == connection;
            let Some(link) = self.links.iter_mut().flatten().find(of) else {
                continue;
            };
            let commands = link.look(&self.node.unsent(connection)[..written])?;
            self.ran_after_turn |= !commands.is_empty();
            let go = Go {
                connection,
                commands,
            };
            self.tell(&go);
            let went = self.oracle.judge_go(&go, self.node_ms())?;
            self.commands += went.len() as u64;
            went.iter().for_each(|(outcome, _)| self.note(*outcome));
            if let Some(link) = self.links.iter_mut().flatten().find(of) {
                link.depend(went.into_iter().map(|(_, seen)| seen).collect());
            }
        }
        Ok(())
    }

    fn tell(&mut self, go: &Go) {
        for ran in &go.commands {
            ran.words.iter().for_each(|word| self.trace.fold(word));
            self.workload.learn(&ran.words, &ran.reply);
            let (id, reply) = (go.connection.0, &ran.reply);
            self.trace.line(|| {
                let words: Vec<String> = ran.words.iter().map(|w| crate::oracle::text(w)).collect();
                format!(
                    "{id:x} > {}   {}",
                    words.join(" "),
                    crate::oracle::brief(reply)
                )
            });
        }
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done | Outcome::TooLarge => {}
            Outcome::Unavailable => {
                self.unavailable = true;
                self.counts.note(Rare::LogUnavailable);
            }
            Outcome::OutOfMemory => self.counts.note(Rare::OutOfMemory),
        }
    }

    fn ask_disk(&mut self, tasks: Vec<DiskTask>) {
        for task in tasks {
            let bytes = self.node.segment_bytes(&task).to_vec();
            let op = task.op;
            self.trace.fold(&bytes);
            self.trace.numbers(&[op.segment().0, bytes.len() as u64]);
            self.trace.line(|| format!("disk is asked: {op:?}"));
            self.disk.ask(op, &bytes, self.now.mono_us);
        }
    }

    fn disk_event(&mut self) -> Step {
        let ready = self.disk.ready(self.now.mono_us);
        if ready.is_empty() {
            return Ok(());
        }
        let segment = *self.chance.pick(&ready);
        let event = self
            .disk
            .complete(segment, self.now.mono_us, &mut self.counts);
        if let Some(event) = event {
            self.tell_disk(&event);
            let copy = CopyId::ALONE;
            self.give(Input::Disk { copy, event }, &mut Outbox::default())?;
        }
        Ok(())
    }

    fn tell_disk(&mut self, event: &DiskEvent) {
        self.trace.numbers(&[u64::from(event.result.is_ok())]);
        self.trace
            .line(|| format!("disk has done: {:?} {:?}", event.op, event.result));
    }

    /// Since when the disk may lag behind for reasons of its own: it failed, or nobody drove the node, perhaps until this very turn.
    fn lagging_since_us(&self) -> u64 {
        let stood_still = self.stood_still_us == self.now.mono_us;
        let now_us = if stood_still {
            self.before_us
        } else {
            self.now.mono_us
        };
        self.lagging_since_us.unwrap_or(now_us)
    }

    /// Takes note of whether everything that was shown is where it should be, as far as the disk is to blame.
    fn watch_lag(&mut self) {
        let lags =
            self.disk.last_fault_us.take().is_some() || self.stood_still_us == self.now.mono_us;
        if lags {
            self.lagging_since_us.get_or_insert(self.before_us);
            self.well_since_us = None;
        } else if self.disk.is_quiet() {
            // A failed file is written anew within a turn or two of there being another, then synced within a second.
            let well = *self.well_since_us.get_or_insert(self.now.mono_us);
            if self.now.mono_us - well > 3_000_000 {
                self.lagging_since_us = None;
            }
        }
        self.before_us = self.now.mono_us;
    }

    /// What holds at the end of every turn.
    fn check(&mut self) -> Result<(), String> {
        self.watch_lag();
        if self.turn.is_multiple_of(CHECK_EVERY) {
            self.node.shard().store().check();
        }
        let usage = self.node.shard().store().usage();
        // A restart takes in all files that there are, and cleans up after: as soon as they are synced.
        if usage.files_unsynced > 0 {
            self.restarted_us = self.now.mono_us;
        }
        let settled = self.now.mono_us > self.restarted_us + SETTLE_US;
        if settled && usage.used > usage.limit {
            return Err(format!(
                "{} bytes are used of {}: {usage:?}",
                usage.used, usage.limit
            ));
        }
        self.trace.numbers(&[usage.used as u64, usage.live as u64]);
        for (count, event) in [
            (usage.cleaner_moved_entries, Rare::CleanerMoved),
            (usage.cleaner_compactions, Rare::Compacted),
            (usage.segments_expired_whole, Rare::ExpiredWhole),
        ] {
            if count > 0 && self.turn.is_multiple_of(CHECK_EVERY) {
                self.counts.note(event);
            }
        }
        Ok(())
    }

    fn become_calm(&mut self) {
        self.calm = true;
        self.full_until_us = 0;
        self.disk.faults = crate::disk::DiskFaults {
            longest_us: self.plan.disk.longest_us,
            ..crate::disk::DiskFaults::default()
        };
        self.trace.line(|| "the faults stop".into());
    }

    fn is_quiet(&self) -> bool {
        let quiet = |link: &Option<Link>| link.as_ref().is_none_or(Link::is_quiet);
        self.links.iter().all(quiet)
    }

    fn unanswered(&self) -> String {
        let waits = self.links.iter().flatten().filter(|link| !link.is_quiet());
        let waits: Vec<String> = waits.map(|link| format!("{link:?}")).collect();
        format!(
            "not answered {LIVENESS_MS} ms, and what clients have asked to wait, after the faults stopped: {}",
            waits.join("\n")
        )
    }

    fn final_checks(&mut self) -> Result<(), String> {
        if self.unavailable {
            self.counts.note(Rare::LogRecovered);
        }
        let found = self.audit()?;
        self.oracle.is_now(&found, self.node_ms())?;
        for _ in 0..self.oracle.expired {
            self.counts.note(Rare::Expired);
        }
        Ok(())
    }
}
