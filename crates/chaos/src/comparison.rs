//! `tenure-chaos replicated`: writes that are acknowledged when a second process has them.
//!
//! Three processes on one core, each with a copy of everything, in memory; the load generator (`tenure bench`) on another core. Tenure waits for its
//! quorum of two by itself. Redis is a primary with two replicas, and its client sends `WAIT 1` after each write, or after each batch of writes.
//! Rounds alternate, each with fresh processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bench::clock::{Clock, SECOND_NS};
use serde::Serialize;
use serde_json::Value;

use crate::arena::Arena;
use crate::cluster::{Cluster, Peer, Plan};
use crate::process::Process;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::wire::ask;

/// Bytes of a value.
const VALUE: &str = "1000";
/// How long processes may take until they serve.
const START_S: u64 = 30;
/// For one question.
const ANSWER: Duration = Duration::from_millis(500);

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    name: &'static str,
    peer: Peer,
    workload: &'static str,
    /// Requests under way on each connection; of those so many are writes.
    depth: usize,
    writes: usize,
}

const fn case(
    name: &'static str,
    peer: Peer,
    workload: &'static str,
    depth: usize,
    writes: usize,
) -> Case {
    Case {
        name,
        peer,
        workload,
        depth,
        writes,
    }
}

/// What is compared.
const CASES: [Case; 7] = [
    case("Tenure, SET, depth 1", Peer::Tenure, "set", 1, 1),
    case(
        "Redis, SET + WAIT 1, depth 1",
        Peer::Redis,
        "set-wait",
        2,
        1,
    ),
    case("Redis, SET without WAIT, depth 1", Peer::Redis, "set", 1, 1),
    case("Tenure, SET, depth 16", Peer::Tenure, "set", 16, 16),
    case(
        "Redis, 16 pairs of SET and WAIT 1",
        Peer::Redis,
        "set-wait",
        32,
        16,
    ),
    case(
        "Redis, 16 SET, then one WAIT 1",
        Peer::Redis,
        "set-wait:batch",
        17,
        16,
    ),
    case(
        "Redis, SET without WAIT, depth 16",
        Peer::Redis,
        "set",
        16,
        16,
    ),
];

/// Where programs are, and how long a load is.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// `tenure`, which is the load generator too.
    pub tenure: PathBuf,
    /// How a cluster of it is run.
    pub plan: Plan,
    /// `redis-server`.
    pub redis: PathBuf,
    /// Cores of the servers and of the load generator.
    pub cores: (String, String),
    /// Seconds of a load.
    pub seconds: f64,
    /// Rounds of each.
    pub rounds: usize,
    /// Connections.
    pub connections: usize,
}

/// One line of the table: medians of the rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Acknowledged writes a second.
    pub writes_per_second: f64,
    /// Microseconds from sending a batch to its last acknowledgement: half of them.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// Nanoseconds of CPU of all three processes for each write.
    pub cpu_ns_per_write: f64,
}

/// Compares everything.
///
/// # Errors
/// A server does not start, or a load fails.
pub fn compare(conditions: &Conditions, clock: Clock, stop: &Stop) -> Result<Vec<Line>> {
    let bar = Progress::new("loads", CASES.len() * conditions.rounds);
    let mut results: Vec<Vec<Line>> = vec![Vec::new(); CASES.len()];
    for _ in 0..conditions.rounds {
        for (case, result) in CASES.iter().zip(&mut results) {
            ensure!(!stop.is_set(), "interrupted");
            result.push(round(*case, conditions, clock, stop)?);
            bar.show(case.name);
        }
    }
    bar.clear();
    Ok(results.into_iter().map(median).collect())
}

fn median(rounds: Vec<Line>) -> Line {
    let of = |figure: fn(&Line) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Line {
        name: rounds[0].name.clone(),
        writes_per_second: of(|line| line.writes_per_second),
        p50_us: of(|line| line.p50_us),
        p99_us: of(|line| line.p99_us),
        cpu_ns_per_write: of(|line| line.cpu_ns_per_write),
    }
}

