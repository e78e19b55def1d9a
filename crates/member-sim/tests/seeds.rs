//! Seeds of whole clusters, and that a seed is a history.
//!
//! `MEMBER_SEEDS=from..to` runs others: a mutant is planted, and this test must fail.

use member_sim::SIMULATOR;
use sim::seeds::asked_for;

/// What every change is tested with is a minute or two of one processor.
#[test]
fn nothing_is_wrong_in_any_seed() {
    SIMULATOR.test(asked_for("MEMBER_SEEDS", 0..2_000), &[]);
}

#[test]
fn one_seed_is_one_history() {
    SIMULATOR.test_twice(0..12);
}
