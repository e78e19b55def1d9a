//! What the owner of a copy does: it does as it is told, and says what it has done. In production this is `shard` and its node.

use model::{Member, Now, Position, ShardConfig, ShardId};
use replica::{
    Batch, Effect, How, Input, Outbox, Refusal, Replica, Restored, Settings, Standing, Ticket, Want,
};

use crate::history::{Ask, Told};
use crate::ledger::Placed;
use crate::node::{Copy, Image, Waiting, Write};
use crate::plan::Durability;
use crate::rare::Rare;
use crate::state::{Change, Entry, State};

use super::coordinator::Notice;
use super::mending::Asked;
use super::metadata::name_of;
use super::watch::waits_within_bounds;
use super::{Event, World};

/// What a write that is done is told as.
#[derive(Clone, Debug)]
pub(super) enum Done {
    Saved(Ticket),
    Persisted(Position),
    Installed { attempt: u32, step: u32 },
    Asked(Asked),
}

impl World {
    /// Gives a copy an input and does what comes out.
    pub(crate) fn input(&mut self, node: usize, shard: usize, input: Input<'_>) {
        let now = self.nodes[node].now(self.time_us);
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        let mut out = Outbox::default();
        let counted = copy.replica.is_synced();
        copy.replica.handle(now, input, &mut out);
        let counts = copy.replica.is_synced();
        self.perform(node, shard, out);
        if counts && !counted {
            self.content_is_of_log(node, shard);
            self.base_lasts(node, shard);
        }
    }

    fn perform(&mut self, node: usize, shard: usize, out: Outbox) {
        let mut done = Vec::new();
        for effect in out.effects {
            self.trace(|| format!("node {node} shard {shard}: {effect:?}"));
            self.carry_out(node, shard, effect, &mut done);
        }
        for (to, bytes) in out.messages {
            self.count_message(&bytes);
            let to = to.node.0 as usize;
            self.transmit(node, to, Event::Message { to, bytes });
        }
        self.release(node, shard);
        self.sleep(node);
        for done in done {
            self.say(node, shard, done);
        }
    }

    fn say(&mut self, node: usize, shard: usize, done: Done) {
        match done {
            Done::Saved(ticket) => self.input(node, shard, Input::Saved(ticket)),
            Done::Persisted(position) => self.input(node, shard, Input::Persisted(position)),
            Done::Installed { attempt, step } => {
                self.input(node, shard, Input::Installed { attempt, step });
            }
            Done::Asked(asked) => self.on_asked(node, shard, asked),
        }
    }

    fn carry_out(&mut self, node: usize, shard: usize, effect: Effect, done: &mut Vec<Done>) {
        match effect {
            Effect::Save(vows, ticket) => {
                self.write(node, shard, Write::Vows(vows, ticket), done);
                self.die_if_doomed(node);
            }
            Effect::Accepted { after, last } => self.on_accepted(node, shard, after, last, done),
            Effect::Committed(position) => {
                let result = self.ledgers[shard].commit(position);
                self.require(result);
            }
            Effect::Reset { base, time_ms } => self.on_reset(node, shard, base, time_ms, done),
            Effect::Install {
                attempt,
                step,
                bytes,
            } => {
                if let Some(copy) = self.nodes[node].copies.get_mut(&shard) {
                    copy.state.install(&bytes);
                }
                let chunk = Write::Chunk {
                    attempt,
                    step,
                    bytes,
                };
                self.write(node, shard, chunk, done);
            }
            Effect::Trace { attempt, parting } => {
                done.push(Done::Asked(Asked::Trace { attempt, parting }));
            }
            Effect::Rewrite { to, attempt, keys } => {
                done.push(Done::Asked(Asked::Rewrite { to, attempt, keys }));
            }
            Effect::Mend {
                parting,
                time_ms,
                keys,
            } => {
                let mend = self.mend(node, shard, parting, time_ms, &keys);
                self.write(node, shard, mend, done);
            }
            Effect::Gather { to, from } => done.push(Done::Asked(Asked::Gather { to, from })),
            Effect::Leap {
                time_ms,
                floor_ms,
                bytes,
                ..
            } => self.on_leap(node, shard, (time_ms, floor_ms), &bytes, done),
            Effect::TakeBack => self.begin_taking_back(node, shard, done),
            Effect::Whole(how) => self.count_whole(node, shard, how),
            Effect::Read(want) => {
                let process = self.nodes[node].process;
                let late = 10 + self.chance.disk.below(2_000);
                self.plan_in(
                    late,
                    Event::Read {
                        node,
                        process,
                        shard,
                        want,
                    },
                );
            }
            Effect::Publish(config) => {
                self.no_earlier_right(node, shard, config.epoch());
                self.enough_have_spoken(node, shard, &config);
                self.count_rivals(node, shard);
                let recovering = (config.epoch(), false);
                self.request_change(shard, recovering, config, Some(node));
            }
            Effect::Serve { epoch, floor_ms } => self.on_serve(node, shard, epoch, floor_ms),
            Effect::StepDown => {}
            Effect::Resign { in_favour_of } => {
                if in_favour_of.is_some() {
                    self.note_rare(Rare::Resigned);
                }
                let epoch = self.nodes[node].known[&shard].epoch();
                self.notify(
                    node,
                    Notice::Resigned {
                        shard,
                        epoch,
                        in_favour_of,
                    },
                );
            }
            Effect::Gone(_) => self.note_rare(Rare::Unknown),
            Effect::HandOverReady(to) => {
                let epoch = self.nodes[node].known[&shard].epoch();
                self.notify(node, Notice::HandOverReady { shard, epoch, to });
            }
            Effect::Retire => {
                self.nodes[node].copies.remove(&shard);
            }
        }
    }

