//! The turns of a member: maintenance, ticks of replicas, what the disk is asked for, who waits.

use alloc::vec::Vec;

use model::{ConnectionId, Now, ShardId};
use replica::Input;
use shard::Attempt;
use store::{DiskEvent, DiskOp, Store, Usage};

use super::{Cluster, CopyId, DiskTask};
use crate::stream::State;
use crate::{MAINTENANCE_STEP_BYTES, Node, Outbox};

/// How often memory is divided among the copies anew.
const DIVIDE_EVERY_US: u64 = 5_000;
/// How often those who wait for a copy are looked at if nothing has happened.
const LOOK_EVERY_US: u64 = 20_000;

impl Node {
    pub(crate) fn end_member_turn(&mut self, now: Now, outbox: &mut Outbox) {
        if self.sealed {
            return self.ask_disk(now, outbox);
        }
        self.maintain_copies(now);
        self.run_woken(now);
        self.tell_times(now);
        self.tick_replicas(now);
        self.ask_disk(now, outbox);
        self.look_at_waiting(now);
    }

    /// A disk op of a copy is done.
    pub(crate) fn copy_disk_event(&mut self, now: Now, id: CopyId, event: DiskEvent) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let Some(place) = cluster.place_of(id) else {
            return;
        };
        cluster.stirred = true;
        cluster.shards[place].shard.store_mut().disk_event(event);
        cluster.look_at_sync(place);
        let shard = ShardId(cluster.shards[place].number);
        self.tell_again(now, shard);
        self.hand_in_news(now, shard);
    }

    fn hand_in_news(&mut self, now: Now, shard: ShardId) {
        if let Some(cluster) = &mut self.cluster
            && let Some(place) = cluster.place(shard)
            && let Some(news) = cluster.shards[place].shard.take_news()
        {
            let input = match news {
                shard::News::Persisted(position) => Input::Persisted(position),
                shard::News::Installed { attempt, step } => Input::Installed { attempt, step },
            };
            self.perform(now, shard, input);
        }
    }

    /// Timers of all primaries, and the log of one copy after the other.
    fn maintain_copies(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if cluster.divide_memory(now) {
            self.server.usage = Some(cluster.usage());
        }
        let count = cluster.shards.len();
        if count == 0 {
            self.busy_since_us = None;
            return;
        }
        cluster.turn = (cluster.turn + 1) % count;
        let mut busy = false;
        for place in 0..count {
            let mine = place == cluster.turn;
            busy |= cluster.maintain(now, place, mine);
        }
        let since_us = self.busy_since_us.unwrap_or(now.mono_us);
        self.busy_since_us = busy.then_some(since_us);
    }

    /// Primaries that were asked for something, and have written nothing, tell the time, so that a successor knows by which time they
    /// may have answered. The next command then need not wait for that. So do those with something that has expired.
    fn tell_times(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let step_ms = cluster.terms.replica.time_step_ms / 2;
        for other in &mut cluster.shards {
            if !other.shard.replica().is_serving() {
                continue;
            }
            let now = other.shard.time(now);
            if other.shard.was_asked() || other.shard.awaits_time(now) {
                // Refused or not: the next turn tries again.
                let _ = other
                    .shard
                    .tell_time(now, now.unix_ms.saturating_sub(step_ms));
            }
        }
    }

    fn tick_replicas(&mut self, now: Now) {
        for place in 0..self
            .cluster
            .as_ref()
            .map_or(0, |cluster| cluster.shards.len())
        {
            let Some(other) = self.cluster.as_mut().and_then(|c| c.shards.get_mut(place)) else {
                return;
            };
            let due = other
                .shard
                .replica()
                .next_us()
                .is_some_and(|us| us <= now.mono_us);
            if other.shard.take_proposed() || due {
                let shard = ShardId(other.number);
                self.perform(now, shard, Input::Tick);
            }
        }
    }

    /// What the stores want of the disk; where there is none, it is done as soon as it is asked for.
    fn ask_disk(&mut self, now: Now, outbox: &mut Outbox) {
        let mut ops = core::mem::take(&mut self.ops);
        for place in 0..self
            .cluster
            .as_ref()
            .map_or(0, |cluster| cluster.shards.len())
        {
            let Some(cluster) = &mut self.cluster else {
                break;
            };
            let Some(other) = cluster.shards.get_mut(place) else {
                break;
            };
            let (shard, copy) = (ShardId(other.number), cluster.copies[place].id);
            other.shard.store_mut().take_disk_ops(&mut ops);
            if cluster.terms.directory.is_some() {
                outbox
                    .disk
                    .extend(ops.drain(..).map(|op| DiskTask { copy, op }));
            } else {
                answer(other.shard.store_mut(), &mut ops);
            }
            self.hand_in_news(now, shard);
        }
        self.ops = ops;
    }

    /// Runs what waits for a copy, if something has happened, or now and then.
    fn look_at_waiting(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let stirred = core::mem::take(&mut cluster.stirred);
        if !stirred && now.mono_us < cluster.look_us {
            return;
        }
        cluster.look_us = now.mono_us + LOOK_EVERY_US;
        let waiting: Vec<ConnectionId> = core::mem::take(&mut cluster.waiting);
        for connection in waiting {
            self.resume(now, connection, State::WaitingForCopy, None);
        }
    }

    /// When [`crate::Input::EndOfTurn`] is wanted at the latest by a replica, or by who waits for one, by the monotonic clock.
    #[must_use]
    pub fn next_tick_us(&self) -> Option<u64> {
        let cluster = self.cluster.as_ref()?;
        let look_us = (!cluster.waiting.is_empty()).then_some(cluster.look_us);
        let replicas = cluster.shards.iter();
        let replicas = replicas.filter_map(|other| other.shard.replica().next_us());
        replicas.chain(look_us).min()
    }
}

