//! Running commands on a node with many copies: each goes to the copy of its keys, and its reply waits for that copy.

use command::{Arguments, Ended, Other, Prepared, Scene};
use model::Now;
use shard::Attempt;
use store::Refused;

use super::Cluster;
use super::aim::{Aim, NO_QUORUM, uses_keys};
use crate::Node;
use crate::execute::Batch;
use crate::stream::{State, Stream};

/// For how long a command waits for a copy that may be able to answer in a moment.
const PATIENCE_US: u64 = 2_000_000;

impl Node {
    /// Runs the commands of a batch, on a member of a cluster, until one has to wait. Returns where the first that did not run begins.
    pub(crate) fn run_member_commands(
        &mut self,
        now: Now,
        stream: &mut Stream,
        buffer: &[u8],
        batch: &Batch,
        start: usize,
    ) -> usize {
        let mut used = start;
        for index in 0..batch.len() {
            let (end, prepared) = batch.command(index);
            if let Some(cluster) = &self.cluster {
                self.ahead
                    .step(|place| Some(cluster.shard_at(place)?.store()));
            }
            match self.run_aimed(now, stream, prepared, batch.arguments(buffer, index)) {
                Ended::Replied => {}
                Ended::ReplyThenClose => self.clients.expect(stream.connection).closing = true,
                Ended::Waits => stream.state = State::Waiting,
                Ended::WaitsForLog => stream.state = State::WaitingForCopy,
                Ended::Paused => stream.state = State::Paused,
            }
            if stream.state != State::WaitingForCopy {
                stream.waits_since_us = None;
            }
            if stream.state != State::Ready {
                break;
            }
            stream.attempt = Attempt::First;
            used = end;
            if self.clients.expect(stream.connection).closing || stream.is_paused() {
                break;
            }
        }
        used
    }

    fn run_aimed(
        &mut self,
        now: Now,
        stream: &mut Stream,
        prepared: Prepared,
        arguments: Arguments<'_>,
    ) -> Ended {
        let Some(cluster) = &self.cluster else {
            return Ended::Replied;
        };
        // Who may not ask for anything is told nothing.
        let may_ask = self.clients.expect(stream.connection).authenticated;
        let aim = if may_ask {
            cluster.aim(now, prepared, arguments)
        } else {
            Aim::Nobody
        };
        let ended = match aim {
            Aim::Copy(place) => self.run_at(now, stream, prepared, arguments, place),
            Aim::All => self.run_everywhere(now, stream, prepared, arguments),
            Aim::Nobody => self.run_on_nothing(now, stream, prepared, arguments),
            Aim::Refused(text) => return self.refuse(stream, prepared, &text),
            Aim::Later(text) => return self.wait_or_refuse(now, stream, prepared, text),
        };
        match ended {
            Ended::WaitsForLog => self.wait_or_refuse(now, stream, prepared, NO_QUORUM),
            Ended::Replied | Ended::ReplyThenClose | Ended::Waits | Ended::Paused => ended,
        }
    }

    /// A command ends with this. If it had waited for its turn, the turn is the next one's.
    fn refuse(&mut self, stream: &mut Stream, prepared: Prepared, text: &str) -> Ended {
        let client = self.clients.expect(stream.connection);
        if stream.attempt != Attempt::First
            && let Some(cluster) = &mut self.cluster
        {
            cluster.give_up_turn(stream.connection);
            client.waits = false;
        }
        command::refuse(&mut self.server, client, prepared, text, &mut stream.output);
        Ended::Replied
    }

    /// A command that cannot run now runs in a moment, or is answered with what keeps it from it.
    fn wait_or_refuse(
        &mut self,
        now: Now,
        stream: &mut Stream,
        prepared: Prepared,
        text: &str,
    ) -> Ended {
        let since_us = *stream.waits_since_us.get_or_insert(now.mono_us);
        if now.mono_us < since_us + PATIENCE_US {
            return Ended::WaitsForLog;
        }
        self.refuse(stream, prepared, text)
    }