    pub(crate) fn require(&mut self, result: Result<(), String>) {
        if let Err(wrong) = result {
            self.fail(wrong);
        }
    }

    fn on_accepted(
        &mut self,
        node: usize,
        shard: usize,
        after: Position,
        last: Position,
        done: &mut Vec<Done>,
    ) {
        let Some(copy) = self.nodes[node].copies.get(&shard) else {
            return;
        };
        let batches = copy.replica.batches_after(after);
        let batches: Vec<Batch> = batches
            .expect("what was just accepted is still there")
            .cloned()
            .collect();
        assert_eq!(batches.last().map(|b| b.last), Some(last));
        let mut prev = after;
        for batch in batches {
            let at = batch.last;
            self.take(node, shard, prev, batch, done);
            prev = at;
        }
    }

    /// Makes a batch part of the content, and persists it.
    fn take(
        &mut self,
        node: usize,
        shard: usize,
        prev: Position,
        batch: Batch,
        done: &mut Vec<Done>,
    ) {
        self.add(node, shard, prev, &batch);
        self.write(node, shard, Write::Batch(batch), done);
    }

    /// Makes a batch part of the content.
    pub(super) fn add(&mut self, node: usize, shard: usize, prev: Position, batch: &Batch) {
        let entry = Entry::decode(&batch.bytes);
        let placed = self.ledgers[shard].place(batch.last, Placed { prev, entry });
        self.require(placed);
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        copy.state.apply(batch.last, entry);
        if entry.change == Change::Delete {
            copy.removal = copy.removal.max(batch.last);
        }
    }

    fn on_reset(
        &mut self,
        node: usize,
        shard: usize,
        base: Position,
        time_ms: u64,
        done: &mut Vec<Done>,
    ) {
        self.note_rare(Rare::Reset);
        if self.nodes[node].copies[&shard].replica.vows().kept {
            self.note_rare(Rare::SetAside);
            self.bereave(node, shard);
        }
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        let lost = copy.waiting.iter().any(|w| matches!(w.told, Told::Done(_)));
        let abandoned = std::mem::take(&mut copy.is_mending);
        copy.waiting.clear();
        (copy.state, copy.removal) = (State::default(), base);
        copy.base = base;
        // What was being written is not said to be done any more.
        copy.writes.retain(|w| matches!(w, Write::Vows(..)));
        copy.writing = copy.writing.min(copy.writes.len());
        if lost {
            self.note_rare(Rare::ResetUncommitted);
        }
        if abandoned {
            self.note_rare(Rare::MendAbandoned);
        }
        self.write(node, shard, Write::Reset(base, time_ms), done);
    }

    fn on_serve(&mut self, node: usize, shard: usize, epoch: u32, floor_ms: u64) {
        if self.ledgers[shard].served > 0 {
            self.note_rare(Rare::Failover);
        }
        self.ledgers[shard].serve(epoch);
        if let Some(copy) = self.nodes[node].copies.get_mut(&shard) {
            copy.removal = copy.replica.last();
            copy.time_ms = copy.time_ms.max(floor_ms);
        }
    }

    /// Writes to disk, or, where memory is all that is promised, has it written at once.
    pub(super) fn write(&mut self, node: usize, shard: usize, write: Write, done: &mut Vec<Done>) {
        if self.plan.durability == Durability::Memory {
            done.extend(done_by(&write));
            return;
        }
        if let Some(copy) = self.nodes[node].copies.get_mut(&shard) {
            copy.writes.push_back(write);
            self.begin_writing(node, shard);
        }
    }

