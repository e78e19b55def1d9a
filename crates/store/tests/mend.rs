//! Stores that have gone on where the one that they follow did not, and are mended: over restarts, they become what they follow.
//!
//! A failing seed is printed; `STORE_SEED=<seed> cargo test -p tenure-store --test mend` runs it alone, and
//! `STORE_ROUNDS=<n>` runs many.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/map.rs"]
mod map;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;

use map::{Change, Record};
use model::time::Deadline;
use model::{Db, Position, Version};
use pair::{Follower, Leader, content};
use store::{About, Kind, Space, Told, Touched};
use world::{Replay, World, apply_and_tell, seeds};

/// Bytes of keys with which a store is still mended.
const MOST: usize = 1 << 20;

/// Writes of its own, behind where it has followed; what was told of them.
fn stray(follower: &mut Follower, leader: &mut Leader) -> Vec<Vec<u8>> {
    let world = &mut leader.world;
    let parted_ms = world.now_ms;
    let newest = follower.store.newest();
    // It may have become primary, and of an epoch that nobody else has.
    let mut next = match world.random.one_in(3) || newest == Position::ZERO {
        true => Position::new(newest.epoch() + 1, 1),
        false => newest.plus(1),
    };
    let (mut told, mut now_ms) = (Vec::new(), parted_ms);
    follower.store.set_expiry_limit(parted_ms);
    for _ in 0..world.random.below(30) {
        let (changes, mut bytes) = (world.batch(), Vec::new());
        let applied = apply_and_tell(&mut follower.store, now_ms, next, &changes, &mut bytes);
        if let Ok(applied) = applied
            && applied.last >= next
        {
            next = applied.last.plus(1);
            told.push(bytes);
        }
        now_ms += world.random.below(20_000);
        follower.store.maintain(now_ms, 20_000, &mut |_| {});
        follower.disk.take(&mut follower.store);
        follower.disk.drain(&mut follower.store);
    }
    told
}

fn names(told: &[u8]) -> BTreeSet<(u8, u8, Vec<u8>)> {
    let about = Told::trusted(told).about();
    let names = about.map(|about| {
        let About::Removed { db, space, key } = about else {
            panic!("{about:?} is not a key that was touched");
        };
        (db.number(), space as u8, key.to_vec())
    });
    names.collect()
}

/// What it has touched: as the batches tell, and as the log does, where either can.
fn touched(follower: &Follower, parting: Position, told: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut by_batches = Touched::new();
    let mut is_told = true;
    for batch in told {
        is_told &= by_batches.add(&follower.store, Told::check(batch).expect("it was told"));
    }
    let by_batches = by_batches.into_told();
    let by_log = follower.store.touched_behind(parting, MOST);
    let by_log = by_log.map(Touched::into_told);
    if let Some(by_log) = &by_log {
        assert!(is_told, "a database was emptied");
        let (log, batches) = (names(by_log), names(&by_batches));
        assert!(log.is_superset(&batches), "the log tells of all");
    }
    by_log.or(is_told.then_some(by_batches))
}

/// The leader goes on in another epoch, and writes once more what was touched. Returns whether it could.
fn rewrite(leader: &mut Leader, told: &[u8]) -> bool {
    for about in Told::check(told).expect("it was told").about() {
        let About::Removed { db, space, key } = about else {
            panic!("{about:?} is not what was touched");
        };
        let key = leader.world.store.key(db, space, key);
        let Some(record) = leader.world.store.get(&key, 0).map(|e| Record::of(&e)) else {
            continue;
        };
        let id = (db, space, key.bytes().to_vec());
        if !write(leader, &[Change::Put { id, record }]) {
            return false;
        }
    }
    let before = leader.batches.len();
    leader.tell_time();
    leader.batches.len() > before
}

fn write(leader: &mut Leader, changes: &[Change]) -> bool {
    let before = leader.batches.len();
    for _ in 0..20 {
        leader.apply(changes);
        if leader.batches.len() > before {
            return true;
        }
        let world = &mut leader.world;
        world.disk.take(&mut world.store);
        world.disk.drain(&mut world.store);
    }
    false
}

