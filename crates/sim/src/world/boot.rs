//! Starting a node, empty or from what a disk holds, as the server does it.

use command::Settings;
use model::{Now, Position};
use node::Node;
use shard::{Shard, ShardSettings};
use store::{HeapPages, Restore, RestoreReport, Store, StoreConfig, Tuning};

use crate::disk::Image;
use crate::plan::Plan;

fn config(plan: &Plan) -> StoreConfig {
    StoreConfig {
        memory_bytes: plan.memory_bytes,
        sync: plan.sync,
        seed: plan.seed,
    }
}

fn tuning(plan: &Plan) -> Tuning {
    Tuning {
        segment_bytes: plan.segment_bytes,
        directory: plan.seed,
        ..Tuning::default()
    }
}

fn secret(plan: &Plan, epoch: u32) -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&plan.seed.to_le_bytes());
    secret[8..12].copy_from_slice(&epoch.to_le_bytes());
    secret
}

fn node(plan: &Plan, store: Store, epoch: u32, now: Now) -> Node {
    let mut shard = Shard::new(store, Position::new(epoch, 1), ShardSettings::default());
    shard
        .rebuild(now)
        .expect("a restart has room for what it removes");
    let settings = Settings {
        read_ahead_bytes: plan.read_ahead_bytes,
        line_ahead_bytes: plan.line_ahead_bytes,
        output_pause_bytes: plan.output_pause_bytes,
        ..Settings::default()
    };
    Node::new(shard, settings, secret(plan, epoch), now)
}

/// The first node, over an empty disk.
pub(super) fn first(plan: &Plan, now: Now) -> Node {
    let store = Store::with(config(plan), tuning(plan), Box::new(HeapPages));
    node(plan, store, 1, now)
}

/// A node from segment files, in the order in which they are given.
///
/// # Errors
/// There is no memory for them.
pub(super) fn again(
    plan: &Plan,
    images: &[Image<'_>],
    epoch: u32,
    now: Now,
) -> Result<(Node, RestoreReport), String> {
    let mut restore = Restore::new(config(plan), tuning(plan), Box::new(HeapPages));
    for image in images {
        image.read(&mut restore)?;
    }
    let put_off = restore.put_off();
    for image in images.iter().filter(|i| put_off.contains(&i.segment)) {
        image.read(&mut restore)?;
    }
    let (store, report) = restore.finish(now.unix_ms);
    if report.newest.epoch() >= epoch {
        return Err(format!(
            "the log's newest position is {}, in an epoch to come",
            report.newest
        ));
    }
    let now = now.not_before(report.latest_ms);
    Ok((node(plan, store, epoch, now), report))
}
