//! Who hears whom, and how late.

use super::{Event, World};

/// Links that are cut, by sender and receiver. The last place is where the metadata store and the coordinator are.
#[derive(Debug)]
pub(crate) struct Network {
    cut: Vec<Vec<bool>>,
    /// When the last message on each link arrives.
    busy_us: Vec<Vec<u64>>,
}

impl Network {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            cut: vec![vec![false; places]; places],
            busy_us: vec![vec![0; places]; places],
        }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from][to] = true;
    }

    pub(crate) fn cut_both(&mut self, a: usize, b: usize) {
        self.cut(a, b);
        self.cut(b, a);
    }

    pub(crate) fn heal(&mut self) {
        for row in &mut self.cut {
            row.fill(false);
        }
    }

    pub(crate) fn passes(&self, from: usize, to: usize) -> bool {
        !self.cut[from][to]
    }
}

impl World {
    /// Where the metadata store and the coordinator are.
    pub(crate) fn headquarters(&self) -> usize {
        self.nodes.len()
    }

    /// Sends, as networks do: it may be lost, come late, or twice.
    pub(crate) fn transmit(&mut self, from: usize, to: usize, event: Event) {
        if !self.network.passes(from, to) {
            return;
        }
        let faulty = self.healed_us.is_none();
        if faulty && self.chance.network.chance(self.plan.loss) {
            return;
        }
        if faulty && self.chance.network.chance(self.plan.duplicates) {
            let delay = self.delay(from, to);
            self.plan_in(delay, event.clone());
        }
        let delay = self.delay(from, to);
        let in_order = !self.plan.reorders && delay <= 20 + self.plan.delay_us;
        let delay = if in_order {
            self.behind_others(from, to, delay)
        } else {
            delay
        };
        self.plan_in(delay, event);
    }

    /// On most networks only a message that is late beyond measure is overtaken.
    fn behind_others(&mut self, from: usize, to: usize, delay: u64) -> u64 {
        let busy_us = &mut self.network.busy_us[from][to];
        *busy_us = (*busy_us).max(self.time_us + delay);
        *busy_us - self.time_us
    }

    pub(crate) fn delay(&mut self, from: usize, to: usize) -> u64 {
        let slow = |n: usize| self.nodes.get(n).map_or(0, |node| node.slow_us);
        let slow_us = slow(from) + slow(to);
        let random = &mut self.chance.network;
        let delay = 20 + random.below(self.plan.delay_us);
        let times = if self.healed_us.is_none() && random.chance(self.plan.stragglers) {
            10
        } else {
            1
        };
        slow_us + delay * times
    }
}
