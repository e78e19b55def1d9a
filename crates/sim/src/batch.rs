//! Many seeds: spread over threads, counted, and judged as a whole.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sim::{Counts, Plan, Rare, Report};

use crate::args::Args;

#[derive(Default)]
struct Sum {
    runs: u64,
    commands: u64,
    restarts: u64,
    simulated_ms: u64,
    counts: Counts,
    failures: Vec<(u64, u64, String)>,
}

/// Runs the seeds `from..to`.
pub fn run(from: u64, to: u64, args: &Args) -> ExitCode {
    say_the_seed_when_it_panics();
    let (next, stop, sum) = (
        AtomicU64::new(from),
        AtomicBool::new(false),
        Mutex::new(Sum::default()),
    );
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let report = one(seed, args);
                    let failed = report.failure.is_some();
                    add(&sum, seed, report, to - from);
                    if failed && !args.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    eprintln!();
    conclude(
        &sum.into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
        args,
    )
}

thread_local! {
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn say_the_seed_when_it_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let seed = SEED.with(std::cell::Cell::get);
        eprintln!(
            "\nseed {seed} PANICS. Replay: {}",
            sim::replay_command(seed)
        );
        usual(info);
    }));
}

fn one(seed: u64, args: &Args) -> Report {
    SEED.with(|current| current.set(seed));
    let mut report = sim::run(Plan::draw(seed), args.options);
    if args.twice {
        let again = sim::run(Plan::draw(seed), args.options);
        if again.digest != report.digest {
            report.failure = Some((0, "two runs of one seed differ".into()));
        }
    }
    report
}

fn add(sum: &Mutex<Sum>, seed: u64, report: Report, of: u64) {
    let mut sum = sum
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.runs += 1;
    sum.commands += report.commands;
    sum.restarts += report.restarts;
    sum.simulated_ms += report.simulated_ms;
    sum.counts.add(&report.counts);
    if let Some((turn, wrong)) = report.failure {
        println!(
            "seed {seed} FAILS in turn {turn}: {wrong}\nReplay: {}",
            sim::replay_command(seed)
        );
        sum.failures.push((seed, turn, wrong));
    }
    if sum.runs.is_multiple_of(16) || sum.runs == of {
        bar(&sum, of);
    }
}

fn bar(sum: &Sum, of: u64) {
    let done = (sum.runs * 30 / of.max(1)) as usize;
    eprint!(
        "\r[{}{}] {}/{of} seeds, {} commands, {} restarts, {} failed ",
        "#".repeat(done),
        " ".repeat(30 - done.min(30)),
        sum.runs,
        sum.commands,
        sum.restarts,
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
        "{} seeds, {} commands, {} restarts, {:.1} h simulated, {} failed",
        sum.runs,
        sum.commands,
        sum.restarts,
        sum.simulated_ms as f64 / 3_600_000.0,
        sum.failures.len()
    );
    let missing = sum.counts.missing();
    if !missing.is_empty() && sum.failures.is_empty() && !args.no_rare {
        println!("NEVER REACHED: {missing:?}");
        return ExitCode::FAILURE;
    }
    if sum.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
