//! Results for people and for programs.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::BenchArgs;
use crate::clock::SECOND_NS;
use crate::engine::Run;
use crate::latency::{Errors, Latency};
use crate::process::{self, Memory};
use crate::traffic::Traffic;

/// What a scenario found out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// Why the figures do not count, if they do not.
    pub failure: Option<String>,
}

impl Outcome {
    /// An outcome without a failure.
    pub fn new(text: impl fmt::Display, json: impl Serialize) -> Result<Self> {
        Ok(Self {
            text: text.to_string(),
            json: serde_json::to_value(json).context("results are plain data")?,
            failure: None,
        })
    }

    /// Prints and writes it where the arguments say.
    pub fn deliver(&self, args: &BenchArgs) -> Result<()> {
        let json = serde_json::to_string_pretty(&json!({
            "workload": args.workload.to_string(),
            "conditions": Conditions::of(args),
            "failure": self.failure,
            "results": self.json,
        }))?;
        match args.json.as_deref() {
            Some(path) if path == Path::new("-") => print(&json),
            Some(path) => {
                fs::write(path, json)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                print(&self.text)
            }
            None => print(&self.text),
        }
    }
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{}", text.trim_end()).context("cannot print the results")
}

/// The options that the figures depend on.
#[derive(Debug, Serialize)]
struct Conditions {
    addr: String,
    connections: usize,
    depth: usize,
    threads: usize,
    rate: Option<f64>,
    keys: u64,
    value_bytes: [u64; 2],
    key_bytes: usize,
    ttl_seconds: u64,
    distribution: String,
    spin: bool,
    warmup_seconds: f64,
    seed: u64,
}

impl Conditions {
    fn of(args: &BenchArgs) -> Self {
        Self {
            addr: args.addr.clone(),
            connections: args.connections(),
            depth: args.depth(),
            threads: args.threads,
            rate: args.rate,
            keys: args.keys,
            value_bytes: [args.value_size.low, args.value_size.high],
            key_bytes: args.key_names().length(),
            ttl_seconds: args.ttl,
            distribution: format!("{:?}", args.distribution).to_lowercase(),
            spin: args.spin,
            warmup_seconds: args.warmup,
            seed: args.seed,
        }
    }
}

/// The server's part of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerUse {
    /// CPU time for each request, in nanoseconds.
    pub cpu_ns_per_request: f64,
    /// Cores in use: 1 is one core fully.
    pub cores: f64,
    /// Its memory at the end.
    pub memory: Memory,
}

/// The figures of one run of the engine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadFigures {
    /// Requests answered, errors included.
    pub requests: u64,
    /// The measured time.
    pub seconds: f64,
    /// Requests answered without an error, a second.
    pub per_second: f64,
    /// Errors by first word.
    pub errors: Errors,
    /// Null replies.
    pub nils: u64,
    /// Requests that were due and not answered before the end.
    pub unanswered: u64,
    /// Connections that broke.
    pub lost_connections: usize,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// Latencies of all requests.
    pub latency: Latency,
    /// Latencies by kind of request, if there are several.
    pub by_kind: Vec<(String, Latency)>,
    /// Latencies corrected for coordinated omission, if asked for.
    pub corrected: Option<Latency>,
    /// How late the generator itself sent, in an open loop.
    pub generator_lag: Option<Latency>,
    /// The generator's own CPU time for each request, in nanoseconds.
    pub generator_cpu_ns_per_request: f64,
    /// The generator's use of its cores: at 1 it is the bottleneck.
    pub generator_cores: f64,
    /// The server's, if its process is known.
    pub server: Option<ServerUse>,
}

