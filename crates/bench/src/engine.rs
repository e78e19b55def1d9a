//! The load engine: workers that send and receive, and one coordinator that decides when.
//!
//! Each worker is a thread with its own connections, its own traffic and its own tally; it shares with
//! the coordinator only two counters and the phase. The coordinator (the calling thread) sleeps between
//! ticks, moves the phase on, reads the server's CPU time at the phase's edges together with the
//! counters, and shows progress.
//!
//! ```text
//! Warmup ──(time)──► Measure ──(time, Ctrl-C, observer)──► Stop ──(replies in, or drain over)──► end
//!                       └────(requests all answered)─────────────────────────────────────────► end
//! ```

mod connection;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::{Clock, SECOND_NS};
use crate::control::Server;
use crate::latency::Tally;
use crate::process;
use crate::progress::Progress;
use crate::schedule::Arrivals;
use crate::traffic::Traffic;
use worker::{Finished, Worker};

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When the replies to the last ones are in.
    Closed,
    /// At so many a second, on a schedule.
    Open {
        /// Requests a second over all workers.
        per_second: f64,
        /// Their gaps.
        arrivals: Arrivals,
    },
}

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After this many nanoseconds of measuring.
    Time(u64),
    /// After this many measured requests.
    Requests(u64),
    /// When the traffic has nothing more to send.
    Exhausted,
}

/// One run's conditions.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to load.
    pub server: Server,
    /// Connections over all workers.
    pub connections: usize,
    /// Requests under way on each connection.
    pub depth: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// When the run is over.
    pub limit: Limit,
    /// Load before measuring, in nanoseconds.
    pub warmup_ns: u64,
    /// How long replies are waited for after the end, in nanoseconds.
    pub drain_ns: u64,
    /// How often the observer is asked, in nanoseconds.
    pub tick_ns: u64,
    /// Poll without blocking.
    pub spin: bool,
    /// The server's process, if it can be measured.
    pub server_pid: Option<u32>,
    /// Seed of the schedule.
    pub seed: u64,
    /// What the progress bar says.
    pub title: String,
}

/// What an observer sees at each tick.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Now, on the run's clock.
    pub now_ns: u64,
}

/// Whether an observer has seen enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on to the limit.
    Continue,
    /// Stop now.
    Stop,
}

/// What a run measured.
#[derive(Debug)]
pub struct Run<T> {
    /// Latencies and errors of all workers.
    pub tally: Tally,
    /// The traffics, back from their workers.
    pub traffics: Vec<T>,
    /// Requests answered in the measured time, errors included.
    pub answered: u64,
    /// Of these, answered with an error.
    pub failed: u64,
    /// The measured time, in nanoseconds.
    pub elapsed_ns: u64,
    /// CPU time of the server in it, in nanoseconds.
    pub server_cpu_ns: Option<u64>,
    /// CPU time of the workers in it, in nanoseconds.
    pub generator_cpu_ns: u64,
    /// Connections that the server closed or that broke.
    pub lost_connections: usize,
    /// Whether Ctrl-C ended it early.
    pub interrupted: bool,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Load before the measured time.
    Warmup,
    /// The measured time.
    Measure,
    /// No new requests.
    Stop,
}

/// What workers and coordinator share.
#[derive(Debug)]
struct Shared {
    phase: AtomicU8,
    counters: Vec<Counters>,
}

/// One worker's counters, published once a turn.
#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    failed: AtomicU64,
}

/// Counters, CPU time and clock, read together.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at_ns: u64,
    answered: u64,
    failed: u64,
    cpu_ns: Option<u64>,
}

/// Runs `plan` with one worker for each of `traffics`, until its limit, an interrupt, or the observer
/// stops it. Fails if the server cannot be reached or its process is not there.
pub fn run<T: Traffic + Send>(
    plan: &Plan,
    clock: Clock,
    interrupted: &AtomicBool,
    traffics: Vec<T>,
    observe: impl FnMut(Tick) -> Verdict,
) -> Result<Run<T>> {
    let first = if plan.warmup_ns > 0 {
        Phase::Warmup
    } else {
        Phase::Measure
    };
    let shared = Shared {
        phase: AtomicU8::new(first as u8),
        counters: traffics.iter().map(|_| Counters::default()).collect(),
    };
    let workers = workers(plan, clock, &shared, traffics)?;
    let (sender, finished) = mpsc::channel();
    thread::scope(|scope| {
        let coordinator = Coordinator::new(plan, clock, &shared, interrupted, observe)?;
        for worker in workers {
            let sender = sender.clone();
            // A failed send means that the coordinator has gone; there is nobody left to tell.
            scope.spawn(move || drop(sender.send(worker.run())));
        }
        drop(sender);
        coordinator.run(&finished)
    })
}

/// Connects everything and deals it out.
fn workers<'a, T: Traffic>(
    plan: &'a Plan,
    clock: Clock,
    shared: &'a Shared,
    traffics: Vec<T>,
) -> Result<Vec<Worker<'a, T>>> {
    let threads = traffics.len();
    let mut workers = Vec::with_capacity(threads);
    for (index, traffic) in traffics.into_iter().enumerate() {
        let streams: Result<Vec<_>> = (0..share(plan.connections, threads, index))
            .map(|_| plan.server.load_stream())
            .collect();
        let worker = Worker::new(plan, clock, shared, index, traffic, streams?)
            .context("cannot prepare the connections")?;
        workers.push(worker);
    }
    Ok(workers)
}

