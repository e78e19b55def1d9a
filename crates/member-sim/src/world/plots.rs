//! Plots: faults that belong together, each at the moment at which a rule is all that saves the day. Drawn one by one they would
//! hardly ever meet.

use cluster::coordinator::Command;
use model::{NodeId, Phase, ShardConfig, ShardId};
use sim::disk::Crash;
use store::SyncMode;

use super::faults::Heal;
use super::{Event, World};
use crate::judge::Blackout;
use crate::plan::Scene;
use crate::rare::Rare;

/// Long enough for another to take over what a node leads, and for some writes behind that, in microseconds.
const ASTRAY_US: (u64, u64) = (1_500_000, 4_000_000);

/// What happens a while after a plot has begun.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A process is killed, and is started again after so many microseconds.
    Kill { node: u32, for_us: u64 },
    /// The same, or its machine loses its power, if it goes on with what it has.
    End { node: u32, how: Crash, for_us: u64 },
    /// A process is killed, and loses its disk.
    LoseDisk { node: u32, for_us: u64 },
    /// A node is cut off from everybody.
    CutOff { node: u32, for_us: u64 },
    /// What the whole run is about.
    Scene { scene: Scene, for_us: u64 },
    /// A node that was drained is wanted again.
    Undrain { node: u32 },
}

/// Longer than a command waits for a right to answer, so that it is told that there is none, in microseconds.
const ALONE_US: (u64, u64) = (2_500_000, 4_000_000);
/// Long enough for another to take over what a node recovers, in microseconds.
const TORN_US: (u64, u64) = (700_000, 2_000_000);

/// Within which all machines have their power again, in microseconds, and how often, in ten thousand, one has not, and for how much longer.
const DARK_US: u64 = 2_000_000;
const LATE: u32 = 1_000;
const LATE_US: u64 = 11_000_000;
/// Long enough for something to be asked behind that, in microseconds.
const AFTER_DARK_US: u64 = 2_000_000;

impl World {
    pub(super) fn go_on(&mut self, step: Step) {
        if self.is_calm {
            return;
        }
        self.trace.line(|| format!("plot: {step:?}"));
        match step {
            Step::Kill { node, for_us } => self.kill(node, Crash::Process, for_us),
            Step::End { node, how, for_us } => {
                if self.hosts[node as usize].survives(how) {
                    self.kill(node, how, for_us);
                }
            }
            Step::LoseDisk { node, for_us } => self.lose_disk(node, for_us),
            Step::CutOff { node, for_us } => {
                self.links.network.cut_from_store(node);
                self.isolate(node, for_us);
            }
            Step::Scene { scene, for_us } => self.play(scene, for_us),
            Step::Undrain { node } => self.command(Command::Undrain(NodeId(node))),
        }
    }

    /// A plot has time to end as it should: the first one, or a run would never end.
    fn last(&mut self, for_us: u64) {
        if !std::mem::replace(&mut self.is_longer, true) {
            self.faulty_until_us = self.faulty_until_us.max(self.now_us + for_us);
        }
    }

    /// The node that leads some shard, as the metadata store has it, and that shard.
    pub(super) fn some_primary(&mut self) -> Option<(u32, ShardId)> {
        let shards: Vec<ShardId> = self.service.map().shards().keys().copied().collect();
        let shard = *shards.get(self.faults.index(shards.len().max(1)))?;
        let primary = self.service.map().shards()[&shard].config.primary();
        Some((primary.node.0, shard))
    }

    /// A primary is left alone: the others stand still, or are gone, and clients still find it.
    pub(super) fn leave_alone(&mut self) {
        let Some((primary, _)) = self.some_primary() else {
            return;
        };
        let for_us = self.faults.between(ALONE_US.0, ALONE_US.1);
        self.last(for_us);
        let are_killed = self.faults.chance(5_000);
        for other in (0..self.plan.nodes).filter(|other| *other != primary) {
            if are_killed && self.hosts[other as usize].survives(Crash::Process) {
                self.kill(other, Crash::Process, for_us);
            } else {
                self.pause(other, for_us);
            }
        }
    }

    /// A primary is heard by no other node, and clients still find it.
    pub(super) fn behead(&mut self, for_us: u64) {
        if let Some((primary, _)) = self.some_primary() {
            self.isolate(primary, for_us);
        }
    }

    /// A primary is heard by no other node while clients go on writing there, and another takes over: what the first has written then is
    /// in no log that counts. It comes back with it, now and then out of its files, and now and then it dies again when it is about
    /// to be put right.
    pub(super) fn lead_astray(&mut self) {
        let Some((node, _)) = self.some_primary() else {
            return;
        };
        self.counts.note(Rare::Astray);
        let for_us = self.faults.between(ASTRAY_US.0, ASTRAY_US.1);
        self.last(for_us + ASTRAY_US.1);
        self.isolate_both_ways(node, for_us);
        if self.faults.chance(5_000) {
            let early_us = self.faults.between(50_000, for_us);
            let down_us = self.faults.extreme(1_000, 500_000);
            self.end_astray(node, early_us, down_us);
        }
        if self.faults.chance(3_000) {
            let late_us = for_us + self.faults.extreme(10_000, 1_000_000);
            let down_us = self.faults.extreme(1_000, 200_000);
            self.end_astray(node, late_us, down_us);
        }
    }

