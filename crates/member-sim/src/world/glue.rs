//! What the server does around a node and its agent, in the same order (`server::turns`): a turn hands in what has come, calls the agent when it
//! is time, ends the node's turn, has the disk do what it wants, and sends.

use std::sync::Arc;

use cluster::agent::{self, Effect, Event as Happened};
use cluster::decide::Reason;
use cluster::message::{Message, Resigned};
use cluster::timing::{REPORT_MS, TICK_MS};
use model::{Member, NodeId};
use node::Input;
use replica::wire::{self, Body};
use replica::{How, Standing};
use sim::disk::Crash;

use super::faults::Heal;
use super::{Arrival, Event, Kind, World};
use crate::host::Process;
use crate::rare::Rare;

/// What a turn takes at most, in microseconds.
const TURN_US: u64 = 50;
/// How long a node that is told to end waits for others to lead what it leads, and how long it goes on answering when they do, in
/// microseconds.
const LEAVE_US: u64 = 10_000_000;
/// See [`LEAVE_US`].
const LINGER_US: u64 = 300_000;
/// Turns in a row that a copy may want at once: more than the steps of a hand-over or a recovery.
const MOST_SPINS: u32 = 500;
/// Rounds of the disk within which a log is sealed.
const SEAL_ROUNDS: u32 = 100;

impl World {
    /// The loop of this node turns then, or earlier.
    pub(super) fn turn_at(&mut self, number: u32, at_us: u64) {
        let host = &mut self.hosts[number as usize];
        let at_us = at_us.max(host.paused_until_us);
        if at_us >= host.turn_us {
            return;
        }
        let later_us = std::mem::replace(&mut host.turn_us, at_us);
        // The turn that it would have had is in the queue all the same, and mostly wanted again behind this one.
        if at_us == host.later_us && at_us > self.now_us {
            return;
        }
        if later_us != u64::MAX {
            host.later_us = later_us;
        }
        self.queue.push(at_us, Event::Turn(number));
    }

    /// Something has come: its loop turns soon.
    pub(super) fn turn_soon(&mut self, number: u32) {
        let at_us = self.now_us + self.random.below(TURN_US);
        self.turn_at(number, at_us);
    }

    fn process(&mut self, number: u32) -> Option<&mut Process> {
        self.hosts[number as usize].process.as_mut()
    }

    pub(super) fn give(&mut self, number: u32, input: Input<'_>) {
        let host = &mut self.hosts[number as usize];
        let now = host.clock.now(self.now_us);
        if let Some(Process { node, outbox, .. }) = &mut host.process {
            node.handle(now, input, outbox);
        }
    }

    /// Hands the agent something between two turns, and so the next one is soon.
    pub(super) fn tell_agent(&mut self, number: u32, input: agent::Input) {
        self.tell_agent_in_turn(number, input);
        self.turn_soon(number);
    }

    /// Hands the agent something, does what it asks for, and hands the node the map if it is another then.
    fn tell_agent_in_turn(&mut self, number: u32, input: agent::Input) {
        let host = &mut self.hosts[number as usize];
        let now = host.clock.now(self.now_us);
        let Some(process) = &mut host.process else {
            return;
        };
        process.agent.handle(now, input, &mut process.effects);
        for effect in std::mem::take(&mut process.effects) {
            self.carry_out(number, effect);
        }
        self.take_map_change(number);
    }

    fn take_map_change(&mut self, number: u32) {
        let Some(process) = self.process(number) else {
            return;
        };
        let digest = Some(process.agent.map().digest());
        if std::mem::replace(&mut process.map, digest) != digest {
            let map = Arc::new(process.agent.map().clone());
            self.give(number, Input::Map(map));
        }
    }