    /// Everything that waits is written and synced together.
    fn begin_writing(&mut self, node: usize, shard: usize) {
        let factor = self.nodes[node].disk_factor;
        let process = self.nodes[node].process;
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        if copy.writing == 0 && !copy.writes.is_empty() {
            copy.writing = copy.writes.len();
            let late = (20 + self.chance.disk.below(self.plan.disk_us)) * factor;
            self.plan_in(
                late,
                Event::Written {
                    node,
                    process,
                    shard,
                },
            );
        }
    }

    pub(crate) fn on_written(&mut self, node: usize, shard: usize) {
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        let writing = core::mem::take(&mut copy.writing);
        let writes: Vec<Write> = copy.writes.drain(..writing).collect();
        for write in &writes {
            copy.image.write(write);
        }
        self.begin_writing(node, shard);
        for write in &writes {
            if let Some(done) = done_by(write) {
                self.say(node, shard, done);
            }
        }
    }

    pub(crate) fn on_read(&mut self, node: usize, shard: usize, want: Want) {
        let keys = self.plan.chunk_keys;
        let Some(copy) = self.nodes[node].copies.get(&shard) else {
            return;
        };
        let (bytes, next) = copy.state.read(want.cursor, keys);
        let at = copy.replica.last();
        if want.step == 0 {
            self.note_rare(if want.attempt > 1 {
                Rare::JoinedAnew
            } else {
                Rare::Joined
            });
        }
        self.input(
            node,
            shard,
            Input::Read {
                want,
                at,
                bytes: &bytes,
                next,
            },
        );
    }

    pub(crate) fn on_message(&mut self, node: usize, bytes: &[u8]) {
        let message = replica::wire::decode(bytes).expect("this network changes no bytes");
        let shard = usize::from(message.shard.0);
        if self.nodes[node].copies.contains_key(&shard) {
            self.count_arrival(node, shard, message.body);
            self.word_arrives(node, &message);
            self.input(node, shard, Input::Message(message));
            if let replica::wire::Body::Seal { resigned } = message.body {
                self.count_waiting(node, shard, resigned.is_some());
            }
        } else if let Some((to, bytes)) =
            replica::answer_without_copy(&message, self.nodes[node].member)
        {
            self.count_message(&bytes);
            let to = to.node.0 as usize;
            self.transmit(node, to, Event::Message { to, bytes });
        }
    }

    pub(crate) fn on_wake(&mut self, node: usize) {
        if self.time_us < self.nodes[node].wake_us {
            // It was woken earlier, and has planned anew.
            return;
        }
        self.nodes[node].wake_us = u64::MAX;
        let shards: Vec<usize> = self.nodes[node].copies.keys().copied().collect();
        for shard in shards {
            self.input(node, shard, Input::Tick);
        }
        self.sleep(node);
    }

    /// Plans when the node's copies have something to do next.
    fn sleep(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let next = n.copies.values().filter_map(|c| c.replica.next_us()).min();
        let Some(mono_us) = next.filter(|us| *us < u64::MAX) else {
            return;
        };
        // A clock that is read twice in one microsecond shows no progress.
        let at = n.when(mono_us).max(self.time_us + 50);
        if at < n.wake_us {
            n.wake_us = at;
            let process = n.process;
            self.plan_in(at - self.time_us, Event::Wake { node, process });
        }
    }

    pub(crate) fn on_told(&mut self, node: usize, shard: usize, config: ShardConfig) {
        let settings = self.plan.settings;
        let n = &mut self.nodes[node];
        if n.known
            .get(&shard)
            .is_some_and(|k| name_of(k) > name_of(&config))
        {
            return;
        }
        n.known.insert(shard, config);
        let id = ShardId(shard as u16);
        let wanted = config.copies().contains(n.member) && !n.copies.contains_key(&shard);
        if wanted {
            let replica = Replica::fresh(id, n.member, config.epoch(), settings);
            let image = Image {
                vows: replica.vows(),
                ..Image::default()
            };
            n.copies.insert(shard, Copy::new(replica, image));
        }
        self.input(node, shard, Input::Config(config));
    }

    /// The process starts again, with what is on its disk.
    pub(crate) fn restore(&mut self, node: usize) {
        let (time_us, settings) = (self.time_us, self.plan.settings);
        let n = &mut self.nodes[node];
        let now = n.now(time_us);
        let mut taken_back = false;
        for (shard, copy) in &mut n.copies {
            // Now and then something stands behind a hole.
            let behind = u64::from(self.chance.disk.chance(1_000)) * 3;
            let mut image = core::mem::take(&mut copy.image);
            if image.vows.kept {
                let vows = image.vows;
                image = image.taken_back(vows);
                taken_back = true;
            }
            let is_mending = copy.is_mending;
            let id = ShardId(*shard as u16);
            *copy = restored((id, n.member), image, behind, now, settings);
            copy.is_mending = is_mending;
        }
        if taken_back {
            self.note_rare(Rare::TakenBackAtStart);
        }
    }

