//! `tenure-chaos failover`: how long nobody can write when a primary dies, and what is forgotten.
//!
//! One client for each shard increments a counter of that shard as fast as it can, and gives every request a short time, then asks elsewhere. A primary is
//! killed or stopped. For each of its shards, the outage is the time from just before that to the first acknowledgement, by
//! another node, of a request that was sent after it. Then the node comes back, all copies are made whole, and the next primary dies.
//!
//! At the end all counters are read and the whole history is judged: an acknowledged increment that is missing is counted as lost.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bench::clock::{Clock, MILLISECOND_NS};
use clap::ValueEnum;
use serde::Serialize;

use crate::client::Patience;
use crate::cluster::{Cluster, Peer};
use crate::judge::judge;
use crate::load::fill;
use crate::probes::{self, Probes};
use crate::progress::Progress;
use crate::record::{Event, History};
use crate::stop::Stop;

/// How long an outage may be before the meter gives up.
const GIVE_UP: Duration = Duration::from_secs(120);
/// A probe asks elsewhere soon, and for ever.
const PATIENCE: Patience = Patience {
    reply: Duration::from_millis(100),
    taken: GIVE_UP,
};
/// Between two kills the cluster is left alone for so long.
const REST: Duration = Duration::from_millis(500);
/// Between two looks for the end of an outage.
const LOOK: Duration = Duration::from_millis(20);

/// How a primary ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// SIGKILL: connections are reset.
    Kill,
    /// SIGSTOP: it is silent.
    Stop,
}

/// Figures of many outages, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outages {
    /// How many: of outages, one for each shard of each primary.
    pub count: usize,
    /// The shortest.
    pub min_ms: f64,
    /// Half were at most this.
    pub p50_ms: f64,
    /// 99 of 100 were at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Outages {
    /// The figures; nothing, if there was no outage.
    #[must_use]
    pub fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_by(f64::total_cmp);
        let last = all.len().checked_sub(1)?;
        let quantile =
            |q: f64| all[((q * all.len() as f64).ceil() as usize).clamp(1, last + 1) - 1];
        Some(Self {
            count: all.len(),
            min_ms: all[0],
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            max_ms: all[last],
        })
    }
}

/// What was measured, in milliseconds.
#[derive(Default)]
struct Figures {
    outages: Vec<f64>,
    repairs: Vec<f64>,
}

/// What the meter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// How primaries end.
    pub how: How,
    /// How many.
    pub kills: usize,
    /// Clients of each shard.
    pub probes: usize,
    /// Between two requests of a client, in microseconds.
    pub gap_us: u64,
    /// Bytes of data that are there.
    pub data: u64,
}

/// What the meter found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program.
    pub peer: Peer,
    /// What was done.
    pub task: Task,
    /// The outages.
    pub outages: Option<Outages>,
    /// From when a node comes back until all copies have everything again: so long another failure could cost more than an outage.
    pub repairs: Option<Outages>,
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Of those, lost.
    pub lost: usize,
    /// Requests of which nobody knows.
    pub unknown: usize,
    /// Packets that the network lost because it could not keep up, so that what is told here is its doing as well.
    pub lost_packets: u64,
    /// Contradictions in the history.
    pub contradictions: Vec<String>,
}

impl Report {
    /// Whether nothing acknowledged was lost, and nothing contradicts itself.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.contradictions.is_empty()
    }
}

/// Kills primaries, one after the other.
///
/// # Errors
/// The cluster did not become well again, or an outage did not end.
pub fn measure(
    cluster: &mut Cluster,
    task: Task,
    clock: Clock,
    stop: &Stop,
) -> Result<(Report, History)> {
    fill(cluster, task.data)?;
    cluster.wait_until_complete()?;
    let map = cluster.topology().context("nobody says who has what")?;
    let gap = Duration::from_micros(task.gap_us);
    let probes = Probes::start(cluster, &map, task.probes, gap, PATIENCE, clock);
    let bar = Progress::new("failovers", task.kills);
    let mut figures = Figures::default();
    let mut history = History::default();
    let result = (|| -> Result<()> {
        for number in 0..task.kills {
            if stop.pause(REST) {
                break;
            }
            let event = one(
                cluster,
                task.how,
                number,
                &probes,
                clock,
                stop,
                &mut figures,
            )?;
            bar.show(&event.what);
            history.events.push(event);
        }
        Ok(())
    })();
    bar.clear();
    let done = Task {
        kills: history.events.len(),
        ..task
    };
    history.operations = probes.end();
    result?;
    history
        .operations
        .extend(probes::last_reads(cluster, &history, clock)?);
    let report = Report {
        lost_packets: cluster.arena.lost_packets()?,
        ..report(cluster.peer(), done, figures, &history)
    };
    Ok((report, history))
}

