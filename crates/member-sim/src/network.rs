//! Messages between nodes: how long they take, which are lost, which come twice, in which order.
//!
//! A link is a stream: what is sent later comes later, and a message that is lost stands for a connection that broke. A *wild* network
//! keeps no order and brings some messages twice: nodes must bear more than links do.

use std::collections::BTreeMap;

use sim::control::network::Network;
use sim::random::Random;

use crate::rare::{Counts, Rare};

/// Messages that come twice in a wild network, in parts of ten thousand.
const TWICE: u32 = 200;

/// See the module.
pub struct Links {
    /// Cuts and losses.
    pub network: Network,
    wild: bool,
    /// When the last message of each way arrives.
    last_us: BTreeMap<(u32, u32), u64>,
    random: Random,
}

impl Links {
    /// All links are well.
    #[must_use]
    pub fn new(seed: u64, delay_us: u64, wild: bool) -> Self {
        Self {
            network: Network::new(seed, delay_us),
            wild,
            last_us: BTreeMap::new(),
            random: Random::new(seed, "links"),
        }
    }

    /// When a message that is sent now arrives: not at all, once, or twice.
    pub fn arrivals(&mut self, from: u32, to: u32, now_us: u64, counts: &mut Counts) -> Vec<u64> {
        let Some(delay_us) = self.network.delay_us(from, to) else {
            counts.note(Rare::MessageLost);
            return Vec::new();
        };
        let last_us = self.last_us.entry((from, to)).or_default();
        let mut at_us = now_us + delay_us;
        if self.wild {
            if at_us < *last_us {
                counts.note(Rare::MessageOvertook);
            }
        } else {
            at_us = at_us.max(*last_us);
        }
        *last_us = at_us.max(*last_us);
        if self.wild && self.random.chance(TWICE) {
            counts.note(Rare::MessageTwice);
            return vec![at_us, at_us + self.random.below(20_000)];
        }
        vec![at_us]
    }
}