    fn carry_out(&mut self, number: u32, effect: Effect) {
        match effect {
            Effect::Send(to, message) => self.send(number, to, Kind::Agent, &message.encode()),
            Effect::Ask(ask, question) => {
                if let Some(delay_us) = self.links.network.store_delay_us(number) {
                    let host = &self.hosts[number as usize];
                    let (member, run) = (host.member, host.run);
                    self.after(delay_us, Event::Asked(member, run, ask, question));
                }
            }
            Effect::Links(nodes) => {
                if let Some(process) = self.process(number) {
                    process.links = nodes;
                }
            }
            // The node is given the map as a whole, after each change.
            Effect::ShardChanged(_) => {}
            Effect::Event(event) => self.note(number, &event),
            Effect::Operated(_, result) => {
                self.trace
                    .line(|| format!("node {number} answers the operator: {result:?}"));
            }
        }
    }

    fn note(&mut self, number: u32, event: &Happened) {
        self.trace.line(|| format!("node {number}: {event:?}"));
        let event = match event {
            Happened::TookRole { .. } => Rare::RoleTaken,
            Happened::Braked => Rare::Braked,
            Happened::StoodStill { .. } => Rare::StoodStill,
            Happened::Decided { reason, .. } => match reason {
                Reason::Failover => Rare::Failover,
                Reason::Replace => Rare::Replaced,
                Reason::Grow => Rare::Grown,
                Reason::Shrink => Rare::Shrunk,
                Reason::HandOver => Rare::HandOver,
                Reason::Reform => Rare::RecoveryOvertaken,
                Reason::Relics => Rare::Revived,
                Reason::Behind => Rare::MadeGood,
                Reason::Forced => return,
            },
            Happened::LostRole
            | Happened::WentBack
            | Happened::Acknowledged { .. }
            | Happened::Convicted(_)
            | Happened::Full => return,
            Happened::Superseded => unreachable!("no number is given twice here"),
        };
        self.counts.note(event);
    }

    /// Sends a message, if there is a link: one end at least keeps it.
    fn send(&mut self, from: u32, to: NodeId, kind: Kind, bytes: &[u8]) {
        let (a, b) = (&self.hosts[from as usize], self.hosts.get(to.0 as usize));
        let Some(b) = b.filter(|b| b.is_up() && to.0 != from) else {
            return;
        };
        let keeps = |process: &Option<Process>, node| {
            process.as_ref().is_some_and(|p| p.links.contains(&node))
        };
        if !keeps(&a.process, to) && !keeps(&b.process, NodeId(from)) {
            return;
        }
        let (run, member) = (b.run, a.member);
        let arrivals = self
            .links
            .arrivals(from, to.0, self.now_us, &mut self.counts);
        for at_us in arrivals {
            let message = Arrival::Message(member, kind, bytes.to_vec());
            self.queue.push(at_us, Event::To(to.0, run, message));
        }
    }

    /// A message of another node.
    pub(super) fn hear(&mut self, number: u32, from: Member, kind: Kind, bytes: &[u8]) {
        let now_us = self.now_us;
        let host = &mut self.hosts[number as usize];
        let mono_us = host.clock.now(now_us).mono_us;
        if let Some(process) = &mut host.process {
            process.heard.insert(from.node, (from, mono_us));
        }
        match kind {
            Kind::Replica => {
                self.trace
                    .line(|| format!("node {} to {number}: {}", from.node.0, told(bytes)));
                self.count_told(number, bytes);
                self.give(number, Input::Peer { bytes });
                self.turn_soon(number);
            }
            Kind::Agent => {
                let message = Message::decode(bytes).expect("what an agent sends can be read");
                self.tell_agent(number, agent::Input::Message(from.node, message));
            }
        }
    }

    /// A copy is told to set aside what it has; or asked what it has touched, and has not all of that in its backlog any more.
    fn count_told(&mut self, number: u32, bytes: &[u8]) {
        let Some(message) = wire::decode(bytes) else {
            return;
        };
        if let Body::Join { needed: None, .. } = message.body {
            self.bereave(message.from.node.0);
        }
        let Body::Mend(mend) = message.body else {
            return;
        };
        let process = self.hosts[number as usize].process.iter();
        let mut copies = process.flat_map(|process| process.node.shards());
        let is_asked = copies.any(|(shard, data)| {
            let replica = data.replica();
            let whole = replica.vows().discarded.is_none();
            shard == message.shard && whole && replica.batches_after(mend.parting).is_none()
        });
        if is_asked && mend.need.is_none() {
            self.counts.note(Rare::AskedFiles);
        }
    }

