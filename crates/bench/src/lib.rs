//! `tenure bench`: load for any server that speaks the Redis protocol, and figures to trust.
//!
//! The problem: on a small machine the load generator competes with the server it measures. Well-known
//! generators spend as much CPU on a request as the server does, so they saturate first and measure
//! themselves; and most are closed loops that stop sending while the server stalls, so that the stall
//! is hardly seen (coordinated omission).
//!
//! The idea: spend on a request nothing but the two system calls that carry it. A worker is one thread
//! with one readiness loop ([`engine`]); requests are copied from prepared bytes ([`request`]), replies
//! are stepped over, not parsed into values ([`reply`]). Latencies go into HDR histograms ([`latency`]).
//! With a rate, requests are due by a schedule ([`schedule`]), and their latency counts from then. What
//! is sent is a [`traffic`]; what is prepared, run and reported around it is a [`scenario`].
//!
//! What is left out: RESP3, TLS, following cluster redirections, and the checking of values, which are
//! matters for the clients' test suites.

mod args;
pub mod clock;
mod control;
mod distribution;
mod engine;
mod keys;
mod latency;
pub mod process;
mod progress;
pub mod random;
mod reply;
mod report;
pub mod request;
mod scenario;
mod schedule;
mod size;
mod traffic;

use anyhow::{Result, bail};

pub use args::BenchArgs;

use args::Workload;
use report::Outcome;
use scenario::Bench;

/// Runs the load that `args` describes and prints what it measured.
///
/// Fails with a message for people when the arguments contradict each other, the server cannot be
/// reached, or what came back makes the figures void (every request refused, connections lost); in the
/// last case the figures are printed first.
pub fn run(args: BenchArgs) -> Result<()> {
    args.check()?;
    let bench = Bench::new(args)?;
    // A server that is not there is said so before anything else happens.
    bench.server.connect()?;
    let outcome = measure(&bench)?;
    outcome.deliver(&bench.args)?;
    match outcome.failure {
        Some(failure) => bail!(failure),
        None => Ok(()),
    }
}

fn measure(bench: &Bench) -> Result<Outcome> {
    match bench.args.workload {
        Workload::Keyed(operation) => bench.keyed(operation),
        Workload::Confirmed(confirm) => bench.confirmed(confirm),
        Workload::Fill => bench.fill(),
        Workload::Session => bench.sessions(),
        Workload::Contention(ending) => bench.contention(ending),
        Workload::HoldMany => bench.hold_many(),
        Workload::ExpireWave => bench.expiry_wave(),
        Workload::Memory(churn) => bench.memory(churn),
    }
}
