//! `tenure-chaos upkeep`: what clients notice of planned work, and how fast copies move.
//!
//! Counters of every shard are incremented all the while. The nodes are restarted one after the other, as an operator does (SIGTERM, then started
//! again); then a node is added and gets its share; then a node is lost for good and its copies are rebuilt on the others. Of each step: how
//! long it took, how much data moved, the longest request, and every request that was not answered as it should.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bench::clock::{Clock, SECOND_NS};
use serde::Serialize;

use crate::client::Patience;
use crate::cluster::{Cluster, Topology};
use crate::judge::judge;
use crate::load::fill;
use crate::probes::{self, Probes};
use crate::record::{Answer, Event, History};
use crate::stop::Stop;
use crate::switch::Link;

/// A client that waits rather than complains: what it waited is the stall.
const PATIENCE: Patience = Patience {
    reply: Duration::from_secs(10),
    taken: Duration::from_secs(20),
};
/// Between two requests of a client.
const GAP: Duration = Duration::from_millis(1);
/// Before, between and after the steps.
const REST: Duration = Duration::from_secs(2);
/// Between two looks at the map.
const LOOK: Duration = Duration::from_millis(50);
/// Clients of the one shard whose standby is slow.
const CLIENTS: usize = 8;
/// How long a standby is slow.
const LONG: Duration = Duration::from_secs(5);
/// A step that takes longer has failed.
const LIMIT_S: u64 = 150;

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// How long until the cluster was as it should be.
    pub seconds: f64,
    /// MiB of values that moved, where that is known.
    pub moved_mib: Option<f64>,
    /// The same for each second.
    pub mib_per_second: Option<f64>,
    /// Requests that ended during it.
    pub requests: usize,
    /// The longest of them.
    pub longest_ms: f64,
    /// 99 of 100 took at most this long.
    pub p99_ms: f64,
    /// Requests that were not done.
    pub refused: usize,
    /// Requests of which nobody knows.
    pub unknown: usize,
}

/// All steps.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// MiB of values that were there.
    pub data_mib: u64,
    /// One after the other.
    pub steps: Vec<Step>,
    /// Acknowledged writes that were lost.
    pub lost: usize,
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

/// A step by its times.
struct Span {
    what: &'static str,
    from: u64,
    to: u64,
    moved_share: Option<f64>,
}

/// What clients notice of a standby that is stopped, and of one that is far away.
///
/// # Errors
/// The cluster does not become well again.
pub fn slow_standby(cluster: &mut Cluster, clock: Clock, stop: &Stop) -> Result<(Report, History)> {
    let map = cluster.topology().context("nobody says who has what")?;
    ensure!(
        map.ranges.len() == 1,
        "one shard, so that a node can be a standby only"
    );
    ensure!(
        cluster.arena.has_network(),
        "links cannot be slowed on the loopback device"
    );
    let standby = map.ranges[0]
        .nodes
        .get(1)
        .copied()
        .context("a shard without a standby")?;
    let standby = cluster
        .number_of(standby)
        .context("a standby that nobody started")?;
    let probes = Probes::start(cluster, &map, CLIENTS, GAP, PATIENCE, clock);
    let mut spans = Vec::new();
    let mut span = |what, strike: &mut dyn FnMut()| {
        let from = clock.now_ns();
        strike();
        stop.pause(LONG);
        let (to, moved_share) = (clock.now_ns(), None);
        spans.push(Span {
            what,
            from,
            to,
            moved_share,
        });
    };
    stop.pause(REST);
    span("all is well", &mut || {});
    span("a standby is stopped", &mut || {
        cluster.nodes[standby].stop()
    });
    cluster.nodes[standby].go_on();
    cluster.wait_until_well()?;
    let port = cluster.nodes[standby].site.port;
    span("a standby is 10 ms away", &mut || {
        cluster.arena.isolate(port, Link::Late(10))
    });
    cluster.arena.heal();
    finish(cluster, 0, probes, &spans, clock)
}

/// Judges what clients did meanwhile.
fn finish(
    cluster: &Cluster,
    data: u64,
    probes: Probes,
    spans: &[Span],
    clock: Clock,
) -> Result<(Report, History)> {
    let mut history = History {
        operations: probes.end(),
        ..History::default()
    };
    for span in spans {
        for (at, what) in [(span.from, "begins"), (span.to, "ends")] {
            let what = format!("{} {what}", span.what);
            history.events.push(Event { at, what });
        }
    }
    history
        .operations
        .extend(probes::last_reads(cluster, &history, clock)?);
    let verdict = judge(&history);
    let report = Report {
        data_mib: data >> 20,
        steps: spans
            .iter()
            .map(|span| step(span, data, &history))
            .collect(),
        lost: verdict.lost,
        contradictions: verdict.faults,
    };
    Ok((report, history))
}

