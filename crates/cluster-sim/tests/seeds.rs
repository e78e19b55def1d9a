//! Some thousand seeds of the cluster, and that a seed is a history.
//!
//! `CLUSTER_SEEDS=from..to` runs others: a mutant is planted, and this test must fail.

use cluster_sim::SIMULATOR;
use sim::seeds::asked_for;

#[test]
fn nothing_is_wrong_in_any_seed() {
    SIMULATOR.test(asked_for("CLUSTER_SEEDS", 0..2_000), &[]);
}

#[test]
fn one_seed_is_one_history() {
    SIMULATOR.test_twice(0..12);
}
