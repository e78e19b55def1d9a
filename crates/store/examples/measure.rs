//! Measures the store alone, in memory, with a disk that answers at once and keeps nothing.
//!
//! `cargo run --profile fast -p tenure-store --example measure -- memory | speed | restart | leap`
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::time::Instant;

use model::time::Deadline;
use model::{Db, Position, Version};
use store::{
    DiskEvent, DiskOp, HeapPages, Kind, Op, Restore, SegmentId, Space, Store, StoreConfig,
    SyncMode, Tuning,
};

const MB: usize = 1 << 20;
const START_MS: u64 = 1_700_000_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

struct Node {
    store: Store,
    next: Position,
    began: Instant,
    ops: Vec<DiskOp>,
    turn: u64,
    keep: Option<std::collections::BTreeMap<SegmentId, Vec<u8>>>,
    refused: u64,
}

impl Node {
    fn new(memory: usize) -> Self {
        let config = StoreConfig {
            memory_bytes: memory,
            sync: SyncMode::EverySecond,
            seed: 7,
        };
        let mut node = Self {
            store: Store::new(config),
            next: Position::new(1, 1),
            began: Instant::now(),
            ops: Vec::new(),
            turn: 0,
            keep: None,
            refused: 0,
        };
        node.disk();
        node
    }

    fn now_ms(&self) -> u64 {
        START_MS + self.began.elapsed().as_millis() as u64
    }

    fn disk(&mut self) {
        self.store.take_disk_ops(&mut self.ops);
        for op in self.ops.drain(..) {
            if let (
                Some(files),
                DiskOp::Write {
                    segment,
                    offset,
                    len,
                },
            ) = (&mut self.keep, op)
            {
                let bytes = self.store.segment_bytes(segment, offset, len);
                let file = files.entry(segment).or_default();
                file.resize(offset as usize, 0);
                file.extend_from_slice(bytes);
            }
            if let (Some(files), DiskOp::Delete { segment }) = (&mut self.keep, op) {
                files.remove(&segment);
            }
            self.store.disk_event(DiskEvent { op, result: Ok(()) });
        }
    }

    /// What a loop does between batches of commands.
    fn end_turn(&mut self) -> bool {
        let now_ms = self.now_ms();
        let more = self.store.maintain(now_ms, 64 << 10, &mut |_| ());
        self.disk();
        more
    }

    fn apply(&mut self, op: &Op<'_>) -> bool {
        self.turn += 1;
        if self.turn.is_multiple_of(16) {
            self.end_turn();
        }
        for _ in 0..1_000 {
            let now_ms = START_MS
                + if self.turn.is_multiple_of(16) {
                    self.began.elapsed().as_millis() as u64
                } else {
                    0
                };
            match self
                .store
                .apply(now_ms, self.next, std::slice::from_ref(op))
            {
                Ok(applied) => {
                    self.next = applied.last.plus(1);
                    return true;
                }
                Err(store::Refused::LogBusy) => self.disk(),
                Err(_) => break,
            }
        }
        self.refused += 1;
        false
    }

    fn put(&mut self, key: &[u8], value: &[u8], deadline: Deadline) -> bool {
        let key = self.store.key(Db::ZERO, Space::Data, key);
        let value: &[&[u8]] = &[value];
        self.apply(&Op::Put {
            key,
            kind: Kind::new(0),
            version: Version::FIRST,
            deadline,
            value,
        })
    }

    fn delete(&mut self, key: &[u8]) {
        let key = self.store.key(Db::ZERO, Space::Data, key);
        self.apply(&Op::Delete { key });
    }

    fn ratio(&self) -> f64 {
        let usage = self.store.usage();
        usage.used as f64 / usage.live_payload as f64
    }
}

type Sizes = fn(&mut Random, f64) -> usize;

fn key(n: u64) -> [u8; 20] {
    let mut key = *b"key:0000000000000000";
    let mut n = n;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (n % 10) as u8;
        n /= 10;
    }
    key
}

