//! A few hundred seeds of the simulation, and that a seed is a history.
//!
//! `SIM_SEEDS=from..to` runs others: a mutant is planted, and this test must fail.

use sim::seeds::asked_for;
use sim::{Rare, SIMULATOR};

/// Too rare for so few seeds as every change is tested with; `tenure-sim --seeds 0..2000` asks for these, too.
const RARER: &[&str] = &[
    Rare::SyncFailed.text(),
    Rare::NoSpace.text(),
    Rare::LogRecovered.text(),
    Rare::OutOfMemory.text(),
];

#[test]
fn nothing_is_wrong_in_any_seed() {
    SIMULATOR.test(asked_for("SIM_SEEDS", 0..200), RARER);
}

#[test]
fn one_seed_is_one_history() {
    SIMULATOR.test_twice(0..12);
}