    /// The loop turns.
    pub(super) fn turn(&mut self, number: u32) -> Result<(), String> {
        let host = &mut self.hosts[number as usize];
        if host.turn_us != self.now_us {
            // An earlier turn has taken its place, or it stands still.
            return Ok(());
        }
        host.turn_us = u64::MAX;
        if host.paused_until_us > self.now_us {
            self.turn_at(number, self.now_us);
            return Ok(());
        }
        self.take_in_held(number);
        self.tick(number);
        self.end_turn(number);
        self.flush_links(number);
        self.flush_clients(number);
        if self.plan.faults.blackout {
            self.hosts[number as usize].look_at_sync(self.now_us);
        }
        self.does_not_spin(number)?;
        self.sleep(number);
        Ok(())
    }

    /// A turn does what is due: who is called again at once, and again, uses up a processor for nothing.
    fn does_not_spin(&mut self, number: u32) -> Result<(), String> {
        let host = &mut self.hosts[number as usize];
        let now_us = host.clock.now(self.now_us).mono_us;
        let next_us = host.process.as_ref().and_then(|p| p.node.next_tick_us());
        host.spins = match next_us {
            Some(next_us) if next_us <= now_us => host.spins + 1,
            Some(_) | None => 0,
        };
        if host.spins < MOST_SPINS {
            return Ok(());
        }
        Err(format!(
            "node {number} wants {MOST_SPINS} turns for nothing"
        ))
    }

    /// Calls the agent, when it is time.
    fn tick(&mut self, number: u32) {
        let host = &mut self.hosts[number as usize];
        let now = host.clock.now(self.now_us);
        let Some(process) = &mut host.process else {
            return;
        };
        if now.mono_us < process.tick_us {
            return;
        }
        process.tick_us = now.mono_us + TICK_MS * 1_000;
        let are_copies_due = now.mono_us >= process.copies_us;
        for (member, at_us) in std::mem::take(&mut process.heard).into_values() {
            let heard = agent::Input::Heard(member, at_us);
            process.agent.handle(now, heard, &mut process.effects);
        }
        if are_copies_due {
            self.tell_copies(number);
        }
        self.tell_agent_in_turn(number, agent::Input::Tick);
        self.end_leaving(number);
    }

    fn tell_copies(&mut self, number: u32) {
        let host = &mut self.hosts[number as usize];
        let now = host.clock.now(self.now_us);
        if let Some(process) = &mut host.process {
            process.copies_us = now.mono_us + REPORT_MS * 1_000 / 2;
            let copies = process.node.copies(now);
            let given_up = copies
                .statuses
                .iter()
                .filter(|copy| copy.resigned != Resigned::No);
            self.counts
                .note_times(Rare::Resigned, given_up.count() as u64);
            self.counts
                .note_times(Rare::Withheld, u64::from(!copies.is_all));
            self.look_at_standings(number);
            self.count_epochs();
            self.tell_agent_in_turn(number, agent::Input::Copies(copies));
        }
    }

    /// Counts what its copies have become since this was last looked at.
    fn look_at_standings(&mut self, number: u32) {
        let host = &mut self.hosts[number as usize];
        let now = host.clock.now(self.now_us);
        let Some(process) = &mut host.process else {
            return;
        };
        for (shard, data) in process.node.shards() {
            let replica = data.replica();
            match replica.standing(now) {
                Standing::Serving { quorum } => {
                    process.served.insert(shard, replica.vows().promised);
                    self.counts
                        .note_times(Rare::LeaseRanOut, u64::from(!quorum));
                }
                Standing::Recovering | Standing::Standby => {
                    let served = process.served.remove(&shard);
                    let later = served.is_some_and(|epoch| replica.vows().promised > epoch);
                    self.counts.note_times(Rare::Sealed, u64::from(later));
                }
            }
        }
    }

