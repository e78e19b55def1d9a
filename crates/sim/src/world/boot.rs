//! Starting a node, empty or from what a disk holds.

use command::Settings;
use model::{Now, Position};
use node::Node;
use shard::{Shard, ShardSettings};
use store::{Store, StoreConfig};

use crate::plan::Plan;

fn config(plan: &Plan) -> StoreConfig {
    StoreConfig {
        memory_bytes: plan.memory_bytes.max(1 << 30),
        sync: plan.sync,
        seed: plan.seed,
    }
}

fn secret(plan: &Plan, epoch: u32) -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&plan.seed.to_le_bytes());
    secret[8..12].copy_from_slice(&epoch.to_le_bytes());
    secret
}

/// The first node, over an empty disk.
pub(super) fn first(plan: &Plan, now: Now) -> Node {
    let store = Store::new(config(plan));
    let shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
    Node::new(shard, Settings::default(), secret(plan, 1), now)
}
