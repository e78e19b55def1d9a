//! Many seeds: spread over threads, counted, and judged as a whole.

use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Counts, Options, Plan, Report, replay_command, run};

/// Which seeds, and how.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Each twice: it must have the same history.
    pub twice: bool,
    /// Threads.
    pub jobs: usize,
    /// Does not stop at a seed that fails.
    pub keep_going: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            seeds: 0..0,
            twice: false,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            keep_going: false,
        }
    }
}

/// What became of all of them.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Seeds that were run.
    pub runs: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// The longest way from the last fault to everything being served, in microseconds.
    pub healed_us: u64,
    /// Rare events.
    pub counts: Counts,
    /// Seeds that failed, in words, with the command that replays each.
    pub failures: Vec<String>,
}

/// Runs the seeds. `tell` is told of each how things stand, and what is wrong with it, if anything is.
pub fn run_many(batch: &Batch, tell: &(dyn Fn(&Sum, Option<&str>) + Sync)) -> Sum {
    let (next, sum) = (
        AtomicU64::new(batch.seeds.start),
        Mutex::new(Sum::default()),
    );
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= batch.seeds.end {
                return;
            }
            let report = one(seed, batch.twice);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            let failure = sum.add(seed, &report);
            tell(&sum, failure.as_deref());
            if failure.is_some() && !batch.keep_going {
                next.store(batch.seeds.end, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..batch.jobs {
            scope.spawn(work);
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a seed; a panic is a failure like any other.
fn one(seed: u64, twice: bool) -> Report {
    let run_it = || {
        let mut report = run(Plan::draw(seed), Options::default());
        if twice && run(Plan::draw(seed), Options::default()).digest != report.digest {
            report.failure = Some((0, "two runs of one seed differ".into()));
        }
        report
    };
    catch_unwind(run_it).unwrap_or_else(|_| Report {
        failure: Some((0, "it panics".into())),
        ..Report::default()
    })
}

impl Sum {
    fn add(&mut self, seed: u64, report: &Report) -> Option<String> {
        self.runs += 1;
        self.steps += report.steps;
        self.answered += report.answered;
        self.simulated_us += report.simulated_us;
        self.healed_us = self.healed_us.max(report.healed_us);
        self.counts.add(&report.counts);
        let (step, wrong) = report.failure.as_ref()?;
        let replay = replay_command(seed);
        let failure = format!("seed {seed} fails in step {step}: {wrong}\nReplay: {replay}");
        self.failures.push(failure.clone());
        Some(failure)
    }
}
