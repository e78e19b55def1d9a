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
use crate::failover::Outages;
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
#[derive(Clone)]
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
    ensure!(rounds > 0, "nothing is measured in 0 rounds");
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
    let times: Vec<Outages> = of_state
        .filter_map(|span| Outages::of(times_ms(span, history)))
        .collect();
    let median = |figure: fn(&Outages) -> f64| {
        let all = Outages::of(times.iter().map(figure).collect());
        all.map_or(0.0, |all| all.p50_ms)
    };
    Line {
        state,
        writes: times.iter().map(|span| span.count).sum(),
        p50_ms: median(|span| span.p50_ms),
        p99_ms: median(|span| span.p99_ms),
        p99_rises_percent: 0.0,
        longest_ms: times.iter().map(|span| span.max_ms).fold(0.0, f64::max),
    }
}

/// How long the writes of a span took.
fn times_ms(span: &Span, history: &History) -> Vec<f64> {
    let during = history
        .operations
        .iter()
        .filter(|o| o.sent >= span.from && o.sent <= span.to);
    during.map(|o| (o.ended - o.sent) as f64 / 1e6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Answer, Ask, Operation};

    #[test]
    fn figures_are_medians_of_the_spans_of_a_state() {
        let write = |sent: u64, took_ms: u64| Operation {
            client: "probe".into(),
            key: "probe:0".into(),
            sent,
            ended: sent + took_ms * 1_000_000,
            ask: Ask::Increment,
            answer: Answer::Version(1),
            by: String::new(),
        };
        let took = [
            (0, 2),
            (1, 2),
            (10, 3),
            (11, 3),
            (20, 9),
            (21, 9),
            (30, 100),
        ];
        let history = History {
            operations: took.map(|(sent, ms)| write(sent, ms)).into(),
            ..History::default()
        };
        let span = |state, from| Span {
            state,
            from,
            to: from + 5,
        };
        let well = [0, 10, 20].map(|from| span(State::Well, from));
        let lines = lines(&[&well[..], &[span(State::Far, 30)]].concat(), &history);
        assert_eq!(
            (lines[0].writes, lines[0].p99_ms, lines[0].longest_ms),
            (6, 3.0, 9.0)
        );
        assert_eq!((lines[1].writes, lines[1].p50_ms), (0, 0.0));
        assert_eq!((lines[2].writes, lines[2].p50_ms), (1, 100.0));
    }
}
