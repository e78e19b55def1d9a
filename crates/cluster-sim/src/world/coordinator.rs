//! A simple policy in the place of the coordinator: who is suspected, who takes over, who is replaced. It may be as wrong as it likes about who
//! lives; only what the copies themselves do may make history safe. It knows what it was told, late, and changes by compare-and-set.

use model::{CopySet, Member, Phase, ShardConfig};
use replica::Standing;

use crate::plan::Plan;
use crate::rare::Rare;

use super::metadata::{Metadata, name_of};
use super::{Event, World};

/// What a node tells the coordinator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice {
    Alive(Member),
    Resigned {
        shard: usize,
        epoch: u32,
        in_favour_of: Option<Member>,
    },
    HandOverReady {
        shard: usize,
        epoch: u32,
        to: Member,
    },
}

/// After how long its copies are made elsewhere.
const REPLACE_US: u64 = 1_200_000;
/// How long an epoch may take until it serves.
const RECOVER_US: u64 = 900_000;
/// How often it looks around.
const ROUND_US: u64 = 50_000;
/// How often a node says that it lives.
const BEAT_US: u64 = 50_000;

/// What it knows of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    at_us: u64,
    member: Option<Member>,
}

/// What it knows of a shard.
#[derive(Clone, Copy, Debug)]
struct Known {
    record: ShardConfig,
    since_us: u64,
    resigned: Option<(u32, Option<Member>)>,
    /// Until when an answer of the metadata store is awaited.
    asked_until_us: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Coordinator {
    /// Copies that every shard has at least.
    least: usize,
    suspect_us: u64,
    heard: Vec<Heard>,
    shards: Vec<Known>,
}

impl Coordinator {
    pub(crate) fn new(metadata: &Metadata, plan: &Plan) -> Self {
        let shards = metadata.records.iter().map(|record| Known {
            record: *record,
            since_us: 0,
            resigned: None,
            asked_until_us: 0,
        });
        Self {
            suspect_us: plan.suspect_us,
            least: metadata.records[0].copies().members().len(),
            heard: vec![Heard::default(); plan.nodes],
            shards: shards.collect(),
        }
    }

    fn is_alive(&self, member: Member, now_us: u64) -> bool {
        let heard = self.heard[member.node.0 as usize];
        heard.member == Some(member) && now_us < heard.at_us + self.suspect_us
    }

    /// Its node lives on without it.
    fn is_gone(&self, member: Member) -> bool {
        let heard = self.heard[member.node.0 as usize];
        heard.member.is_some_and(|m| m != member)
    }

    fn is_long_dead(&self, member: Member, now_us: u64) -> bool {
        self.is_gone(member) || now_us > self.heard[member.node.0 as usize].at_us + REPLACE_US
    }

    /// Members to go on with: those that are there, as few changes as possible. The one in whose favour the primary has resigned is among
    /// them: without the longest log the next primary could only resign again.
    fn set_after(
        &self,
        record: &ShardConfig,
        favourite: Option<Member>,
        now_us: u64,
    ) -> Vec<Member> {
        let old = record.copies().members();
        // Whoever may have what the last set acknowledged stays, before anybody who comes empty.
        let served = match record.phase() {
            Phase::Serving | Phase::Recovering { from: None } => *record.copies(),
            Phase::Recovering { from: Some(from) } => from.copies,
        };
        let favourite = favourite.filter(|m| served.contains(*m));
        let mut set: Vec<Member> = Vec::new();
        for member in favourite.iter().chain(served.members()).chain(old) {
            let full = set.len() == old.len();
            if !full && !set.contains(member) && !self.is_long_dead(*member, now_us) {
                set.push(*member);
            }
        }
        let spare = self.heard.iter().filter_map(|heard| heard.member);
        let spare = spare.filter(|m| self.is_alive(*m, now_us));
        let may_add = |set: &[Member], m: &Member| set.iter().all(|n| n.node != m.node);
        for member in spare {
            if set.len() < old.len() && may_add(&set, &member) {
                set.push(member);
            }
        }
        // Rather a member that may come back than too few.
        for member in old {
            if set.len() < self.least && may_add(&set, member) && !self.is_gone(*member) {
                set.push(*member);
            }
        }
        set
    }
}

impl World {
    /// A node tells the coordinator something.
    pub(crate) fn notify(&mut self, node: usize, notice: Notice) {
        let hq = self.headquarters();
        self.transmit(node, hq, Event::Notice(notice));
    }

    pub(crate) fn on_beat(&mut self, node: usize) {
        let n = &self.nodes[node];
        if n.up && n.paused_until_us <= self.time_us {
            let member = n.member;
            self.notify(node, Notice::Alive(member));
            self.remind(node);
        }
        self.plan_in(BEAT_US, Event::Beat { node });
    }

    /// A copy that should be primary and is none needs another epoch. It says so until there is one.
    fn remind(&mut self, node: usize) {
        let n = &self.nodes[node];
        let idle: Vec<(usize, u32)> = n
            .copies
            .iter()
            .filter_map(|(shard, copy)| {
                let config = n.known.get(shard)?;
                let standby = copy.replica.standing(n.now(self.time_us)) == Standing::Standby;
                (config.primary() == n.member && standby).then_some((*shard, config.epoch()))
            })
            .collect();
        for (shard, epoch) in idle {
            let in_favour_of = None;
            self.notify(
                node,
                Notice::Resigned {
                    shard,
                    epoch,
                    in_favour_of,
                },
            );
        }
    }

