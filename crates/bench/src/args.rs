//! The command line of `tenure bench`.

mod workload;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::clock::MICROSECOND_NS;
use crate::distribution::Shape;
use crate::keys::{DEFAULT_DIGITS, KeyNames};
use crate::schedule::Arrivals;
use crate::size::{SizeRange, parse_bytes};

pub use workload::{Churn, Confirm, Ending, Operation, Workload};

/// Digits of a key in the memory workloads when no prefix is given: 20 bytes, as in the paper.
const MEMORY_DIGITS: usize = 20;
/// The most connections that one run may open.
const CONNECTION_LIMIT: usize = 50_000;
/// The deepest pipeline.
const DEPTH_LIMIT: usize = 10_000;

/// Put load on a server that speaks the Redis protocol, and measure it.
///
/// Without --rate the loop is closed: each connection sends its next --depth requests when it has all
/// replies to the last, and latency counts from sending; a stall is then seen by few requests (see
/// --expected-interval). With --rate the loop is open: requests are due by the clock, and latency
/// counts from when a request was due.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Server to load, host:port
    #[arg(long, default_value = "127.0.0.1:6379", value_name = "HOST:PORT")]
    pub addr: String,

    /// What to send: set, set-wait, set-wait:batch, get, mixed:PCTREAD, touch, read, create, hset, hgetall, fill, session,
    /// hold-contention[:commit], hold-many, expire-wave, memory:W1 to memory:W8, growing
    #[arg(long, default_value = "mixed:80")]
    pub workload: Workload,

    /// Connections, shared out between the threads [default: 50, and 4 where depth is 64]
    #[arg(long, short = 'c', value_name = "N")]
    connections: Option<usize>,

    /// Requests that each connection has under way at once [default: 1, and 64 for fill, hold-many,
    /// expire-wave and memory workloads]
    #[arg(long, short = 'd', value_name = "N")]
    depth: Option<usize>,

    /// Requests to measure (instead of a time); sessions that are held at the end are still committed
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "seconds")]
    pub requests: Option<u64>,

    /// Seconds to measure [default: 10]
    #[arg(long, short = 's', value_name = "S")]
    pub seconds: Option<f64>,

    /// Seconds of the same load before measuring begins
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub warmup: f64,

    /// Requests a second for all connections together: makes the loop an open one
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,

    /// Gaps between the requests of an open loop
    #[arg(long, value_enum, default_value = "poisson")]
    pub arrivals: Arrivals,

    /// In a closed loop, also report latencies corrected for this expected interval between the
    /// requests of one connection, in microseconds
    #[arg(long, value_name = "US", conflicts_with = "rate")]
    pub expected_interval: Option<u64>,

    /// Different keys
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub keys: u64,

    /// Bytes of a value, or a range: 100, 1kb, 100-150
    #[arg(long, default_value = "100", value_name = "SIZE")]
    pub value_size: SizeRange,

    /// What keys begin with; hexadecimal digits follow [default: sess:, and nothing for memory
    /// workloads]
    #[arg(long, value_name = "TEXT")]
    pub key_prefix: Option<String>,

    /// Hexadecimal digits of a key [default: 32, and 20 for memory workloads]
    #[arg(long, value_name = "N")]
    pub key_digits: Option<usize>,

    /// Seconds that written keys live, 0 for ever
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub ttl: u64,

    /// Which keys are popular: uniform, zipf or zipf:THETA
    #[arg(long, default_value = "uniform")]
    pub distribution: Shape,

    /// Fields of a hash
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub fields: u64,

    /// Write every key once before the run, in the form that the workload reads
    #[arg(long)]
    pub load: bool,

    /// Milliseconds that a hold lasts
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    pub hold: u64,

    /// Milliseconds that an OPEN waits in line
    #[arg(long, default_value_t = 60_000, value_name = "MS")]
    pub wait: u64,

    /// Bytes of keys and values alive in a memory workload
    #[arg(long, default_value = "200mb", value_parser = parse_bytes, value_name = "SIZE")]
    pub live: u64,

    /// Times that a memory workload replaces what is alive in a phase
    #[arg(long, default_value_t = 2.0, value_name = "N")]
    pub turnovers: f64,

    /// Keys of an expire-wave that do not expire and that the background reads
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub background_keys: u64,

    /// Threads; connections are shared out between them
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,

    /// Poll without ever blocking: a core at 100 % for the shortest latency
    #[arg(long)]
    pub spin: bool,

    /// Process id of the server (on this machine), to measure its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,

    /// Password to AUTH with
    #[arg(long, env = "TENURE_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,

    /// Also write the results as JSON to this file, or only that to the standard output with -
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,

    /// Seed of keys and sizes: the same seed sends the same requests
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

