//! Many seeds of a simulation: spread over threads, counted, and judged as a whole. What the simulators have in common, their tests and
//! their command lines ([`command_line`]) included.

mod command_line;

use std::cell::Cell;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use command_line::main;

/// A simulation, as whoever runs seeds of it sees it.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    /// The program, as `cargo run` has to be told of it.
    pub program: &'static str,
    /// What is simulated: for `--help`.
    pub about: &'static str,
    /// What a run is counted in: `turn`, `step`.
    pub unit: &'static str,
    /// Runs a seed.
    pub run: fn(u64, How) -> Outcome,
    /// What a seed draws, in words.
    pub plan: fn(u64) -> String,
}

/// How much of a run is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Print what happens.
    pub trace: bool,
    /// Print only from this step on.
    pub from: u64,
    /// Stop after so many steps.
    pub steps: Option<u64>,
    /// The digest is to be compared with that of another run.
    pub compared: bool,
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// A number that two runs share only if they had the same history.
    pub digest: u64,
    /// What there was, and how much of it: requests, restarts.
    pub tallies: Vec<(&'static str, u64)>,
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// From the last fault to everything being well, in microseconds; 0 where that is not measured.
    pub healed_us: u64,
    /// Events that many runs together must have met, and how often this one has.
    pub rare: Vec<(&'static str, u64)>,
    /// What went wrong, and in which step.
    pub failure: Option<(u64, String)>,
}

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

/// What became of all of them.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Seeds that were run.
    pub runs: u64,
    /// As of [`Outcome`], added up.
    pub tallies: Vec<(&'static str, u64)>,
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// The longest way back, in microseconds.
    pub healed_us: u64,
    /// Rare events, added up.
    pub rare: Vec<(&'static str, u64)>,
    /// Seeds that failed, in words, with the command that replays each.
    pub failures: Vec<String>,
}

impl Batch {
    /// These seeds once each, on all processors, up to the first failure.
    #[must_use]
    pub fn of(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            twice: false,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            keep_going: false,
        }
    }
}

impl Simulator {
    /// The command that replays a seed.
    #[must_use]
    pub fn replay(&self, seed: u64) -> String {
        format!(
            "cargo run --release {} -- --seed {seed} --trace",
            self.program
        )
    }

    /// Runs the seeds. `tell` is told after each how things stand, and what is wrong with it, if anything is.
    pub fn run_many(&self, batch: &Batch, tell: &(dyn Fn(&Sum, Option<&str>) + Sync)) -> Sum {
        let next = AtomicU64::new(batch.seeds.start);
        let sum = Mutex::new(Sum::default());
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= batch.seeds.end {
                    return;
                }
                let outcome = self.run_one(seed, batch.twice);
                let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                let failure = self.failure(seed, &outcome);
                sum.add(outcome, failure.clone());
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
    fn run_one(&self, seed: u64, twice: bool) -> Outcome {
        SEED.set(Some(seed));
        let how = How {
            compared: twice,
            ..How::default()
        };
        let run = || {
            let mut outcome = (self.run)(seed, how);
            if twice && (self.run)(seed, how).digest != outcome.digest {
                outcome.failure = Some((0, "two runs of one seed differ".into()));
            }
            outcome
        };
        let outcome = catch_unwind(run).unwrap_or_else(|_| Outcome {
            failure: Some((0, "it panics".into())),
            ..Outcome::default()
        });
        SEED.set(None);
        outcome
    }

    fn failure(&self, seed: u64, outcome: &Outcome) -> Option<String> {
        let (step, wrong) = outcome.failure.as_ref()?;
        let (unit, replay) = (self.unit, self.replay(seed));
        Some(format!(
            "seed {seed} fails in {unit} {step}: {wrong}\nReplay: {replay}"
        ))
    }

    /// What a test runs: all seeds must pass, and have met every rare event that is not in `rarer`.
    ///
    /// # Panics
    /// If one fails, or an event is missing.
    pub fn test(&self, seeds: Range<u64>, rarer: &[&str]) {
        let sum = self.run_many(&Batch::of(seeds), &|_, _| {});
        assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
        let missing: Vec<&str> = sum.missing().filter(|e| !rarer.contains(e)).collect();
        assert!(missing.is_empty(), "never reached: {missing:?}");
    }

    /// What a test runs: each of these seeds is one history.
    ///
    /// # Panics
    /// If one is not.
    pub fn test_twice(&self, seeds: Range<u64>) {
        let batch = Batch {
            twice: true,
            ..Batch::of(seeds)
        };
        let sum = self.run_many(&batch, &|_, _| {});
        assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
    }
}

impl Sum {
    fn add(&mut self, outcome: Outcome, failure: Option<String>) {
        self.runs += 1;
        add_all(&mut self.tallies, outcome.tallies);
        add_all(&mut self.rare, outcome.rare);
        self.simulated_us += outcome.simulated_us;
        self.healed_us = self.healed_us.max(outcome.healed_us);
        self.failures.extend(failure);
    }

    /// The rare events that no run has met.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> + '_ {
        let missing = self.rare.iter().filter(|(_, times)| *times == 0);
        missing.map(|(event, _)| *event)
    }
}

/// Adds numbers to those of the same name. A run that ended in a panic has none.
fn add_all(sums: &mut Vec<(&'static str, u64)>, more: Vec<(&'static str, u64)>) {
    for (name, number) in more {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += number,
            None => sums.push((name, number)),
        }
    }
}

/// The seeds that an environment variable asks for, as `0..100`; or the usual ones.
///
/// # Panics
/// If it says something else.
#[must_use]
pub fn asked_for(variable: &str, usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var(variable) else {
        return usual;
    };
    range(&text).unwrap_or_else(|wrong| panic!("{variable}: {wrong}"))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..");
    let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.filter(|seeds| !seeds.is_empty())
        .ok_or_else(|| format!("`{text}` is no range such as 0..1000"))
}

thread_local! {
    /// The seed that this thread runs, for when it panics in a build that ends then.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests;
