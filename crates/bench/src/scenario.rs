//! The workloads as whole runs: what is prepared, run, and reported.

pub mod expiry_wave;
pub mod holds;
pub mod load;
pub mod memory;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use crate::args::BenchArgs;
use crate::clock::{Clock, MILLISECOND_NS, SECOND_NS};
use crate::control::Server;
use crate::engine::{self, Limit, Pace, Plan, Run, Tick, Verdict};
use crate::traffic::Traffic;

/// How often progress is shown, in nanoseconds.
const TICK_NS: u64 = 100 * MILLISECOND_NS;
/// How long the replies of a closed loop are waited for after its end.
const CLOSED_DRAIN_NS: u64 = SECOND_NS / 2;
/// The same in an open loop, where every request that was due counts.
const OPEN_DRAIN_NS: u64 = 5 * SECOND_NS;
/// The measured time when neither requests nor seconds are given.
const DEFAULT_SECONDS: f64 = 10.0;

/// What every scenario needs.
#[derive(Debug)]
pub struct Bench {
    /// The command line.
    pub args: BenchArgs,
    /// The run's clock.
    pub clock: Clock,
    /// Whether Ctrl-C was pressed.
    pub interrupted: Arc<AtomicBool>,
    /// Whom to load.
    pub server: Server,
}

impl Bench {
    /// Prepares a run; Ctrl-C from now on ends it early, and a second one at once.
    pub fn new(args: BenchArgs) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let signal = signal_hook::consts::SIGINT;
        // The order matters: the first signal finds the flag unset and sets it, the second exits.
        signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted.clone())
            .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
            .context("cannot listen for Ctrl-C")?;
        Ok(Self {
            server: Server {
                addr: args.addr.clone(),
                password: args.password.clone(),
            },
            clock: Clock::start(),
            interrupted,
            args,
        })
    }

    /// A closed loop that runs until its traffic is exhausted.
    fn exhaustive_plan(&self, title: &str) -> Plan {
        Plan {
            server: self.server.clone(),
            connections: self.args.connections(),
            depth: self.args.depth(),
            pace: Pace::Closed,
            limit: Limit::Exhausted,
            warmup_ns: 0,
            drain_ns: CLOSED_DRAIN_NS,
            tick_ns: TICK_NS,
            spin: self.args.spin,
            server_pid: self.args.server_pid,
            seed: self.args.seed,
            title: title.to_owned(),
        }
    }

    /// The loop that the command line describes.
    fn measuring_plan(&self) -> Plan {
        let args = &self.args;
        let seconds = args.seconds.unwrap_or(DEFAULT_SECONDS);
        let plan = self.exhaustive_plan(&args.workload.to_string());
        let limit = args.requests.map_or_else(
            || Limit::Time((seconds * SECOND_NS as f64) as u64),
            Limit::Requests,
        );
        let (pace, drain_ns) = match args.rate {
            None => (Pace::Closed, CLOSED_DRAIN_NS),
            Some(per_second) => {
                let arrivals = args.arrivals;
                (
                    Pace::Open {
                        per_second,
                        arrivals,
                    },
                    OPEN_DRAIN_NS,
                )
            }
        };
        Plan {
            pace,
            drain_ns,
            limit,
            warmup_ns: (args.warmup * SECOND_NS as f64) as u64,
            ..plan
        }
    }

    /// Runs `plan` with one worker for each of `traffics`.
    fn run<T: Traffic + Send>(&self, plan: &Plan, traffics: Vec<T>) -> Result<Run<T>> {
        self.run_observed(plan, traffics, |_| Verdict::Continue)
    }

    fn run_observed<T: Traffic + Send>(
        &self,
        plan: &Plan,
        traffics: Vec<T>,
        observe: impl FnMut(Tick) -> Verdict,
    ) -> Result<Run<T>> {
        engine::run(plan, self.clock, &self.interrupted, traffics, observe)
    }
}
