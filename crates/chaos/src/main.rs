//! The command line of `tenure-chaos`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bench::clock::Clock;
use chaos::arena::{self, Arena};
use chaos::cluster::{Cluster, Metadata, Peer, Plan};
use chaos::comparison::{self, Conditions};
use chaos::failover::{self, How, Task};
use chaos::faults::Fault;
use chaos::judge::{Verdict, judge};
use chaos::record::History;
use chaos::run::{self, Script};
use chaos::standby;
use chaos::stop::Stop;
use chaos::upkeep::{self, Work};
use clap::{Args, Parser, Subcommand, ValueEnum as _};

/// Real processes, killed, stopped and cut off, and what their clients saw. As root: in namespaces of its own, so that nothing is left behind.
#[derive(Debug, Parser)]
#[command(name = "tenure-chaos", version)]
struct Cli {
    /// Says to itself that it is in namespaces of its own
    #[arg(long, hide = true)]
    inside: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Faults, one after the other, under recording clients; then the record is judged
    Run(RunArgs),
    /// How long nobody can write when a primary dies, and what is forgotten
    Failover(FailoverArgs),
    /// What clients notice of planned work, and how fast copies move (Tenure)
    Upkeep(UpkeepArgs),
    /// What clients notice of a standby that is stopped or far away (Tenure)
    Standby(StandbyArgs),
    /// Writes that a second process has: Tenure beside Redis with WAIT
    Replicated(ReplicatedArgs),
    /// Judge a recorded history again
    Judge {
        /// The file
        file: PathBuf,
    },
}

/// Which cluster.
#[derive(Args, Clone, Debug)]
struct ClusterArgs {
    /// The program
    #[arg(long, value_enum, default_value = "tenure")]
    peer: Peer,

    /// Its file [default: tenure beside this program, redis-server]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Nodes [default: 3; Redis: 6]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,

    /// Shards (Tenure)
    #[arg(long, default_value_t = 16, value_name = "N")]
    shards: u16,

    /// Where the cluster map is kept (Tenure)
    #[arg(long, value_enum, default_value = "embedded")]
    meta: Metadata,

    /// When a silent node is suspected, in milliseconds (Redis)
    #[arg(long, default_value_t = 15_000, value_name = "MS")]
    node_timeout: u64,

    /// Memory of each node (Tenure)
    #[arg(long, default_value = "256MiB", value_name = "SIZE")]
    memory: String,

    /// Nodes write nothing to disk (Tenure)
    #[arg(long)]
    in_memory: bool,

    /// Cores that all nodes share, as `taskset` takes them
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,

    /// Where data is kept, instead of memory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Stay on the loopback device, where links cannot be cut
    #[arg(long)]
    loopback: bool,
}

