//! What holds cost, without sockets: handing a session over along a line of waiters, many sessions held at once, and
//! the check that every plain write pays.
//!
//! `cargo run --release -p tenure-shard --example hold_cost`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use model::{ConnectionId, Db, Now, Position};
use shard::sessions::{Caller, Commit, Open, Opened, Terms, ValueChange};
use shard::{Attempt, FieldChange, Shard, ShardSettings};
use store::{DiskEvent, Store, StoreConfig, SyncMode};

const WAITERS: u64 = 1_000;
const HELD: u32 = 100_000;
const HOLD_MS: u64 = 60_000;

fn now() -> Now {
    Now {
        unix_ms: 1_800_000_000_000,
        mono_us: 0,
    }
}

fn caller(connection: u64) -> Caller {
    Caller {
        now: now(),
        connection: ConnectionId(connection),
        db: Db::ZERO,
    }
}

/// The disk does everything at once.
fn pump(shard: &mut Shard) {
    let mut ops = Vec::new();
    shard.store_mut().take_disk_ops(&mut ops);
    for op in ops {
        shard
            .store_mut()
            .disk_event(DiskEvent { op, result: Ok(()) });
    }
    shard.advance_commit();
}

#[allow(clippy::disallowed_methods)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64() * 1e9)
}

fn open(wait_ms: u64) -> Open<'static> {
    Open {
        hold_ms: Some(HOLD_MS),
        wait_ms,
        create: true,
        terms: Terms {
            idle_ms: Some(HOLD_MS),
            ..Terms::default()
        },
    }
}

/// Everybody in a line commits in turn: the time from a commit to the next one's fence.
fn hand_over(shard: &mut Shard) {
    let first = shard.open_session(caller(0), b"line", &open(0), Attempt::First);
    let Ok(Opened::Open(mut fence)) = first else {
        panic!("{first:?}");
    };
    for connection in 1..=WAITERS {
        let waits = shard.open_session(caller(connection), b"line", &open(HOLD_MS), Attempt::First);
        assert_eq!(waits, Ok(Opened::Waits));
    }
    let mut took = Vec::new();
    for turn in 1..=WAITERS {
        let value = turn.to_le_bytes();
        let changes = [FieldChange::Set(b"turn", &value)];
        let commit = Commit {
            change: ValueChange::Fields(&changes),
            idle_ms: None,
            keep_ms: None,
        };
        let (next, ns) = timed(|| {
            shard
                .commit_session(caller(turn - 1), b"line", fence, &commit)
                .unwrap();
            let woken = shard.take_woken();
            assert_eq!(woken, [(ConnectionId(turn), Attempt::Woken)]);
            shard
                .open_session(caller(turn), b"line", &open(HOLD_MS), Attempt::Woken)
                .unwrap()
        });
        let Opened::Open(granted) = next else {
            panic!("{next:?}");
        };
        fence = granted;
        took.push(ns);
        pump(shard);
    }
    shard
        .release_session(caller(WAITERS), b"line", fence)
        .unwrap();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize] / 1e3;
    println!(
        "hand-over along {WAITERS} waiters: p50 {:.2} us, p99 {:.2} us, max {:.2} us",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn many_held(shard: &mut Shard) {
    let ids: Vec<[u8; 12]> = (0..HELD)
        .map(|n| {
            let mut id = *b"session:0000";
            id[8..].copy_from_slice(&n.to_le_bytes());
            id
        })
        .collect();
    let each = |ns: f64| ns / f64::from(HELD);
    let mut fences = Vec::new();
    let (_, ns) = timed(|| {
        for id in &ids {
            match shard.open_session(caller(1), id, &open(0), Attempt::First) {
                Ok(Opened::Open(fence)) => fences.push(fence),
                other => panic!("{other:?}"),
            }
            pump(shard);
        }
    });
    println!("{HELD} sessions made and held: {:.0} ns each", each(ns));
    let (_, ns) = timed(|| {
        for id in &ids {
            let refused = shard.check_write(now(), ConnectionId(2), Db::ZERO, id, true);
            assert!(refused.is_err());
        }
    });
    println!("  a plain write to one of them refused: {:.0} ns", each(ns));
    let (_, ns) = timed(|| {
        for id in &ids {
            let passed = shard.check_write(now(), ConnectionId(2), Db::ZERO, &id[1..], true);
            assert!(passed.is_ok());
        }
    });
    println!(
        "  a plain write to another key let pass: {:.0} ns",
        each(ns)
    );
    let (_, ns) = timed(|| {
        for (id, fence) in ids.iter().zip(&fences) {
            shard.release_session(caller(1), id, *fence).unwrap();
            pump(shard);
        }
    });
    println!("  released: {:.0} ns each", each(ns));
    let (_, ns) = timed(|| {
        for id in &ids {
            let passed = shard.check_write(now(), ConnectionId(2), Db::ZERO, id, true);
            assert!(passed.is_ok());
        }
    });
    println!(
        "nothing held: the check of a plain write: {:.1} ns",
        each(ns)
    );
}

fn main() {
    let store = Store::new(StoreConfig {
        memory_bytes: 512 << 20,
        sync: SyncMode::EverySecond,
        seed: 7,
    });
    let mut shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
    hand_over(&mut shard);
    many_held(&mut shard);
}
