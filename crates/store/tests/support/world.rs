//! A store with its disk, its model and its clock, and random things that happen to them.
// Each test uses a part of it.
#![allow(dead_code)]

use model::time::Deadline;
use model::{Db, Position, Version};
use store::{
    Applied, HeapPages, Kind, LogPoint, Op, Refused, Space, Store, StoreConfig, SyncMode, Tuning,
};

use crate::disk::Disk;
use crate::map::{Change, Id, Model, Record};
use crate::random::Random;

pub const START_MS: u64 = 1_700_000_000_000;

pub struct World {
    pub seed: u64,
    pub random: Random,
    pub config: StoreConfig,
    pub tuning: Tuning,
    pub store: Store,
    pub disk: Disk,
    pub model: Model,
    pub now_ms: u64,
    pub next: Position,
    pub keys: u64,
    pub refused: u64,
    pub last_refused: Option<Refused>,
    pub out_of_memory: u64,
    pub expired: u64,
    pub cleaned: [u64; 3],
    /// States after each batch since the one that is surely persisted, with its log point.
    pub history: Vec<(LogPoint, Vec<Change>, Model)>,
    pub keep_history: bool,
    pub swaps: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, true)
    }

    /// `files`: see [`Tuning::files`]. A world without never restarts.
    pub fn with(seed: u64, files: bool) -> Self {
        let mut random = Random(seed);
        let sync =
            [SyncMode::Always, SyncMode::EverySecond, SyncMode::None][random.below(3) as usize];
        let tuning = Tuning {
            segment_bytes: [16384, 32768, 65536][random.below(3) as usize],
            directory: random.next(),
            spare_files: 3 + random.below(3) as usize,
            files,
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
            last_refused: None,
            out_of_memory: 0,
            expired: 0,
            cleaned: [0; 3],
            history: Vec::new(),
            keep_history: false,
            swaps: true,
            random,
        }
    }

    pub fn id(&mut self) -> Id {
        let random = &mut self.random;
        let db =
            Db::new([0, 0, 0, 1, 2][random.below(5) as usize]).expect("tests know what they do");
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

    pub fn deadline(&mut self) -> Deadline {
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

    pub fn change(&mut self) -> Change {
        match self.random.below(200) {
            0 => {
                let db = Db::new(self.random.below(3) as u8).expect("tests know what they do");
                Change::Flush {
                    db: (!self.random.one_in(4)).then_some(db),
                }
            }
            1 if self.swaps => {
                let a = Db::new(self.random.below(3) as u8).expect("tests know what they do");
                let b = Db::new(self.random.below(3) as u8).expect("tests know what they do");
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

    pub fn batch(&mut self) -> Vec<Change> {
        let n = if self.random.one_in(4) {
            1 + self.random.below(6)
        } else {
            1
        };
        (0..n).map(|_| self.change()).collect()
    }

    pub fn write(&mut self) {
        let changes = self.batch();
        match apply(&mut self.store, self.now_ms, self.next, &changes) {
            Ok(applied) => {
                let next = self.model.apply(self.now_ms, self.next, &changes);
                assert_eq!(applied.last.raw() + 1, next.raw(), "positions have no gaps");
                let (store, now_ms) = (&self.store, self.now_ms);
                self.model
                    .follow_touches(store, now_ms, self.next, &changes);
                if self.keep_history {
                    self.model.forget_expired(self.now_ms);
                    let state = self.model.clone();
                    self.history.push((applied.log, changes.clone(), state));
                }
                self.next = next;
            }
            Err(Refused::OutOfMemory) => {
                self.out_of_memory += 1;
                self.check_really_full();
            }
            Err(refused) => {
                self.refused += 1;
                self.last_refused = Some(refused);
            }
        }
    }

    /// Out of memory is only said when what lives, and the heads, fill it.
    pub fn check_really_full(&self) {
        let usage = self.store.usage();
        // Segments are this small only here: a page for each is much.
        let heads = 10 * self.tuning.segment_bytes + 4096 * usage.segments;
        assert!(
            usage.live + usage.index_bytes + heads + usage.limit / 4 > usage.limit,
            "refused for want of memory with {usage:?}"
        );
    }

    pub fn step(&mut self) {
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

    pub fn maintain(&mut self) {
        let budget = self.random.below(40_000) as usize;
        let (model, now_ms) = (&mut self.model, self.now_ms);
        let expired = &mut self.expired;
        self.store.maintain(now_ms, budget, &mut |entry| {
            let id = (entry.db(), entry.space(), entry.key().to_vec());
            assert!(entry.deadline().has_passed(now_ms));
            if let Some((record, _)) = model.records.get(&id) {
                // A touch that has expired too may be forgotten by a restart.
                let shown = Record {
                    deadline: record.deadline,
                    ..Record::of(&entry)
                };
                assert_eq!(*record, shown, "{id:?} expires");
                assert!(
                    record.deadline.has_passed(now_ms),
                    "{id:?} expires too early"
                );
                model.records.remove(&id);
            }
            *expired += 1;
        });
    }

    pub fn compare(&mut self) {
        self.store.check();
        self.model.compare(&self.store, self.now_ms);
    }

    /// A restart after everything was written.
    pub fn restart(&mut self, clean: bool) {
        if !self.tuning.files {
            return;
        }
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
        assert!(
            report.is_whole() && report.torn.is_empty(),
            "nothing is wrong: {report:?}"
        );
        assert!(report.newest < self.next, "positions only grow");
        self.store = store;
        self.config = config;
        self.next = Position::new(self.next.epoch() + 1, 1);
        self.compare();
    }

    pub fn run(&mut self, steps: u64) {
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

pub fn apply(
    store: &mut Store,
    now_ms: u64,
    first: Position,
    changes: &[Change],
) -> Result<Applied, Refused> {
    with_ops(store, changes, |store, ops| store.apply(now_ms, first, ops))
}

/// As [`apply`], and tells of it.
pub fn apply_and_tell(
    store: &mut Store,
    now_ms: u64,
    first: Position,
    changes: &[Change],
    told: &mut Vec<u8>,
) -> Result<Applied, Refused> {
    with_ops(store, changes, |store, ops| {
        store.apply_and_tell(now_ms, first, ops, told)
    })
}

fn with_ops<T>(
    store: &mut Store,
    changes: &[Change],
    work: impl FnOnce(&mut Store, &[Op<'_>]) -> T,
) -> T {
    let values: Vec<[&[u8]; 2]> = changes
        .iter()
        .map(|change| match change {
            Change::Put { record, .. } => {
                let (a, b) = record.value.split_at(record.value.len() / 3);
                [a, b]
            }
            Change::Delete { .. }
            | Change::Touch { .. }
            | Change::Flush { .. }
            | Change::Swap { .. } => [&[][..], &[][..]],
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
    work(store, &ops)
}

/// Says on a failure how to run it again.
pub struct Replay(pub u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("run again with STORE_SEED={}", self.0));
        }
    }
}

pub fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes())
        .expect("tests know what they do");
}

/// The seeds to run: `STORE_SEED` alone, or `STORE_ROUNDS` of them.
pub fn seeds(rounds: u64) -> Vec<u64> {
    if let Ok(seed) = std::env::var("STORE_SEED") {
        return vec![seed.parse().expect("tests know what they do")];
    }
    let rounds = std::env::var("STORE_ROUNDS")
        .map_or(rounds, |n| n.parse().expect("tests know what they do"));
    (0..rounds).collect()
}
