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

use map::{Change, Id, Model, Record};
use model::time::Deadline;
use model::{Db, Position, Version};
use random::Random;
use store::{
    DiskError, DiskEvent, DiskOp, HeapPages, Kind, LogPoint, RestoreReport, SegmentId, Space,
    StoreConfig, SyncMode,
};
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
        assert!(report.is_whole(), "a kill does no damage: {report:?}");
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

/// The power goes: what is there then is judged, and the world goes on from it.
fn lose_power(world: &mut World) {
    world.disk.lose_power(&mut world.random);
    restore(world);
    judge(&world.history, &world.model, world.now_ms);
    begin_again(world);
    settle(world);
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
            if world.random.one_in(2) {
                // A file is asked to be closed when all else has been done.
                world.disk.take(&mut world.store);
                world.disk.work(&mut world.store, usize::MAX);
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
            lose_power(&mut world);
        }
        drop(replay);
    }
    assert!(failures > 100, "{failures} faults were met");
}

/// A disk that answers, under a store that acknowledges what is synced.
fn synced_world() -> World {
    let mut world = world(1);
    world.config.sync = SyncMode::Always;
    world.config.memory_bytes = 4 << 20;
    world.tuning.segment_bytes = 65536;
    world.disk = disk::Disk::new(world.tuning);
    world.store = store::Store::with(world.config, world.tuning, Box::new(HeapPages));
    world.disk.drain(&mut world.store);
    world
}

fn the_id() -> Id {
    (Db::ZERO, Space::Data, b"the key".to_vec())
}

fn put(world: &mut World, value: u8, lives_ms: u64) {
    let record = Record {
        kind: Kind::new(0),
        version: Version::FIRST,
        deadline: Deadline::after(world.now_ms, lives_ms),
        value: vec![value],
    };
    let change = Change::Put {
        id: the_id(),
        record,
    };
    let applied = world::apply(&mut world.store, world.now_ms, world.next, &[change]);
    world.next = applied.expect("there is room").last.plus(1);
}

/// The value of the key, if it has one.
fn writes_the_key(world: &World, op: DiskOp) -> bool {
    let DiskOp::Write {
        segment,
        offset,
        len,
    } = op
    else {
        return false;
    };
    let bytes = world.store.segment_bytes(segment, offset, len);
    bytes.windows(7).any(|bytes| bytes == b"the key")
}

fn value(world: &World) -> Option<u8> {
    let id = the_id();
    let key = world.store.key(id.0, id.1, &id.2);
    let entry = world.store.get(&key, world.now_ms)?;
    Some(entry.value()[0])
}

/// The files that something was written to.
fn written(world: &World) -> BTreeSet<SegmentId> {
    let used = world.disk.files.iter();
    let used = used.filter(|(_, file)| file.bytes.iter().any(|byte| *byte != 0));
    used.map(|(id, _)| *id).collect()
}

/// Three values of a key, each with a shorter life than the one before; the last is written and not synced when the process is
/// killed. The restart adds a tombstone for the older two. Its file is kept when the power goes, and that of the last value is not.
#[test]
fn what_a_restart_writes_goes_with_what_it_rests_on() {
    let mut world = synced_world();
    put(&mut world, 1, 1_000_000_000);
    world.disk.drain(&mut world.store);
    put(&mut world, 2, 10_000_000);
    world.disk.drain(&mut world.store);
    let before = written(&world);
    put(&mut world, 3, 5_000);
    world.disk.take(&mut world.store);
    // It was written. It is not synced.
    world.disk.work(&mut world.store, 1);
    let after = written(&world);
    let last: Vec<_> = after.difference(&before).copied().collect();
    assert_eq!(last.len(), 1, "the last value is in a file of its own");
    world.disk.kill();
    restore(&mut world);
    assert_eq!(value(&world), Some(3));
    // Of what is asked for at once everything is done, save what concerns that one file.
    world.disk.take(&mut world.store);
    world.disk.work(&mut world.store, usize::MAX);
    let added = written(&world).difference(&after).count();
    assert_eq!(added, 1, "the restart has written a tombstone");
    world.disk.kill();
    world.disk.files.remove(&last[0]);
    for _ in 0..3 {
        restore(&mut world);
        assert_eq!(value(&world), Some(2), "what was synced is back");
        world.disk.drain(&mut world.store);
    }
    // What was cut away settles nothing: as there is a third value again, the restart writes another tombstone.
    put(&mut world, 3, 5_000);
    world.disk.drain(&mut world.store);
    restore(&mut world);
    let before = written(&world);
    world.disk.drain(&mut world.store);
    let added = written(&world).difference(&before).count();
    assert_eq!(added, 1, "the restart has written a tombstone");
}