    /// What was filled in goes at once; what was set aside is there after a while.
    fn begin_taking_back(&mut self, node: usize, shard: usize, done: &mut Vec<Done>) {
        self.on_reset(node, shard, Position::ZERO, 0, done);
        let process = self.nodes[node].process;
        let late = self.chance.disk.extreme(100, 2_000_000);
        self.plan_in(
            late,
            Event::TakenBack {
                node,
                process,
                shard,
            },
        );
    }

    /// As if the process had started again, for this copy.
    pub(crate) fn on_taken_back(&mut self, node: usize, shard: usize) {
        let (time_us, settings) = (self.time_us, self.plan.settings);
        let n = &mut self.nodes[node];
        let now = n.now(time_us);
        let Some(copy) = n.copies.get_mut(&shard) else {
            return;
        };
        let vows = copy.replica.vows();
        if !vows.kept {
            return;
        }
        let image = core::mem::take(&mut copy.image).taken_back(vows);
        *copy = restored((ShardId(shard as u16), n.member), image, 0, now, settings);
        let config = n.known[&shard];
        self.count_whole(node, shard, How::TakenBack);
        self.input(node, shard, Input::Config(config));
        self.input(node, shard, Input::Tick);
    }

    /// A client's request.
    pub(crate) fn on_ask(&mut self, node: usize, request: usize) {
        let shard = self.requests[request].shard;
        let serving = self.nodes[node].copies.get(&shard).map(|c| &c.replica);
        if !serving.is_some_and(Replica::is_serving) {
            return self.answer(node, request, None);
        }
        let now = self.nodes[node].now(self.time_us);
        let alone = Standing::Serving { quorum: false };
        if self.nodes[node].copies[&shard].replica.standing(now) == alone {
            self.note_rare(Rare::NoQuorum);
        }
        self.tell_time(node, shard);
        let (key, ask) = (self.requests[request].key, self.requests[request].ask);
        let found = self.nodes[node].copies[&shard]
            .state
            .values
            .get(&key)
            .map(|v| v.at);
        let change = match ask {
            Ask::Get => None,
            Ask::Put(value) => Some(Change::Put(value)),
            Ask::Delete => Some(Change::Delete),
            Ask::CompareAndSet(expected, value) => {
                (expected == found).then_some(Change::Put(value))
            }
        };
        match change {
            None => self.look(node, shard, request, found),
            Some(change) => self.propose(node, shard, request, change),
        }
    }

    /// Answers with what was found, if this copy has the right to.
    fn look(&mut self, node: usize, shard: usize, request: usize, found: Option<Position>) {
        let now = self.nodes[node].now(self.time_us);
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        let right = copy.replica.read_right(now);
        let right = right.filter(|r| r.time_ceiling_ms >= copy.time_ms);
        let Some(right) = right else {
            self.note_rare(Rare::ReadRefused);
            return self.answer(node, request, None);
        };
        let epoch = copy.replica.vows().promised;
        let wanted_ms = now.unix_ms.max(copy.time_ms);
        copy.time_ms = wanted_ms.min(right.time_ceiling_ms);
        let gate = found.unwrap_or(copy.removal);
        copy.waiting.push(Waiting {
            gate,
            request,
            told: Told::Found(found),
            time_ms: copy.time_ms,
        });
        let (waits, held) = (gate > copy.replica.committed(), copy.time_ms < wanted_ms);
        if waits {
            self.note_rare(Rare::ReadWaited);
        }
        if held {
            self.note_rare(Rare::ClockHeldBack);
        }
        if matches!(self.requests[request].ask, Ask::CompareAndSet(..)) {
            self.note_rare(Rare::CasFailed);
        } else if found.is_none() && gate > Position::ZERO {
            self.note_rare(Rare::AbsentRead);
        }
        let served = self.ledgers[shard].served;
        if served != epoch {
            self.fail(format!(
                "I11 LeaseDisjoint: epoch {epoch} answers a read when {served} has served"
            ));
        }
        self.release(node, shard);
    }

