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
use store::{DiskError, HeapPages, LogPoint, RestoreReport, StoreConfig, SyncMode};
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
    let report = restore(world);
    if how == Crash::Kill {
        assert!(
            report.damaged.is_empty(),
            "a kill does no damage: {report:?}"
        );
    }
    let lost = world.history.len();
    judge(&world.history, &world.model, world.now_ms);
    begin_again(world);
    settle(world);
    lost
}

/// What a restart has to write again is made safe, before the next crash is judged.
fn settle(world: &mut World) {
    world.disk.drain(&mut world.store);
    world.now_ms += 1_100;
    world.maintain();
    world.disk.drain(&mut world.store);
}

/// The store is what the files hold.
fn restore(world: &mut World) -> RestoreReport {
    let config = StoreConfig {
        seed: world.random.next(),
        ..world.config
    };
    let pages = Box::new(HeapPages);
    let (store, report) =
        world
            .disk
            .restore(config, world.tuning, pages, world.now_ms, &mut world.random);
    store.check();
    world.model = Model::of(&store, world.now_ms);
    world.store = store;
    world.config = config;
    world.next = Position::new(world.next.epoch() + 1, 1);
    report
}

fn begin_again(world: &mut World) {
    world.history = vec![(LogPoint(0), Vec::new(), world.model.clone())];
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

/// A restart knows what it reads, not whether that was synced; if the sync of such a file fails, the memory is all there is.
#[test]
fn a_sync_that_fails_after_a_restart_loses_nothing() {
    let mut failures = 0;
    for seed in seeds(60) {
        let replay = Replay(seed);
        let mut world = world(seed);
        world.config.sync = SyncMode::Always;
        world.store = store::Store::with(world.config, world.tuning, Box::new(HeapPages));
        for _ in 0..10 {
            for _ in 0..world.random.below(100) {
                world.step();
            }
            let persisted = world.store.persisted();
            forget(&mut world, persisted);
            world.disk.take(&mut world.store);
            world.disk.kill_within_close();
            restore(&mut world);
            let before = std::mem::take(&mut world.history);
            judge(&before, &world.model, world.now_ms);
            begin_again(&mut world);
            for _ in 0..4 {
                let at = world.random.below(24);
                world.disk.fail.insert(at, DiskError::Io(5));
            }
            world.disk.failures = 0;
            for _ in 0..world.random.below(100) {
                world.step();
            }
            failures += world.disk.failures;
            // A batch that changed nothing was appended nowhere: its point says nothing about what was found.
            let persisted = world.store.persisted();
            let mut points = world.history.iter().map(|state| state.0);
            if points.any(|point| point > LogPoint(1) && point <= persisted) {
                forget(&mut world, persisted);
            } else {
                world.history.splice(0..0, before);
            }
            world.disk.lose_power(&mut world.random);
            restore(&mut world);
            judge(&world.history, &world.model, world.now_ms);
            begin_again(&mut world);
            settle(&mut world);
        }
        drop(replay);
    }
    assert!(failures > 100, "{failures} faults were met");
}
