//! Memory that is full: what lives takes nearly all of it, nothing is evicted, and deleting makes room.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/random.rs"]
mod random;

use disk::Disk;
use model::time::Deadline;
use model::{Db, Position, Version};
use random::Random;
use store::{HeapPages, Kind, Op, Refused, Space, Store, StoreConfig, SyncMode, Tuning};

const NOW_MS: u64 = 1_700_000_000_000;

struct Full {
    store: Store,
    disk: Disk,
    next: Position,
    now_ms: u64,
}

impl Full {
    fn new() -> Self {
        Self::with(true)
    }

    fn with(files: bool) -> Self {
        let tuning = Tuning {
            segment_bytes: 256 << 10,
            files,
            ..Tuning::default()
        };
        let config = StoreConfig {
            memory_bytes: 16 << 20,
            sync: SyncMode::EverySecond,
            seed: 3,
        };
        let store = Store::with(config, tuning, Box::new(HeapPages));
        Self {
            store,
            disk: Disk::new(tuning),
            next: Position::new(1, 1),
            now_ms: NOW_MS,
        }
    }

    fn apply(&mut self, op: &Op<'_>) -> Result<(), Refused> {
        for _ in 0..20 {
            let result = self
                .store
                .apply(NOW_MS, self.next, std::slice::from_ref(op));
            self.disk.take(&mut self.store);
            self.disk.work(&mut self.store, usize::MAX);
            match result {
                Ok(applied) => {
                    self.next = applied.last.plus(1);
                    return Ok(());
                }
                Err(Refused::LogBusy) => (),
                Err(refused) => return Err(refused),
            }
        }
        panic!("the log stays busy");
    }

    fn put(&mut self, n: u64, len: usize, space: Space) -> Result<(), Refused> {
        let name = n.to_le_bytes();
        let value = vec![n as u8; len];
        let value: &[&[u8]] = &[&value];
        let key = self.store.key(Db::ZERO, space, &name);
        let deadline = Deadline::NEVER;
        let (kind, version) = (Kind::new(0), Version::FIRST);
        self.apply(&Op::Put {
            key,
            kind,
            version,
            deadline,
            value,
        })
    }

    /// Moves a deadline, as long as there is hope. Returns how often it had to wait.
    fn touch(&mut self, n: u64, deadline: Deadline) -> u64 {
        let name = n.to_le_bytes();
        let mut waited = 0;
        loop {
            let key = self.store.key(Db::ZERO, Space::Data, &name);
            let op = Op::Touch { key, deadline };
            let result = self.store.apply(self.now_ms, self.next, &[op]);
            self.disk.take(&mut self.store);
            self.disk.work(&mut self.store, usize::MAX);
            match result {
                Ok(applied) => {
                    self.next = applied.last.plus(1);
                    return waited;
                }
                Err(Refused::LogBusy) => waited += 1,
                Err(refused) => panic!("{refused:?}: {:?}", self.store.usage()),
            }
            assert!(waited < 10_000, "{:?}", self.store.usage());
            self.now_ms += 10;
            self.store.maintain(self.now_ms, 64 << 10, &mut |_| ());
        }
    }

    fn delete(&mut self, n: u64) {
        let name = n.to_le_bytes();
        let key = self.store.key(Db::ZERO, Space::Data, &name);
        self.apply(&Op::Delete { key })
            .expect("deletes are always taken");
    }
}

#[test]
fn full_memory_refuses_puts_and_serves_everything_else() {
    let mut full = Full::new();
    let mut random = Random(4);
    let mut n = 0;
    while full.put(n, 300, Space::Data).is_ok() {
        n += 1;
    }
    let usage = full.store.usage();
    assert!(usage.used <= usage.limit, "{usage:?}");
    assert!(
        (usage.live + usage.index_bytes) * 100 > usage.limit * 88,
        "{usage:?}"
    );
    // Nothing was evicted.
    assert_eq!(full.store.len(Db::ZERO), n);
    // Holds still fit, and every delete makes room for about one put, again and again.
    full.put(1, 50, Space::Hold)
        .expect("a hold uses the reserve");
    let mut taken = 0;
    for i in 0..30_000 {
        full.delete(random.below(n));
        if full.put(random.below(n), 300, Space::Data).is_ok() {
            taken += 1;
        }
        if i % 64 == 0 {
            full.store.maintain(NOW_MS + i, 64 << 10, &mut |_| ());
        }
    }
    full.store.check();
    let usage = full.store.usage();
    assert!(taken > 20_000, "{taken} puts were taken, {usage:?}");
    assert!(usage.used <= usage.limit, "{usage:?}");
}

