//! Stores that are told in one batch what they have missed, from the log of another: they have what it has, over restarts of both.
//!
//! A failing seed is printed; `STORE_SEED=<seed> cargo test -p tenure-store --test leap` runs it alone, and
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

use map::{Change, Id, Record};
use model::time::Deadline;
use model::{Db, Position, Version};
use pair::{Follower, Leader, content};
use store::{About, Kind, Leap, Space, Store, Told};
use world::{Replay, World, seeds};

fn leader(seed: u64) -> Leader {
    let mut world = World::with(seed, true);
    world.swaps = false;
    Leader {
        world,
        batches: Vec::new(),
    }
}

/// What was met.
#[derive(Default)]
struct Counts {
    leaps: u64,
    over_epochs: u64,
    of_filled: u64,
    none: u64,
}

fn take(follower: &mut Follower, leap: &Leap) -> bool {
    let told = Told::check(&leap.bytes).expect("what is told passes");
    for _ in 0..100 {
        let range = (leap.first, leap.last);
        if follower.store.follow_leap(range, told).is_ok() {
            return true;
        }
        follower.work();
    }
    false
}

/// A follower of this leader that begins with a snapshot of it, and has it all.
fn filled(leader: &mut Leader) -> Follower {
    let (base, applied) = (leader.last(), leader.batches.len());
    let mut follower = Follower::begin(leader, base, applied);
    while follower.cursor.is_some() || follower.applied < leader.batches.len() {
        follower.step(leader);
        if leader.world.random.one_in(4) {
            leader.write();
        }
    }
    follower
}

fn catch_up(follower: &mut Follower, leader: &mut Leader, batches: usize) {
    while follower.cursor.is_some() || follower.applied < batches.min(leader.batches.len()) {
        follower.step(leader);
    }
}

/// `behind` is told what it has missed, by one that is further.
fn leap(ahead: &Store, applied: usize, behind: &mut Follower, counts: &mut Counts, now_ms: u64) {
    let from = behind.store.newest();
    let Some(leap) = ahead.leap_from(from) else {
        counts.none += 1;
        return;
    };
    assert_eq!(leap.last, ahead.newest(), "it leads to the end");
    assert!(leap.first > from);
    if !take(behind, &leap) {
        return;
    }
    behind.applied = applied;
    behind.work();
    behind.store.check();
    counts.leaps += 1;
    behind.need = behind.store.newest();
    counts.over_epochs += u64::from(from.epoch() < leap.last.epoch());
    assert_eq!(behind.store.newest(), ahead.newest());
    same(&behind.store, ahead, now_ms);
}

fn same(here: &Store, there: &Store, now_ms: u64) {
    let (here, there) = (content(here, now_ms), content(there, now_ms));
    let missing = there
        .iter()
        .find(|(id, record)| here.get(*id) != Some(*record));
    let surplus = here.iter().find(|(id, _)| !there.contains_key(*id));
    assert_eq!((missing, surplus), (None, None), "both have the same");
}

fn run(seed: u64, counts: &mut Counts) {
    let replay = Replay(seed);
    let mut leader = leader(seed);
    let mut ahead = Follower::begin(&leader, Position::ZERO, 0);
    let mut behind = Follower::begin(&leader, Position::ZERO, 0);
    let mut is_filled = false;
    for _ in 0..120 {
        for _ in 0..1 + leader.world.random.below(6) {
            leader.step();
        }
        let all = leader.batches.len();
        let some =
            behind.applied + leader.world.random.below(1 + (all - behind.applied) as u64) as usize;
        catch_up(&mut behind, &mut leader, some);
        catch_up(&mut ahead, &mut leader, all);
        for follower in [&mut ahead, &mut behind] {
            // Nothing is removed by a later time than was told.
            let last = follower.applied.checked_sub(1);
            let told_ms = last.map_or(0, |last| leader.batches[last].time_ms);
            follower.store.set_expiry_limit(told_ms);
            if leader.world.random.one_in(2) {
                follower.store.maintain(told_ms, 20_000, &mut |_| {});
            }
        }
        ahead.work();
        behind.work();
        match leader.world.random.below(8) {
            0 => {
                ahead = filled(&mut leader);
                is_filled = true;
            }
            1..=3 => ahead.restart(&mut leader),
            _ => {}
        }
        if leader.world.random.one_in(4) {
            behind.restart(&mut leader);
        }
        let before = counts.leaps;
        let all = leader.batches.len();
        let now_ms = leader.world.now_ms;
        if leader.world.random.one_in(3) {
            leap(&leader.world.store, all, &mut behind, counts, now_ms);
        } else if behind.applied < ahead.applied {
            leap(&ahead.store, ahead.applied, &mut behind, counts, now_ms);
            counts.of_filled += u64::from(is_filled) * (counts.leaps - before);
        }
        if leader.world.random.one_in(4) {
            behind.restart(&mut leader);
        }
        // Whoever has leapt is further now, and tells others.
        if behind.applied == ahead.applied && leader.world.random.one_in(2) {
            core::mem::swap(&mut ahead, &mut behind);
            behind = Follower::begin(&leader, Position::ZERO, 0);
            let back = leader.world.random.below(20) as usize;
            catch_up(&mut behind, &mut leader, ahead.applied.saturating_sub(back));
        }
    }
    for follower in [&mut ahead, &mut behind] {
        catch_up(follower, &mut leader, usize::MAX);
        follower.restart(&mut leader);
        follower.store.check();
        same(&follower.store, &leader.world.store, leader.world.now_ms);
    }
    drop(replay);
}