/// Worker `index`'s part of `total` things among `workers`: the first ones take one more.
pub fn share(total: usize, workers: usize, index: usize) -> usize {
    total / workers + usize::from(index < total % workers)
}

/// The calling thread's part of a run.
struct Coordinator<'a, F> {
    plan: &'a Plan,
    clock: Clock,
    shared: &'a Shared,
    interrupted: &'a AtomicBool,
    observe: F,
    progress: Progress,
    begun_ns: u64,
    start: Reading,
    end: Option<Reading>,
}

impl<'a, F: FnMut(Tick) -> Verdict> Coordinator<'a, F> {
    fn new(
        plan: &'a Plan,
        clock: Clock,
        shared: &'a Shared,
        interrupted: &'a AtomicBool,
        observe: F,
    ) -> Result<Self> {
        let start = read(plan, clock, shared)?;
        Ok(Self {
            plan,
            clock,
            shared,
            interrupted,
            observe,
            progress: Progress::new(&plan.title, plan.limit),
            begun_ns: clock.now_ns(),
            start,
            end: None,
        })
    }

    fn run<T: Traffic>(mut self, finished: &Receiver<Finished<T>>) -> Result<Run<T>> {
        let mut results: Vec<Finished<T>> = Vec::new();
        loop {
            match finished.recv_timeout(self.pause()) {
                Ok(result) => results.push(result),
                Err(RecvTimeoutError::Timeout) => self.tick()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.progress.clear();
        self.conclude(results)
    }

    /// How long to sleep: a tick, or less if the phase ends sooner.
    fn pause(&self) -> Duration {
        let now = self.clock.now_ns();
        let edge = self.next_edge_ns().saturating_sub(now);
        Duration::from_nanos(self.plan.tick_ns.min(edge))
    }

    fn next_edge_ns(&self) -> u64 {
        match (self.shared.phase(), self.plan.limit) {
            (Phase::Warmup, _) => self.begun_ns + self.plan.warmup_ns,
            (Phase::Measure, Limit::Time(measured_ns)) => self.start.at_ns + measured_ns,
            (Phase::Measure, Limit::Requests(_) | Limit::Exhausted) | (Phase::Stop, _) => u64::MAX,
        }
    }

    /// Moves the phase on if it is time, and lets the observer look.
    fn tick(&mut self) -> Result<()> {
        let now_ns = self.clock.now_ns();
        let phase = self.shared.phase();
        if phase == Phase::Warmup && now_ns >= self.next_edge_ns() {
            self.start = read(self.plan, self.clock, self.shared)?;
            self.shared.set_phase(Phase::Measure);
        }
        if phase == Phase::Measure {
            let answered = self.shared.answered() - self.start.answered;
            self.progress.show(answered, now_ns - self.start.at_ns);
            let verdict = (self.observe)(Tick { now_ns });
            if verdict == Verdict::Stop || now_ns >= self.next_edge_ns() {
                self.stop()?;
            }
        }
        if self.interrupted.load(Ordering::Relaxed) && self.shared.phase() != Phase::Stop {
            self.stop()?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        // What an interrupt during the warm-up leaves is all that there is to show.
        self.end = Some(read(self.plan, self.clock, self.shared)?);
        self.shared.set_phase(Phase::Stop);
        Ok(())
    }

    fn conclude<T: Traffic>(self, mut results: Vec<Finished<T>>) -> Result<Run<T>> {
        results.sort_by_key(|result| result.index);
        let end = match self.end {
            Some(end) => end,
            None => {
                let last = results.iter().map(|result| result.at_ns).max();
                let reading = read(self.plan, self.clock, self.shared)?;
                Reading {
                    at_ns: last.unwrap_or(reading.at_ns),
                    ..reading
                }
            }
        };
        let kinds = results.first().map_or(0, |r| r.tally.latencies.len());
        let mut tally = Tally::new(kinds);
        for result in &results {
            tally.add(&result.tally);
        }
        Ok(Run {
            tally,
            answered: end.answered - self.start.answered,
            failed: end.failed - self.start.failed,
            elapsed_ns: end.at_ns.saturating_sub(self.start.at_ns).max(1),
            server_cpu_ns: end.cpu_ns.zip(self.start.cpu_ns).map(|(b, a)| b - a),
            generator_cpu_ns: results.iter().map(|result| result.cpu_ns).sum(),
            lost_connections: results.iter().map(|result| result.lost).sum(),
            interrupted: self.interrupted.load(Ordering::Relaxed),
            traffics: results.into_iter().map(|result| result.traffic).collect(),
        })
    }
}

impl Shared {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Warmup,
            1 => Phase::Measure,
            _ => Phase::Stop,
        }
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn answered(&self) -> u64 {
        self.sum(|counters| &counters.answered)
    }

    fn sum(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        let load = |counters| counter(counters).load(Ordering::Relaxed);
        self.counters.iter().map(load).sum()
    }
}

/// Reads everything that is compared at the two ends of the measured time.
fn read(plan: &Plan, clock: Clock, shared: &Shared) -> Result<Reading> {
    Ok(Reading {
        cpu_ns: plan.server_pid.map(process::cpu_ns).transpose()?,
        at_ns: clock.now_ns(),
        answered: shared.answered(),
        failed: shared.sum(|counters| &counters.failed),
    })
}

impl<T> Run<T> {
    /// Requests answered without an error, a second.
    pub fn throughput(&self) -> f64 {
        (self.answered - self.failed) as f64 * SECOND_NS as f64 / self.elapsed_ns as f64
    }
}