/// As before, but the next power loss comes after the last value was synced: it is dead with all that was before it.
#[test]
fn what_a_restart_has_written_lasts_when_what_it_rests_on_does() {
    let mut world = synced_world();
    put(&mut world, 1, 1_000_000_000);
    world.disk.drain(&mut world.store);
    put(&mut world, 2, 10_000_000);
    put(&mut world, 3, 5_000);
    world.disk.drain(&mut world.store);
    for _ in 0..6 {
        world.disk.kill();
        restore(&mut world);
        assert!(matches!(value(&world), Some(3) | None));
        world.now_ms += 2_000;
        settle(&mut world);
    }
    assert_eq!(value(&world), None);
}

/// A process is killed, and soon after its restart the power goes. What the restart found was shown to nobody until it was synced.
#[test]
fn a_loss_of_power_soon_after_a_restart_loses_nothing_synced() {
    for seed in seeds(60) {
        let replay = Replay(seed);
        let mut world = world(seed);
        world.config.sync = SyncMode::Always;
        world.keys = 8;
        world.store = store::Store::with(world.config, world.tuning, Box::new(HeapPages));
        for _ in 0..20 {
            for _ in 0..world.random.below(40) {
                world.step();
            }
            let persisted = world.store.persisted();
            forget(&mut world, persisted);
            world.disk.kill();
            restore(&mut world);
            let before = std::mem::take(&mut world.history);
            judge(&before, &world.model, world.now_ms);
            begin_again(&mut world);
            for _ in 0..world.random.below(4) {
                world.disk.take(&mut world.store);
                let some = world.random.below(12) as usize;
                world.disk.work(&mut world.store, some);
            }
            // What the restart found is synced with what was appended since, or is not sure.
            if world.store.persisted() < LogPoint(1) {
                world.history.splice(0..0, before);
            }
            lose_power(&mut world);
        }
        drop(replay);
    }
}

/// The sync of what a restart found fails: until its segment is synced in another file, nothing of it is persisted.
#[test]
fn what_a_restart_found_and_failed_to_sync_is_not_persisted() {
    let mut world = synced_world();
    world.config.sync = SyncMode::None;
    world.store = store::Store::with(world.config, world.tuning, Box::new(HeapPages));
    world.disk = disk::Disk::new(world.tuning);
    world.disk.drain(&mut world.store);
    put(&mut world, 1, 1_000_000_000);
    world.store.seal();
    world.disk.take(&mut world.store);
    world.disk.work(&mut world.store, usize::MAX);
    // Only now is it asked to be closed.
    world.disk.take(&mut world.store);
    world.disk.kill_within_close();
    world.config.sync = SyncMode::Always;
    restore(&mut world);
    assert_eq!(value(&world), Some(1));
    world.disk.take(&mut world.store);
    world.disk.fail.insert(0, DiskError::Io(5));
    while world.disk.failures == 0 {
        world.disk.work(&mut world.store, 1);
        assert_eq!(world.store.persisted(), LogPoint(0));
    }
    for _ in 0..100 {
        // One op at a time: what is said to be persisted must be so at once.
        world.disk.take(&mut world.store);
        world.disk.work(&mut world.store, 1);
        if world.store.persisted() == world.store.appended() {
            break;
        }
    }
    assert_eq!(world.store.persisted(), world.store.appended());
    world.disk.lose_power(&mut world.random);
    restore(&mut world);
    assert_eq!(value(&world), Some(1));
}