#[test]
fn whoever_leaps_has_what_the_other_has() {
    let mut counts = Counts::default();
    for seed in seeds(24) {
        run(seed, &mut counts);
    }
    let Counts {
        leaps,
        over_epochs,
        of_filled,
        none,
    } = counts;
    let enough = leaps > 100 && over_epochs > 5 && of_filled > 20 && none > 20;
    assert!(
        enough || seeds(24).len() == 1,
        "{leaps} leaps, {over_epochs} over epochs, {of_filled} of filled stores, {none} times none"
    );
}

fn id(name: &str) -> Id {
    (Db::ZERO, Space::Data, name.into())
}

fn put(leader: &mut Leader, name: &str, lives_ms: u64) {
    let record = Record {
        kind: Kind::new(0),
        version: Version::FIRST,
        deadline: Deadline::after(leader.world.now_ms, lives_ms),
        value: vec![1; 100],
    };
    write(
        leader,
        &[Change::Put {
            id: id(name),
            record,
        }],
    );
}

fn touch(leader: &mut Leader, name: &str, lives_ms: u64) {
    let deadline = Deadline::after(leader.world.now_ms, lives_ms);
    write(
        leader,
        &[Change::Touch {
            id: id(name),
            deadline,
        }],
    );
}

fn write(leader: &mut Leader, changes: &[Change]) {
    let before = leader.batches.len();
    leader.apply(changes);
    assert_eq!(leader.batches.len(), before + 1, "there is room");
    let world = &mut leader.world;
    world.disk.take(&mut world.store);
    world.disk.drain(&mut world.store);
}

/// A leader and a follower with the same three keys, and a follower of both that is to go further.
fn three_keys() -> (Leader, Follower, Follower) {
    let mut leader = leader(1);
    for name in ["a", "b", "c"] {
        put(&mut leader, name, 10_000);
    }
    let mut ahead = Follower::begin(&leader, Position::ZERO, 0);
    let mut behind = Follower::begin(&leader, Position::ZERO, 0);
    catch_up(&mut ahead, &mut leader, usize::MAX);
    catch_up(&mut behind, &mut leader, usize::MAX);
    (leader, ahead, behind)
}

/// A touch that came in time counts, though by the time that the leap is told the deadline before it is long over.
#[test]
fn what_was_touched_in_time_is_there() {
    let (mut leader, mut ahead, mut behind) = three_keys();
    leader.world.now_ms += 5_000;
    touch(&mut leader, "a", 1_000_000);
    leader.world.now_ms += 60_000;
    put(&mut leader, "b", 1_000_000);
    catch_up(&mut ahead, &mut leader, usize::MAX);
    ahead.restart(&mut leader);
    behind.restart(&mut leader);
    let now_ms = leader.world.now_ms;
    leap(&ahead.store, 0, &mut behind, &mut Counts::default(), now_ms);
    let there = content(&behind.store, now_ms);
    assert!(there.contains_key(&id("a")) && there.contains_key(&id("b")));
}