/// Does all steps.
///
/// # Errors
/// A step does not come to its end.
pub fn measure(
    cluster: &mut Cluster,
    data: u64,
    clock: Clock,
    stop: &Stop,
) -> Result<(Report, History)> {
    fill(cluster, data)?;
    cluster.wait_until_well()?;
    let map = cluster.topology().context("nobody says who has what")?;
    let probes = Probes::start(cluster, &map, 1, GAP, PATIENCE, clock);
    let mut spans = Vec::new();
    steps(cluster, clock, stop, &mut spans)?;
    finish(cluster, data, probes, &spans, clock)
}

fn steps(cluster: &mut Cluster, clock: Clock, stop: &Stop, spans: &mut Vec<Span>) -> Result<()> {
    stop.pause(REST);
    let from = clock.now_ns();
    for number in 0..cluster.nodes.len() {
        cluster.nodes[number].terminate()?;
        cluster.start_node(number)?;
        cluster.wait_until_well()?;
    }
    let (what, moved_share) = ("rolling restart", None);
    spans.push(Span {
        what,
        from,
        to: clock.now_ns(),
        moved_share,
    });
    stop.pause(REST);

    let from = clock.now_ns();
    let added = cluster.add_site()?;
    cluster.start_node(added)?;
    // A node of four has three quarters of all slots: each slot has three copies.
    let share = 3.0 / cluster.nodes.len() as f64;
    wait(clock, stop, || settled(cluster, added, share))?;
    let (what, moved_share) = ("a node is added", Some(share));
    spans.push(Span {
        what,
        from,
        to: clock.now_ns(),
        moved_share,
    });
    stop.pause(REST);

    let from = clock.now_ns();
    let lost_share = copies_of(cluster, 0);
    cluster.nodes[0].kill();
    wait(clock, stop, || rebuilt(cluster))?;
    let (what, moved_share) = ("a node is lost for good", Some(lost_share));
    spans.push(Span {
        what,
        from,
        to: clock.now_ns(),
        moved_share,
    });
    stop.pause(REST);
    Ok(())
}

fn wait(clock: Clock, stop: &Stop, is_done: impl Fn() -> bool) -> Result<()> {
    let deadline = clock.now_ns() + LIMIT_S * SECOND_NS;
    while !is_done() {
        ensure!(clock.now_ns() < deadline, "not done after {LIMIT_S} s");
        ensure!(!stop.pause(LOOK), "interrupted");
    }
    Ok(())
}

/// The share of all slots that this node has a copy of.
fn copies_of(cluster: &Cluster, number: usize) -> f64 {
    let addr = cluster.nodes[number].addr;
    let map = cluster.topology().unwrap_or_default();
    let slots: u32 = map
        .ranges
        .iter()
        .filter(|range| range.nodes.contains(&addr))
        .map(|range| u32::from(range.last - range.first) + 1)
        .sum();
    f64::from(slots) / f64::from(model::slot::SLOTS)
}

/// Whether the new node has nearly its share and every range has just its copies again.
fn settled(cluster: &Cluster, added: usize, share: f64) -> bool {
    copies_of(cluster, added) > share * 0.9 && is_whole(cluster, 3)
}

/// Whether every range has three copies without the lost node.
fn rebuilt(cluster: &Cluster) -> bool {
    copies_of(cluster, 0) == 0.0 && is_whole(cluster, 3)
}

fn is_whole(cluster: &Cluster, copies: usize) -> bool {
    let has_all = |map: Topology| {
        map.is_whole() && map.ranges.iter().all(|range| range.nodes.len() == copies)
    };
    cluster.topology().is_some_and(has_all)
}

fn step(span: &Span, data: u64, history: &History) -> Step {
    let during = history
        .operations
        .iter()
        .filter(|o| o.ended >= span.from && o.sent <= span.to);
    let (mut times, mut refused, mut unknown) = (Vec::new(), 0, 0);
    for operation in during {
        match operation.answer {
            Answer::Refused(_) => refused += 1,
            Answer::Unknown(_) => unknown += 1,
            Answer::Version(_) | Answer::State { .. } | Answer::Done => {}
        }
        times.push((operation.ended - operation.sent) as f64 / 1e6);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1)));
    let seconds = (span.to - span.from) as f64 / SECOND_NS as f64;
    let moved_mib = span
        .moved_share
        .map(|share| share * data as f64 / f64::from(1 << 20));
    Step {
        what: span.what.into(),
        seconds,
        moved_mib,
        mib_per_second: moved_mib.map(|mib| mib / seconds),
        requests: times.len(),
        longest_ms: times.last().copied().unwrap_or(0.0),
        p99_ms: p99.copied().unwrap_or(0.0),
        refused,
        unknown,
    }
}