/// Writes twice the live size, deleting at random so that no more than that lives.
fn phase(node: &mut Node, live: &mut Vec<u64>, next: &mut u64, random: &mut Random, sizes: Sizes) {
    const LIVE: usize = 200 * MB;
    let value = vec![0x5a; 16 << 10];
    let mut written = 0;
    while written < 2 * LIVE {
        let size = sizes(random, written as f64 / (2 * LIVE) as f64);
        while node.store.usage().live_payload + size + 20 > LIVE {
            let i = random.below(live.len() as u64) as usize;
            node.delete(&key(live.swap_remove(i)));
        }
        node.put(&key(*next), &value[..size], Deadline::NEVER);
        live.push(*next);
        *next += 1;
        written += size + 20;
    }
}

fn between(random: &mut Random, a: u64, b: u64) -> usize {
    (a + random.below(b - a + 1)) as usize
}

/// The ratio after some seconds without load.
fn rest(node: &mut Node, seconds: u64) -> f64 {
    let until = Instant::now() + std::time::Duration::from_secs(seconds);
    while Instant::now() < until {
        if !node.end_turn() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    node.ratio()
}

fn memory() {
    let workloads: [(&str, Sizes, u64, Option<Sizes>); 9] = [
        ("W1", |_, _| 100, 0, None),
        ("W2", |_, _| 100, 0, Some(|_, _| 130)),
        ("W3", |_, _| 100, 90, Some(|_, _| 130)),
        (
            "W4",
            |r, _| between(r, 100, 150),
            0,
            Some(|r, _| between(r, 200, 250)),
        ),
        (
            "W5",
            |r, _| between(r, 100, 150),
            90,
            Some(|r, _| between(r, 200, 250)),
        ),
        (
            "W6",
            |r, _| between(r, 100, 200),
            50,
            Some(|r, _| between(r, 1000, 2000)),
        ),
        (
            "W7",
            |r, _| between(r, 1000, 2000),
            90,
            Some(|r, _| between(r, 1500, 2500)),
        ),
        (
            "W8",
            |r, _| between(r, 50, 150),
            90,
            Some(|r, _| between(r, 5000, 15000)),
        ),
        ("growing", |_, done| 100 + (900.0 * done) as usize, 0, None),
    ];
    let limits = std::env::args()
        .nth(2)
        .map_or(vec![1024, 320], |limit| vec![limit.parse().expect("MB")]);
    for limit in limits {
        println!("limit {limit} MB: used / live key and value bytes at the end of each phase");
        for (name, first, deleted, second) in workloads {
            let mut node = Node::new(limit * MB);
            let (mut live, mut next, mut random) = (Vec::new(), 0, Random(1));
            phase(&mut node, &mut live, &mut next, &mut random, first);
            let mut line = format!("{name:8} {:.2}", node.ratio());
            for _ in 0..live.len() as u64 * deleted / 100 {
                let i = random.below(live.len() as u64) as usize;
                node.delete(&key(live.swap_remove(i)));
            }
            if deleted > 0 {
                line += &format!("  deleted {deleted} %: {:.2}", node.ratio());
                let until = Instant::now() + std::time::Duration::from_secs(5);
                let mut busy = std::time::Duration::ZERO;
                while Instant::now() < until {
                    let start = Instant::now();
                    let more = node.end_turn();
                    busy += start.elapsed();
                    if !more {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                }
                line += &format!(", 5 s later {:.2} (busy {busy:.1?})", node.ratio());
            }
            if let Some(second) = second {
                phase(&mut node, &mut live, &mut next, &mut random, second);
                line += &format!("  then {:.2}", node.ratio());
            }
            line += &format!(", after 2 s of rest {:.2}", rest(&mut node, 2));
            let usage = node.store.usage();
            println!(
                "{line}  refused {} disk {:.2} of live, moved {:.2} of written, {} compactions, {} disk passes",
                node.refused,
                usage.disk_bytes as f64 / usage.live as f64,
                usage.cleaner_moved_bytes as f64 / (800.0 * MB as f64),
                usage.cleaner_compactions,
                usage.cleaner_disk_passes
            );
        }
    }
}

/// Processor time of this thread, so that others on the machine matter less.
struct Cpu(std::time::Duration);

impl Cpu {
    fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Self(std::time::Duration::new(
            time.tv_sec as u64,
            time.tv_nsec as u32,
        ))
    }
}

fn ns(start: Cpu, n: usize) -> f64 {
    (Cpu::now().0 - start.0).as_nanos() as f64 / n as f64
}

fn speed() {
    for size in [100, 1000] {
        for percent in [50, 90] {
            let limit = 512 * MB;
            let mut node = Node::new(limit);
            let value = vec![0x5a; size];
            let each = 32 + 20 + size;
            let n = limit / 100 * percent / (each + 10);
            for i in 0..n as u64 {
                assert!(
                    node.put(&key(i), &value, Deadline::NEVER),
                    "{:?}",
                    node.store.usage()
                );
            }
            let mut random = Random(3);
            // Until the cleaner is in its stride.
            let rounds = n;
            for _ in 0..rounds {
                node.put(&key(random.below(n as u64)), &value, Deadline::NEVER);
            }
            let start = Cpu::now();
            let before = node.store.usage();
            for _ in 0..n {
                node.put(&key(random.below(n as u64)), &value, Deadline::NEVER);
            }
            let plain = ns(start, n);
            let usage = node.store.usage();
            let moved = usage.cleaner_moved_bytes - before.cleaner_moved_bytes;
            let start = Cpu::now();
            let mut worst = 0;
            for _ in 0..n / 16 {
                let keys: [[u8; 20]; 16] = core::array::from_fn(|_| key(random.below(n as u64)));
                let began = Instant::now();
                for key in &keys {
                    node.store.prefetch_cell(node.store.hint(&node.store.key(
                        Db::ZERO,
                        Space::Data,
                        key,
                    )));
                }
                for key in &keys {
                    node.store.prefetch_entry(node.store.hint(&node.store.key(
                        Db::ZERO,
                        Space::Data,
                        key,
                    )));
                }
                for key in &keys {
                    node.put(key, &value, Deadline::NEVER);
                }
                worst = worst.max(began.elapsed().as_micros());
            }
            let prefetched = ns(start, n);
            let start = Cpu::now();
            let mut found = 0;
            for _ in 0..n / 16 {
                let keys: [[u8; 20]; 16] = core::array::from_fn(|_| key(random.below(n as u64)));
                let keys = keys
                    .each_ref()
                    .map(|key| node.store.key(Db::ZERO, Space::Data, key));
                for key in &keys {
                    node.store.prefetch_cell(node.store.hint(key));
                }
                for key in &keys {
                    node.store.prefetch_entry(node.store.hint(key));
                }
                for key in &keys {
                    found += node
                        .store
                        .get(key, START_MS)
                        .map_or(0, |entry| entry.value().len());
                }
            }
            let got = ns(start, n);
            let start = Cpu::now();
            for _ in 0..n / 4 {
                let key = key(random.below(n as u64));
                let key = node.store.key(Db::ZERO, Space::Data, &key);
                found += node
                    .store
                    .get(&key, START_MS)
                    .map_or(0, |entry| entry.value().len());
            }
            let got_alone = ns(start, n / 4);
            assert!(found > 0);
            println!(
                "{size:5} B, {percent} %: put {plain:.0} ns, prefetched {prefetched:.0} ns, get prefetched {got:.0} ns, alone {got_alone:.0} ns; cleaner moved {:.2} B a byte; used {:.0} %, refused {}, longest turn of 16 puts {worst} us",
                moved as f64 / (n * each) as f64,
                usage.used as f64 * 100.0 / limit as f64,
                node.refused,
            );
        }
    }
}

/// Two scanning threads, and the node's own that takes in what they have read.
fn read_all(restore: &mut Restore, files: &[(SegmentId, Vec<u8>)]) {
    let mut ids: Vec<SegmentId> = files.iter().rev().map(|(id, _)| *id).collect();
    while !ids.is_empty() {
        let scanner = restore.scanner();
        let files: Vec<_> = files.iter().filter(|(id, _)| ids.contains(id)).collect();
        let (tx, rx) = std::sync::mpsc::sync_channel(4);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let region = |_: &_| restore.region().expect("memory");
        let regions = std::sync::Mutex::new(files.iter().map(region).collect::<Vec<_>>());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let tx = tx.clone();
                let (files, next, regions) = (&files, &next, &regions);
                scope.spawn(move || {
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some((id, bytes)) = files.iter().rev().nth(i) else {
                            return;
                        };
                        let mut region = regions.lock().expect("lock").pop().expect("one each");
                        region.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
                        tx.send(scanner.scan(*id, region, bytes.len()))
                            .expect("received");
                    }
                });
            }
            drop(tx);
            for scanned in rx {
                restore.add(scanned);
            }
        });
        ids = restore.put_off();
    }
}

