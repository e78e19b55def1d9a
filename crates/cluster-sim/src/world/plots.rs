//! Plots: faults that belong together, each at the moment at which a rule is all that saves the day. Drawn one by one they would
//! hardly ever meet.

use model::Phase;

use crate::plan::Durability;
use crate::rare::Rare;

use super::{Event, Mend, World};

/// What happens a while after a plot has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Two places do not hear each other any more.
    Cut { a: usize, b: usize },
    /// A process dies, and is started again soon.
    Crash { node: usize, long_us: u64 },
    /// A process is to die with its next vow.
    Doom { node: usize },
    /// A node loses all that it had.
    Bereave { node: usize, long_us: u64 },
    /// The coordinator makes a node primary, if that is a member.
    Enthrone { shard: usize, node: usize },
}

impl World {
    pub(crate) fn on_plot(&mut self, step: Step) {
        if self.healed_us.is_some() {
            return;
        }
        self.trace(|| format!("plot: {step:?}"));
        match step {
            Step::Cut { a, b } => self.network.cut_both(a, b),
            Step::Crash { node, long_us } => self.crash(node, long_us),
            Step::Doom { node } => self.doom(node),
            Step::Bereave { node, long_us } => self.lose_everything(node, long_us),
            Step::Enthrone { shard, node } => self.enthrone(shard, node),
        }
    }

    /// A member is to be primary, perhaps with another node in the place of the old one.
    fn enthrone(&mut self, shard: usize, node: usize) {
        if !self.metadata.down {
            self.look_up(shard);
        }
        let record = self.believed(shard);
        let mut members = record.copies().members().to_vec();
        let chosen = members.iter().copied().find(|m| m.node.0 as usize == node);
        let alive = self.believed_alive().into_iter();
        let mut spare = alive.filter(|m| members.iter().all(|n| n.node != m.node));
        let (old, spare) = (record.primary(), spare.next());
        if let (Some(spare), true) = (spare, self.chance.faults.chance(5_000)) {
            members.retain(|m| *m != old);
            members.push(spare);
        }
        if let Some(primary) = chosen {
            self.succeed(shard, members, primary);
        }
    }

    /// A primary loses its standbys one after the other, so that its leases end one after the other; some of those start again within the
    /// lease that they have granted; and one is to succeed before the last lease is over. Now and then one standby hears both.
    pub(crate) fn usurp(&mut self, shard: usize) {
        if !self.metadata.down {
            self.look_up(shard);
        }
        let record = self.believed(shard);
        let members = record.copies().members().iter();
        let primary = record.primary().node.0 as usize;
        let mut standbys: Vec<usize> = members.map(|m| m.node.0 as usize).collect();
        standbys.retain(|n| *n != primary);
        if record.phase() != Phase::Serving || standbys.is_empty() {
            return;
        }
        let lease_us = self.plan.settings.lease_us;
        let alone_us = self.chance.faults.below(2 * lease_us);
        if self.chance.faults.chance(4_000) {
            self.restart_under_lease(&standbys, alone_us);
        }
        let usurper = standbys.swap_remove(self.chance.faults.index(standbys.len()));
        let torn = self.chance.faults.chance(4_000) && !standbys.is_empty();
        let torn = torn.then(|| standbys[0]);
        self.cut_off(primary, torn, alone_us);
        let crowned_us = alone_us + self.chance.faults.between(3, 6) * lease_us / 8;
        if let Some(node) = torn {
            self.plan_in(crowned_us, Event::Plot(Step::Doom { node }));
        }
        let node = usurper;
        self.plan_in(crowned_us, Event::Plot(Step::Enthrone { shard, node }));
        let over_us = crowned_us + 2 * lease_us;
        self.plot_until_us = self.time_us + over_us;
        self.plan_in(over_us, Event::Mend(Mend::Links));
    }

    /// A primary is heard by nobody in the end, but for one.
    fn cut_off(&mut self, primary: usize, but_for: Option<usize>, alone_us: u64) {
        let staged = *self.chance.faults.pick(&[0, 0, 4_000]);
        for other in 0..=self.nodes.len() {
            let early = self.chance.faults.chance(staged);
            let in_us = if early {
                self.chance.faults.below(alone_us)
            } else {
                alone_us
            };
            if other != primary && Some(other) != but_for {
                let (a, b) = (primary, other);
                self.plan_in(in_us, Event::Plot(Step::Cut { a, b }));
            }
        }
    }

