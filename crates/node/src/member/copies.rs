//! What the owner of a copy does: it hands the replica what has happened, and does what the replica wants done.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use cluster::message::Resigned;
use model::{ConnectionId, Member, Now, Position, ShardId};
use replica::wire::{self, Body, Message};
use replica::{Effect, Gathered, How, Input, Outbox, Ticket, Vows, Want};
use shard::{Attempt, News};
use store::{Leap, SyncMode, Told};

use super::{Cluster, Copy, CopyId, RestoredCopy};
use crate::Node;
use crate::stream::State;

/// What a replica is handed after the input that caused it.
enum Next {
    Saved(Ticket),
    News(News),
    Read(Want),
    Trace(u32, Position),
    Rewrite(Member, u32, Vec<u8>),
    Gather(Member, Position),
}

impl Node {
    /// A message of another node.
    pub(crate) fn hear(&mut self, now: Now, bytes: &[u8]) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        // What cannot be understood is as good as lost.
        let Some(message) = wire::decode(bytes).filter(is_whole) else {
            return;
        };
        let place = cluster.place(message.shard);
        // What an earlier life has left is heard of when the map says what becomes of it.
        let is_copy = place.is_some_and(|place| cluster.copies[place].relic.is_none());
        if is_copy {
            self.perform(now, message.shard, Input::Message(message));
        } else if let Some((to, bytes)) = replica::answer_without_copy(&message, cluster.me()) {
            cluster.out.peers.push((to.node, bytes));
        }
    }

    /// Vows are kept.
    pub(crate) fn kept(&mut self, now: Now, id: CopyId, ticket: u64) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(place) = cluster.place_of(id) else {
            return;
        };
        let shard = ShardId(cluster.shards[place].number);
        let saving = &mut cluster.copies[place].saving;
        let mut saved = None;
        while let Some((_, given)) = saving.pop_front_if(|(kept, _)| *kept <= ticket) {
            saved = Some(given);
        }
        if let Some(saved) = saved {
            self.perform(now, shard, Input::Saved(saved));
        }
    }

    /// Gives a copy an input, does what it wants, and goes on until it wants nothing more.
    pub(crate) fn perform(&mut self, now: Now, shard: ShardId, input: Input<'_>) {
        let mut next = VecDeque::new();
        self.hand_in(now, shard, input, &mut next);
        loop {
            if next.is_empty() {
                next.extend(self.news_of(shard).map(Next::News));
            }
            let Some(one) = next.pop_front() else {
                return;
            };
            match one {
                Next::Saved(ticket) => self.hand_in(now, shard, Input::Saved(ticket), &mut next),
                Next::News(News::Persisted(position)) => {
                    self.hand_in(now, shard, Input::Persisted(position), &mut next);
                }
                Next::News(News::Installed { attempt, step }) => {
                    self.hand_in(now, shard, Input::Installed { attempt, step }, &mut next);
                }
                Next::Read(want) => self.read(now, shard, want, &mut next),
                Next::Trace(attempt, parting) => {
                    self.trace(now, shard, attempt, parting, &mut next);
                }
                Next::Rewrite(to, attempt, keys) => {
                    self.rewrite(now, shard, (to, attempt), &keys, &mut next);
                }
                Next::Gather(to, from) => self.gather(now, shard, to, from, &mut next),
            }
        }
    }

    /// What has become of what the copy has asked for.
    fn news_of(&mut self, shard: ShardId) -> Option<News> {
        let cluster = self.cluster.as_mut()?;
        let place = cluster.place(shard)?;
        cluster.shards[place].shard.take_news()
    }

    fn hand_in(&mut self, now: Now, shard: ShardId, input: Input<'_>, next: &mut VecDeque<Next>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(place) = cluster.place(shard) else {
            return;
        };
        let mut out = Outbox::default();
        let data = &mut cluster.shards[place].shard;
        data.replica_mut().handle(now, input, &mut out);
        for effect in out.effects {
            self.carry_out(now, shard, effect, next);
        }
        if let Some(cluster) = &mut self.cluster {
            let messages = out.messages.into_iter();
            let messages = messages.map(|(to, bytes)| (to.node, bytes));
            cluster.out.peers.extend(messages);
        }
    }

    fn read(&mut self, now: Now, shard: ShardId, want: Want, next: &mut VecDeque<Next>) {
        let cluster = self.cluster.as_ref();
        let place = cluster.and_then(|cluster| cluster.place(shard));
        let (Some(cluster), Some(place)) = (cluster, place) else {
            return;
        };
        let chunk = cluster.shards[place].shard.read_chunk(want.cursor);
        let input = Input::Read {
            want,
            at: chunk.at,
            bytes: &chunk.bytes,
            next: chunk.next,
        };
        self.hand_in(now, shard, input, next);
    }

    fn trace(
        &mut self,
        now: Now,
        shard: ShardId,
        attempt: u32,
        parting: Position,
        next: &mut VecDeque<Next>,
    ) {
        let cluster = self.cluster.as_ref();
        let place = cluster.and_then(|cluster| cluster.place(shard));
        let (Some(cluster), Some(place)) = (cluster, place) else {
            return;
        };
        let keys = cluster.shards[place].shard.trace(parting);
        let keys = keys.as_deref();
        self.hand_in(now, shard, Input::Traced { attempt, keys }, next);
    }

    fn rewrite(
        &mut self,
        now: Now,
        shard: ShardId,
        (to, attempt): (Member, u32),
        keys: &[u8],
        next: &mut VecDeque<Next>,
    ) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(place) = cluster.place(shard) else {
            return;
        };
        let data = &mut cluster.shards[place].shard;
        let rewritten = data.rewrite(now, to, attempt, keys);
        self.hand_in(now, shard, Input::Rewritten(rewritten), next);
    }

    fn gather(
        &mut self,
        now: Now,
        shard: ShardId,
        to: Member,
        from: Position,
        next: &mut VecDeque<Next>,
    ) {
        let cluster = self.cluster.as_ref();
        let place = cluster.and_then(|cluster| cluster.place(shard));
        let (Some(cluster), Some(place)) = (cluster, place) else {
            return;
        };
        let gathered = cluster.shards[place].shard.gather(from);
        let found = gathered.as_ref().map(|(leap, floor_ms)| Gathered {
            first: leap.first,
            last: leap.last,
            floor_ms: *floor_ms,
            bytes: &leap.bytes,
        });
        self.hand_in(now, shard, Input::Gathered { to, from, found }, next);
    }

    fn carry_out(&mut self, now: Now, shard: ShardId, effect: Effect, next: &mut VecDeque<Next>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(place) = cluster.place(shard) else {
            return;
        };
        let data = &mut cluster.shards[place].shard;
        match effect {
            Effect::Save(vows, ticket) => cluster.save(place, vows, ticket, next),
            Effect::Accepted { after, .. } => data.on_accepted(after),
            Effect::Committed(position) => {
                data.on_committed(position);
                cluster.stirred = true;
            }
            Effect::Reset { base, time_ms } => self.empty(now, place, (base, time_ms)),
            Effect::Install {
                attempt,
                step,
                bytes,
            } => data.on_install(attempt, step, bytes),
            Effect::Trace { attempt, parting } => next.push_back(Next::Trace(attempt, parting)),
            Effect::Mend { parting, keys, .. } => self.mend(place, parting, keys),
            Effect::Rewrite { to, attempt, keys } => {
                next.push_back(Next::Rewrite(to, attempt, keys));
            }
            Effect::Gather { to, from } => next.push_back(Next::Gather(to, from)),
            Effect::Leap {
                first,
                last,
                time_ms,
                floor_ms,
                bytes,
            } => data.on_leap(Leap { first, last, bytes }, time_ms, floor_ms),
            Effect::TakeBack => self.begin_taking_back(now, place),
            Effect::Whole(how) => cluster.out.whole.push((shard, how)),
            Effect::Read(want) => next.push_back(Next::Read(want)),
            Effect::Publish(config) => cluster.out.recovered.push((shard, config.epoch())),
            Effect::Serve { epoch, floor_ms } => {
                data.begin_to_serve(now, epoch, floor_ms);
                cluster.shards[place].answers = true;
                cluster.stirred = true;
            }
            Effect::StepDown => self.step_down(now, place),
            Effect::Resign { in_favour_of } => {
                cluster.copies[place].resigned =
                    in_favour_of.map_or(Resigned::Yes, |member| Resigned::InFavourOf(member.node));
            }
            // The agent hears of lives that are over, and has primaries handed over, by itself.
            Effect::Gone(_) | Effect::HandOverReady(_) => {}
            Effect::Retire => {
                self.step_down(now, place);
                self.retire(place);
            }
        }
    }

    /// Whoever waits for this copy in a line asks again, and is told where.
    fn step_down(&mut self, now: Now, place: usize) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.stirred = true;
        cluster.shards[place].answers = false;
        for connection in cluster.shards[place].shard.stop_serving() {
            self.ask_again(now, connection);
        }
    }

    /// Its command runs as if it had just come: now, or, if it was woken and could not run yet, when it can.
    fn ask_again(&mut self, now: Now, connection: ConnectionId) {
        if self.clients.get(connection).is_some() {
            self.clients.expect(connection).waits = false;
        }
        self.forget_turn(connection);
        self.resume(now, connection, State::Waiting, Some(Attempt::First));
    }

    /// The copy begins anew behind `base`, with nothing. What it had said to nobody yet, nobody will hear.
    fn empty(&mut self, now: Now, place: usize, (base, time_ms): (Position, u64)) {
        self.step_down(now, place);
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let id = cluster.new_copy();
        let copy = &mut cluster.copies[place];
        let old = core::mem::replace(&mut copy.id, id);
        copy.saving.clear();
        let vows = cluster.shards[place].shard.replica().vows();
        let is_set_aside = vows.kept && copy.aside.is_none();
        if is_set_aside {
            copy.aside = Some(old);
        }
        cluster.keep_note(id, cluster.note(place, vows));
        if !is_set_aside {
            cluster.remove_folder(old);
        }
        let store = cluster.new_store();
        cluster.shards[place].shard.on_reset(store, base, time_ms);
        self.close_gated(old, Position::ZERO);
    }

    /// Nobody else has what was set aside: it is read again, and what was filled in since makes room for it.
    fn begin_taking_back(&mut self, now: Now, place: usize) {
        self.empty(now, place, (Position::ZERO, 0));
        if let Some(cluster) = &mut self.cluster
            && let Some(copy) = cluster.copies[place].aside
        {
            cluster.out.restore.push(copy);
        }
    }

    /// What was set aside is read. It becomes the copy, as if the node had started again; unless it is not needed any more.
    pub(crate) fn take_back(&mut self, now: Now, mut found: RestoredCopy) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let is_its = |copy: &Copy| copy.aside == Some(found.copy);
        let Some(place) = cluster.copies.iter().position(is_its) else {
            return;
        };
        let vows = cluster.shards[place].shard.replica().vows();
        let note = cluster.note(place, vows);
        if !cluster.stands_for(&found, &note) {
            return;
        }
        self.step_down(now, place);
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let shard = ShardId(cluster.shards[place].number);
        let remembered = cluster.shards[place].shard.remembered();
        self.clients.to_close.extend(remembered);
        cluster.shards.remove(place);
        let old = cluster.copies.remove(place).id;
        cluster.take_back_note(&mut found, vows);
        cluster.remove_folder(old);
        cluster.take_restored(found, now);
        cluster.out.whole.push((shard, How::TakenBack));
        let record = cluster.map.shards().get(&shard).copied();
        self.close_gated(old, Position::ZERO);
        if let Some(record) = record {
            self.tell(now, shard, record.config);
        }
    }

    /// The copy goes on behind the parting. What it had said to nobody yet, nobody will hear.
    fn mend(&mut self, place: usize, parting: Position, keys: Vec<u8>) {
        if let Some(cluster) = &mut self.cluster {
            cluster.shards[place].shard.on_mend(parting, keys);
            let copy = cluster.copies[place].id;
            self.close_gated(copy, parting);
        }
    }

    fn retire(&mut self, place: usize) {
        if let Some(cluster) = &mut self.cluster {
            let remembered = cluster.shards[place].shard.remembered();
            self.clients.to_close.extend(remembered);
            let old = cluster.remove(place);
            self.close_gated(old, Position::ZERO);
        }
    }

    /// Replies that wait for what a copy had behind this, and has no more, can never leave: their outcome is unknown.
    fn close_gated(&mut self, copy: CopyId, behind: Position) {
        let streams = self.streams.iter().flatten();
        let gated = streams.filter(|stream| stream.waits_for(copy, behind));
        let gated: Vec<ConnectionId> = gated.map(|stream| stream.connection).collect();
        self.clients.to_close.extend(gated);
    }
}