fn restart() {
    for size in [100, 300, 1000] {
        let mut node = Node::new(2048 * MB);
        node.keep = Some(std::collections::BTreeMap::new());
        let value = vec![0x5a; size];
        let n = 600 * MB / (52 + size);
        let mut random = Random(5);
        for i in 0..n as u64 {
            node.put(
                &key(i),
                &value,
                Deadline::after(START_MS, 3_600_000 + random.below(1_000_000)),
            );
        }
        for _ in 0..n / 4 {
            node.put(&key(random.below(n as u64)), &value, Deadline::NEVER);
        }
        node.store.seal();
        node.disk();
        let files = node.keep.take().expect("kept");
        let bytes: usize = files.values().map(Vec::len).sum();
        let live = node.store.len(Db::ZERO);
        drop(node);
        let config = StoreConfig {
            memory_bytes: 2048 * MB,
            sync: SyncMode::EverySecond,
            seed: 9,
        };
        let start = Instant::now();
        let mut restore = Restore::new(config, Tuning::default(), Box::new(HeapPages));
        read_all(&mut restore, &files.into_iter().collect::<Vec<_>>());
        let (store, report) = restore.finish(START_MS);
        let took = start.elapsed();
        assert_eq!(store.len(Db::ZERO), live, "{report:?}");
        println!(
            "{size:5} B: {} MB in {took:.0?}, {:.2} GB/s, {} entries",
            bytes / MB,
            bytes as f64 / took.as_secs_f64() / 1e9,
            report.entries
        );
    }
}