    fn end_astray(&mut self, node: u32, in_us: u64, for_us: u64) {
        let is_power = self.plan.faults.power && self.faults.chance(5_000);
        let how = if is_power {
            Crash::Power
        } else {
            Crash::Process
        };
        self.after(in_us, Event::Plot(Step::End { node, how, for_us }));
    }

    /// A process dies again and again, before it has caught up.
    pub(super) fn flap(&mut self, node: u32) {
        let mut in_us = 0;
        for _ in 0..self.faults.between(2, 5) {
            let for_us = self.faults.extreme(1_000, 100_000);
            self.after(in_us, Event::Plot(Step::Kill { node, for_us }));
            in_us += for_us + self.faults.extreme(5_000, 300_000);
        }
    }

    pub(super) fn isolate_both_ways(&mut self, node: u32, for_us: u64) {
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            self.links.network.cut(node, other, true);
        }
        self.after(for_us, Event::Heal(Heal::Links));
    }

    /// A primary fails, and so does the link to whoever recovers its shard, so that a third is asked to.
    pub(super) fn tear(&mut self) {
        if let Some((primary, _)) = self.some_primary() {
            self.is_torn = true;
            let for_us = self.faults.between(TORN_US.0, TORN_US.1);
            self.last(for_us + TORN_US.1);
            self.pause(primary, for_us);
        }
    }

    /// The map has changed: goes on with [`World::tear`].
    pub(super) fn tear_recovery(&mut self) {
        let shards = self.service.map().shards().values();
        let mut recovering = shards.filter(|record| record.config.phase() != Phase::Serving);
        let Some(record) = recovering.next().filter(|_| self.is_torn && !self.is_calm) else {
            return;
        };
        let node = record.config.primary().node.0;
        self.is_torn = false;
        let for_us = self.faults.between(TORN_US.0, TORN_US.1);
        // It has to know of it first.
        let in_us = self.faults.extreme(1_000, 30_000);
        self.after(in_us, Event::Plot(Step::CutOff { node, for_us }));
    }

    /// All machines lose their power at once, where what they have synced is enough to go on from, and come back one after the other; now and then
    /// one so late that it is not waited for.
    pub(super) fn black_out(&mut self) {
        if !self.may_black_out() {
            return;
        }
        self.counts.note(Rare::Blackout);
        let hosts = self.hosts.iter();
        let synced_us = hosts.map(|host| host.synced_us(self.now_us)).min();
        if self.plan.files == Some(SyncMode::EverySecond) {
            self.blackouts.push(Blackout {
                at_us: self.now_us,
                synced_us: synced_us.unwrap_or(self.now_us),
            });
        }
        let late = self.faults.chance(LATE).then(|| {
            let nodes = u64::from(self.plan.nodes);
            self.faults.below(nodes) as u32
        });
        for node in 0..self.plan.nodes {
            let back_us = self.faults.extreme(1_000, DARK_US);
            let late_us = if late == Some(node) { LATE_US } else { 0 };
            self.lose_power(node);
            self.after(back_us + late_us, Event::Heal(Heal::Start(node)));
        }
        self.last(DARK_US + late.map_or(0, |_| LATE_US) + AFTER_DARK_US);
    }

    /// Whether every shard serves, as the map says, by members that run, and whatever their power leaves of each is enough to go on from.
    fn may_black_out(&mut self) -> bool {
        let shards = self.service.map().shards().iter();
        let shards: Vec<(ShardId, ShardConfig)> = shards
            .map(|(shard, record)| (*shard, record.config))
            .collect();
        let now_us = self.now_us;
        self.may_forget()
            && shards.iter().all(|(shard, config)| {
                let mut members = config.copies().members().iter();
                let is_left = members.all(|member| {
                    let host = &mut self.hosts[member.node.0 as usize];
                    host.member == *member && host.leaves(*shard, now_us)
                });
                config.phase() == Phase::Serving && is_left
            })
    }

    /// A copy is told to set aside what it has: whoever told it so perhaps loses everything, while it is the only one that has what was set aside.
    pub(super) fn bereave(&mut self, leader: u32) {
        self.counts.note(Rare::SetAside);
        if self.losses.chance(2_000) {
            let in_us = self.losses.extreme(0, 200_000);
            let for_us = self.losses.extreme(1_000, 3_000_000);
            let step = Step::LoseDisk {
                node: leader,
                for_us,
            };
            self.after(in_us, Event::Plot(step));
        }
    }

    /// A node to lose its power: rather one where a folder that was removed may be back.
    pub(super) fn powerless(&mut self, node: u32) -> u32 {
        let haunted = self.hosts.iter().position(|host| host.storage.has_ghost());
        match haunted {
            Some(haunted) if self.faults.chance(5_000) => haunted as u32,
            Some(_) | None => node,
        }
    }
}