impl Cluster {
    fn save(&mut self, place: usize, vows: Vows, ticket: Ticket, next: &mut VecDeque<Next>) {
        let appended = self.shards[place].shard.store().appended();
        let copy = &mut self.copies[place];
        let was_given_up = core::mem::replace(&mut copy.given_up, vows.discarded.is_some());
        if copy.given_up {
            copy.unsynced = None;
        } else if was_given_up && self.terms.sync != SyncMode::Always {
            copy.unsynced = Some(appended);
        }
        let id = copy.id;
        match self.keep_note(id, self.note(place, vows)) {
            Some(kept) => self.copies[place].saving.push_back((kept, ticket)),
            // Memory is all that this copy claims to have.
            None => next.push_back(Next::Saved(ticket)),
        }
        // The note is kept before the folder goes.
        if let Some(aside) = self.copies[place].aside.take_if(|_| !vows.kept) {
            self.remove_folder(aside);
        }
    }
}

/// Whether everything in a message that would become part of a copy is what a store has told.
fn is_whole(message: &Message<'_>) -> bool {
    let told = |bytes: &[u8]| Told::check(bytes).is_ok();
    match message.body {
        Body::Append(append) => append.batches.iter().all(|batch| told(batch.bytes)),
        Body::Tail { batches, .. } => batches.iter().all(|batch| told(batch.bytes)),
        Body::Chunk(chunk) => told(chunk.bytes),
        Body::Touched { keys, .. } => keys.is_none_or(told),
        Body::Leap(leap) => told(leap.bytes),
        Body::Ack(_)
        | Body::Refused { .. }
        | Body::Seal { .. }
        | Body::Testimony(_)
        | Body::Unknown
        | Body::Fetch { .. }
        | Body::Join { .. }
        | Body::Mend(_) => true,
    }
}