/// One primary ends and comes back.
fn one(
    cluster: &mut Cluster,
    how: How,
    number: usize,
    probes: &Probes,
    clock: Clock,
    stop: &Stop,
    figures: &mut Figures,
) -> Result<Event> {
    let (victim, slots) = next_primary(cluster, number)?;
    let addr = cluster.nodes[victim].addr;
    let at = clock.now_ns();
    match how {
        How::Kill => cluster.nodes[victim].kill(),
        How::Stop => cluster.nodes[victim].stop(),
    }
    let ends = wait_for_all(probes, at, addr, &slots, clock, stop)?;
    let ms: Vec<f64> = ends.iter().map(|end| (end - at) as f64 / 1e6).collect();
    let longest = ms.iter().copied().fold(0.0, f64::max);
    figures.outages.extend(ms);
    let back = clock.now_ns();
    match how {
        How::Kill => cluster.start_node(victim)?,
        How::Stop => cluster.nodes[victim].go_on(),
    }
    cluster.wait_until_complete()?;
    let repair_ms = (clock.now_ns() - back) as f64 / MILLISECOND_NS as f64;
    figures.repairs.push(repair_ms);
    let what = format!(
        "{addr} {how:?}, {} shards, at most {longest:.0} ms, whole after {repair_ms:.0} ms",
        slots.len()
    );
    Ok(Event { at, what })
}

/// A node that is a primary, another one each time, and the first slots of its shards.
fn next_primary(cluster: &Cluster, number: usize) -> Result<(usize, Vec<u16>)> {
    let map = cluster.topology().unwrap_or_default();
    let slots = |node: usize| -> Vec<u16> {
        let ranges = map.of_primary(cluster.nodes[node].addr);
        ranges.iter().map(|range| range.first).collect()
    };
    let nodes = cluster.nodes.len();
    let mut order = (0..nodes).map(|step| (number + step) % nodes);
    let found = order.find(|node| !slots(*node).is_empty());
    let victim = found.context("no node is a primary")?;
    Ok((victim, slots(victim)))
}

fn wait_for_all(
    probes: &Probes,
    at: u64,
    victim: SocketAddr,
    slots: &[u16],
    clock: Clock,
    stop: &Stop,
) -> Result<Vec<u64>> {
    loop {
        let first = probes.first_after(at, victim, slots);
        if let Some(all) = first.iter().copied().collect::<Option<Vec<u64>>>() {
            return Ok(all);
        }
        let waited_ms = (clock.now_ns() - at) / MILLISECOND_NS;
        ensure!(
            u128::from(waited_ms) < GIVE_UP.as_millis(),
            "after {waited_ms} ms these slots have no new primary: {:?}",
            slots
                .iter()
                .zip(&first)
                .filter(|(_, end)| end.is_none())
                .collect::<Vec<_>>()
        );
        ensure!(!stop.pause(LOOK), "interrupted");
    }
}

fn report(peer: Peer, task: Task, figures: Figures, history: &History) -> Report {
    let verdict = judge(history);
    let acknowledged = history.operations.iter().filter(|o| o.is_acknowledged());
    Report {
        peer,
        task,
        outages: Outages::of(figures.outages),
        repairs: Outages::of(figures.repairs),
        acknowledged: acknowledged.count(),
        lost: verdict.lost,
        unknown: verdict.unknown,
        lost_packets: 0,
        contradictions: verdict.faults,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let all = (1..=200).rev().map(f64::from).collect();
        let outages = Outages::of(all).expect("there are some");
        assert_eq!((outages.min_ms, outages.p50_ms), (1.0, 100.0));
        assert_eq!((outages.p99_ms, outages.max_ms), (198.0, 200.0));
        assert_eq!(Outages::of(vec![]), None);
        let one = Outages::of(vec![7.0]).expect("one");
        assert_eq!((one.p50_ms, one.p99_ms), (7.0, 7.0));
    }
}
