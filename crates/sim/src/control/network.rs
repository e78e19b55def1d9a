//! Links between nodes, and to the store: delays, loss, cuts.

use std::collections::BTreeSet;

use crate::random::Random;

/// Which ways are cut, and how bad the rest is.
#[derive(Debug)]
pub struct Network {
    cut: BTreeSet<(u32, u32)>,
    store_cut: BTreeSet<u32>,
    /// Messages that are lost, in parts of ten thousand.
    pub loss: u32,
    /// Messages that take this much longer, in parts of ten thousand.
    pub late: u32,
    delay_us: u64,
    random: Random,
}

impl Network {
    /// All links are well.
    #[must_use]
    pub fn new(seed: u64, delay_us: u64) -> Self {
        Self {
            cut: BTreeSet::new(),
            store_cut: BTreeSet::new(),
            loss: 0,
            late: 0,
            delay_us,
            random: Random::new(seed, "network"),
        }
    }

    /// When a message arrives, if it does.
    pub fn delay_us(&mut self, from: u32, to: u32) -> Option<u64> {
        if self.cut.contains(&(from, to)) || self.random.chance(self.loss) {
            return None;
        }
        let late_us = if self.random.chance(self.late) {
            300_000
        } else {
            0
        };
        Some(self.random.between(self.delay_us / 2, self.delay_us * 2) + late_us)
    }

    /// How long a request of this node to the store takes, or an answer back.
    pub fn store_delay_us(&mut self, node: u32) -> Option<u64> {
        let delay_us = self.random.between(self.delay_us / 2, self.delay_us * 3);
        (!self.store_cut.contains(&node)).then_some(delay_us)
    }

    /// Whether anything sent this way arrives.
    #[must_use]
    pub fn reaches(&self, from: u32, to: u32) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Cuts one way, or both.
    pub fn cut(&mut self, a: u32, b: u32, both: bool) {
        self.cut.insert((a, b));
        if both {
            self.cut.insert((b, a));
        }
    }

    /// Cuts a node off from the store.
    pub fn cut_from_store(&mut self, node: u32) {
        self.store_cut.insert(node);
    }

    /// Everything is well again.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.store_cut.clear();
        (self.loss, self.late) = (0, 0);
    }
}