/// Puts 1 under the key, and 2, whose sync fails.
fn put_with_failed_sync(world: &mut World) {
    put(world, 1, 1_000_000_000);
    world.disk.drain(&mut world.store);
    put(world, 2, 1_000_000_000);
    // A write and a sync.
    let sync = world.disk.done + 1;
    world.disk.fail.insert(sync, DiskError::Io(5));
    world.disk.take(&mut world.store);
    world.disk.work(&mut world.store, 2);
    assert_eq!(world.disk.failures, 1);
}

/// The sync of a file fails, what it was to write is written to another one and acknowledged, and the process dies before the first is deleted. The
/// next one finds all of that in the first, as the system has it and the disk has not, and syncs it without an error.
#[test]
fn what_a_failed_sync_has_lost_is_not_taken_from_its_file_by_the_next_process() {
    // Segments are read in any order.
    for seed in seeds(20) {
        let replay = Replay(seed);
        let mut world = synced_world();
        world.random = Random(seed);
        world.disk.keeps_pages = true;
        put_with_failed_sync(&mut world);
        while world.store.persisted() < world.store.appended() {
            world.disk.take(&mut world.store);
            world.disk.work(&mut world.store, 1);
        }
        world.disk.kill();
        restore(&mut world);
        assert_eq!(value(&world), Some(2));
        for _ in 0..20 {
            settle(&mut world);
        }
        world.disk.lose_power(&mut world.random);
        restore(&mut world);
        assert_eq!(value(&world), Some(2));
        drop(replay);
    }
}

/// Nothing relies on another file before the one that has failed is disowned, which is tried until it works.
#[test]
fn a_file_is_disowned_before_another_takes_its_place() {
    let mut world = synced_world();
    put_with_failed_sync(&mut world);
    let mut asked = 0;
    for second in 0..20 {
        world.now_ms += 1_000;
        world.maintain();
        let mut ops = Vec::new();
        world.store.take_disk_ops(&mut ops);
        for op in ops {
            assert!(!writes_the_key(&world, op), "{op:?} after {second} seconds");
            let disowns = matches!(op, DiskOp::Disown { .. });
            asked += u32::from(disowns);
            let result = if disowns {
                Err(DiskError::Io(5))
            } else {
                Ok(())
            };
            world.store.disk_event(DiskEvent { op, result });
        }
        assert_eq!(world.store.log_trouble(), Some(DiskError::Io(5)));
        assert!(world.store.persisted() < world.store.appended());
    }
    assert_eq!(asked, 4, "at once, and every five seconds");
    world.now_ms += 5_000;
    world.maintain();
    world.disk.drain(&mut world.store);
    assert_eq!(world.store.persisted(), world.store.appended());
    assert_eq!(world.store.log_trouble(), None);
}

/// The last write to a file fails, and the process dies before the segment is in another one.
#[test]
fn a_file_is_not_cut_when_a_write_to_it_has_failed() {
    let mut world = synced_world();
    put(&mut world, 1, 1_000_000_000);
    world.disk.drain(&mut world.store);
    put(&mut world, 2, 1_000_000_000);
    world.store.seal();
    let next = world.disk.done;
    world.disk.fail.insert(next, DiskError::Io(5));
    world.disk.take(&mut world.store);
    world.disk.work(&mut world.store, usize::MAX);
    assert_eq!(world.disk.failures, 1, "the write was met");
    world.disk.kill();
    let report = restore(&mut world);
    assert!(report.is_whole(), "{report:?}");
    // A write that failed may have written all the same.
    assert!(matches!(value(&world), Some(1 | 2)));
}