/// Goes astray and is mended. Returns where it is whole; `None` if it must be filled.
fn mend(follower: &mut Follower, leader: &mut Leader, files: bool) -> Option<Position> {
    let parting = follower.store.newest();
    let parted_ms = leader.world.now_ms;
    let told = stray(follower, leader);
    if told.is_empty() {
        return Some(parting);
    }
    leader.world.next = Position::new(follower.store.newest().epoch() + 1, 1);
    if files && leader.world.random.one_in(2) {
        follower.restart(leader);
        follower.store.set_expiry_limit(parted_ms);
    }
    // The other log goes on meanwhile.
    for _ in 0..leader.world.random.below(10) {
        leader.step();
    }
    let keys = touched(follower, parting, &told)?;
    let check = Told::check(&keys).expect("it was told");
    let mut tries = 0;
    while follower.store.mend(parting, check).is_err() {
        follower.work();
        tries += 1;
        if tries > 100 {
            return None;
        }
    }
    for _ in 0..leader.world.random.below(10) {
        leader.step();
        follower.step(leader);
    }
    rewrite(leader, &keys).then(|| leader.last())
}

fn run(seed: u64, files: bool) -> u64 {
    let replay = Replay(seed);
    let mut world = World::with(seed, files);
    world.swaps = false;
    let mut leader = Leader {
        world,
        batches: Vec::new(),
    };
    let mut follower = Follower::begin(&leader, Position::ZERO, 0);
    let mut mended = 0;
    for _ in 0..12 {
        for _ in 0..leader.world.random.below(40) {
            leader.step();
        }
        catch_up(&mut follower, &mut leader);
        match mend(&mut follower, &mut leader, files) {
            Some(whole) => {
                while follower.store.newest() < whole {
                    follower.step(&mut leader);
                }
                mended += 1;
            }
            None => {
                let applied = leader.batches.len();
                let base = leader.batches.last().map_or(Position::ZERO, |b| b.last);
                follower = Follower::begin(&leader, base, applied);
                // A store of which nothing is written yet does not know where it begins.
                while leader.batches.len() == applied {
                    leader.step();
                    leader.tell_time();
                }
                catch_up(&mut follower, &mut leader);
            }
        }
        if files && leader.world.random.one_in(2) {
            follower.restart(&mut leader);
        }
        look(&mut follower, &leader);
    }
    catch_up(&mut follower, &mut leader);
    look(&mut follower, &leader);
    drop(replay);
    mended
}

fn catch_up(follower: &mut Follower, leader: &mut Leader) {
    while follower.applied < leader.batches.len() || follower.cursor.is_some() {
        follower.step(leader);
    }
}

/// If it has come to where the leader is, both have the same. It may come to know it late that something has expired.
fn look(follower: &mut Follower, leader: &Leader) {
    follower.store.check();
    if follower.applied < leader.batches.len() {
        return;
    }
    let now_ms = leader.world.now_ms;
    let (here, there) = (&follower.store, &leader.world.store);
    let (here, there) = (content(here, now_ms), content(there, now_ms));
    let missing = there
        .iter()
        .find(|(id, record)| here.get(*id) != Some(*record));
    let surplus = here.iter().find(|(id, _)| !there.contains_key(*id));
    assert_eq!(
        (missing, surplus),
        (None, None),
        "it has what it follows has"
    );
}

fn put(leader: &mut Leader, name: &str, lives: Deadline) {
    let record = Record {
        kind: Kind::new(0),
        version: Version::FIRST,
        deadline: lives,
        value: vec![1; leader.world.tuning.segment_bytes / 20],
    };
    let id = (Db::ZERO, Space::Data, name.into());
    assert!(write(leader, &[Change::Put { id, record }]));
}

