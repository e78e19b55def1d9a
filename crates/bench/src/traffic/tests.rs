use clap::Parser;

use super::churn::{Churning, Phase};
use super::confirmed::Confirmed;
use super::contention::Contention;
use super::fill::{Fill, Part};
use super::keyed::Keyed;
use super::session::Sessions;
use super::*;
use crate::args::{BenchArgs, Confirm, Ending, Operation, Workload};
use crate::keys::KeyNames;
use crate::reply::ReplyKind;
use crate::size::SizeRange;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: BenchArgs,
}

fn args(line: &str) -> BenchArgs {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    CommandLine::try_parse_from(words).expect(line).args
}

/// The next request of `connection`, as its arguments.
fn next(traffic: &mut impl Traffic, connection: usize, now: u64) -> Option<Vec<String>> {
    let mut out = Vec::new();
    traffic.next_request(connection, now, &mut out)?;
    let text = String::from_utf8(out).expect("requests are text");
    let mut lines = text.split_terminator("\r\n");
    let count: usize = lines.next()?.strip_prefix('*')?.parse().expect("a count");
    let mut arguments = Vec::new();
    while let (Some(length), Some(argument)) = (lines.next(), lines.next()) {
        assert_eq!(length, format!("${}", argument.len()));
        arguments.push(argument.to_owned());
    }
    assert_eq!(arguments.len(), count, "{text}");
    Some(arguments)
}

fn granted(fence: i64) -> Reply<'static> {
    Reply {
        kind: ReplyKind::Array,
        number: Some(fence),
        error: b"",
    }
}

const OK: Reply<'static> = Reply {
    kind: ReplyKind::Status,
    number: None,
    error: b"",
};

const HELD: Reply<'static> = Reply {
    kind: ReplyKind::Error,
    number: None,
    error: b"HELD 100",
};

#[test]
fn the_same_seed_sends_the_same_bytes() {
    for workload in [
        "set", "get", "mixed:50", "touch", "read", "create", "hset", "hgetall",
    ] {
        let line = format!("--workload {workload} --value-size 10-200 --distribution zipf --ttl 5");
        let bytes = |line: &str, worker| {
            let args = args(line);
            let Workload::Keyed(operation) = args.workload else {
                panic!("{workload} is keyed");
            };
            let mut traffic = Keyed::new(&args, operation, worker);
            let mut out = Vec::new();
            for connection in 0..200 {
                traffic
                    .next_request(connection, 0, &mut out)
                    .expect("endless");
            }
            out
        };
        let other_seed = format!("{line} --seed 2");
        assert_eq!(bytes(&line, 0), bytes(&line, 0), "{workload}");
        assert_ne!(bytes(&line, 0), bytes(&line, 1), "{workload}");
        assert_ne!(bytes(&line, 0), bytes(&other_seed, 0), "{workload}");
    }
}

#[test]
fn a_mixture_holds_its_percentage() {
    let args = args("--keys 10");
    let mut traffic = Keyed::new(&args, Operation::Mixed(80), 0);
    let mut out = Vec::new();
    let reads = (0..100_000)
        .filter(|_| traffic.next_request(0, 0, &mut out) == Some(0))
        .count();
    assert!((79_000..81_000).contains(&reads), "{reads}");
}

#[test]
fn keyed_requests_read_as_they_should() {
    let args = args("--keys 1 --value-size 3 --ttl 60 --fields 1");
    let first = |operation| next(&mut Keyed::new(&args, operation, 0), 0, 0).expect("endless");
    let set = first(Operation::Set);
    assert_eq!((set[0].as_str(), set[2].len()), ("SET", 3));
    assert_eq!(set[3..], ["EX", "60"]);
    assert_eq!(first(Operation::Get)[..1], ["GET"]);
    assert_eq!(first(Operation::Touch)[2], "60");
    assert_eq!(first(Operation::Hset)[2], "field0");
    let create = first(Operation::Create);
    assert_eq!(
        create[..6],
        ["SESSION.CREATE", "IDLE", "60000", "FIELDS", "1", "data"]
    );
}

