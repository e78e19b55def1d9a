//! Scenes: short runs in which one thing goes wrong with one shard while clients ask all the time. What a rule prevents lasts for
//! milliseconds, and has to be looked at in these; among many faults, one after the other, hardly anybody would.

use cluster::coordinator::Command;
use model::{Member, NodeId, ShardId};
use sim::disk::Crash;

use super::faults::Heal;
use super::plots::Step;
use super::{Event, World};
use crate::plan::Scene;
use crate::rare::Rare;

/// Clients have found their keys by then, in microseconds.
const AFTER_US: (u64, u64) = (30_000, 250_000);
/// Long enough for another to take over, and for it to be asked as well, in microseconds.
const LASTS_US: (u64, u64) = (500_000, 1_200_000);
/// So long that a primary which nobody hears reads by the time that it had: `docs/replication.md`, "Disks that take nothing".
const STILL_US: (u64, u64) = (1_400_000, 2_000_000);
/// A process that is started again at once, in microseconds.
const AT_ONCE_US: u64 = 60_000;
/// How many of those that are cut off from the others are so from the metadata store, in parts of ten thousand.
const TOLD_NOTHING: u32 = 8_000;
/// Messages that are lost at most, in parts of ten thousand.
const LOSS: u64 = 4_000;

impl World {
    /// Has the plan's scene begin soon, and the run be over soon after it.
    pub(super) fn set_scene(&mut self, scene: Scene) {
        let in_us = self.faults.between(AFTER_US.0, AFTER_US.1);
        let is_still = matches!(scene, Scene::Deaf | Scene::Lapse) && self.faults.chance(8_000);
        let (least_us, most_us) = if is_still { STILL_US } else { LASTS_US };
        let for_us = self.faults.between(least_us, most_us);
        let after_us = self.faults.between(AFTER_US.0, AFTER_US.1);
        self.faulty_until_us = self.now_us + in_us + for_us + after_us;
        self.after(in_us, Event::Plot(Step::Scene { scene, for_us }));
    }

    pub(super) fn play(&mut self, scene: Scene, for_us: u64) {
        let Some((primary, shard)) = self.some_primary() else {
            return;
        };
        self.counts.note(Rare::Scene);
        match scene {
            Scene::Deaf => self.seclude(primary, for_us),
            Scene::Asleep => self.pause(primary, for_us),
            Scene::Killed => self.kill(primary, Crash::Process, for_us),
            Scene::KilledSoonBack => {
                let back_us = self.faults.extreme(100, AT_ONCE_US);
                self.kill(primary, Crash::Process, back_us);
            }
            Scene::Lapse => self.lapse(primary, shard, for_us),
            Scene::Succession => self.succeed_in_vain(primary, for_us),
            Scene::Refill => self.refill(primary, shard, for_us),
            Scene::HandOver => {
                self.command(Command::Drain(NodeId(primary)));
                self.after(for_us, Event::Plot(Step::Undrain { node: primary }));
            }
        }
    }

    /// A node is cut off from the others, and mostly from the metadata store as well: it is not told that another leads what it led.
    fn seclude(&mut self, node: u32, for_us: u64) {
        if self.faults.chance(TOLD_NOTHING) {
            self.counts.note(Rare::CutFromStore);
            self.links.network.cut_from_store(node);
            self.isolate_both_ways(node, for_us);
        } else {
            self.isolate(node, for_us);
        }
    }

    /// A primary is heard by nobody, and the standbys that have granted it a lease start again meanwhile.
    fn lapse(&mut self, primary: u32, shard: ShardId, for_us: u64) {
        self.seclude(primary, for_us);
        for standby in self.standbys(shard) {
            let in_us = self.faults.extreme(100, for_us / 2);
            let back_us = self.faults.extreme(100, AT_ONCE_US);
            let (node, how) = (standby, Crash::Process);
            let end = Step::End {
                node,
                how,
                for_us: back_us,
            };
            if self.faults.chance(6_000) {
                self.after(in_us, Event::Plot(end));
            }
        }
    }

    /// A primary stands still, and whoever takes over is cut off while it does.
    fn succeed_in_vain(&mut self, primary: u32, for_us: u64) {
        self.is_torn = true;
        if self.faults.chance(5_000) {
            self.pause(primary, for_us);
        } else {
            self.seclude(primary, for_us);
        }
    }

    /// A standby loses what it has and is filled anew, over links that lose some of it.
    fn refill(&mut self, primary: u32, shard: ShardId, for_us: u64) {
        let standbys = self.standbys(shard);
        let standby = *self.faults.pick(&standbys);
        let how = match self.plan.files {
            Some(_) => Crash::Power,
            None => Crash::Process,
        };
        let back_us = self.faults.extreme(100, AT_ONCE_US);
        self.kill(standby, how, back_us);
        self.links.network.loss = self.faults.extreme(0, LOSS) as u32;
        self.after(for_us, Event::Heal(Heal::Links));
        if self.faults.chance(3_000) {
            let in_us = self.faults.extreme(AT_ONCE_US, for_us);
            let end = Step::Kill {
                node: primary,
                for_us,
            };
            self.after(in_us, Event::Plot(end));
        }
    }

    fn standbys(&self, shard: ShardId) -> Vec<u32> {
        let config = &self.service.map().shards()[&shard].config;
        let members = config.copies().members().iter();
        let standbys = members.filter(|member: &&Member| **member != config.primary());
        standbys.map(|member| member.node.0).collect()
    }
}
