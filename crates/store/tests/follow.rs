//! Stores that follow another: by its batches, from the beginning or from a snapshot that is read while it goes on, over restarts.
//!
//! A failing seed is printed; `STORE_SEED=<seed> cargo test -p tenure-store --test follow` runs it alone, and
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

use map::{Change, Record};
use model::Position;
use pair::{Follower, Leader, content};
use store::{HeapPages, Store, Told};
use world::{Replay, World, seeds};

fn run(seed: u64, files: bool) {
    let replay = Replay(seed);
    let mut world = World::with(seed, files);
    world.swaps = false;
    let mut leader = Leader {
        world,
        batches: Vec::new(),
    };
    let mut followers = vec![Follower::begin(&leader, Position::ZERO, 0)];
    for step in 0..600 {
        leader.step();
        if step % 100 == 50 {
            let (base, applied) = (leader.last(), leader.batches.len());
            followers.push(Follower::begin(&leader, base, applied));
        }
        for follower in &mut followers {
            // One that is slow finds much of what it applies in its snapshot already.
            let most = [1, 2, 8, 8][leader.world.random.below(4) as usize];
            for _ in 0..leader.world.random.below(most) {
                follower.step(&mut leader);
            }
            if files && follower.is_whole(&leader) && leader.world.random.one_in(100) {
                follower.restart(&mut leader);
            }
        }
    }
    for follower in &mut followers {
        while follower.applied < leader.batches.len() || follower.cursor.is_some() {
            follower.step(&mut leader);
        }
        if files {
            follower.restart(&mut leader);
        }
        follower.store.check();
        let now_ms = leader.world.now_ms;
        let (here, there) = (&follower.store, &leader.world.store);
        assert_eq!(here.newest(), there.newest());
        assert!(
            content(here, now_ms) == content(there, now_ms),
            "it has what it follows has"
        );
        for db in model::Db::all() {
            let counted = content(here, 0).keys().filter(|id| id.0 == db).count();
            assert!(here.len(db) <= counted as u64, "it counts what is there");
        }
    }
    drop(replay);
}

#[test]
fn followers_become_what_they_follow() {
    for seed in seeds(24) {
        run(seed, true);
    }
}

#[test]
fn followers_in_memory_only_become_what_they_follow() {
    for seed in seeds(24) {
        run(seed, false);
    }
}

#[test]
fn damage_on_the_way_is_noticed() {
    let mut leader = Leader {
        world: World::with(1, false),
        batches: Vec::new(),
    };
    leader.world.swaps = false;
    (0..20).for_each(|_| leader.write());
    for batch in &leader.batches {
        for at in (0..batch.bytes.len()).step_by(7) {
            let mut bytes = batch.bytes.clone();
            bytes[at] ^= 0x40;
            assert!(Told::check(&bytes).is_err(), "byte {at}");
            assert!(Told::check(&bytes[..at]).is_err() || at == 0 || is_whole(&batch.bytes, at));
        }
    }
}

/// Whether the first bytes up to here are whole entries.
fn is_whole(bytes: &[u8], end: usize) -> bool {
    let mut at = 0;
    while at < end {
        let shape = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes"));
        at += (shape & ((1 << 23) - 1)) as usize;
    }
    at == end
}

/// The longest batch that a store takes, of the smallest entries, is taken by one that follows it and has nothing of what it removes.
#[test]
fn what_fits_there_fits_here() {
    let mut leader = Leader {
        world: World::with(3, true),
        batches: Vec::new(),
    };
    leader.world.keys = 2_000;
    leader.world.config.memory_bytes *= 4;
    leader.world.store = Store::with(
        leader.world.config,
        leader.world.tuning,
        Box::new(HeapPages),
    );
    let id = |n: u64| {
        (
            model::Db::ZERO,
            store::Space::Data,
            n.to_le_bytes()[..2].to_vec(),
        )
    };
    for n in 0..1_500 {
        let record = Record {
            kind: store::Kind::new(1),
            version: model::Version::FIRST,
            deadline: model::time::Deadline::NEVER,
            value: Vec::new(),
        };
        leader.apply(&[Change::Put { id: id(n), record }]);
    }
    let (base, applied) = (leader.last(), leader.batches.len());
    let mut follower = Follower::begin(&leader, base, applied);
    let mut most = 1_500;
    while leader.batches.len() == applied {
        let deletes: Vec<Change> = (0..most).map(|n| Change::Delete { id: id(n) }).collect();
        leader.apply(&deletes);
        most -= 1;
    }
    follower.cursor = None;
    follower.step(&mut leader);
    assert_eq!(follower.applied, leader.batches.len());
}

/// What a copy was filled with may be nothing, and it may be long since anything was written there.
#[test]
fn where_a_filled_log_ends_and_when_survives_a_restart() {
    let world = World::with(1, true);
    let batches = Vec::new();
    let mut leader = Leader { world, batches };
    let (base, at_ms) = (Position::new(3, 7), leader.world.now_ms);
    let mut follower = Follower::begin(&leader, base, 0);
    let nothing = Told::check(&[]).expect("that is well formed");
    while follower.store.fill(0, nothing).is_err() {
        follower.work();
    }
    follower.work();
    follower.restart(&mut leader);
    assert_eq!(follower.store.newest(), base);
    assert_eq!(follower.store.latest_ms(), at_ms);
}

/// What a snapshot has brought overtakes what is still to come, but not behind a flush in the same batch, whatever room is left in the segment.
#[test]
fn there_is_room_for_what_a_flush_brings_back() {
    for part in 0..60 {
        let mut leader = Leader {
            world: World::with(5, true),
            batches: Vec::new(),
        };
        leader.tell_time();
        let base = leader.last();
        let segment_bytes = leader.world.tuning.segment_bytes;
        let put = |name: &str, len: usize| {
            let record = Record {
                kind: store::Kind::new(0),
                version: model::Version::FIRST,
                deadline: model::time::Deadline::NEVER,
                value: vec![7; len],
            };
            let id = (model::Db::ZERO, store::Space::Data, name.into());
            Change::Put { id, record }
        };
        leader.apply(&[Change::Flush { db: None }, put("k", segment_bytes / 4)]);
        leader.apply(&[put("other", segment_bytes / 80 * part)]);
        assert_eq!(leader.batches.len(), 3);
        let mut follower = Follower::begin(&leader, base, 1);
        while let Some(cursor) = follower.cursor {
            follower.fill(&leader, cursor);
        }
        while follower.applied < 3 {
            follower.step(&mut leader);
        }
        let now_ms = leader.world.now_ms;
        let here = content(&follower.store, now_ms);
        assert_eq!(here, content(&leader.world.store, now_ms));
    }
}
