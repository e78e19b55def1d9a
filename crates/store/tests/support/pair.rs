//! A store whose changes are told, and stores that follow it.
// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;

use model::Position;
use store::{HeapPages, Store, StoreConfig, Told, Tuning};

use crate::disk::Disk;
use crate::map::{Change, Id, Record};
use crate::world::{World, apply_and_tell};

/// What was told of one batch.
pub struct Batch {
    pub first: Position,
    pub last: Position,
    pub time_ms: u64,
    pub bytes: Vec<u8>,
}

/// A store whose batches are told.
pub struct Leader {
    pub world: World,
    pub batches: Vec<Batch>,
}

impl Leader {
    pub fn write(&mut self) {
        let changes = self.world.batch();
        self.apply(&changes);
    }

    pub fn apply(&mut self, changes: &[Change]) {
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

    pub fn tell_time(&mut self) {
        let world = &mut self.world;
        let (first, mut bytes) = (world.next, Vec::new());
        if let Ok(applied) = world.store.tell_nothing(world.now_ms, first, &mut bytes) {
            self.keep(first, applied.last, bytes);
        }
    }

    pub fn keep(&mut self, first: Position, last: Position, bytes: Vec<u8>) {
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

    pub fn last(&self) -> Position {
        Position::from_raw(self.world.next.raw() - 1)
    }

    /// Another epoch begins, as with another primary.
    pub fn begin_epoch(&mut self) {
        self.world.next = Position::new(self.world.next.epoch() + 1, 1);
    }

    pub fn step(&mut self) {
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
pub struct Follower {
    pub store: Store,
    pub disk: Disk,
    pub config: StoreConfig,
    pub tuning: Tuning,
    /// Batches that it has applied.
    pub applied: usize,
    /// The cursor of the next part of a snapshot; `None` when all are in.
    pub cursor: Option<u64>,
    /// It is whole only from here on.
    pub need: Position,
}

impl Follower {
    /// One that begins behind `base`, after so many batches.
    pub fn begin(leader: &Leader, base: Position, applied: usize) -> Self {
        let (config, tuning) = (leader.world.config, leader.world.tuning);
        let config = StoreConfig {
            seed: !config.seed,
            // What fits there must fit here, whatever the cleaner does at that moment.
            memory_bytes: config.memory_bytes * 2,
            ..config
        };
        let mut store = Store::with(config, tuning, Box::new(HeapPages));
        if base > Position::ZERO {
            store.begin_behind(base, leader.world.now_ms);
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
    pub fn step(&mut self, leader: &mut Leader) {
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

    pub fn fill(&mut self, leader: &Leader, cursor: u64) {
        let mut bytes = Vec::new();
        let next = leader.world.store.tell_all(cursor, 2_000, &mut bytes);
        let told = Told::check(&bytes).expect("what is told passes");
        if self.store.fill(leader.world.now_ms, told).is_ok() {
            (self.cursor, self.need) = (next, leader.last());
        }
        self.work();
    }

    pub fn work(&mut self) {
        self.disk.take(&mut self.store);
        self.disk.drain(&mut self.store);
    }

    pub fn is_whole(&self, leader: &Leader) -> bool {
        let last = self
            .applied
            .checked_sub(1)
            .map(|at| leader.batches[at].last);
        self.cursor.is_none() && last.unwrap_or_default() >= self.need
    }

    /// It is killed, and starts again from its files.
    pub fn restart(&mut self, leader: &mut Leader) {
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
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.cut, 0, "no position is missing");
        assert_eq!(store.newest(), end, "it ends where it ended");
        (self.store, self.config) = (store, config);
    }
}

/// What is there at a time.
pub fn content(store: &Store, now_ms: u64) -> BTreeMap<Id, Record> {
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
