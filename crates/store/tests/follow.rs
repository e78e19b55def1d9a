//! Stores that follow another: by its batches, from the beginning or from a snapshot that is read while it goes on, over restarts.
//!
//! A failing seed is printed; `STORE_SEED=<seed> cargo test -p tenure-store --test follow` runs it alone, and
//! `STORE_ROUNDS=<n>` runs many.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/map.rs"]
mod map;
#[path = "support/random.rs"]
mod random;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;

use disk::Disk;
use map::{Change, Id, Record};
use model::Position;
use store::{HeapPages, Store, StoreConfig, Told, Tuning};
use world::{Replay, World, apply_and_tell, seeds};

/// What was told of one batch.
struct Batch {
    first: Position,
    last: Position,
    time_ms: u64,
    bytes: Vec<u8>,
}

/// A store whose batches are told.
struct Leader {
    world: World,
    batches: Vec<Batch>,
}

impl Leader {
    fn write(&mut self) {
        let changes = self.world.batch();
        self.apply(&changes);
    }

    fn apply(&mut self, changes: &[Change]) {
        let world = &mut self.world;
        let (first, time_ms) = (world.next, world.now_ms);
        let mut bytes = Vec::new();
        let Ok(applied) = apply_and_tell(&mut world.store, time_ms, first, changes, &mut bytes)
        else {
            assert!(bytes.is_empty(), "what was refused is not told");
            return;
        };
        self.keep(first, applied.last, bytes);
    }

    fn tell_time(&mut self) {
        let world = &mut self.world;
        let (first, mut bytes) = (world.next, Vec::new());
        if let Ok(applied) = world.store.tell_nothing(world.now_ms, first, &mut bytes) {
            self.keep(first, applied.last, bytes);
        }
    }

    fn keep(&mut self, first: Position, last: Position, bytes: Vec<u8>) {
        assert!(Told::check(&bytes).is_ok(), "what is told passes");
        if last < first {
            assert!(bytes.is_empty(), "what changes nothing is not told");
            return;
        }
        self.world.next = last.plus(1);
        let time_ms = self.world.now_ms;
        self.batches.push(Batch {
            first,
            last,
            time_ms,
            bytes,
        });
    }

    fn last(&self) -> Position {
        Position::from_raw(self.world.next.raw() - 1)
    }

    /// Another epoch begins, as with another primary.
    fn begin_epoch(&mut self) {
        self.world.next = Position::new(self.world.next.epoch() + 1, 1);
    }

    fn step(&mut self) {
        for _ in 0..self.world.random.below(8) {
            self.write();
        }
        let world = &mut self.world;
        world.now_ms += match world.random.below(100) {
            0 => world.random.below(1_000_000),
            1..=5 => world.random.below(5_000),
            _ => world.random.below(20),
        };
        if world.random.one_in(2) {
            world.store.maintain(world.now_ms, 20_000, &mut |_| {});
        }
        world.disk.take(&mut world.store);
        world.disk.drain(&mut world.store);
        if world.random.one_in(30) {
            self.tell_time();
        }
        if self.world.random.one_in(100) && self.last().sequence() > 0 {
            self.begin_epoch();
        }
    }
}

/// A store that follows.
struct Follower {
    store: Store,
    disk: Disk,
    config: StoreConfig,
    tuning: Tuning,
    /// Batches that it has applied.
    applied: usize,
    /// The cursor of the next part of a snapshot; `None` when all are in.
    cursor: Option<u64>,
    /// It is whole only from here on.
    need: Position,
}

impl Follower {
    /// One that begins behind `base`, after so many batches.
    fn begin(leader: &Leader, base: Position, applied: usize) -> Self {
        let (config, tuning) = (leader.world.config, leader.world.tuning);
        let config = StoreConfig {
            seed: !config.seed,
            // What fits there must fit here, whatever the cleaner does at that moment.
            memory_bytes: config.memory_bytes * 2,
            ..config
        };
        let mut store = Store::with(config, tuning, Box::new(HeapPages));
        if base > Position::ZERO {
            store.begin_behind(base);
        }
        Self {
            store,
            disk: Disk::new(tuning),
            config,
            tuning,
            applied,
            cursor: (base > Position::ZERO).then_some(0),
            need: base,
        }
    }

    /// One batch, or one part of the snapshot, which is read where the log has come to here or behind it.
    fn step(&mut self, leader: &mut Leader) {
        if let Some(cursor) = self.cursor
            && leader.world.random.one_in(3)
        {
            return self.fill(leader, cursor);
        }
        if let Some(batch) = leader.batches.get(self.applied) {
            let range = (batch.first, batch.last);
            let told = Told::check(&batch.bytes).expect("it was checked before");
            if self.store.follow(batch.time_ms, range, told).is_ok() {
                self.applied += 1;
            }
        }
        self.work();
    }

    fn fill(&mut self, leader: &Leader, cursor: u64) {
        let mut bytes = Vec::new();
        let next = leader.world.store.tell_all(cursor, 2_000, &mut bytes);
        let told = Told::check(&bytes).expect("what is told passes");
        if self.store.fill(leader.world.now_ms, told).is_ok() {
            (self.cursor, self.need) = (next, leader.last());
        }
        self.work();
    }

    fn work(&mut self) {
        self.disk.take(&mut self.store);
        self.disk.drain(&mut self.store);
    }

    fn is_whole(&self, leader: &Leader) -> bool {
        let last = self
            .applied
            .checked_sub(1)
            .map(|at| leader.batches[at].last);
        self.cursor.is_none() && last.unwrap_or_default() >= self.need
    }

    /// It is killed, and starts again from its files.
    fn restart(&mut self, leader: &mut Leader) {
        let end = self.store.newest();
        self.disk.kill();
        let world = &mut leader.world;
        let config = StoreConfig {
            seed: world.random.next(),
            ..self.config
        };
        let pages = Box::new(HeapPages);
        let (store, report) =
            self.disk
                .restore(config, self.tuning, pages, world.now_ms, &mut world.random);
        assert_eq!((&report.damaged, &report.missing), (&vec![], &vec![]));
        assert_eq!(report.cut, 0, "no position is missing");
        assert_eq!(store.newest(), end, "it ends where it ended");
        (self.store, self.config) = (store, config);
    }
}

/// What is there at a time.
fn content(store: &Store, now_ms: u64) -> BTreeMap<Id, Record> {
    let (mut found, mut cursor) = (BTreeMap::new(), 0);
    loop {
        cursor = store.scan(cursor, 100, &mut |entry| {
            if !entry.deadline().has_passed(now_ms) {
                let id = (entry.db(), entry.space(), entry.key().to_vec());
                found.insert(id, Record::of(&entry));
            }
        });
        if cursor == 0 {
            return found;
        }
    }
}

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
