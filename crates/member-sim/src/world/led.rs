//! Who leads each shard, by the map, and since when: so that it is known who cannot have missed what is in it.

use std::collections::BTreeMap;

use cluster::map::ClusterMap;
use model::slot::Slot;
use model::{NodeId, Phase, ShardId};

/// See the module.
#[derive(Default)]
pub(super) struct Led {
    /// In which epoch each shard is served, by whom, and since when, in the time of the world.
    shards: BTreeMap<ShardId, (u32, NodeId, u64)>,
    /// The latest epoch of each shard, since when, and how far its time may have been ahead of the clock then, in microseconds.
    ahead: BTreeMap<ShardId, (u32, u64, u64)>,
    most_ahead_us: u64,
}

impl Led {
    /// How far the time of any shard may ever have been ahead of its primary's clock, in microseconds. Each new primary begins a step later than the
    /// last, so where one soon follows the other the steps add up.
    pub(super) const fn most_ahead_us(&self) -> u64 {
        self.most_ahead_us
    }

    /// A shard has another epoch.
    fn note_step(&mut self, shard: ShardId, epoch: u32, step_us: u64, now_us: u64) {
        let (last, at_us, ahead_us) = self.ahead.get(&shard).copied().unwrap_or_default();
        if epoch > last {
            let ahead_us = ahead_us.saturating_sub(now_us - at_us) + step_us;
            self.ahead.insert(shard, (epoch, now_us, ahead_us));
            self.most_ahead_us = self.most_ahead_us.max(ahead_us);
        }
    }

    /// The map has lost who leads.
    pub(super) fn forget(&mut self) {
        self.shards.clear();
    }

    /// The map is like this since now.
    pub(super) fn follow(&mut self, map: &ClusterMap, step_us: u64, now_us: u64) {
        for (shard, record) in map.shards() {
            self.note_step(*shard, record.config.epoch(), step_us, now_us);
        }
        for (shard, record) in map.shards() {
            let config = &record.config;
            let (epoch, primary) = (config.epoch(), config.primary().node);
            match config.phase() {
                Phase::Recovering { .. } => {
                    self.shards.remove(shard);
                }
                Phase::Serving => {
                    let led = self
                        .shards
                        .entry(*shard)
                        .or_insert((epoch, primary, now_us));
                    if led.0 != epoch {
                        *led = (epoch, primary, now_us);
                    }
                }
            }
        }
    }

    /// The slots that this node has led since then: the first and the last of each range.
    pub(super) fn ranges(&self, node: u32, map: &ClusterMap, since_us: u64) -> Vec<(u16, u16)> {
        let shards = map.shards().iter();
        let led = shards.filter(|(shard, _)| {
            let led = self.shards.get(shard);
            led.is_some_and(|(_, by, led_us)| by.0 == node && *led_us <= since_us)
        });
        led.map(|(_, record)| (record.first_slot, record.last_slot))
            .collect()
    }

    /// Whether this node has led the shard of a key since then.
    pub(super) fn is_by(&self, node: u32, map: &ClusterMap, key: &str, since_us: u64) -> bool {
        let shard = map.shard_of(Slot::of(key.as_bytes()));
        let led = shard.and_then(|shard| self.shards.get(&shard));
        led.is_some_and(|(_, by, led_us)| by.0 == node && *led_us <= since_us)
    }
}
