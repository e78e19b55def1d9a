//! What is told of the copies: to the agent, which tells the coordinator.

use cluster::message::{Ahead, Copies, CopyStatus, Resigned};
use model::{Member, Now, Phase, Position, ShardConfig, ShardId};
use replica::Standing;

use super::{Cluster, Told};
use crate::Node;

/// A standby that has not answered for so many leases cannot be reached.
const UNREACHABLE_LEASES: u64 = 2;
/// A disk that has failed is not relied on for so long: one that is nearly full works now and then.
const DISK_FAILS_US: u64 = 5_000_000;

impl Node {
    /// The state of all copies, for `cluster::agent::Input::Copies`: to be told before each of the agent's ticks, or every 100 ms.
    #[must_use]
    pub fn copies(&mut self, now: Now) -> Copies {
        let Some(cluster) = &mut self.cluster else {
            return Copies::default();
        };
        cluster.look_at_disk(now);
        let places = 0..cluster.shards.len();
        Copies {
            is_all: !places.clone().any(|place| cluster.is_withheld(place)),
            statuses: places
                .filter_map(|place| cluster.status(now, place))
                .collect(),
        }
    }
}

impl Cluster {
    /// What an earlier life has left, and cannot be taken over yet.
    fn is_withheld(&self, place: usize) -> bool {
        self.copies[place].relic.is_some() && !self.is_repaired(place)
    }

    /// `None` for a new copy that has not been told a configuration yet, and for one that is withheld.
    fn status(&mut self, now: Now, place: usize) -> Option<CopyStatus> {
        if self.is_withheld(place) {
            return None;
        }
        let shard = &self.shards[place].shard;
        let replica = shard.replica();
        let number = ShardId(self.shards[place].number);
        let ahead = self.ahead(place, number);
        let Some(config) = self.copies[place].config else {
            // It was found by a start, and no map that names its shard has been seen since.
            let relic = self.copies[place].relic;
            return ahead.map(|ahead| CopyStatus {
                relic,
                ..untold(number, replica.last(), ahead)
            });
        };
        let before = self.copies[place].told;
        let last = replica.last();
        let told = Told {
            committed: replica.committed(),
            last,
            at_us: now.mono_us,
            writes_per_s: writes_per_s(before, last, now),
        };
        let status = CopyStatus {
            shard: ShardId(self.shards[place].number),
            epoch: config.epoch(),
            position: last,
            bytes: shard.store().usage().live as u64,
            writes_per_s: told.writes_per_s,
            complete: self.bits(place, &config, |_, acked, _| {
                acked.is_some_and(|acked| acked >= before.committed)
            }),
            unreachable: self.bits(place, &config, |me, _, heard_us| {
                let lease_us = self.terms.replica.lease_us;
                !me && now.mono_us >= heard_us + UNREACHABLE_LEASES * lease_us
            }),
            resigned: self.resigned(now, place, &config),
            disk_fails: now.mono_us < self.disk_fails_until_us,
            relic: self.copies[place].relic,
            ahead,
        };
        self.copies[place].told = told;
        Some(status)
    }

    /// What it knows of later epochs than the map does.
    fn ahead(&self, place: usize, shard: ShardId) -> Option<Ahead> {
        let record = self.map.shards().get(&shard);
        let shown = record.map(|record| record.config.order());
        let config = self.copies[place].latest();
        let ahead = Ahead {
            promised: self.shards[place].shard.replica().vows().promised,
            config: config.filter(|config| Some(config.order()) > shown),
            slots: self.slots(place),
        };
        let shown = shown.map_or(0, |(epoch, _)| epoch);
        (ahead.config.is_some() || ahead.promised > shown).then_some(ahead)
    }

    /// One disk has the logs of all copies.
    fn look_at_disk(&mut self, now: Now) {
        let mut shards = self.shards.iter();
        if shards.any(|other| other.shard.store().log_trouble().is_some()) {
            self.disk_fails_until_us = now.mono_us + DISK_FAILS_US;
        }
    }

    /// Of a copy that serves: a bit for each member of which this holds, given whether it is this one, up to where it counts and when
    /// it was heard of.
    fn bits(
        &self,
        place: usize,
        config: &ShardConfig,
        holds: impl Fn(bool, Option<Position>, u64) -> bool,
    ) -> u8 {
        let replica = self.shards[place].shard.replica();
        if !replica.is_serving() {
            return 0;
        }
        let of = |member: &Member| {
            if *member == self.me() {
                return holds(true, Some(replica.last()), u64::MAX);
            }
            let heard = replica.heard().find(|(other, ..)| other == member);
            heard.is_some_and(|(_, acked, heard_us)| holds(false, acked, heard_us))
        };
        let members = config.copies().members().iter().enumerate();
        members.fold(0, |bits, (at, member)| bits | u8::from(of(member)) << at)
    }

    /// Whether the copy should lead and does not.
    fn resigned(&self, now: Now, place: usize, config: &ShardConfig) -> Resigned {
        let replica = self.shards[place].shard.replica();
        let names_me = config.primary() == self.me();
        if !names_me {
            return Resigned::No;
        }
        match (self.copies[place].resigned, replica.standing(now)) {
            // It has heard of a later epoch than it was told of.
            (Resigned::No, Standing::Standby) if config.phase() == Phase::Serving => Resigned::Yes,
            (resigned, Standing::Standby) => resigned,
            (_, Standing::Recovering | Standing::Serving { .. }) => Resigned::No,
        }
    }
}

/// A copy that has not been told a configuration, and knows of epochs that the map does not show.
fn untold(shard: ShardId, position: Position, ahead: Ahead) -> CopyStatus {
    CopyStatus {
        ahead: Some(ahead),
        ..CopyStatus::new(shard, 0, position)
    }
}

/// A mean over about a second.
fn writes_per_s(before: Told, last: Position, now: Now) -> u32 {
    let passed_us = now.mono_us.saturating_sub(before.at_us).max(1);
    let written = if last.epoch() == before.last.epoch() {
        last.raw().saturating_sub(before.last.raw())
    } else {
        last.sequence()
    };
    let rate = u64::from(u32::MAX).min(written * 1_000_000 / passed_us);
    let weight = passed_us.min(1_000_000);
    let mean = u64::from(before.writes_per_s) * (1_000_000 - weight) + rate * weight;
    (mean / 1_000_000) as u32
}