fn answer(store: &mut store::Store, ops: &mut Vec<DiskOp>) {
    while !ops.is_empty() {
        for op in core::mem::take(ops) {
            store.disk_event(DiskEvent { op, result: Ok(()) });
        }
        store.take_disk_ops(ops);
    }
}

impl Cluster {
    /// Each copy's store counts what the others use. Returns whether it was time for it.
    fn divide_memory(&mut self, now: Now) -> bool {
        if now.mono_us < self.divided_us + DIVIDE_EVERY_US {
            return false;
        }
        self.divided_us = now.mono_us;
        let used: Vec<usize> = self
            .shards
            .iter()
            .map(|other| other.shard.used_bytes())
            .collect();
        let all: usize = used.iter().sum();
        for (other, used) in self.shards.iter_mut().zip(used) {
            other.shard.set_beside(all - used);
        }
        true
    }

    fn usage(&self) -> Usage {
        let none = Usage {
            limit: self.terms.memory_bytes,
            ..Usage::default()
        };
        let shards = self.shards.iter().map(|other| other.shard.usage());
        shards.fold(none, Usage::and)
    }

    /// A step of maintenance; of the log only if it is this copy's turn, or its timers' time.
    fn maintain(&mut self, now: Now, place: usize, mine: bool) -> bool {
        let shard = &mut self.shards[place].shard;
        // The data's time is told by batches; what the disk refuses must not keep it from being tried again.
        shard.store_mut().tell_disk_time(now.unix_ms);
        if shard.replica().is_serving() {
            let now = shard.time(now);
            let due = shard
                .next_maintenance_ms()
                .is_some_and(|ms| ms <= now.unix_ms);
            let step = if mine { MAINTENANCE_STEP_BYTES } else { 0 };
            let more = (mine || due) && shard.maintain(now, step);
            more && mine
        } else {
            mine && shard.maintain_standby(MAINTENANCE_STEP_BYTES)
        }
    }

    /// The connection's command waits for a copy.
    pub(crate) fn wait(&mut self, connection: ConnectionId) {
        if !self.waiting.contains(&connection) {
            self.waiting.push(connection);
        }
    }

    /// See [`shard::Shard::take_woken`].
    pub(crate) fn take_woken(&mut self) -> Vec<(ConnectionId, Attempt)> {
        let shards = self.shards.iter_mut();
        shards.flat_map(|other| other.shard.take_woken()).collect()
    }

    /// See [`shard::Shard::connection_closed`].
    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) {
        self.waiting.retain(|waiting| *waiting != connection);
        for other in &mut self.shards {
            other.shard.connection_closed(connection);
        }
    }

    /// See [`shard::Shard::stop_waiting`].
    pub(crate) fn stop_waiting(&mut self, connection: ConnectionId) {
        for other in &mut self.shards {
            other.shard.stop_waiting(connection);
        }
    }

    /// See [`shard::Shard::give_up_turn`].
    pub(crate) fn give_up_turn(&mut self, connection: ConnectionId) {
        for other in &mut self.shards {
            other.shard.give_up_turn(connection);
        }
    }

    /// What is to be done outside goes out.
    pub(crate) fn give(&mut self, outbox: &mut Outbox) {
        outbox.peers.append(&mut self.out.peers);
        outbox.recovered.append(&mut self.out.recovered);
        outbox.whole.append(&mut self.out.whole);
        outbox.files.append(&mut self.out.files);
        outbox.restore.append(&mut self.out.restore);
    }

    /// Ends all logs: see [`Node::seal`].
    pub(crate) fn seal(&mut self) {
        for other in &mut self.shards {
            other.shard.end_log();
        }
    }

    /// What each copy has.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &Store> {
        self.shards.iter().map(|other| other.shard.store())
    }

    /// When one of the copies has something to do, in wall-clock milliseconds.
    pub(crate) fn next_maintenance_ms(&self) -> Option<u64> {
        let primaries = self.shards.iter().filter(|other| other.answers);
        primaries
            .filter_map(|other| other.shard.next_maintenance_ms())
            .min()
    }
}
