//! Many seeds: spread over threads, counted, and judged as a whole.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cluster_sim::{Counts, Options, Plan, Rare, Report, replay_command};

use crate::Args;

#[derive(Default)]
struct Sum {
    runs: u64,
    steps: u64,
    requests: u64,
    failovers: u64,
    simulated_us: u64,
    counts: Counts,
    failures: u64,
}

/// Runs the seeds.
pub fn run(args: &Args) -> ExitCode {
    let (next, stop) = (AtomicU64::new(args.seeds.0), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.seeds.1 {
                        break;
                    }
                    let failed = add(&sum, seed, &one(seed, args), args);
                    if failed && !args.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    eprintln!();
    conclude(
        &sum.into_inner().unwrap_or_else(PoisonError::into_inner),
        args,
    )
}

/// Runs a seed; a panic is a failure like any other.
fn one(seed: u64, args: &Args) -> Report {
    let run = || {
        let options = Options {
            digest: args.twice,
            ..args.options
        };
        let mut report = cluster_sim::run(Plan::draw(seed), options);
        if args.twice && cluster_sim::run(Plan::draw(seed), options).digest != report.digest {
            report.failure = Some((0, "two runs of one seed differ".into()));
        }
        report
    };
    std::panic::catch_unwind(run).unwrap_or_else(|_| Report {
        digest: 0,
        steps: 0,
        requests: 0,
        failovers: 0,
        simulated_us: 0,
        counts: Counts::default(),
        failure: Some((0, "it panics".into())),
    })
}

fn add(sum: &Mutex<Sum>, seed: u64, report: &Report, args: &Args) -> bool {
    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
    sum.runs += 1;
    sum.steps += report.steps;
    sum.requests += report.requests;
    sum.failovers += report.failovers;
    sum.simulated_us += report.simulated_us;
    sum.counts.add(&report.counts);
    if let Some((step, wrong)) = &report.failure {
        println!(
            "seed {seed} FAILS in step {step}: {wrong}\nReplay: {}",
            replay_command(seed)
        );
        sum.failures += 1;
    }
    let of = args.seeds.1 - args.seeds.0;
    if sum.runs.is_multiple_of(16) || sum.runs == of {
        bar(&sum, of);
    }
    report.failure.is_some()
}

fn bar(sum: &Sum, of: u64) {
    let done = (sum.runs * 30 / of) as usize;
    eprint!(
        "\r[{}{}] {}/{of} seeds, {} requests, {} epochs, {} failed ",
        "#".repeat(done),
        " ".repeat(30 - done.min(30)),
        sum.runs,
        sum.requests,
        sum.failovers,
        sum.failures
    );
    // A terminal that is gone needs no progress bar.
    let _ = std::io::stderr().flush();
}

fn conclude(sum: &Sum, args: &Args) -> ExitCode {
    for &event in Rare::ALL {
        println!("{:10} {}", sum.counts.of(event), event.text());
    }
    println!(
        "{} seeds, {} steps, {} requests, {} epochs, {:.1} h simulated, {} failed",
        sum.runs,
        sum.steps,
        sum.requests,
        sum.failovers,
        sum.simulated_us as f64 / 3.6e9,
        sum.failures
    );
    let missing = sum.counts.missing();
    let incomplete = !missing.is_empty() && !args.no_rare;
    if incomplete {
        println!("NEVER REACHED: {missing:?}");
    }
    if sum.failures > 0 || incomplete {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