fn round(case: Case, conditions: &Conditions, clock: Clock, stop: &Stop) -> Result<Line> {
    // On the loopback device, as the network between namespaces is a process of its own.
    let arena = Arena::open(false, None, clock)?;
    match case.peer {
        Peer::Tenure => {
            let cluster = Cluster::start(arena, conditions.plan.clone(), clock, stop.clone())?;
            let map = cluster.topology().context("nobody says who has what")?;
            let primary = map.ranges.first().and_then(|range| range.primary());
            let primary = primary.context("a shard without a primary")?;
            let pids: Vec<u32> = cluster.nodes.iter().filter_map(|node| node.pid()).collect();
            load(case, conditions, primary, &pids)
        }
        Peer::Redis => {
            let servers = redis(conditions, arena, clock, stop)?;
            let pids: Vec<u32> = servers.processes.iter().map(Process::pid).collect();
            load(case, conditions, servers.primary, &pids)
        }
    }
}

/// A primary and its replicas.
struct Servers {
    primary: SocketAddr,
    processes: Vec<Process>,
    // Ends after the processes.
    _arena: Arena,
}

fn redis(conditions: &Conditions, mut arena: Arena, clock: Clock, stop: &Stop) -> Result<Servers> {
    let mut processes = Vec::new();
    let mut primary: Option<SocketAddr> = None;
    for number in 0..3 {
        let addr = arena.site()?.free_port(0)?;
        let folder = arena.directory(&format!("redis{number}"))?;
        let mut command = pinned(&conditions.cores.0, &conditions.redis);
        command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()]);
        command.args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ]);
        command.arg("--dir").arg(&folder);
        if let Some(primary) = primary {
            command.args(["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        }
        processes.push(Process::start(command, &folder.join("log"))?);
        primary = primary.or(Some(addr));
    }
    let primary = primary.context("three were started")?;
    let deadline = clock.now_ns() + START_S * SECOND_NS;
    let has_replicas = || {
        let info = ask(primary, ANSWER, &["INFO", "replication"])
            .ok()?
            .text()?;
        Some(info.matches("state=online").count() == 2)
    };
    while has_replicas() != Some(true) {
        ensure!(
            clock.now_ns() < deadline,
            "the replicas do not follow after {START_S} s"
        );
        ensure!(!stop.pause(Duration::from_millis(50)), "interrupted");
    }
    Ok(Servers {
        primary,
        processes,
        _arena: arena,
    })
}

fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program);
    command
}

fn load(case: Case, conditions: &Conditions, primary: SocketAddr, pids: &[u32]) -> Result<Line> {
    let cpu = |pids: &[u32]| -> Result<u64> {
        let all: Result<Vec<u64>> = pids
            .iter()
            .map(|pid| bench::process::cpu_ns(*pid))
            .collect();
        Ok(all?.iter().sum())
    };
    let mut command = pinned(&conditions.cores.1, &conditions.tenure);
    command.args([
        "bench",
        "--addr",
        &primary.to_string(),
        "--workload",
        case.workload,
    ]);
    command.args([
        "--value-size",
        VALUE,
        "--keys",
        "100000",
        "--warmup",
        "1",
        "--json",
        "-",
    ]);
    command.args(["--connections", &conditions.connections.to_string()]);
    command.args(["--depth", &case.depth.to_string()]);
    command.args(["--seconds", &conditions.seconds.to_string()]);
    let before = cpu(pids)?;
    let output = command.stderr(Stdio::inherit()).output()?;
    let after = cpu(pids)?;
    ensure!(output.status.success(), "{}: the load failed", case.name);
    let results: Value = serde_json::from_slice(&output.stdout)?;
    line(case, conditions, &results["results"], after - before)
}

fn line(case: Case, conditions: &Conditions, load: &Value, cpu_ns: u64) -> Result<Line> {
    let number = |value: &Value| value.as_f64().context("the load says no such figure");
    if load["errors"]
        .as_object()
        .is_some_and(|errors| !errors.is_empty())
    {
        bail!("{}: requests failed: {}", case.name, load["errors"]);
    }
    let writes = case.writes as f64 / case.depth as f64;
    let writes_per_second = number(&load["per_second"])? * writes;
    // The last reply of a batch is the one that counts: a WAIT where there is one.
    let kinds = load["by_kind"].as_array().map_or(&[][..], Vec::as_slice);
    let latency = match kinds.iter().find(|kind| kind[0] == "wait") {
        Some(wait) => &wait[1],
        None => &load["latency"],
    };
    // The warm-up, of a second, is in the CPU time too.
    let seconds = conditions.seconds + 1.0;
    Ok(Line {
        name: case.name.into(),
        writes_per_second,
        p50_us: number(&latency["p50_us"])?,
        p99_us: number(&latency["p99_us"])?,
        cpu_ns_per_write: cpu_ns as f64 / (writes_per_second * seconds),
    })
}
