//! What goes wrong, and how much of it a cluster has to bear: never more lives are lost than the promise covers.

use std::collections::VecDeque;

use model::{CopySet, Incarnation, Member, Phase};

use crate::node::{Copy, Write};
use crate::plan::{Durability, Fault};
use crate::rare::Rare;

use super::metadata::name_of;
use super::{Event, Mend, World};

impl World {
    pub(crate) fn on_fault(&mut self) {
        if self.healed_us.is_some() {
            return;
        }
        if self.time_us < self.plot_until_us {
            return self.plan_in(self.plot_until_us - self.time_us, Event::Fault);
        }
        let sets_aside = self.plan.settings.sets_aside;
        if sets_aside && self.chance.losses.chance(500) {
            let shard = self.chance.losses.index(self.ledgers.len());
            self.orphan(shard);
            return self.plan_in(1, Event::Fault);
        }
        let fault = *self.chance.faults.pick(&self.plan.faults);
        let node = self.chance.faults.index(self.nodes.len());
        let shard = self.chance.faults.index(self.ledgers.len());
        let long_us = self.chance.faults.extreme(20_000, 2_000_000);
        self.trace(|| format!("fault: {fault:?}, node {node}, shard {shard}, {long_us} us"));
        self.strike(fault, node, shard, long_us);
        let calm = self.chance.faults.between(1, 2 * self.plan.calm_us);
        self.plan_in(calm, Event::Fault);
    }

    fn strike(&mut self, fault: Fault, node: usize, shard: usize, long_us: u64) {
        match fault {
            Fault::Crash => self.crash(node, long_us),
            Fault::PowerCut if self.plan.durability == Durability::Disk => {
                for node in 0..self.nodes.len() {
                    self.crash(node, long_us);
                }
            }
            Fault::PowerCut => self.crash(node, long_us),
            Fault::DiskLost => self.lose_everything(node, long_us),
            Fault::Pause => self.nodes[node].paused_until_us = self.time_us + long_us,
            Fault::Partition => self.partition(long_us),
            Fault::OneWay => self.cut_one_way(node, long_us),
            Fault::Pair => {
                let other = self.chance.faults.index(self.nodes.len());
                self.network.cut_both(node, other);
                self.plan_in(long_us, Event::Mend(Mend::Links));
            }
            Fault::CutFromMetadata => {
                let hq = self.headquarters();
                self.network.cut_both(node, hq);
                self.plan_in(long_us, Event::Mend(Mend::Links));
            }
            Fault::MetadataDown => {
                self.metadata.down = true;
                self.plan_in(long_us, Event::Mend(Mend::Metadata));
            }
            Fault::SlowNode => {
                self.nodes[node].slow_us = self.chance.faults.extreme(1_000, 400_000);
                self.plan_in(long_us, Event::Mend(Mend::Slow(node)));
            }
            Fault::SlowDisk => {
                self.nodes[node].disk_factor = self.chance.faults.extreme(2, 200);
                self.plan_in(long_us, Event::Mend(Mend::Disk(node)));
            }
            Fault::ClockJump => {
                let hours = self.chance.faults.below(7_200_000) as i64 - 3_600_000;
                self.nodes[node].wall_offset_ms = hours;
            }
            Fault::FalseSuspicion => self.suspect_falsely(shard),
            Fault::HandOver => self.ask_to_hand_over(shard),
            Fault::Move => self.move_copy(shard),
            Fault::StaleCoordinator => self.act_on_the_past(shard),
            Fault::Usurper => self.usurp(shard),
            Fault::Flapping => self.flap(node),
            Fault::VowLost => self.doom(node),
        }
    }

    /// The process dies. Where memory is all that it had, its life ends with it.
    pub(crate) fn crash(&mut self, node: usize, long_us: u64) {
        match self.plan.durability {
            Durability::Memory => self.lose_everything(node, long_us),
            Durability::Disk if self.nodes[node].up => {
                self.stop(node, long_us);
                self.tear_writes(node);
            }
            Durability::Disk => {}
        }
    }

    fn stop(&mut self, node: usize, long_us: u64) {
        let n = &mut self.nodes[node];
        (n.up, n.process) = (false, n.process + 1);
        (n.wake_us, n.paused_until_us) = (u64::MAX, 0);
        n.doomed = false;
        self.plan_in(long_us, Event::Mend(Mend::Start(node)));
    }

