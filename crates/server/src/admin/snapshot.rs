//! The state of a node at one instant, copied so that another thread can write about it.

use command::Process;
use command::Stats;
use model::Now;
use node::Node;
use shard::holds::HoldCounts;
use store::{DiskError, Usage};

use super::Figures;
use crate::disk::{Disk, DiskStats};
use crate::plane::Plane;

/// See the module.
#[derive(Debug)]
pub struct Snapshot {
    /// Counters of commands and connections.
    pub stats: Stats,
    /// Open connections.
    pub connections: usize,
    /// Memory, log and cleaner.
    pub usage: Usage,
    /// Holds and those who wait for them.
    pub holds: HoldCounts,
    /// Memory and processor time of the process.
    pub process: Process,
    /// What is wrong with the disk, if anything is.
    pub trouble: Option<DiskError>,
    /// The disk.
    pub disk: DiskStats,
    /// Turns of the loop.
    pub turns: u64,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// What a member of a cluster counts besides.
    pub figures: Option<Figures>,
}

impl Snapshot {
    /// How things are now.
    pub fn of(node: &Node, disk: &Disk, plane: Option<&Plane>, turns: u64, now: Now) -> Self {
        let started = node.server().started;
        Self {
            stats: node.server().stats.clone(),
            connections: node.clients().len(),
            usage: node.usage(),
            holds: holds(node),
            process: node.server().process.clone(),
            trouble: disk.trouble(),
            disk: disk.stats,
            turns,
            uptime_s: (now.mono_us - started.mono_us) as f64 / 1e6,
            figures: plane.map(|plane| Figures::of(plane, node)),
        }
    }
}

/// Of all copies that serve: the others know of the same holds.
fn holds(node: &Node) -> HoldCounts {
    let own = node.shard().hold_counts();
    let serving = node
        .shards()
        .filter(|(_, shard)| shard.replica().is_serving());
    serving.fold(own, |all, (_, shard)| {
        let counts = shard.hold_counts();
        HoldCounts {
            held: all.held + counts.held,
            waiting: all.waiting + counts.waiting,
            taken: all.taken + counts.taken,
            handed_over: all.handed_over + counts.handed_over,
            expired: all.expired + counts.expired,
            broken: all.broken + counts.broken,
            timed_out: all.timed_out + counts.timed_out,
        }
    })
}
