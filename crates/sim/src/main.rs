//! `tenure-sim`: runs seeds of the simulation, many at once or one in detail.
//!
//! ```text
//! tenure-sim --seeds 0..100000          many seeds, on all processors, with a progress line
//! tenure-sim --seed 17 --trace          one seed, every event printed
//! tenure-sim --seed 17 --trace --from 380 --turns 400    only its turns 380 to 400
//! tenure-sim --seed 17 --plan           what the seed has drawn
//! tenure-sim --seeds 0..100 --twice     each seed twice: the same history?
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod batch;

use std::process::ExitCode;

use args::{Args, Seeds};

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)) {
        Ok(args) => match args.seeds {
            Seeds::One(seed) => one(seed, &args),
            Seeds::Many(from, to) => batch::run(from, to, &args),
        },
        Err(wrong) => {
            eprintln!("tenure-sim: {wrong}\n{}", args::USAGE);
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let plan = sim::Plan::draw(seed);
    if args.plan {
        println!("{plan:#?}");
    }
    let report = sim::run(plan, args.options);
    println!(
        "seed {seed}: {} commands, {} restarts, {} s simulated, digest {:016x}",
        report.commands,
        report.restarts,
        report.simulated_ms / 1000,
        report.digest
    );
    match report.failure {
        None => ExitCode::SUCCESS,
        Some((turn, wrong)) => {
            println!("seed {seed} FAILS in turn {turn}: {wrong}");
            ExitCode::FAILURE
        }
    }
}