#[derive(Args, Clone, Debug)]
struct RunArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// Seconds of faults
    #[arg(long, default_value_t = 60, value_name = "S")]
    seconds: u64,

    /// Chooses faults, nodes and times
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    /// Which faults [default: all that are possible here]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULT,...")]
    faults: Vec<Fault>,

    /// Clients
    #[arg(long, default_value_t = 8, value_name = "N")]
    clients: usize,

    /// Keys of each kind
    #[arg(long, default_value_t = 12, value_name = "N")]
    keys: usize,

    /// Where the history and the logs go; without it, to a directory of their own if something is wrong
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct FailoverArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// How primaries end
    #[arg(long, value_enum, default_value = "kill")]
    how: How,

    /// How many
    #[arg(long, default_value_t = 50, value_name = "N")]
    kills: usize,

    /// Clients of each shard
    #[arg(long, default_value_t = 1, value_name = "N")]
    probes: usize,

    /// Microseconds between two requests of a client
    #[arg(long, default_value_t = 2_000, value_name = "US")]
    gap_us: u64,

    /// MiB of data that are written before
    #[arg(long, default_value_t = 0, value_name = "MIB")]
    data: u64,

    /// Where the history and the logs go
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct UpkeepArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// MiB of data that are written before
    #[arg(long, default_value_t = 0, value_name = "MIB")]
    data: u64,

    /// What is done
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["restart", "add", "lose"], value_name = "WORK,...")]
    works: Vec<Work>,

    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct StandbyArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// How often each state is measured, for 5 s
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,

    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct ReplicatedArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// The other program
    #[arg(long, default_value = "redis-server", value_name = "FILE")]
    redis: PathBuf,

    /// Core of the load generator
    #[arg(long, default_value = "1", value_name = "CORE")]
    load_core: String,

    /// Seconds of a load
    #[arg(long, default_value_t = 4.0, value_name = "S")]
    seconds: f64,

    /// Rounds of each
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,

    /// Connections
    #[arg(long, default_value_t = 50, value_name = "N")]
    connections: usize,

    /// Also write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Judge { file } => judge_again(file),
        Command::Run(args) => run_faults(cli.inside, args),
        Command::Upkeep(args) => upkeep(cli.inside, args),
        Command::Standby(args) => slow_standby(cli.inside, args),
        Command::Replicated(args) => replicated(args),
        Command::Failover(args) => measure_failover(cli.inside, args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say(&format!("tenure-chaos: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// One line for people, on standard error.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One line of results.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn judge_again(file: &Path) -> Result<ExitCode> {
    Ok(deliver(&judge(&History::load(file)?)))
}

fn deliver(verdict: &Verdict) -> ExitCode {
    print(&verdict.to_string());
    exit(verdict.is_good())
}

/// A started cluster, in namespaces if that is possible.
fn start(
    inside: bool,
    args: &ClusterArgs,
    disk_mib: Option<u64>,
) -> Result<(Cluster, Clock, Stop)> {
    if !inside && !args.loopback {
        say(&arena::enter().to_string());
    }
    let (clock, stop) = (Clock::start(), Stop::default());
    stop.on_signals()?;
    let arena = Arena::open(inside, args.dir.as_deref(), clock)?;
    let cluster = Cluster::start(arena, plan(args, disk_mib)?, clock, stop.clone())?;
    Ok((cluster, clock, stop))
}

fn plan(args: &ClusterArgs, disk_mib: Option<u64>) -> Result<Plan> {
    let own = std::env::current_exe().context("which program is this?")?;
    let (program, nodes, copies) = match args.peer {
        Peer::Tenure => (own.with_file_name("tenure"), 3, 3),
        Peer::Redis => (PathBuf::from("redis-server"), 6, 2),
    };
    Ok(Plan {
        peer: args.peer,
        program: args.program.clone().unwrap_or(program),
        nodes: args.nodes.unwrap_or(nodes),
        copies,
        shards: args.shards,
        metadata: args.meta,
        node_timeout_ms: args.node_timeout,
        in_memory: args.in_memory,
        disk_mib,
        memory: args.memory.clone(),
        cores: args.cores.clone(),
    })
}

/// Small enough to be filled quickly, and for what a run writes.
const DISK_MIB: u64 = 512;

fn run_faults(inside: bool, args: &RunArgs) -> Result<ExitCode> {
    let (mut cluster, clock, stop) = start(inside, &args.cluster, Some(DISK_MIB))?;
    let script = Script {
        seconds: args.seconds,
        seed: args.seed,
        faults: possible(&cluster, &args.faults)?,
        clients: args.clients,
        keys: args.keys,
    };
    let (result, ran) = run::run(&mut cluster, &script, clock, &stop);
    for event in &ran.history.events {
        print(&format!("{:8.3} s  {}", event.at as f64 / 1e9, event.what));
    }
    print(&format!(
        "faults: {:?}; longest silence {} ms",
        ran.struck, ran.silence_ms
    ));
    let verdict = judge(&ran.history);
    let is_wrong = result.is_err() || !verdict.is_good();
    if let Some(folder) = args.keep.clone().or(is_wrong.then(unnamed)) {
        cluster.keep_logs(&folder)?;
        ran.history.save(&folder.join("history"))?;
        print(&format!("history and logs: {}", folder.display()));
    }
    let code = deliver(&verdict);
    result.map(|()| code)
}

/// Where the history and the logs of a failed run go.
fn unnamed() -> PathBuf {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let started = now.tv_sec;
    std::env::temp_dir().join(format!("tenure-chaos-{}", started))
}

fn possible(cluster: &Cluster, wanted: &[Fault]) -> Result<Vec<Fault>> {
    let all = if wanted.is_empty() {
        Fault::value_variants()
    } else {
        wanted
    };
    let mut possible = Vec::new();
    for fault in all {
        match fault.is_possible(cluster) {
            Ok(()) => possible.push(*fault),
            Err(why) => say(&format!("left out: {fault:?}: {why}")),
        }
    }
    anyhow::ensure!(!possible.is_empty(), "no fault is possible");
    Ok(possible)
}

fn measure_failover(inside: bool, args: &FailoverArgs) -> Result<ExitCode> {
    let (mut cluster, clock, stop) = start(inside, &args.cluster, None)?;
    let task = Task {
        how: args.how,
        kills: args.kills,
        probes: args.probes,
        gap_us: args.gap_us,
        data: args.data << 20,
    };
    let measured = failover::measure(&mut cluster, task, clock, &stop);
    if let Some(folder) = &args.keep {
        cluster.keep_logs(folder)?;
    }
    let (report, history) = measured?;
    if let Some(folder) = &args.keep {
        history.save(&folder.join("history"))?;
    }
    tell(&report, args.json.as_deref())?;
    // What Redis loses is a finding; what Tenure loses is a failure.
    let is_good = report.peer == Peer::Redis || report.is_good();
    Ok(exit(is_good))
}

fn upkeep(inside: bool, args: &UpkeepArgs) -> Result<ExitCode> {
    let (mut cluster, clock, stop) = start(inside, &args.cluster, None)?;
    let (report, _) = upkeep::measure(&mut cluster, args.data << 20, &args.works, clock, &stop)?;
    tell(&report, args.json.as_deref())?;
    Ok(exit(report.is_good()))
}

fn slow_standby(inside: bool, args: &StandbyArgs) -> Result<ExitCode> {
    let cluster = ClusterArgs {
        shards: 1,
        ..args.cluster.clone()
    };
    let (mut cluster, clock, stop) = start(inside, &cluster, None)?;
    let report = standby::measure(&mut cluster, args.rounds, clock, &stop)?;
    tell(&report, args.json.as_deref())?;
    Ok(exit(report.is_good()))
}

fn replicated(args: &ReplicatedArgs) -> Result<ExitCode> {
    let (clock, stop) = (Clock::start(), Stop::default());
    stop.on_signals()?;
    let cluster = ClusterArgs {
        shards: 1,
        in_memory: true,
        cores: Some(args.cluster.cores.clone().unwrap_or_else(|| "0".into())),
        ..args.cluster.clone()
    };
    let plan = plan(&cluster, None)?;
    let conditions = Conditions {
        tenure: plan.program.clone(),
        redis: args.redis.clone(),
        cores: (
            plan.cores.clone().unwrap_or_default(),
            args.load_core.clone(),
        ),
        seconds: args.seconds,
        rounds: args.rounds,
        connections: args.connections,
        plan,
    };
    let lines = comparison::compare(&conditions, clock, &stop)?;
    tell(&lines, args.json.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn exit(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints results, and writes them to a file if that is wanted.
fn tell(report: &impl serde::Serialize, file: Option<&Path>) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    if let Some(file) = file {
        std::fs::write(file, &text)?;
    }
    print(&text);
    Ok(())
}