/// How long the thread that serves is busy with what a leap tells, of a log as long as is looked through, nearly.
fn leap() {
    for (size, classes) in [(20, 1), (100, 1), (1_000, 1), (20, 8), (100, 8)] {
        let mut node = Node::new(1024 * MB);
        let n = 31 * MB / (size + 60);
        let value = vec![0x5a; size];
        let mut ends = Vec::new();
        for i in 0..n as u64 {
            let deadline = Deadline::after(START_MS, 3_600_000 << (i % classes));
            node.put(&key(i % 100_000), &value, deadline);
            ends.push(node.store.newest());
        }
        for behind in [1, 1_000, 10_000, 20_000, 40_000, 100_000, n - 1] {
            let Some(&from) = ends.iter().rev().nth(behind) else {
                continue;
            };
            let start = Instant::now();
            let leap = node.store.leap_from(from);
            let took = start.elapsed();
            let told = leap.map_or("none".into(), |leap| format!("{} bytes", leap.bytes.len()));
            println!(
                "{size:5} B, {classes} classes of expiry, {behind:6} of {n} behind: {took:.1?}, {told}"
            );
        }
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("memory") => memory(),
        Some("speed") => speed(),
        Some("restart") => restart(),
        Some("leap") => leap(),
        Some(_) | None => println!("memory, speed, restart or leap?"),
    }
}
