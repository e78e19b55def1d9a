//! The store against a map: random batches, time that passes, maintenance, restarts.
//!
//! A failing seed is printed; `STORE_SEED=<seed> cargo test -p tenure-store --test model` runs it alone, and
//! `STORE_ROUNDS=<n>` runs many.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/map.rs"]
mod map;
#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use world::{Replay, World, say, seeds};

#[test]
fn random_batches_agree_with_the_model_in_memory_only() {
    let mut cleaned = 0;
    for seed in seeds(16) {
        let replay = Replay(seed);
        let mut world = World::with(seed, false);
        world.run(1_500);
        cleaned += world.store.usage().cleaner_disk_passes;
        drop(replay);
    }
    assert!(cleaned > 0, "segments were emptied");
}

#[test]
fn random_batches_agree_with_the_model() {
    let seeds = seeds(16);
    let all = seeds.len() > 1;
    let mut totals = [0; 6];
    for seed in seeds {
        let replay = Replay(seed);
        let mut world = World::new(seed);
        world.run(1_500);
        let [compactions, disk_passes, whole] = world.cleaned;
        let seen = [
            world.out_of_memory,
            world.refused,
            world.expired,
            compactions,
            disk_passes,
            whole,
        ];
        for (total, seen) in totals.iter_mut().zip(seen) {
            *total += seen;
        }
        drop(replay);
    }
    say(&format!(
        "refused for memory, by the log, expired, compactions, disk passes, expired whole: {totals:?}"
    ));
    assert!(
        !all || totals[1..].iter().all(|n| *n > 0),
        "the test has seen everything"
    );
}
