//! `tenure-control-sim`: runs seeds of the control plane's simulation.
//!
//! ```text
//! tenure-control-sim --seeds 0..10000     many, until one fails
//! tenure-control-sim --seed 17 --trace    one, with all that happens
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{process::ExitCode, time::Duration};

use sim::control::{self, Counts, Report};

const USAGE: &str = "usage: tenure-control-sim --seed N [--trace] | --seeds A..B [--keep-going]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| words.iter().any(|word| word == option);
    let value = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1)
    };
    if let Some(seed) = value("--seed").and_then(|text| text.parse().ok()) {
        return one(seed, has("--trace"));
    }
    let range = value("--seeds").and_then(|text| text.split_once(".."));
    match range.and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?)) {
        Some(seeds) => many(seeds, has("--keep-going")),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    let report = control::run(seed, trace);
    println!("seed {seed}: {report:?}");
    match report.failure {
        None => ExitCode::SUCCESS,
        Some((at_ms, wrong)) => {
            println!("seed {seed} FAILS at {at_ms} ms: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn many(seeds: std::ops::Range<u64>, keep_going: bool) -> ExitCode {
    let mut sum = Sum::default();
    for seed in seeds {
        let report = control::run(seed, false);
        sum.add(seed, &report);
        if report.failure.is_some() && !keep_going {
            break;
        }
    }
    sum.tell();
    if sum.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[derive(Default)]
struct Sum {
    runs: u64,
    simulated: Duration,
    longest_heal_ms: u64,
    terms: u64,
    last: Counts,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, report: &Report) {
        self.runs += 1;
        self.simulated += Duration::from_millis(report.simulated_ms);
        self.longest_heal_ms = self.longest_heal_ms.max(report.healed_ms);
        self.terms += report.counts.terms;
        if report.counts.terms > 100 {
            println!(
                "seed {seed}: the role changed hands {} times",
                report.counts.terms
            );
        }
        self.last = report.counts;
        if let Some((at_ms, wrong)) = &report.failure {
            self.failed.push(seed);
            println!(
                "seed {seed} FAILS at {at_ms} ms: {wrong}\nReplay: {}",
                control::replay_command(seed)
            );
        }
    }

    fn tell(&self) {
        println!(
            "{} seeds, {:.1} hours simulated, {} terms, longest way back to health {} ms, {} failed {:?}",
            self.runs,
            self.simulated.as_secs_f64() / 3_600.0,
            self.terms,
            self.longest_heal_ms,
            self.failed.len(),
            self.failed
        );
    }
}