    /// Runs a command on the copy at a place.
    fn run_at(
        &mut self,
        now: Now,
        stream: &mut Stream,
        prepared: Prepared,
        arguments: Arguments<'_>,
        place: usize,
    ) -> Ended {
        let Some(cluster) = &mut self.cluster else {
            return Ended::Replied;
        };
        let Some(now) = cluster.begin(now, place, prepared) else {
            return Ended::WaitsForLog;
        };
        self.server.fresh_slot = cluster.slot_at(now, place);
        let from = stream.output.len();
        let scene = Scene {
            now,
            shard: &mut cluster.shards[place].shard,
            others: &mut [],
            server: &mut self.server,
            clients: &mut self.clients,
            connection: stream.connection,
        };
        let (attempt, out) = (stream.attempt, &mut stream.output);
        let ended = command::execute(scene, prepared, arguments, attempt, out);
        cluster.gate(place, stream, from);
        ended
    }

    /// Runs a command on all copies that this node answers for. If it is about all keys, it waits for each that it leads and may not answer for.
    fn run_everywhere(
        &mut self,
        mut now: Now,
        stream: &mut Stream,
        prepared: Prepared,
        arguments: Arguments<'_>,
    ) -> Ended {
        let Some(cluster) = &mut self.cluster else {
            return Ended::Replied;
        };
        for place in 0..cluster.shards.len() {
            let begun = cluster.begin(now, place, prepared);
            if begun.is_none() && cluster.leads(place) && uses_keys(prepared) {
                return Ended::WaitsForLog;
            }
            cluster.shards[place].answers = begun.is_some();
            now = begun.map_or(now, |begun| begun.not_before(now.unix_ms));
        }
        let from = stream.output.len();
        let scene = Scene {
            now,
            shard: &mut self.shard,
            others: &mut cluster.shards,
            server: &mut self.server,
            clients: &mut self.clients,
            connection: stream.connection,
        };
        let (attempt, out) = (stream.attempt, &mut stream.output);
        let ended = command::execute(scene, prepared, arguments, attempt, out);
        for place in 0..cluster.shards.len() {
            if cluster.shards[place].answers {
                cluster.gate(place, stream, from);
            }
        }
        cluster.take_over_settings(&self.shard);
        ended
    }

    /// Runs a command that looks at no data.
    fn run_on_nothing(
        &mut self,
        now: Now,
        stream: &mut Stream,
        prepared: Prepared,
        arguments: Arguments<'_>,
    ) -> Ended {
        let scene = Scene {
            now,
            shard: &mut self.shard,
            others: &mut [],
            server: &mut self.server,
            clients: &mut self.clients,
            connection: stream.connection,
        };
        let (attempt, out) = (stream.attempt, &mut stream.output);
        command::execute(scene, prepared, arguments, attempt, out)
    }
}

impl Cluster {
    /// A command is about to run on the copy at a place, by the time that is returned; `None` if it may not answer now.
    fn begin(&mut self, now: Now, place: usize, prepared: Prepared) -> Option<Now> {
        let shard = &mut self.shards[place].shard;
        let right = shard.read_right(now)?;
        let now = shard.time_of_command(now);
        shard.begin_command();
        if now.unix_ms <= right.time_ceiling_ms {
            return Some(now);
        }
        // Where the disks take nothing, time stands still for commands that only read: what can be read still is. What others write
        // has to live for its time from now on, and waits for its quorum anyway.
        let latest = Now {
            unix_ms: right.time_ceiling_ms,
            ..now
        };
        let only_reads = command::spec_of(prepared).is_some_and(|spec| spec.only_reads());
        if only_reads && shard.is_stalled(now) {
            return Some(latest);
        }
        // A successor may start at an earlier time than this, unless a batch has told it.
        let step_ms = self.terms.replica.time_step_ms;
        match shard.tell_time(now, now.unix_ms.saturating_sub(step_ms)) {
            Ok(()) => {
                shard.observe_all();
                Some(now)
            }
            Err(Refused::LogUnavailable(_)) => Some(latest),
            Err(Refused::OutOfMemory | Refused::LogBusy | Refused::BatchTooLarge) => None,
        }
    }

    /// What was written from byte `from` on depends on what the command at this place has observed.
    fn gate(&self, place: usize, stream: &mut Stream, from: usize) {
        let shard = &self.shards[place].shard;
        if stream.output.len() > from && shard.observed() > shard.committed() {
            stream.gate(from, self.copies[place].id, shard.observed());
        }
    }

    /// Settings that a command has changed hold for every copy.
    fn take_over_settings(&mut self, from: &shard::Shard) {
        let longest = from.settings().max_value_bytes;
        if self.terms.shard.max_value_bytes != longest {
            self.terms.shard.max_value_bytes = longest;
            for Other { shard, .. } in &mut self.shards {
                shard.settings_mut().max_value_bytes = longest;
            }
        }
    }
}
