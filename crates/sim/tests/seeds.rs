//! A few hundred seeds of the simulation, and that a seed is a history.
//!
//! `SIM_SEEDS=from..to` runs others: a mutant is planted, and this test must fail.

use sim::{Counts, Options, Plan, Rare};

/// What every change is tested with: some seconds.
const SEEDS: std::ops::Range<u64> = 0..200;

/// Too rare for so few seeds; `tenure-sim --seeds 0..2000` asks for these, too.
const RARER: &[Rare] = &[
    Rare::SyncFailed,
    Rare::NoSpace,
    Rare::LogRecovered,
    Rare::OutOfMemory,
];

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("SIM_SEEDS") else {
        return SEEDS;
    };
    let ends = range.split_once("..");
    let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.expect("SIM_SEEDS is a range such as 0..100")
}

#[test]
fn nothing_is_wrong_in_any_seed() {
    let mut counts = Counts::default();
    for seed in seeds() {
        let report = std::panic::catch_unwind(|| sim::run(Plan::draw(seed), Options::default()));
        let report = report
            .unwrap_or_else(|_| panic!("seed {seed} stops. Replay: {}", sim::replay_command(seed)));
        if let Some((turn, wrong)) = report.failure {
            panic!(
                "seed {seed} fails in turn {turn}: {wrong}\nReplay: {}",
                sim::replay_command(seed)
            );
        }
        counts.add(&report.counts);
    }
    let missing: Vec<Rare> = counts
        .missing()
        .into_iter()
        .filter(|event| !RARER.contains(event))
        .collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..12 {
        let run = || sim::run(Plan::draw(seed), Options::default()).digest;
        assert_eq!(run(), run(), "seed {seed} has two histories");
    }
}