impl LoadFigures {
    /// The figures of `run`.
    pub fn of<T: Traffic>(run: &Run<T>, args: &BenchArgs) -> Result<Self> {
        let tally = &run.tally;
        let all = tally.all_latencies();
        let kinds = run.traffics.first().map_or(&[] as &[&str], Traffic::kinds);
        let named = kinds.iter().zip(&tally.latencies);
        let per_request = |ns: u64| ns as f64 / run.answered.max(1) as f64;
        let cores = |ns: u64| ns as f64 / run.elapsed_ns as f64;
        let server = |cpu_ns| -> Result<ServerUse> {
            let pid = args.server_pid.context("CPU time comes with a process")?;
            Ok(ServerUse {
                cpu_ns_per_request: per_request(cpu_ns),
                cores: cores(cpu_ns),
                memory: process::memory(pid)?,
            })
        };
        Ok(Self {
            requests: run.answered,
            seconds: run.elapsed_ns as f64 / SECOND_NS as f64,
            per_second: run.throughput(),
            errors: tally.errors.clone(),
            nils: tally.nils,
            unanswered: tally.unanswered,
            lost_connections: run.lost_connections,
            interrupted: run.interrupted,
            latency: Latency::of(&all),
            by_kind: named
                .filter(|(_, histogram)| !histogram.is_empty())
                .map(|(name, histogram)| ((*name).to_owned(), Latency::of(histogram)))
                .collect(),
            corrected: args
                .expected_interval_ns()
                .map(|interval_ns| Latency::corrected(&all, interval_ns)),
            generator_lag: (!tally.lag.is_empty()).then(|| Latency::of(&tally.lag)),
            generator_cpu_ns_per_request: per_request(run.generator_cpu_ns),
            generator_cores: cores(run.generator_cpu_ns),
            server: run.server_cpu_ns.map(server).transpose()?,
        })
    }

    /// Why the figures do not count, if they do not.
    pub fn failure(&self) -> Option<String> {
        let errors: u64 = self.errors.values().map(|error| error.count).sum();
        let example = self.errors.values().next().map_or("", |e| &e.example);
        if self.lost_connections > 0 {
            let lost = self.lost_connections;
            return Some(format!("{lost} connections were lost: {example}"));
        }
        let all_failed = errors > 0 && errors >= self.requests;
        all_failed.then(|| format!("every request failed: {example}"))
    }
}

impl fmt::Display for LoadFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.interrupted {
            " (interrupted)"
        } else {
            ""
        };
        writeln!(
            f,
            "{} requests in {:.2} s: {:.0} a second{note}",
            self.requests, self.seconds, self.per_second
        )?;
        writeln!(f, "{}", latency_header())?;
        if self.by_kind.len() > 1 {
            for (name, latency) in &self.by_kind {
                writeln!(f, "{}", latency_line(name, latency))?;
            }
        }
        writeln!(f, "{}", latency_line("all", &self.latency))?;
        if let Some(corrected) = &self.corrected {
            writeln!(f, "{}", latency_line("corrected", corrected))?;
        }
        if let Some(lag) = &self.generator_lag {
            writeln!(f, "{}", latency_line("generator lag", lag))?;
        }
        self.write_use(f)?;
        self.write_troubles(f)
    }
}

impl LoadFigures {
    fn write_use(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "generator: {:.0} ns of CPU a request, {:.2} cores",
            self.generator_cpu_ns_per_request, self.generator_cores
        )?;
        if let Some(server) = &self.server {
            writeln!(
                f,
                "server:    {:.0} ns of CPU a request, {:.2} cores, {} resident (peak {})",
                server.cpu_ns_per_request,
                server.cores,
                mebibytes(server.memory.resident),
                mebibytes(server.memory.peak)
            )?;
        }
        Ok(())
    }

    fn write_troubles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nils > 0 {
            writeln!(f, "null replies: {}", self.nils)?;
        }
        if self.unanswered > 0 {
            writeln!(
                f,
                "not answered: {} (their age at the end is in the latencies)",
                self.unanswered
            )?;
        }
        for (word, error) in &self.errors {
            writeln!(
                f,
                "error {word}: {} times, first '{}'",
                error.count, error.example
            )?;
        }
        Ok(())
    }
}

/// The head of a latency table.
pub fn latency_header() -> String {
    let mut line = format!("{:22}", "latency, us");
    for name in ["count", "mean", "p50", "p90", "p99", "p99.9", "max"] {
        // Writing into a string cannot fail.
        let _ = write!(line, " {name:>10}");
    }
    line
}

/// One line of a latency table.
pub fn latency_line(name: &str, latency: &Latency) -> String {
    let mut line = format!("{name:22} {:>10}", latency.count);
    for figure in [
        latency.mean_us,
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p999_us,
        latency.max_us,
    ] {
        // Writing into a string cannot fail.
        let _ = write!(line, " {figure:>10.1}");
    }
    line
}

/// Bytes as mebibytes.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