    fn propose(&mut self, node: usize, shard: usize, request: usize, change: Change) {
        let entry = Entry {
            request: request as u64,
            key: self.requests[request].key,
            change,
        };
        if let Err(refusal) = self.propose_entry(node, shard, entry, Some(request)) {
            match refusal {
                Refusal::Full => self.note_rare(Rare::WriteFull),
                Refusal::HandingOver => self.note_rare(Rare::WriteHandingOver),
                Refusal::NotServing => {}
            }
            self.answer(node, request, None);
        }
    }

    /// A primary that is asked little tells the time.
    fn tell_time(&mut self, node: usize, shard: usize) {
        let wall_ms = self.nodes[node].now(self.time_us).unix_ms;
        let told_ms = self.nodes[node].copies.get(&shard).map_or(0, |c| c.told_ms);
        if wall_ms >= told_ms + self.plan.settings.time_step_ms / 2 {
            let entry = Entry {
                request: u64::MAX,
                key: 0,
                change: Change::Nothing,
            };
            // Refused or not: the next request tries again.
            let _ = self.propose_entry(node, shard, entry, None);
        }
    }

    pub(super) fn propose_entry(
        &mut self,
        node: usize,
        shard: usize,
        entry: Entry,
        request: Option<usize>,
    ) -> Result<(), Refusal> {
        let now = self.nodes[node].now(self.time_us);
        let more = self.chance.clients.below(3);
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return Ok(());
        };
        let epoch = copy.replica.vows().promised;
        let prev = copy.replica.last();
        let first = if prev.epoch() == epoch {
            prev.plus(1)
        } else {
            Position::new(epoch, 1)
        };
        let last = first.plus(more);
        let (time_ms, bytes) = (now.unix_ms.max(copy.time_ms), entry.encode());
        copy.replica.propose(first, last, time_ms, &bytes)?;
        let bounded = waits_within_bounds(&copy.replica, &self.plan.settings);
        (copy.time_ms, copy.told_ms) = (time_ms, time_ms);
        copy.waiting.extend(request.map(|request| Waiting {
            gate: last,
            request,
            told: Told::Done(last),
            time_ms,
        }));
        let batch = Batch {
            first,
            last,
            time_ms,
            bytes: bytes.into(),
        };
        self.require(bounded);
        let mut done = Vec::new();
        self.take(node, shard, prev, batch, &mut done);
        self.input(node, shard, Input::Tick);
        for done in done {
            self.say(node, shard, done);
        }
        Ok(())
    }

    /// Lets go the replies whose position is committed. Those of a copy that was given up are gone with it.
    fn release(&mut self, node: usize, shard: usize) {
        let now = self.nodes[node].now(self.time_us);
        let Some(copy) = self.nodes[node].copies.get_mut(&shard) else {
            return;
        };
        let committed = copy.replica.committed();
        let serving = copy.replica.is_serving();
        let lease_is_over = copy.replica.read_right(now).is_none();
        if copy.waiting.is_empty() || copy.waiting.iter().all(|w| w.gate > committed) {
            return;
        }
        let (ready, rest): (Vec<Waiting>, Vec<Waiting>) = copy
            .waiting
            .drain(..)
            .partition(|waiting| waiting.gate <= committed);
        copy.waiting = rest;
        for waiting in ready {
            if !serving && matches!(waiting.told, Told::Done(_)) {
                self.note_rare(Rare::TailSurvived);
            }
            if lease_is_over && matches!(waiting.told, Told::Found(_)) {
                self.note_rare(Rare::LeaseRanOut);
            }
            let told = Some((waiting.told, waiting.time_ms));
            self.answer(node, waiting.request, told);
        }
    }

    fn answer(&mut self, node: usize, request: usize, told: Option<(Told, u64)>) {
        let delay = self.delay(node, node);
        self.plan_in(delay, Event::Answer { request, told });
    }
}

fn done_by(write: &Write) -> Option<Done> {
    match write {
        Write::Vows(_, ticket) => Some(Done::Saved(*ticket)),
        Write::Batch(batch) => Some(Done::Persisted(batch.last)),
        Write::Leap(batches) => batches.last().map(|batch| Done::Persisted(batch.last)),
        Write::Chunk { attempt, step, .. } => Some(Done::Installed {
            attempt: *attempt,
            step: *step,
        }),
        Write::Reset(..) | Write::Mend(..) => None,
    }
}

/// A copy of a node that has started again.
fn restored(
    (shard, me): (ShardId, Member),
    image: Image,
    behind: u64,
    now: Now,
    settings: Settings,
) -> Copy {
    let found = Restored {
        vows: image.vows,
        last: image.last,
        found: image.last.plus(behind),
        time_ms: image.time_ms,
    };
    Copy::new(Replica::restored(shard, me, found, now, settings), image)
}
