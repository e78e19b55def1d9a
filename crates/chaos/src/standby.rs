//! `tenure-chaos standby`: what clients notice of a standby that is stopped, and of one that is far away.
//!
//! One shard with three copies. Clients increment counters all the while; in each round all is well for a span, then a standby is stopped for
//! one, then it is far away for one. Rounds take turns so that what the machine does meanwhile falls on all alike; of each state the median
//! over its spans is told, and how much it differs from when all is well.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bench::clock::Clock;
use serde::Serialize;

use crate::client::Patience;
use crate::cluster::Cluster;
use crate::judge::judge;
use crate::probes::{self, Probes};
use crate::progress::Progress;
use crate::record::History;
use crate::stop::Stop;
use crate::switch::Link;

/// A client that waits rather than complains: what it waited is the stall.
const PATIENCE: Patience = Patience {
    reply: Duration::from_secs(10),
    taken: Duration::from_secs(20),
};
/// Between two requests of a client.
const GAP: Duration = Duration::from_millis(1);
/// Clients.
const CLIENTS: usize = 8;
/// A span, which is less than what it takes until a silent standby is replaced.
const SPAN: Duration = Duration::from_secs(5);
/// Before a span, for what the one before it has left to do.
const REST: Duration = Duration::from_secs(2);
/// How far away the standby is, each way.
const FAR_MS: u64 = 10;

/// How the standby is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Well,
    Stopped,
    Far,
}

const STATES: [State; 3] = [State::Well, State::Stopped, State::Far];

/// What clients saw in one state: medians over its spans.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    state: State,
    /// Writes in all its spans.
    writes: usize,
    p50_ms: f64,
    p99_ms: f64,
    /// By how much the 99th percentile is above that of [`State::Well`], in per cent.
    p99_rises_percent: f64,
    /// Of all its spans.
    longest_ms: f64,
}

/// All states.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Spans of each.
    rounds: usize,
    lines: Vec<Line>,
    /// Acknowledged writes that were lost.
    lost: usize,
    /// Contradictions in the history.
    contradictions: Vec<String>,
}

impl Report {
    /// Whether nothing acknowledged was lost, and nothing contradicts itself.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.contradictions.is_empty()
    }
}

/// From when to when the standby was in a state.
struct Span {
    state: State,
    from: u64,
    to: u64,
}

/// Measures so many rounds.
///
/// # Errors
/// The cluster does not become well again.
pub fn measure(cluster: &mut Cluster, rounds: usize, clock: Clock, stop: &Stop) -> Result<Report> {
    let map = cluster.topology().context("nobody says who has what")?;
    ensure!(
        map.ranges.len() == 1,
        "one shard, so that a node can be a standby only"
    );
    ensure!(
        cluster.arena.has_network(),
        "links cannot be slowed on the loopback device"
    );
    let standby = *map.ranges[0]
        .nodes
        .get(1)
        .context("a shard without a standby")?;
    let standby = cluster
        .number_of(standby)
        .context("a standby that nobody started")?;
    let probes = Probes::start(cluster, &map, CLIENTS, GAP, PATIENCE, clock);
    let bar = Progress::new("spans", rounds * STATES.len());
    let mut spans = Vec::new();
    for _ in 0..rounds {
        for state in STATES {
            stop.pause(REST);
            enter(cluster, standby, state);
            let from = clock.now_ns();
            ensure!(!stop.pause(SPAN), "interrupted");
            let to = clock.now_ns();
            spans.push(Span { state, from, to });
            leave(cluster, standby, state)?;
            bar.show(&format!("{state:?}"));
        }
    }
    bar.clear();
    let mut history = History {
        operations: probes.end(),
        ..History::default()
    };
    history
        .operations
        .extend(probes::last_reads(cluster, &history, clock)?);
    let verdict = judge(&history);
    Ok(Report {
        rounds,
        lines: lines(&spans, &history),
        lost: verdict.lost,
        contradictions: verdict.faults,
    })
}

fn enter(cluster: &mut Cluster, standby: usize, state: State) {
    match state {
        State::Well => {}
        State::Stopped => cluster.nodes[standby].stop(),
        State::Far => {
            let port = cluster.nodes[standby].site.port;
            cluster.arena.isolate(port, Link::Late(FAR_MS));
        }
    }
}

fn leave(cluster: &mut Cluster, standby: usize, state: State) -> Result<()> {
    match state {
        State::Well => Ok(()),
        State::Stopped => {
            cluster.nodes[standby].go_on();
            cluster.wait_until_well()
        }
        State::Far => {
            cluster.arena.heal();
            Ok(())
        }
    }
}

fn lines(spans: &[Span], history: &History) -> Vec<Line> {
    let mut lines: Vec<Line> = STATES
        .iter()
        .map(|state| line(*state, spans, history))
        .collect();
    let well = lines[0].p99_ms;
    for line in &mut lines {
        line.p99_rises_percent = (line.p99_ms / well - 1.0) * 100.0;
    }
    lines
}

fn line(state: State, spans: &[Span], history: &History) -> Line {
    let of_state = spans.iter().filter(|span| span.state == state);
    let times: Vec<Vec<f64>> = of_state.map(|span| times_ms(span, history)).collect();
    let figure = |share: f64| median(times.iter().map(|span| percentile(span, share)).collect());
    Line {
        state,
        writes: times.iter().map(Vec::len).sum(),
        p50_ms: figure(0.5),
        p99_ms: figure(0.99),
        p99_rises_percent: 0.0,
        longest_ms: times
            .iter()
            .map(|span| percentile(span, 1.0))
            .fold(0.0, f64::max),
    }
}

/// How long the writes of a span took, in order.
fn times_ms(span: &Span, history: &History) -> Vec<f64> {
    let during = history
        .operations
        .iter()
        .filter(|o| o.sent >= span.from && o.sent <= span.to);
    let mut times: Vec<f64> = during.map(|o| (o.ended - o.sent) as f64 / 1e6).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The value below which this share of the sorted values lies; 0 if there are none.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 101.0);
        assert_eq!(percentile(&values, 0.99), 199.0);
        assert_eq!(percentile(&values, 1.0), 200.0);
        assert_eq!(percentile(&[], 0.99), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