/// All that a file holds was synced when it fails to be closed. It goes when another one holds the same, not before.
#[test]
fn a_file_stays_until_what_replaces_it_is_synced() {
    let mut world = synced_world();
    put(&mut world, 1, 1_000_000_000);
    for _ in 0..4 {
        world.disk.drain(&mut world.store);
        world.now_ms += 1_100;
        world.maintain();
    }
    world.disk.drain(&mut world.store);
    let old = written(&world);
    world.store.seal();
    world.disk.take(&mut world.store);
    world.disk.work(&mut world.store, usize::MAX);
    // Ops on different files are done in any order, so what is asked for at once must not need each other.
    let (mut failed, mut holder, mut synced, mut gone) = (false, None, false, false);
    for _ in 0..10 {
        let mut ops = Vec::new();
        world.store.take_disk_ops(&mut ops);
        for op in &ops {
            let of_old = old.contains(&op.segment());
            gone |= of_old && matches!(op, DiskOp::Delete { .. });
            assert!(synced || !gone, "nothing else has what it holds");
        }
        for op in ops {
            let segment = op.segment();
            let mut result = Ok(());
            match op {
                DiskOp::Close { .. } if old.contains(&segment) => {
                    result = Err(DiskError::Io(5));
                    failed = true;
                }
                DiskOp::Write { .. } if writes_the_key(&world, op) => holder = Some(segment),
                DiskOp::Sync { .. } | DiskOp::Close { .. } => synced |= holder == Some(segment),
                DiskOp::Create { .. }
                | DiskOp::Write { .. }
                | DiskOp::Disown { .. }
                | DiskOp::Delete { .. }
                | DiskOp::Quarantine { .. } => (),
            }
            world.store.disk_event(DiskEvent { op, result });
        }
        world.now_ms += 1_100;
        world.maintain();
    }
    assert!(failed && synced && gone);
}

/// A restart finds more than memory may hold, and takes what is dead out of a segment. Then the segment's file fails to be synced.
#[test]
fn a_segment_that_was_thinned_by_a_restart_is_written_with_its_end() {
    let mut world = synced_world();
    let lives_ms = 1_000_000_000;
    for round in 0..40u8 {
        for key in 0..60u8 {
            let record = Record {
                kind: Kind::new(0),
                version: Version::FIRST,
                deadline: Deadline::after(world.now_ms, lives_ms),
                value: vec![round; 1_000],
            };
            // One of them is not written again, so each segment has something that lives.
            let name = if key == 0 { vec![0, round] } else { vec![key] };
            let id = (Db::ZERO, Space::Data, name);
            let change = Change::Put { id, record };
            let applied = world::apply(&mut world.store, world.now_ms, world.next, &[change]);
            world.next = applied.expect("there is room").last.plus(1);
        }
        world.disk.drain(&mut world.store);
    }
    put(&mut world, 7, lives_ms);
    world.disk.drain(&mut world.store);
    world.store.seal();
    world.disk.drain(&mut world.store);
    let memory_bytes = std::mem::replace(&mut world.config.memory_bytes, 24 * 65536);
    restore(&mut world);
    assert!(
        world.store.usage().cleaner_compactions > 0,
        "there was no room for all: {:?}",
        world.store.usage()
    );
    world.disk.failures = 0;
    let found = world.store.usage().files_unsynced;
    world.disk.fail_between = Some((0, found as u64, DiskError::Io(5)));
    world.disk.take(&mut world.store);
    world.disk.work(&mut world.store, found);
    let unsynced = world.store.usage().files_unsynced;
    assert_eq!(unsynced, found, "no file was synced");
    world.disk.drain(&mut world.store);
    world.store.check();
    world.config.memory_bytes = memory_bytes;
    let report = restore(&mut world);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(value(&world), Some(7));
    assert_eq!(world.store.len(Db::ZERO), 40 + 59 + 1);
}