    /// Some of these start again, and are there when one of them is to succeed.
    fn restart_under_lease(&mut self, standbys: &[usize], from_us: u64) {
        let lease_us = self.plan.settings.lease_us;
        for &node in standbys {
            if self.plan.durability == Durability::Disk && self.chance.faults.chance(5_000) {
                let long_us = 1_000 + self.chance.faults.below(lease_us / 8);
                let in_us = from_us + self.chance.faults.below(lease_us / 8);
                self.plan_in(in_us, Event::Plot(Step::Crash { node, long_us }));
            }
        }
    }

    /// A process that dies again and again, before it has caught up.
    pub(crate) fn flap(&mut self, node: usize) {
        let mut in_us = 0;
        for _ in 0..self.chance.faults.between(2, 5) {
            let long_us = self.chance.faults.extreme(1_000, 100_000);
            self.plan_in(in_us, Event::Plot(Step::Crash { node, long_us }));
            in_us += long_us + self.chance.faults.extreme(5_000, 300_000);
        }
    }

    /// From now on its disk is slow, and the next vow is its last.
    pub(crate) fn doom(&mut self, node: usize) {
        if self.plan.durability == Durability::Disk {
            (self.nodes[node].doomed, self.nodes[node].disk_factor) = (true, 200);
            self.plan_in(500_000, Event::Mend(Mend::Disk(node)));
        }
    }

    /// A copy has been set aside. Whoever had that done perhaps loses everything, while it is the only one that has what was set aside.
    pub(crate) fn bereave(&mut self, node: usize, shard: usize) {
        if self.healed_us.is_some() || !self.chance.losses.chance(5_000) {
            return;
        }
        let leader = self.nodes[node].known[&shard].primary().node.0 as usize;
        let in_us = self.chance.losses.extreme(0, 100_000);
        let long_us = self.chance.losses.extreme(1_000, 2_000_000);
        let step = Step::Bereave {
            node: leader,
            long_us,
        };
        self.plan_in(in_us, Event::Plot(step));
    }

    /// A standby is heard by nobody, so that it lacks what another has; that one and the primary start again, at different ends of their log, which cannot
    /// say what one lacks: nobody but the primary has all of it then, and the other copy is to be filled from there.
    pub(crate) fn orphan(&mut self, shard: usize) {
        let record = self.believed(shard);
        let primary = record.primary().node.0 as usize;
        let members = record.copies().members().iter();
        let mut standbys: Vec<usize> = members.map(|m| m.node.0 as usize).collect();
        standbys.retain(|n| *n != primary);
        if record.phase() != Phase::Serving || standbys.len() < 2 {
            return;
        }
        let losses = &mut self.chance.losses;
        let deaf = standbys.swap_remove(losses.index(standbys.len()));
        let behind_us = losses.extreme(1_000, 300_000);
        let over_us = behind_us + losses.between(1, 3) * 1_000_000;
        for other in (0..=self.nodes.len()).filter(|other| *other != deaf) {
            let (a, b) = (deaf, other);
            self.plan_in(0, Event::Plot(Step::Cut { a, b }));
        }
        let mut in_us = behind_us;
        for node in standbys.into_iter().chain([primary]) {
            let long_us = self.chance.losses.extreme(1_000, 50_000);
            self.plan_in(in_us, Event::Plot(Step::Crash { node, long_us }));
            in_us += self.chance.losses.extreme(100, 20_000);
        }
        self.leapless_until_us = self.time_us + over_us;
        self.plan_in(over_us, Event::Mend(Mend::Links));
    }

    /// A vow is to be saved: what rests on it must not have been said when the process dies.
    pub(crate) fn die_if_doomed(&mut self, node: usize) {
        if core::mem::take(&mut self.nodes[node].doomed) {
            self.note_rare(Rare::VowLost);
            let long_us = self.chance.faults.extreme(1_000, 100_000);
            let in_us = self.chance.faults.extreme(0, self.plan.delay_us);
            self.plan_in(in_us, Event::Plot(Step::Crash { node, long_us }));
        }
    }
}
