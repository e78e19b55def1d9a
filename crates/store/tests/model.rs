//! The store against a map: random batches, time that passes, maintenance, restarts.
//!
//! A failing seed is printed; `STORE_SEED=<seed> cargo test -p tenure-store --test model` runs it alone.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/map.rs"]
mod map;
#[path = "support/random.rs"]
mod random;

use disk::Disk;
use map::{Change, Id, Model, Record};
use model::time::Deadline;
use model::{Db, Position, Version};
use random::Random;
use store::{HeapPages, Kind, Op, Refused, Space, Store, StoreConfig, SyncMode, Tuning};

const START_MS: u64 = 1_700_000_000_000;

struct World {
    seed: u64,
    random: Random,
    config: StoreConfig,
    tuning: Tuning,
    store: Store,
    disk: Disk,
    model: Model,
    now_ms: u64,
    next: Position,
    keys: u64,
    refused: u64,
    out_of_memory: u64,
    expired: u64,
    cleaned: [u64; 3],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let sync =
            [SyncMode::Always, SyncMode::EverySecond, SyncMode::None][random.below(3) as usize];
        let tuning = Tuning {
            segment_bytes: [16384, 32768, 65536][random.below(3) as usize],
            directory: random.next(),
            spare_files: 3 + random.below(3) as usize,
        };
        let config = StoreConfig {
            memory_bytes: tuning.segment_bytes * (24 + random.below(60) as usize),
            sync,
            seed: random.next(),
        };
        Self {
            seed,
            config,
            tuning,
            store: Store::with(config, tuning, Box::new(HeapPages)),
            disk: Disk::new(tuning),
            model: Model::default(),
            now_ms: START_MS,
            next: Position::new(1, 1),
            keys: [20, 200, 2_000][random.below(3) as usize],
            refused: 0,
            out_of_memory: 0,
            expired: 0,
            cleaned: [0; 3],
            random,
        }
    }

    fn id(&mut self) -> Id {
        let random = &mut self.random;
        let db = Db::new([0, 0, 0, 1, 2][random.below(5) as usize]).unwrap();
        let space = [
            Space::Data,
            Space::Data,
            Space::Chunk,
            Space::Hold,
            Space::Mark,
        ];
        let space = space[random.below(5) as usize];
        let key = random.below(self.keys);
        (db, space, format!("key:{key}").into_bytes())
    }

    fn deadline(&mut self) -> Deadline {
        let random = &mut self.random;
        let after = match random.below(8) {
            0..=2 => return Deadline::NEVER,
            3 => random.below(3_000),
            4 => random.below(30_000),
            5 => random.below(600_000),
            6 => random.below(10_000_000),
            _ => random.below(1_000_000_000),
        };
        Deadline::after(self.now_ms, after)
    }

    fn change(&mut self) -> Change {
        match self.random.below(200) {
            0 => {
                let db = Db::new(self.random.below(3) as u8).unwrap();
                Change::Flush {
                    db: (!self.random.one_in(4)).then_some(db),
                }
            }
            1 => {
                let a = Db::new(self.random.below(3) as u8).unwrap();
                let b = Db::new(self.random.below(3) as u8).unwrap();
                Change::Swap { a, b }
            }
            2..=39 => Change::Delete { id: self.id() },
            40..=89 => Change::Touch {
                id: self.id(),
                deadline: self.deadline(),
            },
            _ => {
                let most = (self.tuning.segment_bytes / 16) as u64;
                let len = match self.random.below(10) {
                    0 => 0,
                    1..=7 => self.random.below(most.min(200)),
                    _ => self.random.below(most),
                };
                let record = Record {
                    kind: Kind::new(self.random.below(12) as u8),
                    version: Version::from_raw(self.random.next()),
                    deadline: self.deadline(),
                    value: self.random.bytes(len as usize),
                };
                Change::Put {
                    id: self.id(),
                    record,
                }
            }
        }
    }

    fn batch(&mut self) -> Vec<Change> {
        let n = if self.random.one_in(4) {
            1 + self.random.below(6)
        } else {
            1
        };
        (0..n).map(|_| self.change()).collect()
    }

    fn write(&mut self) {
        let changes = self.batch();
        match apply(&mut self.store, self.now_ms, self.next, &changes) {
            Ok(applied) => {
                assert!(applied.last.raw() + 1 >= self.next.raw());
                assert!(applied.last.raw() < self.next.raw() + changes.len() as u64);
                self.model.apply(self.now_ms, self.next, &changes);
                if applied.last >= self.next {
                    self.next = applied.last.plus(1);
                }
            }
            Err(Refused::OutOfMemory) => {
                self.out_of_memory += 1;
                self.check_really_full();
            }
            Err(_) => self.refused += 1,
        }
    }

    /// Out of memory is only said when what lives, and the heads, fill it.
    fn check_really_full(&self) {
        let usage = self.store.usage();
        // Segments are this small only here: a page for each is much.
        let heads = 10 * self.tuning.segment_bytes + 4096 * usage.segments;
        assert!(
            usage.live + usage.index_bytes + heads + usage.limit / 4 > usage.limit,
            "refused for want of memory with {usage:?}"
        );
    }

    fn step(&mut self) {
        for _ in 0..self.random.below(8) {
            self.write();
        }
        self.now_ms += match self.random.below(100) {
            0 => self.random.below(1_000_000),
            1..=5 => self.random.below(5_000),
            _ => self.random.below(20),
        };
        if self.random.one_in(2) {
            self.maintain();
        }
        self.disk.take(&mut self.store);
        let some = self.random.below(6) as usize;
        self.disk.work(&mut self.store, some);
        assert!(self.store.usage().used <= self.config.memory_bytes + 256 * 1024);
    }

    fn maintain(&mut self) {
        let budget = self.random.below(40_000) as usize;
        let (model, now_ms) = (&mut self.model, self.now_ms);
        let expired = &mut self.expired;
        self.store.maintain(now_ms, budget, &mut |entry| {
            let id = (entry.db(), entry.space(), entry.key().to_vec());
            assert!(entry.deadline().has_passed(now_ms));
            if let Some((record, _)) = model.records.get(&id) {
                assert_eq!(*record, Record::of(&entry), "{id:?} expires");
                model.records.remove(&id);
            }
            *expired += 1;
        });
    }

    fn compare(&mut self) {
        self.store.check();
        self.model.compare(&self.store, self.now_ms);
    }

    /// A restart after everything was written.
    fn restart(&mut self, clean: bool) {
        let usage = self.store.usage();
        self.cleaned[0] += usage.cleaner_compactions;
        self.cleaned[1] += usage.cleaner_disk_passes;
        self.cleaned[2] += usage.segments_expired_whole;
        if clean {
            self.store.seal();
        }
        self.disk.drain(&mut self.store);
        self.disk.kill();
        let config = StoreConfig {
            seed: self.random.next(),
            ..self.config
        };
        // The clock may have been set back.
        let back = if self.random.one_in(2) {
            self.random.below(100_000)
        } else {
            0
        };
        let (store, report) = self.disk.restore(
            config,
            self.tuning,
            Box::new(HeapPages),
            self.now_ms - back,
            &mut self.random,
        );
        assert_eq!(
            (&report.damaged, &report.torn),
            (&vec![], &vec![]),
            "nothing is wrong"
        );
        assert!(report.newest < self.next, "positions only grow");
        self.store = store;
        self.config = config;
        self.next = Position::new(self.next.epoch() + 1, 0);
        self.compare();
    }

    fn run(&mut self, steps: u64) {
        for step in 0..steps {
            self.step();
            if step % 64 == 0 {
                self.compare();
            }
            if self.random.one_in(200) {
                let clean = self.random.one_in(2);
                self.restart(clean);
            }
        }
        self.compare();
        self.restart(true);
    }
}

