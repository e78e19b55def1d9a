//! The state of a node at one instant, copied so that another thread can write about it.

use command::Process;
use command::Stats;
use model::Now;
use node::Node;
use shard::holds::HoldCounts;
use store::{DiskError, Usage};

use crate::disk::{Disk, DiskStats};

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
}

impl Snapshot {
    /// How things are now.
    pub fn of(node: &Node, disk: &Disk, turns: u64, now: Now) -> Self {
        let started = node.server().started;
        Self {
            stats: node.server().stats.clone(),
            connections: node.clients().len(),
            usage: node.shard().store().usage(),
            holds: node.shard().hold_counts(),
            process: node.server().process.clone(),
            trouble: disk.trouble(),
            disk: disk.stats,
            turns,
            uptime_s: (now.mono_us - started.mono_us) as f64 / 1e6,
        }
    }
}