impl BenchArgs {
    /// Refuses what cannot be run, in words that name the option.
    pub fn check(&self) -> Result<()> {
        ensure!(
            (1..=CONNECTION_LIMIT).contains(&self.connections()),
            "--connections must be 1 to {CONNECTION_LIMIT}"
        );
        ensure!(
            (1..=DEPTH_LIMIT).contains(&self.depth()),
            "--depth must be 1 to {DEPTH_LIMIT}"
        );
        ensure!(
            (1..=self.connections()).contains(&self.threads),
            "--threads must be at least 1 and at most --connections"
        );
        ensure!(self.keys > 0, "--keys must not be 0");
        ensure!(self.fields > 0, "--fields must not be 0");
        if let Some(rate) = self.rate {
            ensure!(rate > 0.0 && rate.is_finite(), "--rate must be positive");
        }
        ensure!(
            self.expected_interval != Some(0),
            "--expected-interval must be positive"
        );
        for (name, seconds) in [
            ("--seconds", self.seconds.unwrap_or(1.0)),
            ("--warmup", self.warmup + 1.0),
        ] {
            ensure!(
                seconds > 0.0 && seconds < 1e9,
                "{name} is not a sensible time"
            );
        }
        self.check_workload()
    }

    fn check_workload(&self) -> Result<()> {
        match self.workload {
            Workload::Contention(_) if self.threads > 1 || self.rate.is_some() => {
                bail!(
                    "hold-contention measures across connections: it needs one thread and no --rate"
                )
            }
            Workload::Contention(_) if self.depth() > 1 => {
                bail!(
                    "hold-contention has one request under way on each connection: --depth must be 1"
                )
            }
            Workload::Memory(_) => {
                ensure!(self.turnovers >= 0.0, "--turnovers must not be negative");
                ensure!(self.live > 0, "--live must not be 0");
            }
            Workload::Keyed(_)
            | Workload::Confirmed(_)
            | Workload::Fill
            | Workload::Session
            | Workload::Contention(_)
            | Workload::HoldMany
            | Workload::ExpireWave => {}
        }
        Ok(())
    }

    /// Connections over all threads.
    pub fn connections(&self) -> usize {
        let default = if self.workload.is_bulk() { 4 } else { 50 };
        self.connections.unwrap_or(default)
    }

    /// Requests that each connection has under way at once.
    pub fn depth(&self) -> usize {
        let default = if self.workload.is_bulk() { 64 } else { 1 };
        self.depth.unwrap_or(default)
    }

    /// The TTL in seconds, or `default` if there is none.
    pub fn ttl_or(&self, default: u64) -> u64 {
        if self.ttl > 0 { self.ttl } else { default }
    }

    /// The names that this run's keys have.
    pub fn key_names(&self) -> KeyNames {
        let memory = matches!(self.workload, Workload::Memory(_));
        let (prefix, digits) = if memory {
            ("", MEMORY_DIGITS)
        } else {
            ("sess:", DEFAULT_DIGITS)
        };
        KeyNames::new(
            self.key_prefix.as_deref().unwrap_or(prefix),
            self.key_digits.unwrap_or(digits),
        )
    }

    /// The interval of the closed loop's correction, in nanoseconds.
    pub fn expected_interval_ns(&self) -> Option<u64> {
        self.expected_interval
            .map(|micros| micros.saturating_mul(MICROSECOND_NS))
    }
}