fn apply(
    store: &mut Store,
    now_ms: u64,
    first: Position,
    changes: &[Change],
) -> Result<store::Applied, Refused> {
    let values: Vec<[&[u8]; 2]> = changes
        .iter()
        .map(|change| match change {
            Change::Put { record, .. } => {
                let (a, b) = record.value.split_at(record.value.len() / 3);
                [a, b]
            }
            _ => [&[][..], &[][..]],
        })
        .collect();
    let ops: Vec<Op<'_>> = changes
        .iter()
        .zip(&values)
        .map(|(change, value)| match change {
            Change::Put { id, record } => Op::Put {
                key: store.key(id.0, id.1, &id.2),
                kind: record.kind,
                version: record.version,
                deadline: record.deadline,
                value,
            },
            Change::Delete { id } => Op::Delete {
                key: store.key(id.0, id.1, &id.2),
            },
            Change::Touch { id, deadline } => Op::Touch {
                key: store.key(id.0, id.1, &id.2),
                deadline: *deadline,
            },
            Change::Flush { db } => Op::Flush { db: *db },
            Change::Swap { a, b } => Op::Swap { a: *a, b: *b },
        })
        .collect();
    store.apply(now_ms, first, &ops)
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = format!("run again with STORE_SEED={}\n", self.0);
            std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes()).unwrap();
        }
    }
}

#[test]
fn random_batches_agree_with_the_model() {
    let alone = std::env::var("STORE_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let rounds: u64 = std::env::var("STORE_ROUNDS").map_or(12, |n| n.parse().unwrap());
    let seeds: Vec<u64> = alone.map_or_else(|| (0..rounds).collect(), |seed| vec![seed]);
    let mut totals = [0; 6];
    for seed in seeds {
        let replay = Replay(seed);
        let mut world = World::new(seed);
        world.run(1_500);
        let [compactions, disk_passes, whole] = world.cleaned;
        let seen = [
            world.out_of_memory,
            world.refused,
            world.expired,
            compactions,
            disk_passes,
            whole,
        ];
        for (total, seen) in totals.iter_mut().zip(seen) {
            *total += seen;
        }
        drop(replay);
    }
    if alone.is_none() {
        assert!(
            totals[1..].iter().all(|n| *n > 0),
            "the test has seen everything: {totals:?}"
        );
    }
}