/// A shorter life is a way out of full memory, so it must not be refused for want of it; though the value is written again each time,
/// and each time leaves a tombstone.
#[test]
fn a_shorter_life_is_always_taken() {
    for len in [0, 300, 5_000, 120_000] {
        let mut full = Full::new();
        let mut random = Random(4);
        let mut n = 0;
        while full.put(n, len, Space::Data).is_ok() {
            n += 1;
        }
        let mut waited = 0;
        for round in 1..4 {
            for i in 0..n.min(6_000) {
                let n = (i * 7919 + random.below(2)) % n;
                let deadline = NOW_MS + 10_000_000_000 / round - i;
                waited += full.touch(n, Deadline::after(deadline, 0));
            }
        }
        full.store.check();
        let usage = full.store.usage();
        assert!(usage.used <= usage.limit, "{usage:?}");
        assert!(waited > 0, "with {len} bytes the reserve was never used up");
        assert_eq!(full.store.len(Db::ZERO), n);
    }
}

#[test]
fn overwriting_at_ninety_percent_goes_on_for_ever() {
    let mut full = Full::new();
    let mut random = Random(4);
    let limit = full.store.usage().limit;
    let n = (limit * 90 / 100 / (100 + 8 + 32 + 10)) as u64;
    for i in 0..n {
        full.put(i, 100, Space::Data).expect("there is room");
    }
    for i in 0..6 * n {
        full.put(random.below(n), 100, Space::Data)
            .expect("there is room at 90 %");
        if i % 16 == 0 {
            full.store.maintain(NOW_MS + i / 100, 16 << 10, &mut |_| ());
        }
    }
    full.store.check();
    let usage = full.store.usage();
    assert!(
        usage.used <= usage.limit && usage.cleaner_compactions > 100,
        "{usage:?}"
    );
    assert!(usage.disk_bytes < 3 * limit as u64, "{usage:?}");
}

#[test]
fn without_files_a_put_of_the_same_length_takes_no_memory() {
    let mut full = Full::with(false);
    let mut n = 0;
    while full.put(n, 1000, Space::Data) != Err(Refused::OutOfMemory) {
        n += 1;
    }
    let before = full.store.usage();
    for n in 0..n {
        full.put(n, 1000, Space::Data)
            .expect("it is written over what is there");
    }
    let after = full.store.usage();
    assert_eq!(
        (before.used, before.live, before.cleaner_moved_bytes),
        (after.used, after.live, after.cleaner_moved_bytes)
    );
    assert_eq!(full.put(0, 1001, Space::Data), Err(Refused::OutOfMemory));
    full.store.check();
}

/// Whoever starts with less memory than what it finds takes, or with barely more, removes what the disk has lost a part of before the disk
/// does anything for it.
#[test]
fn a_restart_has_the_reserve_whatever_it_finds() {
    let mut full = Full::new();
    let mut n = 0;
    while full.put(n, 300, Space::Data).is_ok() {
        n += 1;
    }
    full.disk.drain(&mut full.store);
    full.disk.kill();
    let config = |memory_bytes| StoreConfig {
        memory_bytes,
        sync: SyncMode::EverySecond,
        seed: 3,
    };
    let mut restored = |memory_bytes| {
        let (disk, pages) = (&mut full.disk, Box::new(HeapPages));
        let tuning = Tuning {
            segment_bytes: 256 << 10,
            ..Tuning::default()
        };
        let (store, _) = disk.restore(config(memory_bytes), tuning, pages, NOW_MS, &mut Random(4));
        store
    };
    let used = restored(32 << 20).usage().used;
    for percent in 80..125 {
        let mut store = restored(used * percent / 100);
        let mut next = Position::new(2, 1);
        for n in 0..1_000_u64 {
            let name = n.to_le_bytes();
            let key = store.key(Db::ZERO, Space::Data, &name);
            let applied = store.apply(NOW_MS, next, &[Op::Delete { key }]);
            let applied = applied.unwrap_or_else(|refused| {
                panic!("{percent} %, delete {n}: {refused:?}, {:?}", store.usage())
            });
            next = applied.last.plus(1);
        }
        store.check();
    }
}
