//! Rounds of load, `kill -9`, restart, and a look at every key: nothing that was acknowledged may be lost, nothing that
//! was deleted or has expired may come back.
//!
//! `KILL9_ROUNDS=200 cargo test -p tenure --test process kill9` for a long run; `KILL9_SEED=...` replays the choices
//! (not the scheduling) of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::running::{Running, tenure};
use crate::wire::{Client, Reply, encode};

const WRITERS: u64 = 4;
const KEYS_PER_WRITER: u64 = 600;
const MODES: [&str; 3] = ["everysec", "none", "always"];

/// Small, seeded, good enough to choose with (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What a key may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Value(Vec<u8>),
    /// A value that is there for certain before the first time, and gone for certain from the second on
    /// (wall-clock milliseconds).
    Until(Vec<u8>, u64, u64),
}

impl State {
    fn allows(&self, seen: Option<&[u8]>, before_ms: u64, after_ms: u64) -> bool {
        match (self, seen) {
            (Self::Absent, None) => true,
            (Self::Value(value), Some(seen)) => value == seen,
            (Self::Until(value, _, gone), Some(seen)) => value == seen && before_ms < *gone,
            (Self::Until(_, there, _), None) => after_ms >= *there,
            (Self::Absent, Some(_)) | (Self::Value(_), None) => false,
        }
    }
}

/// One writer's keys: what is acknowledged, and what was sent after that.
#[derive(Default)]
struct Ledger {
    keys: BTreeMap<Vec<u8>, (Option<State>, Vec<State>)>,
}

impl Ledger {
    fn sent(&mut self, key: &[u8], state: State) {
        self.keys.entry(key.to_vec()).or_default().1.push(state);
    }

    fn acknowledged(&mut self, key: &[u8], now_ms: u64) {
        let (known, sent) = self.keys.get_mut(key).expect("it was sent");
        let mut state = sent.remove(0);
        if let State::Until(_, there, gone) = &mut state {
            // The server took the time when it ran the command: between sending and now.
            *gone = *there + (now_ms - (*there - PX_MS));
        }
        *known = Some(state);
    }
}

/// Lifetime of what expires, in milliseconds: a few rounds see it alive, later ones gone.
const PX_MS: u64 = 1_500;

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

#[test]
fn nothing_acknowledged_is_lost() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let rounds = number("KILL9_ROUNDS").unwrap_or(6);
    let seed = number("KILL9_SEED").unwrap_or_else(unix_ms);
    println!("KILL9_SEED={seed} KILL9_ROUNDS={rounds}");
    let mut chance = Chance(seed);
    let dirs: Vec<_> = MODES.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let mut ledgers: Vec<Vec<Ledger>> = MODES
        .iter()
        .map(|_| (0..WRITERS).map(|_| Ledger::default()).collect())
        .collect();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mode = (round % 3) as usize;
        acknowledged += one_round(
            dirs[mode].path(),
            MODES[mode],
            &mut ledgers[mode],
            &mut chance,
        );
    }
    for mode in 0..MODES.len().min(rounds as usize) {
        let server = start(dirs[mode].path(), MODES[mode]);
        check(&server, MODES[mode], &mut ledgers[mode]);
    }
    println!("{acknowledged} writes were acknowledged");
    assert!(acknowledged > rounds * 100, "hardly anything was written");
}

fn start(dir: &Path, mode: &str) -> Running {
    Running::spawn(tenure(dir, &["--memory", "128MiB", "--sync", mode]).env("RUST_BACKTRACE", "1"))
}

/// Restart, look at everything, load, kill. Returns how many writes were acknowledged.
fn one_round(dir: &Path, mode: &str, ledgers: &mut [Ledger], chance: &mut Chance) -> u64 {
    if chance.below(4) == 0 {
        kill_while_starting(dir, mode, chance);
    }
    let server = start(dir, mode);
    check(&server, mode, ledgers);
    let acknowledged = AtomicU64::new(0);
    let end = Instant::now() + Duration::from_millis(20 + chance.below(300));
    std::thread::scope(|scope| {
        for (writer, ledger) in ledgers.iter_mut().enumerate() {
            let (server, acknowledged, seed) = (&server, &acknowledged, chance.next());
            scope.spawn(move || {
                let count = write_until_it_breaks(server, writer as u64, ledger, Chance(seed));
                acknowledged.fetch_add(count, Ordering::Relaxed);
            });
        }
        while Instant::now() < end {
            std::thread::yield_now();
        }
        server.signal(if chance.below(8) == 0 { "TERM" } else { "KILL" });
    });
    server.wait();
    acknowledged.into_inner()
}