    /// Of what was being written, some is on disk, in order.
    fn tear_writes(&mut self, node: usize) {
        let mut lost = false;
        for copy in self.nodes[node].copies.values_mut() {
            let kept = self.chance.disk.index(copy.writes.len() + 1);
            let writes: VecDeque<Write> = core::mem::take(&mut copy.writes);
            for write in writes.iter().take(kept) {
                copy.image.write(write);
            }
            lost |= kept < writes.len();
            copy.writing = 0;
        }
        if lost {
            self.note_rare(Rare::UnsyncedLost);
        }
    }

    /// The node begins a new life, if its old one can be done without.
    pub(crate) fn lose_everything(&mut self, node: usize, long_us: u64) {
        if !self.nodes[node].up || !self.may_forget(node) {
            return;
        }
        self.stop(node, long_us);
        self.note_rare(Rare::RestartNewLife);
        let (low, high) = (self.chance.faults.bits(), self.chance.faults.bits());
        let n = &mut self.nodes[node];
        n.member.incarnation = Incarnation(u128::from(low) << 64 | u128::from(high));
        n.copies.clear();
        n.known.clear();
    }

    /// Whether every shard can still be recovered, as promised, without what this node knows.
    pub(crate) fn may_forget(&self, node: usize) -> bool {
        (0..self.ledgers.len())
            .all(|shard| self.is_recoverable(shard, |m| m.node.0 as usize != node))
    }

    /// Whether RQ members of the set that served last are what they were, and one of them has everything.
    fn is_recoverable(&self, shard: usize, counted: impl Fn(&Member) -> bool) -> bool {
        let record = &self.metadata.records[shard];
        let (epoch, set): (u32, CopySet) = match record.phase() {
            Phase::Serving => (record.epoch(), *record.copies()),
            Phase::Recovering { from: Some(from) } => (from.epoch, from.copies),
            Phase::Recovering { from: None } => return false,
        };
        let intact: Vec<Member> = set
            .members()
            .iter()
            .copied()
            .filter(|m| self.is_intact(m, &counted))
            .collect();
        let copies: Vec<&Copy> = intact
            .iter()
            .filter_map(|m| self.nodes[m.node.0 as usize].copies.get(&shard))
            .filter(|c| c.replica.vows().synced >= epoch)
            .collect();
        let given_up = copies
            .iter()
            .filter_map(|c| c.replica.vows().discarded)
            .max();
        let needed = self.ledgers[shard].end().max(given_up.unwrap_or_default());
        let holders = copies.iter().filter(|c| {
            c.replica.vows().discarded.is_none() && c.lasting_end(self.plan.durability) >= needed
        });
        // The set that is being brought may be said to serve at any moment.
        let next = record.copies();
        let there = next
            .members()
            .iter()
            .filter(|m| self.is_intact(m, &counted));
        let sets_aside = self.plan.settings.sets_aside;
        intact.len() >= set.read_quorum()
            && there.count() >= next.read_quorum()
            && (sets_aside || holders.count() >= 1)
    }

    fn is_intact(&self, member: &Member, counted: impl Fn(&Member) -> bool) -> bool {
        counted(member) && self.nodes[member.node.0 as usize].member == *member
    }

    fn partition(&mut self, long_us: u64) {
        let places = self.nodes.len() + 1;
        let side: Vec<bool> = (0..places)
            .map(|_| self.chance.faults.chance(5_000))
            .collect();
        for a in 0..places {
            for b in 0..places {
                if side[a] != side[b] {
                    self.network.cut(a, b);
                }
            }
        }
        self.plan_in(long_us, Event::Mend(Mend::Links));
    }

    fn cut_one_way(&mut self, node: usize, long_us: u64) {
        let speaks = self.chance.faults.chance(5_000);
        let metadata_too = self.chance.faults.chance(5_000);
        for other in 0..self.nodes.len() + usize::from(metadata_too) {
            if speaks {
                self.network.cut(other, node);
            } else {
                self.network.cut(node, other);
            }
        }
        self.plan_in(long_us, Event::Mend(Mend::Links));
    }

    fn suspect_falsely(&mut self, shard: usize) {
        let record = self.believed(shard);
        let members = record.copies().members().to_vec();
        let primary = *self.chance.faults.pick(&members);
        self.succeed(shard, members, primary);
    }