    pub(crate) fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Alive(member) => {
                let at_us = self.time_us;
                let heard = &mut self.coordinator.heard[member.node.0 as usize];
                let newer = self.nodes[member.node.0 as usize].member == member;
                if newer {
                    *heard = Heard {
                        at_us,
                        member: Some(member),
                    };
                }
            }
            Notice::Resigned {
                shard,
                epoch,
                in_favour_of,
            } => {
                let resigned = &mut self.coordinator.shards[shard].resigned;
                // A reminder names nobody; who was named stays named.
                let before = resigned.filter(|(e, _)| *e == epoch).and_then(|(_, m)| m);
                *resigned = Some((epoch, in_favour_of.or(before)));
            }
            Notice::HandOverReady { shard, epoch, to } => {
                let record = self.coordinator.shards[shard].record;
                if record.epoch() == epoch && record.copies().contains(to) {
                    self.note_rare(Rare::HandedOver);
                    self.succeed(shard, record.copies().members().to_vec(), to);
                }
            }
        }
    }

    /// One look around.
    pub(crate) fn coordinate(&mut self) {
        self.plan_in(ROUND_US, Event::Coordinate);
        if self.time_us < self.plot_until_us {
            // It has decided, and a plot is seen to its end.
            return;
        }
        let stale = self.metadata.down || self.chance.coordinator.chance(3_000);
        for shard in 0..self.coordinator.shards.len() {
            if !stale || self.healed_us.is_some() {
                self.look_up(shard);
            }
            if self.coordinator.shards[shard].asked_until_us <= self.time_us {
                self.decide(shard);
            }
        }
    }

    pub(crate) fn look_up(&mut self, shard: usize) {
        let (record, now_us) = (self.metadata.records[shard], self.time_us);
        let known = &mut self.coordinator.shards[shard];
        if name_of(&known.record) != name_of(&record) {
            if known.record.phase() != Phase::Serving && record.epoch() > known.record.epoch() {
                self.counts.note(Rare::RecoveryFailed);
            }
            (known.record, known.since_us, known.asked_until_us) = (record, now_us, 0);
        }
    }

    fn decide(&mut self, shard: usize) {
        let now_us = self.time_us;
        let c = &self.coordinator;
        let known = c.shards[shard];
        let record = known.record;
        let resigned = known.resigned.filter(|(epoch, _)| *epoch == record.epoch());
        let recovering = record.phase() != Phase::Serving;
        // Where nobody is missing any more a recovery has to come to its end by itself.
        let members = record.copies().members().iter();
        let missing = members.filter(|m| !c.is_alive(**m, now_us)).count();
        let hopeless = self.healed_us.is_none() || missing > 0;
        let late = recovering && hopeless && now_us > known.since_us + RECOVER_US;
        let favourite = resigned.and_then(|(_, member)| member);
        let set = c.set_after(&record, favourite, now_us);
        let incomplete = !recovering
            && record
                .copies()
                .members()
                .iter()
                .any(|m| c.is_long_dead(*m, now_us))
            && set.as_slice() != record.copies().members();
        if c.is_alive(record.primary(), now_us) && resigned.is_none() && !late && !incomplete {
            return;
        }
        let keeps = incomplete && c.is_alive(record.primary(), now_us) && resigned.is_none();
        let primary = if keeps {
            Some(record.primary())
        } else {
            self.successor(&record, favourite, &set)
        };
        if let Some(primary) = primary {
            self.succeed(shard, set, primary);
        }
    }

    /// Who shall lead: somebody who may know, and lives.
    fn successor(
        &mut self,
        record: &ShardConfig,
        favourite: Option<Member>,
        set: &[Member],
    ) -> Option<Member> {
        let served = match record.phase() {
            Phase::Serving => Some(*record.copies()),
            Phase::Recovering { from } => from.map(|from| from.copies),
        };
        let now_us = self.time_us;
        let c = &self.coordinator;
        let fit = |m: &Member| {
            set.contains(m) && c.is_alive(*m, now_us) && served.is_none_or(|s| s.contains(*m))
        };
        if let Some(favourite) = favourite.filter(fit) {
            return Some(favourite);
        }
        let candidates: Vec<Member> = set.iter().copied().filter(fit).collect();
        (!candidates.is_empty()).then(|| *self.chance.coordinator.pick(&candidates))
    }

    /// Asks for the next epoch, with this set and primary.
    pub(crate) fn succeed(&mut self, shard: usize, set: Vec<Member>, primary: Member) {
        let known = &mut self.coordinator.shards[shard];
        let record = known.record;
        let Some(copies) = CopySet::checked(&set, record.copies().write_quorum()) else {
            return;
        };
        if !copies.contains(primary) {
            return;
        }
        known.asked_until_us = self.time_us + 200_000;
        let next = record.succeed(copies, primary.node);
        self.trace(|| format!("coordinator: shard {shard} shall be {next:?}"));
        self.request_change(shard, name_of(&record), next, None);
    }

    /// What the coordinator believes a shard's configuration to be.
    pub(crate) fn believed(&self, shard: usize) -> ShardConfig {
        self.coordinator.shards[shard].record
    }

    /// Members that it takes to be alive.
    pub(crate) fn believed_alive(&self) -> Vec<Member> {
        let c = &self.coordinator;
        let members = c.heard.iter().filter_map(|heard| heard.member);
        members.filter(|m| c.is_alive(*m, self.time_us)).collect()
    }
}
