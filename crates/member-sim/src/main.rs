//! `tenure-member-sim`: runs seeds of the simulation of whole clusters, many at once or one in detail.
//!
//! ```text
//! tenure-member-sim --seeds 0..1000000                     many seeds, on all processors, with a progress bar
//! tenure-member-sim --seed 17 --trace                      one seed, every event printed
//! tenure-member-sim --seed 17 --trace --from 380 --steps 400     only its steps 380 to 400
//! tenure-member-sim --seed 17 --plan                       what the seed has drawn
//! tenure-member-sim --seeds 0..100 --twice                 each seed twice: the same history?
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write as _;
use std::process::ExitCode;

use member_sim::batch::{Batch, Sum, run_many};
use member_sim::{Options, Plan, Rare};

const USAGE: &str = "usage: tenure-member-sim --seed N | --seeds A..B \
[--trace] [--from STEP] [--steps STEP] [--plan] [--twice] [--jobs N] [--keep-going] [--no-rare]";
/// Seeds between two looks of the progress bar.
const BAR_EVERY: u64 = 16;
const BAR_WIDTH: u64 = 30;

/// The command line, understood.
#[derive(Clone, Debug, Default)]
struct Args {
    batch: Batch,
    options: Options,
    plan: bool,
    no_rare: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(args) if args.batch.seeds.end - args.batch.seeds.start == 1 && !args.batch.twice => {
            one(args.batch.seeds.start, &args)
        }
        Ok(args) => many(&args),
        Err(wrong) => {
            eprintln!("tenure-member-sim: {wrong}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args::default();
    while let Some(word) = words.next() {
        let mut number = || {
            let next = words.next().ok_or("a number is missing")?;
            next.parse::<u64>().map_err(|_| "that is no number")
        };
        match word.as_str() {
            "--seed" => args.batch.seeds = number().map(|n| n..n + 1)?,
            "--seeds" => args.batch.seeds = range(words.next().as_deref())?,
            "--trace" => args.options.trace = true,
            "--from" => args.options.trace_from = number()?,
            "--steps" => args.options.steps = Some(number()?),
            "--plan" => args.plan = true,
            "--twice" => args.batch.twice = true,
            "--jobs" => args.batch.jobs = number()?.max(1) as usize,
            "--keep-going" => args.batch.keep_going = true,
            "--no-rare" => args.no_rare = true,
            other => return Err(format!("unknown option {other}")),
        }
    }
    if args.batch.seeds.is_empty() {
        Err("which seeds?".into())
    } else {
        Ok(args)
    }
}

fn range(word: Option<&str>) -> Result<std::ops::Range<u64>, String> {
    let ends = word.and_then(|word| word.split_once(".."));
    ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?))
        .ok_or_else(|| "--seeds needs a range such as 0..1000".into())
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let plan = Plan::draw(seed);
    if args.plan {
        println!("{plan:#?}");
    }
    let report = member_sim::run(plan, args.options);
    println!(
        "seed {seed}: {} steps, {} requests, {:.1} s simulated, well {:.1} s after the last fault, digest {:016x}",
        report.steps,
        report.answered,
        report.simulated_us as f64 / 1e6,
        report.healed_us as f64 / 1e6,
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

fn many(args: &Args) -> ExitCode {
    let of = args.batch.seeds.end - args.batch.seeds.start;
    let sum = run_many(&args.batch, &|sum, failure| {
        if let Some(failure) = failure {
            println!("\n{failure}");
        }
        if sum.runs.is_multiple_of(BAR_EVERY) || sum.runs == of {
            bar(sum, of);
        }
    });
    eprintln!();
    conclude(&sum, args)
}

fn bar(sum: &Sum, of: u64) {
    let done = sum.runs * BAR_WIDTH / of;
    eprint!(
        "\r[{}{}] {}/{of} seeds, {} requests, {} failed ",
        "#".repeat(done as usize),
        " ".repeat((BAR_WIDTH - done) as usize),
        sum.runs,
        sum.answered,
        sum.failures.len()
    );
    // A terminal that is gone needs no progress bar.
    let _ = std::io::stderr().flush();
}

fn conclude(sum: &Sum, args: &Args) -> ExitCode {
    for &event in Rare::ALL {
        println!("{:10} {}", sum.counts.of(event), event.text());
    }
    println!(
        "{} seeds, {} steps, {} requests, {:.1} h simulated, well at most {:.1} s after the last fault, {} failed",
        sum.runs,
        sum.steps,
        sum.answered,
        sum.simulated_us as f64 / 3.6e9,
        sum.healed_us as f64 / 1e6,
        sum.failures.len()
    );
    let missing = sum.counts.missing();
    let incomplete = !missing.is_empty() && !args.no_rare;
    if incomplete {
        println!("NEVER REACHED: {missing:?}");
    }
    if !sum.failures.is_empty() || incomplete {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