    fn ask_to_hand_over(&mut self, shard: usize) {
        let record = self.believed(shard);
        let to = *self.chance.faults.pick(record.copies().members());
        let node = record.primary().node.0 as usize;
        if record.primary() != to && record.phase() == Phase::Serving {
            let hq = self.headquarters();
            self.transmit(hq, node, Event::HandOver { node, shard, to });
        }
    }

    /// One member is replaced by another node, or leaves, or one more comes.
    fn move_copy(&mut self, shard: usize) {
        let record = self.believed(shard);
        if record.phase() != Phase::Serving {
            return;
        }
        let mut members = record.copies().members().to_vec();
        let spare: Vec<Member> = self
            .believed_alive()
            .into_iter()
            .filter(|m| members.iter().all(|n| n.node != m.node))
            .collect();
        let leaves = self.chance.faults.index(members.len());
        let drop = self.chance.faults.chance(7_000) && members.len() > 1;
        if drop && members[leaves] != record.primary() {
            members.remove(leaves);
        }
        if !spare.is_empty() && members.len() < model::membership::MAX_COPIES {
            members.push(*self.chance.faults.pick(&spare));
        }
        // No set may be smaller than what was asked for; and of a set of more than one, of which one is enough, none may be lost.
        if members.len() >= self.plan.copies && self.plan.write_quorum > 1 {
            self.succeed(shard, members, record.primary());
        }
    }

    /// Somebody acts on a configuration that was over long ago, or never was.
    fn act_on_the_past(&mut self, shard: usize) {
        let record = self.metadata.records[shard];
        if record.epoch() < 3 {
            return;
        }
        let epoch = 1 + self.chance.faults.below(u64::from(record.epoch()) - 1) as u32;
        let members = record.copies();
        let node = self.chance.faults.pick(members.members()).node;
        let phase = Phase::Serving;
        if let Some(past) = model::ShardConfig::checked(epoch, *members, node, phase) {
            let next = past.succeed(*members, node);
            self.request_change(shard, name_of(&past), next, None);
        }
    }

    pub(crate) fn on_mend(&mut self, mend: Mend) {
        match mend {
            Mend::Start(node) => self.start(node),
            Mend::Links => self.join_again(),
            Mend::Metadata => self.metadata.down = false,
            Mend::Slow(node) => self.nodes[node].slow_us = 0,
            Mend::Disk(node) => self.nodes[node].disk_factor = 1,
        }
    }

    fn join_again(&mut self) {
        self.network.heal();
        for node in 0..self.nodes.len() {
            self.tell_all(node);
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].up || self.stays_dead == Some(node) {
            return;
        }
        (self.nodes[node].up, self.nodes[node].started_us) = (true, self.time_us);
        if self.plan.durability == Durability::Disk && !self.nodes[node].copies.is_empty() {
            self.note_rare(Rare::RestartSameLife);
        }
        let jump = self.chance.faults.below(1_000_000_000);
        self.nodes[node].mono_offset_us = jump;
        self.restore(node);
        self.tell_all(node);
        self.nodes[node].wake_us = self.time_us;
        self.on_wake(node);
    }

    /// No more faults: what was cut is joined, what was stopped goes on. One node may stay dead, if it can be done without.
    pub(crate) fn on_heal(&mut self) {
        (self.healed_us, self.plot_until_us) = (Some(self.time_us), 0);
        self.join_again();
        self.metadata.down = false;
        self.leave_one_dead();
        for node in 0..self.nodes.len() {
            let n = &mut self.nodes[node];
            (n.paused_until_us, n.slow_us, n.disk_factor) = (0, 0, 1);
            self.start(node);
        }
        self.trace(|| "healed".to_owned());
        self.plan_in(100_000, Event::Judge);
    }

    fn leave_one_dead(&mut self) {
        let node = self.chance.faults.index(self.nodes.len());
        let enough = self.nodes.len() > self.plan.copies && self.plan.write_quorum > 1;
        if enough && self.chance.faults.chance(5_000) && self.may_forget(node) {
            if self.nodes[node].up {
                self.stop(node, 0);
                self.tear_writes(node);
            }
            self.stays_dead = Some(node);
        }
    }
}
