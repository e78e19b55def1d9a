//! `tenure-chaos upkeep`: what clients notice of planned work, and how fast copies move.
//!
//! Counters of every shard are incremented all the while. First nothing is done, for comparison. Then, as asked for: the nodes are
//! restarted one after the other, as an operator does (SIGTERM, then started again); a node is added and gets its share; a node is lost with all
//! that it had and comes back empty; a node is lost for good and its copies are rebuilt on the others. Of each step: how long it took, how
//! much data moved and how even it lies, the longest request, and every request that was not answered as it should.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bench::clock::{Clock, SECOND_NS};
use clap::ValueEnum;
use serde::Serialize;

use crate::client::Patience;
use crate::cluster::Cluster;
use crate::judge::judge;
use crate::load::fill;
use crate::probes::{self, Probes};
use crate::record::{Answer, Event, History};
use crate::stop::Stop;

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
/// How long nothing is done, for comparison.
const LONG: Duration = Duration::from_secs(5);
/// A step that takes longer has failed.
const LIMIT_S: u64 = 150;

/// Nodes whose bytes differ by at most this share of their mean have equal shares.
const EVEN: f64 = 0.10;

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// All nodes are restarted, one after the other.
    Restart,
    /// One more node.
    Add,
    /// A node loses all that it had, and starts again.
    Replace,
    /// A node is lost for good.
    Lose,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// How long until the cluster was as it should be.
    pub seconds: f64,
    /// MiB of values that moved, where that is known.
    pub moved_mib: Option<f64>,
    /// For how long copies were under way: from the first change of the map on.
    pub copying_seconds: Option<f64>,
    /// What moved, for each of those seconds.
    pub mib_per_second: Option<f64>,
    /// MiB of current entries of each node, at the end.
    pub node_mib: Vec<f64>,
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
    moved: Option<Moved>,
    node_mib: Vec<f64>,
}

/// Data that moved.
#[derive(Clone, Copy)]
struct Moved {
    /// The share of all values.
    share: f64,
    /// When the first copy was on its way.
    since: u64,
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

/// Does these works, one after the other.
///
/// # Errors
/// One does not come to its end.
pub fn measure(
    cluster: &mut Cluster,
    data: u64,
    works: &[Work],
    clock: Clock,
    stop: &Stop,
) -> Result<(Report, History)> {
    fill(cluster, data)?;
    cluster.wait_until_well()?;
    let map = cluster.topology().context("nobody says who has what")?;
    let probes = Probes::start(cluster, &map, 1, GAP, PATIENCE, clock);
    let mut site = Building {
        cluster,
        clock,
        stop,
    };
    stop.pause(REST);
    let mut spans = vec![site.span("nothing is done", |_| {
        stop.pause(LONG);
        Ok(None)
    })?];
    for work in works {
        spans.push(site.work(*work)?);
        stop.pause(REST);
    }
    finish(cluster, data, probes, &spans, clock)
}

/// Where work is done.
struct Building<'a> {
    cluster: &'a mut Cluster,
    clock: Clock,
    stop: &'a Stop,
}

impl Building<'_> {
    fn work(&mut self, work: Work) -> Result<Span> {
        match work {
            Work::Restart => self.span("rolling restart", Self::restart),
            Work::Add => self.span("a node is added", Self::add),
            Work::Replace => self.span("a node comes back empty", Self::replace),
            Work::Lose => self.span("a node is lost for good", Self::lose),
        }
    }

    fn span(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&mut Self) -> Result<Option<Moved>>,
    ) -> Result<Span> {
        let from = self.clock.now_ns();
        let moved = work(self)?;
        Ok(Span {
            what,
            from,
            to: self.clock.now_ns(),
            moved,
            node_mib: self.cluster.live_mib(),
        })
    }

    fn restart(&mut self) -> Result<Option<Moved>> {
        for number in 0..self.cluster.nodes.len() {
            self.cluster.nodes[number].terminate()?;
            self.cluster.start_node(number)?;
            self.cluster.wait_until_well()?;
        }
        Ok(None)
    }

    /// Until it has its share.
    fn add(&mut self) -> Result<Option<Moved>> {
        let added = self.cluster.add_site()?;
        self.cluster.start_node(added)?;
        let since = self.wait(|cluster| copies_of(cluster, added) > 0.0)?;
        self.wait(|cluster| is_even(&cluster.live_mib()) && cluster.is_complete())?;
        let share = copies_of(self.cluster, added);
        Ok(Some(Moved { share, since }))
    }

    fn replace(&mut self) -> Result<Option<Moved>> {
        let share = copies_of(self.cluster, 0);
        self.cluster.nodes[0].kill();
        self.cluster.wipe(0)?;
        self.cluster.start_node(0)?;
        // Its old life's copies are not present.
        let since = self.wait(|cluster| copies_of(cluster, 0) > 0.0)?;
        self.wait(Cluster::is_complete)?;
        Ok(Some(Moved { share, since }))
    }

    /// Until all has its copies again, without the lost node.
    fn lose(&mut self) -> Result<Option<Moved>> {
        let share = copies_of(self.cluster, 0);
        self.cluster.nodes[0].kill();
        let since = self.wait(|cluster| copies_of(cluster, 0) < share)?;
        self.wait(|cluster| copies_of(cluster, 0) == 0.0 && cluster.is_complete())?;
        Ok(Some(Moved { share, since }))
    }

    /// Until it is so; when it was.
    fn wait(&self, is_so: impl Fn(&Cluster) -> bool) -> Result<u64> {
        let deadline = self.clock.now_ns() + LIMIT_S * SECOND_NS;
        while !is_so(self.cluster) {
            ensure!(self.clock.now_ns() < deadline, "not done after {LIMIT_S} s");
            ensure!(!self.stop.pause(LOOK), "interrupted");
        }
        Ok(self.clock.now_ns())
    }
}

/// Whether nodes have equal shares of the bytes.
fn is_even(node_mib: &[f64]) -> bool {
    let mean = node_mib.iter().sum::<f64>() / node_mib.len() as f64;
    node_mib
        .iter()
        .all(|mib| (mib - mean).abs() <= EVEN / 2.0 * mean)
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
        .moved
        .map(|moved| moved.share * data as f64 / f64::from(1 << 20));
    let copying_seconds = span
        .moved
        .map(|moved| (span.to - moved.since) as f64 / SECOND_NS as f64);
    Step {
        what: span.what.into(),
        seconds,
        moved_mib,
        copying_seconds,
        mib_per_second: moved_mib.zip(copying_seconds).map(|(mib, s)| mib / s),
        node_mib: span.node_mib.clone(),
        requests: times.len(),
        longest_ms: times.last().copied().unwrap_or(0.0),
        p99_ms: p99.copied().unwrap_or(0.0),
        refused,
        unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_within_a_tenth_of_their_mean() {
        assert!(is_even(&[100.0, 95.1, 104.9]));
        assert!(!is_even(&[100.0, 100.0, 100.0, 0.0]));
        assert!(!is_even(&[94.0, 106.0]));
    }
}
