//! Seeds of whole clusters, and that a seed is a history.
//!
//! `MEMBER_SEEDS=from..to` runs others: a mutant is planted, and this test must fail.

use member_sim::batch::{Batch, run_many};
use member_sim::{Options, Plan, run};

/// What every change is tested with: a minute or two of one processor.
const SEEDS: std::ops::Range<u64> = 0..2_000;

fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("MEMBER_SEEDS") else {
        return SEEDS;
    };
    let ends = range.split_once("..");
    let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.expect("MEMBER_SEEDS is a range such as 0..100")
}

#[test]
fn nothing_is_wrong_in_any_seed() {
    let batch = Batch {
        seeds: seeds(),
        ..Batch::default()
    };
    let sum = run_many(&batch, &|_, _| {});
    assert_eq!(sum.failures, Vec::<String>::new());
    let missing = sum.counts.missing();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..12 {
        let digest = || run(Plan::draw(seed), Options::default()).digest;
        assert_eq!(digest(), digest(), "seed {seed} has two histories");
    }
}
