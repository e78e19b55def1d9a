//! Some thousand seeds of the cluster, and that a seed is a history.
//!
//! `CLUSTER_SEEDS=from..to` runs others: a mutant is planted, and this test must fail.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_sim::{Counts, Options, Plan, Rare, replay_command, run};

/// What every change is tested with.
const SEEDS: std::ops::Range<u64> = 0..2_000;

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("CLUSTER_SEEDS") else {
        return SEEDS;
    };
    let ends = range.split_once("..");
    let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.expect("CLUSTER_SEEDS is a range such as 0..100")
}

/// Runs a seed; says what is wrong, and how to see it.
fn judge(seed: u64) -> Result<Counts, String> {
    let report = std::panic::catch_unwind(|| run(Plan::draw(seed), Options::default()));
    let replay = replay_command(seed);
    let report = report.map_err(|_| format!("seed {seed} stops. Replay: {replay}"))?;
    match report.failure {
        Some((step, wrong)) => Err(format!(
            "seed {seed} fails in step {step}: {wrong}\nReplay: {replay}"
        )),
        None => Ok(report.counts),
    }
}

#[test]
fn nothing_is_wrong_in_any_seed() {
    let (next, sum) = (AtomicU64::new(seeds().start), Mutex::new(Counts::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds().end {
                return Ok(());
            }
            match judge(seed) {
                Ok(counts) => sum.lock().expect("no thread panics").add(&counts),
                Err(wrong) => {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                    return Err(wrong);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = started.into_iter().map(|t| t.join());
        joined
            .map(|r| r.expect("a panic is caught per seed"))
            .collect()
    });
    for result in results {
        assert_eq!(result, Ok(()));
    }
    let counts = sum.into_inner().expect("no thread panics");
    let missing: Vec<Rare> = counts.missing();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn one_seed_is_one_history() {
    let options = Options {
        digest: true,
        ..Options::default()
    };
    for seed in 0..12 {
        let digest = || run(Plan::draw(seed), options).digest;
        assert_eq!(digest(), digest(), "seed {seed} has two histories");
    }
}