    /// Ends the node's turn, and has the disk do what it wants.
    fn end_turn(&mut self, number: u32) {
        self.give(number, Input::EndOfTurn);
        let now_us = self.now_us;
        let host = &mut self.hosts[number as usize];
        let Some(process) = &mut host.process else {
            return;
        };
        for task in std::mem::take(&mut process.outbox.files) {
            host.storage.tend_folder(task, now_us);
        }
        for copy in std::mem::take(&mut process.outbox.restore) {
            host.storage.read(copy, now_us);
        }
        for task in std::mem::take(&mut process.outbox.disk) {
            host.storage
                .perform(task, process.node.segment_bytes(&task), now_us);
        }
        self.take_done(number);
        self.disk_later(number);
    }

    /// What the disk has done by now.
    fn take_done(&mut self, number: u32) {
        while let Some(done) = self.hosts[number as usize].next_done(self.now_us) {
            self.give(number, done);
        }
    }

    fn disk_later(&mut self, number: u32) {
        let host = &mut self.hosts[number as usize];
        if let Some(at_us) = host.storage.next_us()
            && at_us < host.disk_us
        {
            host.disk_us = at_us;
            self.queue.push(at_us, Event::Disk(number));
        }
    }

    /// The disk has done something: its loop hears of it.
    pub(super) fn disk(&mut self, number: u32) -> Result<(), String> {
        let host = &mut self.hosts[number as usize];
        if host.disk_us != self.now_us {
            return Ok(());
        }
        host.disk_us = u64::MAX;
        if !host.is_up() {
            return Ok(());
        }
        if host.paused_until_us > self.now_us {
            host.disk_us = host.paused_until_us;
            self.queue.push(host.disk_us, Event::Disk(number));
            return Ok(());
        }
        self.take_done(number);
        self.disk_later(number);
        self.turn_soon(number);
        Ok(())
    }

    /// Tells the agent what was recovered, and sends what the node has for its peers.
    fn flush_links(&mut self, number: u32) {
        let Some(process) = self.process(number) else {
            return;
        };
        for (shard, epoch) in std::mem::take(&mut process.outbox.recovered) {
            self.tell_agent(number, agent::Input::Recovered(shard, epoch));
        }
        self.count_whole(number);
        let Some(process) = self.process(number) else {
            return;
        };
        for (to, bytes) in std::mem::take(&mut process.outbox.peers) {
            self.send(number, to, Kind::Replica, &bytes);
        }
    }

    fn count_whole(&mut self, number: u32) {
        let Some(process) = self.process(number) else {
            return;
        };
        for (_, how) in std::mem::take(&mut process.outbox.whole) {
            self.counts.note(match how {
                How::Filled => Rare::Filled,
                How::Mended => Rare::Mended,
                How::Leapt => Rare::Leapt,
                How::TakenBack => Rare::TakenBack,
            });
        }
    }

    /// Has others lead what this node leads, and then ends it.
    pub(super) fn leave(&mut self, number: u32) {
        let now_us = self.now_us;
        if let Some(process) = self.process(number) {
            process.leave_by_us = Some(now_us + LEAVE_US);
            self.tell_agent(number, agent::Input::Leave);
        }
    }

    fn end_leaving(&mut self, number: u32) {
        let now_us = self.now_us;
        let Some(process) = self.process(number) else {
            return;
        };
        let Some(by_us) = process.leave_by_us else {
            return;
        };
        if !process.is_relieved && !process.agent.is_needed() {
            process.is_relieved = true;
            process.leave_by_us = Some(by_us.min(now_us + LINGER_US));
        } else if now_us >= by_us && self.may_end(number) {
            self.end(number);
        }
    }

