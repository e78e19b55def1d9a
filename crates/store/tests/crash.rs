//! Crashes: the process is killed, or the power fails, at any point. Nothing that was acknowledged is lost, no
//! batch is there in part, nothing that was dead comes back.
//!
//! After a crash the store is as it was at one moment, not before the last that was acknowledged: of what was written and
//! not acknowledged some may have survived, but nothing without all that was written before it.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/map.rs"]
mod map;
#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;

use map::{Change, Id, Model};
use model::Position;
use store::{HeapPages, LogPoint, StoreConfig, SyncMode};
use world::{Replay, World, say, seeds};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Kill,
    Power,
}

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.keep_history = true;
    world.keys = world.keys.min(60);
    world
        .history
        .push((LogPoint(0), Vec::new(), Model::default()));
    world
}

/// Forgets the states before the last one that is surely persisted.
fn forget(world: &mut World, sure: LogPoint) {
    let last = world
        .history
        .iter()
        .rposition(|(log, ..)| *log <= sure)
        .unwrap_or(0);
    world.history.drain(..last);
}

/// Runs until everything so far survives a loss of power.
fn sync(world: &mut World) {
    world.now_ms += 1_100;
    world.maintain();
    world.disk.drain(&mut world.store);
    let sure = world.history.last().expect("there is one").0;
    assert!(world.store.persisted() >= sure);
    forget(world, sure);
}

fn crash(world: &mut World, how: Crash) -> usize {
    match how {
        Crash::Kill => {
            forget(world, world.store.persisted());
            world.disk.kill();
        }
        Crash::Power => {
            if world.config.sync == SyncMode::Always {
                forget(world, world.store.persisted());
            }
            world.disk.lose_power(&mut world.random);
        }
    }
    let config = StoreConfig {
        seed: world.random.next(),
        ..world.config
    };
    let pages = Box::new(HeapPages);
    let (store, report) =
        world
            .disk
            .restore(config, world.tuning, pages, world.now_ms, &mut world.random);
    if how == Crash::Kill {
        assert!(
            report.damaged.is_empty(),
            "a kill does no damage: {report:?}"
        );
    }
    store.check();
    let after = Model::of(&store, world.now_ms);
    judge(&world.history, &after, world.now_ms);
    let lost = world.history.len();
    world.store = store;
    world.config = config;
    world.model = after;
    world.next = Position::new(world.next.epoch() + 1, 1);
    // What the restart has to write again must be safe before the next crash is judged.
    world.history = vec![(LogPoint(0), Vec::new(), world.model.clone())];
    world.disk.drain(&mut world.store);
    world.now_ms += 1_100;
    world.maintain();
    world.disk.drain(&mut world.store);
    lost
}

/// What is there is what was there at some moment since the last that is sure.
fn judge(history: &[(LogPoint, Vec<Change>, Model)], after: &Model, now_ms: u64) {
    if history
        .iter()
        .any(|(.., state)| state.is_like(after, now_ms))
    {
        return;
    }
    let ids: BTreeSet<&Id> = history.iter().flat_map(|h| h.2.records.keys()).collect();
    for id in ids {
        let got = after.get(id, now_ms).map(|r| &r.0);
        let fits = |model: &Model| model.get(id, now_ms).map(|r| &r.0) == got;
        let fits: Vec<bool> = history.iter().map(|(.., model)| fits(model)).collect();
        say(&format!("{id:?} is {got:?} as in the states {fits:?}"));
    }
    panic!("what is there was never there: {} states", history.len());
}

fn run(how: Crash, rounds: u64) {
    let mut lost = 0;
    for seed in seeds(rounds) {
        let replay = Replay(seed);
        let mut world = world(seed);
        if how == Crash::Power && world.config.sync == SyncMode::None {
            world.config.sync = SyncMode::EverySecond;
            world.store = store::Store::with(world.config, world.tuning, Box::new(HeapPages));
        }
        for _ in 0..12 {
            for _ in 0..world.random.below(120) {
                world.step();
                if world.random.one_in(30) {
                    sync(&mut world);
                }
            }
            lost += crash(&mut world, how);
        }
        drop(replay);
    }
    say(&format!("{how:?}: {lost} batches were at stake"));
    assert!(lost > 0);
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    run(Crash::Kill, 40);
}

#[test]
fn a_loss_of_power_loses_nothing_synced() {
    run(Crash::Power, 40);
}