/// What a restart knows of dead entries is from before the store was mended: a key that strays have only touched was not dead then. What it was
/// stays dead all the same, though nobody writes it once more, and though all is cleaned but what it was.
#[test]
fn a_key_that_strays_have_only_touched_stays_dead() {
    let mut world = World::with(1, true);
    world.config.memory_bytes = 32 * world.tuning.segment_bytes;
    let mut leader = Leader {
        world,
        batches: Vec::new(),
    };
    let mut follower = Follower::begin(&leader, Position::ZERO, 0);
    let now_ms = leader.world.now_ms;
    let [lives, longer] = [1, 2].map(|n| Deadline::after(now_ms, n * 1_000_000_000));
    // One segment that stays as it is.
    for n in 0..18 {
        put(&mut leader, &format!("{n}"), lives);
    }
    catch_up(&mut follower, &mut leader);

    let parting = follower.store.newest();
    let id = || (Db::ZERO, Space::Data, b"7".to_vec());
    let touch = [Change::Touch {
        id: id(),
        deadline: longer,
    }];
    let (store, next) = (&mut follower.store, parting.plus(1));
    let stray = apply_and_tell(store, now_ms, next, &touch, &mut Vec::new());
    assert!(stray.expect("there is room").last > parting);
    follower.work();
    follower.restart(&mut leader);
    leader.begin_epoch();
    assert!(write(&mut leader, &[Change::Delete { id: id() }]));
    let keys = follower.store.touched_behind(parting, MOST);
    let keys = keys.expect("it is all there").into_told();
    let check = Told::check(&keys).expect("it was told");
    while follower.store.mend(parting, check).is_err() {
        follower.work();
    }
    for n in 0..2_000 {
        put(&mut leader, &format!("churn {}", n % 30), Deadline::NEVER);
        let world = &mut leader.world;
        world.now_ms += 10;
        world.store.maintain(world.now_ms, 20_000, &mut |_| {});
        world.disk.drain(&mut world.store);
        catch_up(&mut follower, &mut leader);
        let now_ms = leader.world.now_ms;
        follower.store.maintain(now_ms, 20_000, &mut |_| {});
        follower.work();
    }
    follower.restart(&mut leader);
    look(&mut follower, &leader);
}

/// Another epoch goes on in the follower from the middle of one: whoever asks it about what the log that counts has behind that middle asks
/// about what it never had.
#[test]
fn nothing_is_said_of_a_parting_that_the_log_may_never_have_had() {
    let world = World::with(1, true);
    let batches = Vec::new();
    let mut leader = Leader { world, batches };
    let mut follower = Follower::begin(&leader, Position::ZERO, 0);
    for n in 0..5 {
        put(&mut leader, &format!("{n}"), Deadline::NEVER);
    }
    catch_up(&mut follower, &mut leader);
    let parting = follower.store.newest();
    let id = (Db::ZERO, Space::Data, b"3".to_vec());
    let (now_ms, next) = (leader.world.now_ms, Position::new(parting.epoch() + 1, 1));
    let (store, changes) = (&mut follower.store, [Change::Delete { id }]);
    let stray = apply_and_tell(store, now_ms, next, &changes, &mut Vec::new());
    assert_eq!(stray.expect("there is room").last, next);
    follower.work();
    for is_restarted in [false, true] {
        if is_restarted {
            follower.restart(&mut leader);
        }
        let touched = |at| follower.store.touched_behind(at, MOST);
        let keys = touched(parting).expect("it is all there").into_told();
        assert_eq!(names(&keys).len(), 1);
        assert!(touched(parting.plus(4)).is_none(), "it never had that");
    }
}

fn run_all(files: bool) {
    let mended: u64 = seeds(24).into_iter().map(|seed| run(seed, files)).sum();
    assert!(mended > 0 || seeds(24).len() == 1, "none was mended");
}

#[test]
fn stores_that_strayed_become_what_they_follow() {
    run_all(true);
}

#[test]
fn stores_in_memory_only_that_strayed_become_what_they_follow() {
    run_all(false);
}