#[test]
fn a_wait_follows_each_write_or_all_of_a_batch() {
    let args = args("--keys 10 --depth 4");
    let kinds = |confirm| {
        let mut traffic = Confirmed::new(&args, confirm, 0);
        let mut out = Vec::new();
        (0..8)
            .filter_map(|_| traffic.next_request(0, 0, &mut out))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(Confirm::Each), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(kinds(Confirm::Batch), [0, 0, 0, 1, 0, 0, 0, 1]);
    let mut traffic = Confirmed::new(&args, Confirm::Each, 0);
    next(&mut traffic, 0, 0);
    let wait = next(&mut traffic, 0, 0).expect("endless");
    assert_eq!(wait, ["WAIT", "1", "1000"]);
}

#[test]
fn a_fill_writes_every_key_once_between_its_workers() {
    let args = args("--workload fill --keys 101 --value-size 1-9");
    let mut seen = std::collections::BTreeSet::new();
    for worker in 0..3 {
        let mut fill = Fill::texts(&args, Part::new(0, 101, worker, 3));
        while let Some(request) = next(&mut fill, 0, 0) {
            assert!(seen.insert(request[1].clone()), "{request:?} twice");
        }
    }
    assert_eq!(seen.len(), 101);
}

#[test]
fn a_fill_of_hashes_gives_each_its_expiry() {
    let args = args("--workload hgetall --keys 2 --fields 3 --ttl 9");
    let mut fill = Fill::hashes(&args, Part::new(0, 2, 0, 1));
    let requests: Vec<_> = std::iter::from_fn(|| next(&mut fill, 0, 0)).collect();
    let names: Vec<_> = requests.iter().map(|request| request[0].as_str()).collect();
    assert_eq!(names, ["HSET", "EXPIRE", "HSET", "EXPIRE"]);
    assert_eq!(requests[0].len(), 8);
    assert_eq!(requests[0][1], requests[1][1]);
}

#[test]
fn a_wave_expires_within_its_second() {
    let args = args("--workload expire-wave --keys 1000");
    let mut fill = Fill::wave(&args, Part::new(0, 1000, 0, 1), 7_000);
    let deadlines: Vec<u64> = std::iter::from_fn(|| next(&mut fill, 0, 0))
        .map(|request| {
            assert_eq!(request[3], "PXAT");
            request[4].parse().expect("a time")
        })
        .collect();
    assert_eq!(deadlines.len(), 1000);
    assert!(deadlines.iter().all(|at| (7_000..8_000).contains(at)));
    assert!(deadlines.iter().filter(|&&at| at < 7_100).count() > 50);
}

#[test]
fn a_session_is_committed_with_the_fence_it_was_opened_with() {
    let args = args("--workload session --keys 5 --value-size 2 --hold 100 --wait 50");
    let mut sessions = Sessions::new(&args, 0, 0);
    let open = next(&mut sessions, 3, 0).expect("endless");
    assert_eq!(open[0], "SESSION.OPEN");
    assert_eq!(open[2..], ["HOLD", "100", "WAIT", "50", "CREATE"]);
    sessions.take_reply(3, 0, 0, &granted(77));
    let commit = next(&mut sessions, 3, 0).expect("endless");
    assert_eq!(commit[..3], ["SESSION.COMMIT", &open[1], "77"]);
    assert_eq!(commit[3..6], ["SET", "1", "data"]);
    sessions.take_reply(3, 1, 0, &OK);
    assert_eq!(
        next(&mut sessions, 3, 0).expect("endless")[0],
        "SESSION.OPEN"
    );
    sessions.take_reply(3, 0, 0, &HELD);
    assert_eq!(
        next(&mut sessions, 3, 0).expect("endless")[0],
        "SESSION.OPEN"
    );
}

#[test]
fn pipelined_sessions_never_wait_for_one_another() {
    let args = args("--workload session --keys 40 --connections 4 --depth 10 --distribution zipf");
    let mut sessions = Sessions::new(&args, 0, 0);
    let mut opened = std::collections::BTreeSet::new();
    for connection in 0..4 {
        for _ in 0..10 {
            let open = next(&mut sessions, connection, 0).expect("endless");
            assert!(
                opened.insert(open[1].clone()),
                "{} is opened twice",
                open[1]
            );
        }
    }
}

#[test]
fn hand_overs_are_timed_and_overtaking_is_noticed() {
    let args = args("--workload hold-contention --connections 3");
    let mut line = Contention::new(&args, Ending::Release);
    for (connection, now) in [(0, 100), (1, 200), (2, 300)] {
        let open = next(&mut line, connection, now).expect("endless");
        assert_eq!(open[0], "SESSION.OPEN");
    }
    line.take_reply(0, 0, 1_000, &granted(1));
    let release = next(&mut line, 0, 1_000).expect("endless");
    assert_eq!(
        (release[0].as_str(), release[2].as_str()),
        ("SESSION.RELEASE", "1")
    );
    line.take_reply(0, 1, 1_500, &OK);
    assert_eq!(
        next(&mut line, 0, 1_500).expect("endless")[0],
        "SESSION.OPEN"
    );
    // Connection 1 asked 100 ns before connection 2 and is passed over.
    line.take_reply(2, 0, 1_700, &granted(2));
    assert_eq!(line.outcome.hand_over.len(), 1);
    assert_eq!(line.outcome.hand_over.max(), 700);
    assert_eq!(
        (line.outcome.overtakings, line.outcome.worst_overtaking_ns),
        (1, 100)
    );
    next(&mut line, 2, 2_000);
    line.take_reply(1, 0, 2_100, &granted(3));
    assert_eq!(line.outcome.overtakings, 1);
    assert_eq!(line.outcome.grants, [1, 1, 1]);
}

#[test]
fn whoever_waited_too_long_asks_again() {
    let args = args("--workload hold-contention --connections 2");
    let mut line = Contention::new(&args, Ending::Commit);
    next(&mut line, 0, 1);
    next(&mut line, 1, 2);
    line.take_reply(1, 0, 50, &HELD);
    assert_eq!(next(&mut line, 1, 50).expect("endless")[0], "SESSION.OPEN");
    line.take_reply(0, 0, 60, &granted(9));
    let commit = next(&mut line, 0, 60).expect("endless");
    assert_eq!(
        (commit[0].as_str(), commit[2].as_str()),
        ("SESSION.COMMIT", "9")
    );
    line.take_reply(1, 0, 90, &granted(10));
    assert_eq!(line.outcome.hand_over.max(), 30);
    assert_eq!(line.outcome.overtakings, 0);
}

/// Runs a phase against a model of the server and checks that deletes only hit what is alive.
fn churn(
    churning: &mut Churning,
    phase: Phase,
    alive: &mut std::collections::BTreeMap<String, usize>,
) {
    churning.begin(phase);
    let mut connection = 0;
    let mut idle = 0;
    while idle < 3 {
        connection = (connection + 1) % 3;
        match next(churning, connection, 0) {
            None => idle += 1,
            Some(request) if request[0] == "SET" => {
                idle = 0;
                let bytes = request[1].len() + request[2].len();
                assert_eq!(alive.insert(request[1].clone(), bytes), None);
            }
            Some(request) => {
                idle = 0;
                assert!(alive.remove(&request[1]).is_some(), "{request:?}");
            }
        }
        let bytes: usize = alive.values().sum();
        assert!(bytes <= 30_000, "{bytes} alive");
    }
    let bytes: usize = alive.values().sum();
    assert_eq!(churning.live(), (alive.len() as u64, bytes as u64));
}

#[test]
fn churn_keeps_to_its_limit_and_to_what_is_alive() {
    let names = KeyNames::new("", 20);
    let mut churning = Churning::new(names, 150, 30_000, 3, 5);
    let mut alive = std::collections::BTreeMap::new();
    let sizes = SizeRange { low: 50, high: 150 };
    churn(
        &mut churning,
        Phase::Write {
            sizes,
            bytes: 90_000,
        },
        &mut alive,
    );
    let before = alive.len();
    assert!(churning.live().1 > 29_000, "{:?}", churning.live());
    churn(&mut churning, Phase::Delete { percentage: 90 }, &mut alive);
    assert!(
        alive.len() <= before / 10 + 3 && alive.len() >= before / 10,
        "{}",
        alive.len()
    );
    churn(
        &mut churning,
        Phase::Grow {
            sizes,
            bytes: 90_000,
        },
        &mut alive,
    );
    assert!(churning.live().1 > 29_000, "{:?}", churning.live());
}