    /// Whether a process may end: with what it has, or if that is with enough others.
    fn may_end(&mut self, number: u32) -> bool {
        self.hosts[number as usize].survives(Crash::Process) || self.may_lose(number)
    }

    /// Ends a process as it should: its log is sealed, and everything is on disk.
    fn end(&mut self, number: u32) {
        // Twice: see `Store::seal`.
        let sealed = (0..2).all(|_| self.seal(number));
        if !sealed {
            return self.crash(number, Crash::Process);
        }
        self.counts.note(Rare::Left);
        self.trace.line(|| format!("node {number} has left"));
        self.end_process(number);
        self.hosts[number as usize].rest();
        let away_us = self.faults.extreme(1, self.plan.fault_ms) * 1_000;
        self.after(away_us, Event::Heal(Heal::Start(number)));
    }

    /// Whether everything is on disk.
    fn seal(&mut self, number: u32) -> bool {
        if let Some(process) = self.process(number) {
            process.node.seal();
        }
        for _ in 0..SEAL_ROUNDS {
            self.end_turn(number);
            let mut quiet = true;
            while let Some(done) = self.hosts[number as usize].storage.next_done(u64::MAX) {
                if is_failure(&done) {
                    return false;
                }
                quiet = false;
                self.give(number, done);
            }
            if quiet {
                let process = self.process(number);
                assert!(
                    process.is_none_or(|process| process.node.is_sealed()),
                    "node {number} has written behind the end of its log"
                );
                return true;
            }
        }
        false
    }

    /// Until there is something to do.
    fn sleep(&mut self, number: u32) {
        let host = &self.hosts[number as usize];
        let Some(process) = &host.process else {
            return;
        };
        let node = &process.node;
        let tick_us = process.tick_us.min(node.next_tick_us().unwrap_or(u64::MAX));
        let tick_us = host.clock.when_mono(tick_us);
        let deadline_us = node.next_deadline_ms().map(|ms| host.clock.when_wall(ms));
        let busy_us = node.is_busy().then_some(self.now_us);
        let next_us = [Some(tick_us), deadline_us, busy_us]
            .into_iter()
            .flatten()
            .min();
        let at_us = next_us.unwrap_or(u64::MAX).max(self.now_us + TURN_US);
        self.turn_at(number, at_us);
    }
}

/// Whether the disk says that something has failed.
fn is_failure(done: &Input<'_>) -> bool {
    matches!(done, Input::Disk { event, .. } if event.result.is_err())
}

/// A message of a copy, in few words.
fn told(bytes: &[u8]) -> String {
    let Some(message) = wire::decode(bytes) else {
        return "not understood".into();
    };
    let what = match message.body {
        Body::Append(append) => {
            let batches = append.batches.iter().map(|batch| batch.last.to_string());
            let batches: Vec<String> = batches.collect();
            format!(
                "append behind {}: {}; base {}, committed {}",
                append.prev,
                batches.join(" "),
                append.base,
                append.commit
            )
        }
        Body::Chunk(chunk) => format!(
            "chunk {} of attempt {} at {}",
            chunk.step, chunk.attempt, chunk.at
        ),
        Body::Tail { prev, batches, .. } => {
            format!("tail behind {prev}: {} batches", batches.iter().count())
        }
        Body::Leap(leap) => {
            let bytes = leap.bytes.len();
            format!("leap behind {} to {}: {bytes} bytes", leap.prev, leap.last)
        }
        Body::Touched { attempt, keys } => {
            let bytes = keys.map(<[u8]>::len);
            format!("touched, for attempt {attempt}: {bytes:?} bytes of keys")
        }
        body @ (Body::Ack(_)
        | Body::Mend(_)
        | Body::Refused { .. }
        | Body::Seal { .. }
        | Body::Testimony(_)
        | Body::Unknown
        | Body::Fetch { .. }
        | Body::Join { .. }) => format!("{body:?}"),
    };
    format!("{:?} epoch {} {what}", message.shard, message.epoch)
}
