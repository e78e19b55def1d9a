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
}

impl Led {
    /// The map is like this since now.
    pub(super) fn follow(&mut self, map: &ClusterMap, now_us: u64) {
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
