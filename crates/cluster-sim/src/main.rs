//! `tenure-cluster-sim`: runs seeds of the cluster's simulation, many at once or one in detail.
//!
//! ```text
//! tenure-cluster-sim --seeds 0..100000                     many seeds, on all processors, with a progress line
//! tenure-cluster-sim --seed 17 --trace                     one seed, every event printed
//! tenure-cluster-sim --seed 17 --trace --from 380 --steps 400    only its steps 380 to 400
//! tenure-cluster-sim --seed 17 --plan                      what the seed has drawn
//! tenure-cluster-sim --seeds 0..100 --twice                each seed twice: the same history?
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod many;

use std::process::ExitCode;

use cluster_sim::{Options, Plan};

const USAGE: &str = "usage: tenure-cluster-sim --seed N | --seeds A..B \
[--trace] [--from STEP] [--steps STEP] [--plan] [--twice] [--jobs N] [--keep-going] [--no-rare]";

/// The command line, understood.
#[derive(Clone, Copy, Debug)]
struct Args {
    /// The first seed, and the one behind the last.
    seeds: (u64, u64),
    options: Options,
    plan: bool,
    twice: bool,
    jobs: usize,
    keep_going: bool,
    no_rare: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(args) if args.seeds.1 == args.seeds.0 + 1 => one(args.seeds.0, &args),
        Ok(args) => many::run(&args),
        Err(wrong) => {
            eprintln!("tenure-cluster-sim: {wrong}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        seeds: (0, 0),
        options: Options::default(),
        plan: false,
        twice: false,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        keep_going: false,
        no_rare: false,
    };
    while let Some(word) = words.next() {
        let mut number = || {
            let next = words.next().ok_or("a number is missing")?;
            next.parse::<u64>().map_err(|_| "that is no number")
        };
        match word.as_str() {
            "--seed" => args.seeds = number().map(|n| (n, n + 1))?,
            "--seeds" => args.seeds = range(words.next().as_deref())?,
            "--trace" => args.options.trace = true,
            "--from" => args.options.from = number()?,
            "--steps" => args.options.steps = Some(number()?),
            "--plan" => args.plan = true,
            "--twice" => args.twice = true,
            "--jobs" => args.jobs = number()?.max(1) as usize,
            "--keep-going" => args.keep_going = true,
            "--no-rare" => args.no_rare = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    if args.seeds.0 < args.seeds.1 {
        Ok(args)
    } else {
        Err("which seeds?".into())
    }
}

fn range(word: Option<&str>) -> Result<(u64, u64), String> {
    let ends = word.and_then(|word| word.split_once(".."));
    ends.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .ok_or_else(|| "--seeds needs a range such as 0..1000".into())
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let plan = Plan::draw(seed);
    if args.plan {
        println!("{plan:#?}");
    }
    let report = cluster_sim::run(plan, args.options);
    println!(
        "seed {seed}: {} steps, {} requests, {} epochs, {:.1} s simulated, digest {:016x}",
        report.steps,
        report.requests,
        report.failovers,
        report.simulated_us as f64 / 1e6,
        report.digest
    );
    match report.failure {
        None => ExitCode::SUCCESS,
        Some((step, wrong)) => {
            println!("seed {seed} FAILS in step {step}: {wrong}");
            ExitCode::FAILURE
        }
    }
}
