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
            Step::Enthrone { shard, node } => self.enthrone(shard, node),
        }
    }

    fn enthrone(&mut self, shard: usize, node: usize) {
        let members = self.believed(shard).copies().members().to_vec();
        let chosen = members.iter().copied().find(|m| m.node.0 as usize == node);
        if let Some(primary) = chosen {
            self.succeed(shard, members, primary);
        }
    }

    /// A primary loses its standbys one after the other, so that its leases end one after the other; some of those start again within the
    /// lease that they have granted; and one of them is to succeed before the last lease is over.
    pub(crate) fn usurp(&mut self, shard: usize, long_us: u64) {
        let record = self.believed(shard);
        if record.phase() != Phase::Serving {
            return;
        }
        let (primary, lease_us) = (
            record.primary().node.0 as usize,
            self.plan.settings.lease_us,
        );
        let alone_us = self.chance.faults.below(2 * lease_us);
        for other in 0..=self.nodes.len() {
            let early = self.chance.faults.chance(4_000);
            let in_us = if early {
                self.chance.faults.below(alone_us)
            } else {
                alone_us
            };
            if other != primary {
                self.plan_in(
                    in_us,
                    Event::Plot(Step::Cut {
                        a: primary,
                        b: other,
                    }),
                );
            }
        }
        let members = record.copies().members().iter().map(|m| m.node.0 as usize);
        let standbys: Vec<usize> = members.filter(|n| *n != primary).collect();
        for node in &standbys {
            self.restart_under_lease(*node, alone_us);
        }
        if !standbys.is_empty() {
            let node = *self.chance.faults.pick(&standbys);
            let in_us = alone_us + self.chance.faults.below(lease_us / 2);
            self.plan_in(in_us, Event::Plot(Step::Enthrone { shard, node }));
        }
        self.plan_in(alone_us + lease_us + long_us, Event::Mend(Mend::Links));
    }

    fn restart_under_lease(&mut self, node: usize, from_us: u64) {
        let lease_us = self.plan.settings.lease_us;
        if self.plan.durability == Durability::Disk && self.chance.faults.chance(3_000) {
            let long_us = 1_000 + self.chance.faults.below(lease_us / 4);
            let in_us = from_us + self.chance.faults.below(lease_us / 4);
            self.plan_in(in_us, Event::Plot(Step::Crash { node, long_us }));
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

    /// A process that has just said something, with its disk busy, dies if it is doomed to.
    pub(crate) fn say_last_words(&mut self, node: usize, shard: usize) {
        let n = &self.nodes[node];
        let busy = n.copies.get(&shard).is_some_and(|c| !c.writes.is_empty());
        if n.last_words && busy {
            self.nodes[node].last_words = false;
            self.note_rare(Rare::LastWords);
            let long_us = self.chance.faults.extreme(1_000, 100_000);
            let in_us = self.chance.faults.below(self.plan.delay_us);
            self.plan_in(in_us, Event::Plot(Step::Crash { node, long_us }));
        }
    }
}