/// A start that is cut short must leave everything as it was.
fn kill_while_starting(dir: &Path, mode: &str, chance: &mut Chance) {
    let mut child = tenure(dir, &["--memory", "128MiB", "--sync", mode])
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_millis(chance.below(60));
    while Instant::now() < end {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn write_until_it_breaks(
    server: &Running,
    writer: u64,
    ledger: &mut Ledger,
    mut chance: Chance,
) -> u64 {
    let mut acknowledged = 0;
    let Ok(mut client) = Client::try_connect(&server.address) else {
        return 0;
    };
    loop {
        let mut pipeline = Vec::new();
        let mut keys = Vec::new();
        for _ in 0..=chance.below(16) {
            let key = format!("w{writer}:{}", chance.below(KEYS_PER_WRITER)).into_bytes();
            let (state, command) = choose(&key, &mut chance);
            ledger.sent(&key, state);
            pipeline.extend_from_slice(&command);
            keys.push(key);
        }
        if client.send(&pipeline).is_err() {
            return acknowledged;
        }
        for key in keys {
            match client.reply() {
                Ok(Reply::Error(text)) => {
                    let (_, metrics) = server.http("/metrics");
                    let telling = |line: &&str| {
                        line.starts_with("tenure_memory")
                            || line.starts_with("tenure_log")
                            || line.starts_with("tenure_seg")
                            || line.starts_with("tenure_cleaner")
                    };
                    let shown: Vec<_> = metrics.lines().filter(telling).collect();
                    panic!(
                        "a write was refused: {text}\n{}\n{}",
                        shown.join("\n"),
                        server.log()
                    );
                }
                Ok(_) => ledger.acknowledged(&key, unix_ms()),
                Err(_) => return acknowledged,
            }
            acknowledged += 1;
        }
    }
}

/// A command, and what the key holds after it.
fn choose(key: &[u8], chance: &mut Chance) -> (State, Vec<u8>) {
    let mut value = format!("{:016x}:", chance.next()).into_bytes();
    value.extend_from_slice(key);
    value.resize(value.len() + chance.below(4000) as usize, b'.');
    match chance.below(10) {
        0 => (State::Absent, encode(&[b"DEL", key])),
        1 | 2 => {
            let px = PX_MS.to_string();
            let command = encode(&[b"SET", key, &value, b"PX", px.as_bytes()]);
            (State::Until(value, unix_ms() + PX_MS, u64::MAX), command)
        }
        _ => {
            let command = encode(&[b"SET", key, &value]);
            (State::Value(value), command)
        }
    }
}

/// Every key holds what was acknowledged last, or what was sent after that and may have been done.
fn check(server: &Running, mode: &str, ledgers: &mut [Ledger]) {
    let mut client = server.client();
    for ledger in ledgers {
        for (key, (known, sent)) in &mut ledger.keys {
            let before_ms = unix_ms();
            let reply = client.call(&[b"GET", key]);
            let seen = match reply.unwrap_or_else(|error| unserved(server, mode, &error)) {
                Reply::Bulk(seen) => seen,
                other @ (Reply::Status(_)
                | Reply::Error(_)
                | Reply::Integer(_)
                | Reply::Array(_)) => panic!("{other:?}"),
            };
            let after_ms = unix_ms();
            let seen = seen.as_deref();
            let nothing = State::Absent;
            let allowed = std::iter::once(known.as_ref().unwrap_or(&nothing)).chain(sent.iter());
            let matching = allowed
                .clone()
                .rfind(|state| state.allows(seen, before_ms, after_ms));
            let Some(state) = matching else {
                let shown = seen.map(|value| {
                    String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned()
                });
                let allowed: Vec<_> = allowed.map(brief).collect();
                panic!(
                    "sync {mode}: {} holds {shown:?} at {before_ms}, which is none of {allowed:?}\n{}",
                    String::from_utf8_lossy(key),
                    server.log()
                );
            };
            *known = Some(state.clone());
            sent.clear();
        }
    }
}

/// The server has gone without being asked to: shows its last words.
fn unserved(server: &Running, mode: &str, error: &std::io::Error) -> Reply {
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        std::thread::yield_now();
    }
    panic!(
        "sync {mode}: a read failed: {error}; the log:\n{}",
        server.log()
    );
}

fn brief(state: &State) -> String {
    let short = |value: &[u8]| String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
    match state {
        State::Absent => "nothing".into(),
        State::Value(value) => short(value),
        State::Until(value, there, gone) => format!("{} until {there}..{gone}", short(value)),
    }
}