/// A touch, and a rewritten value behind another: each key is told of once.
#[test]
fn of_each_key_the_last_state_is_told_once() {
    let (mut leader, mut ahead, behind) = three_keys();
    for _ in 0..10 {
        put(&mut leader, "a", 20_000);
        leader.world.now_ms += 1;
        touch(&mut leader, "b", 30_000);
    }
    write(&mut leader, &[Change::Delete { id: id("c") }]);
    catch_up(&mut ahead, &mut leader, usize::MAX);
    ahead.restart(&mut leader);
    let leap = ahead.store.leap_from(behind.store.newest());
    let leap = leap.expect("it is all there");
    let mut told: Vec<&str> = Told::trusted(&leap.bytes)
        .about()
        .map(|about| match about {
            About::Put { .. } => "put",
            About::Removed { .. } => "removed",
            About::Touched { .. } => "touched",
            About::Nothing => "nothing",
            About::Database(_) => "database",
        })
        .filter(|what| *what != "nothing")
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["put", "removed", "touched"]);
}

/// What has expired and is removed there is not told of as removed: what follows from its expiry whoever follows may have to see to.
#[test]
fn what_has_expired_there_expires_here() {
    let (mut leader, _, mut behind) = three_keys();
    put(&mut leader, "d", 1_000);
    put(&mut leader, "e", 1_000);
    leader.world.now_ms += 500;
    touch(&mut leader, "e", 1_000);
    touch(&mut leader, "a", 10_000);
    leader.world.now_ms += 100_000;
    let (store, now_ms) = (&mut leader.world.store, leader.world.now_ms);
    for step in 0..100 {
        store.maintain(now_ms + step, 1 << 20, &mut |_| {});
    }
    assert!(content(store, 0).is_empty(), "all have expired");
    let leap = store
        .leap_from(behind.store.newest())
        .expect("it is all there");
    assert!(take(&mut behind, &leap));
    let names: Vec<Id> = content(&behind.store, 0).into_keys().collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"].map(id));
}

/// A removal that had no effect, as a snapshot did not bring what it removes, is one that others may need.
#[test]
fn a_removal_without_effect_is_told() {
    let mut leader = leader(1);
    for name in ["a", "b", "c"] {
        put(&mut leader, name, 1_000_000);
    }
    let mut behind = Follower::begin(&leader, Position::ZERO, 0);
    catch_up(&mut behind, &mut leader, usize::MAX);
    let (base, applied) = (leader.last(), leader.batches.len());
    let mut ahead = Follower::begin(&leader, base, applied);
    put(&mut leader, "d", 1_000_000);
    catch_up(&mut behind, &mut leader, usize::MAX);
    write(&mut leader, &[Change::Delete { id: id("b") }]);
    put(&mut leader, "e", 1_000_000);
    // The snapshot is read now, and has no "b".
    while let Some(cursor) = ahead.cursor {
        ahead.fill(&leader, cursor);
    }
    catch_up(&mut ahead, &mut leader, usize::MAX);
    ahead.restart(&mut leader);
    let now_ms = leader.world.now_ms;
    leap(&ahead.store, 0, &mut behind, &mut Counts::default(), now_ms);
    same(&behind.store, &leader.world.store, now_ms);
}

#[test]
fn in_doubt_there_is_no_leap() {
    let (mut leader, _, behind) = three_keys();
    let from = behind.store.newest();
    put(&mut leader, "d", 10_000);
    let store = &leader.world.store;
    assert!(store.leap_from(from).is_some());
    // Positions that it does not have, and the one that it ends with.
    assert!(store.leap_from(Position::new(1, 100)).is_none());
    assert!(store.leap_from(Position::ZERO).is_none());
    assert!(store.leap_from(store.newest()).is_none());
    // A stray of an earlier epoch.
    leader.begin_epoch();
    put(&mut leader, "e", 10_000);
    let store = &leader.world.store;
    let end = Position::new(1, 4);
    assert!(store.leap_from(end).is_some() && store.leap_from(from).is_some());
    assert!(store.leap_from(end.plus(1)).is_none());
    write(&mut leader, &[Change::Flush { db: Some(Db::ZERO) }]);
    let store = &leader.world.store;
    assert!(store.leap_from(from).is_none(), "a database was emptied");
    let flush = store.newest();
    put(&mut leader, "f", 10_000);
    assert!(leader.world.store.leap_from(flush).is_some());
    for n in 0..2_000 {
        put(&mut leader, &format!("{}", n % 20), 10_000);
    }
    let store = &leader.world.store;
    assert!(store.leap_from(flush).is_none(), "too much, or cleaned");
}
