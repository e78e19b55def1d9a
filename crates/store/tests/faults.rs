//! A disk that fails: at every op, for a while, or for want of space. What was acknowledged stays, reads go on,
//! and writes come back by themselves when the disk does.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/map.rs"]
mod map;
#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use store::{DiskError, Refused};
use world::{Replay, World, seeds};

/// Lets time pass until writes are taken again and everything is persisted.
fn recover(world: &mut World) {
    for _ in 0..400 {
        world.now_ms += 1_000;
        world.maintain();
        world.disk.drain(&mut world.store);
    }
    assert!(world.disk.failures > 0, "the fault was met");
    let refused = world.refused;
    for _ in 0..20 {
        world.write();
        world.disk.take(&mut world.store);
        world.disk.work(&mut world.store, usize::MAX);
    }
    assert_eq!(
        world.refused, refused,
        "writes are taken again: {:?}",
        world.last_refused
    );
    world.compare();
}

#[test]
fn one_failed_op_loses_nothing() {
    let mut met = 0;
    for seed in seeds(4) {
        for at in 3..60 {
            let replay = Replay(seed);
            let mut world = World::new(seed);
            world.keys = 40;
            // The first answers, so that heads are not opened on trust, or are.
            let error = if at % 2 == 0 {
                DiskError::NoSpace
            } else {
                DiskError::Io(5)
            };
            world.disk.fail.insert(at, error);
            for _ in 0..60 {
                world.step();
            }
            if world.disk.failures > 0 {
                recover(&mut world);
                world.restart(at % 3 == 0);
                met += 1;
            }
            drop(replay);
        }
    }
    assert!(met > 100, "{met} faults were met");
}

#[test]
fn a_disk_that_fails_for_a_while_is_waited_for() {
    for seed in seeds(30) {
        let replay = Replay(seed);
        let mut world = World::new(seed);
        world.keys = 100;
        let from = 10 + world.random.below(200);
        let error = DiskError::Io(5);
        world.disk.fail_between = Some((from, from + 1 + world.random.below(60), error));
        for _ in 0..400 {
            world.step();
            if world.random.one_in(40) {
                world.compare();
            }
        }
        recover(&mut world);
        world.restart(false);
        drop(replay);
    }
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_space() {
    for seed in seeds(20) {
        let replay = Replay(seed);
        let mut world = World::new(seed);
        world.keys = 500;
        world.swaps = false;
        world.disk.drain(&mut world.store);
        world.disk.space = Some(world.tuning.segment_bytes * (8 + world.random.below(20) as usize));
        let mut unavailable = 0;
        for _ in 0..20_000 {
            if unavailable > 50 {
                break;
            }
            let changes = world.batch();
            let refused = world::apply(&mut world.store, world.now_ms, world.next, &changes);
            match refused {
                Ok(applied) => {
                    world.model.apply(world.now_ms, world.next, &changes);
                    if applied.last >= world.next {
                        world.next = applied.last.plus(1);
                    }
                }
                Err(Refused::LogUnavailable(DiskError::NoSpace)) => unavailable += 1,
                Err(_) => (),
            }
            world.disk.take(&mut world.store);
            world.disk.work(&mut world.store, usize::MAX);
        }
        assert!(unavailable > 0, "the disk was full");
        world.compare();
        world.disk.space = None;
        recover(&mut world);
        world.restart(true);
        drop(replay);
    }
}

/// As in a store that follows another, whose batches it cannot take yet.
#[test]
fn a_disk_is_tried_again_though_the_time_of_the_data_stands_still() {
    let mut met = 0;
    for seed in seeds(20) {
        let replay = Replay(seed);
        let mut world = World::new(seed);
        world.disk.fail_between = Some((20, u64::MAX, DiskError::NoSpace));
        (0..200).for_each(|_| world.step());
        met += u64::from(world.disk.failures > 0);
        world.disk.fail_between = None;
        for passed_ms in (0..60_000).step_by(1_000) {
            world.store.tell_disk_time(world.now_ms + passed_ms);
            world.maintain();
            world.disk.drain(&mut world.store);
        }
        let refused = world.refused;
        world.write();
        assert_eq!(world.refused, refused, "{:?}", world.last_refused);
        drop(replay);
    }
    assert!(met > 0);
}
