//! Whole runs, as the command line makes them, against a server in this process and against
//! `redis-server` where it is installed.

mod responder;

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench::BenchArgs;
use clap::Parser;
use responder::Responder;
use serde_json::Value;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: BenchArgs,
}

/// Runs `tenure bench` with these options and answers what it wrote as JSON.
fn bench(addr: SocketAddr, line: &str) -> (anyhow::Result<()>, Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("results.json");
    let line = format!("bench --addr {addr} --json {} {line}", file.display());
    let args = CommandLine::try_parse_from(line.split_whitespace()).expect(&line);
    let result = bench::run(args.args);
    let json = fs::read_to_string(file).unwrap_or_else(|_| "null".to_owned());
    (result, serde_json::from_str(&json).expect("JSON"))
}

fn results(addr: SocketAddr, line: &str) -> Value {
    let (result, json) = bench(addr, line);
    result.expect(line);
    json["results"].clone()
}

#[test]
fn plain_workloads_send_what_was_asked_for() {
    let (responder, addr) = Responder::start();
    for (workload, command) in [
        ("set", "SET"),
        ("get", "GET"),
        ("touch", "EXPIRE"),
        ("read", "SESSION.READ"),
        ("create", "SESSION.CREATE"),
        ("hset", "HSET"),
        ("hgetall", "HGETALL"),
    ] {
        let before = responder.seen(command);
        let line = format!("--workload {workload} -c 3 -d 4 --requests 600 --warmup 0 --keys 50");
        let figures = results(addr, &line);
        assert_eq!(figures["requests"], 600, "{workload}");
        assert_eq!(figures["latency"]["count"], 600, "{workload}");
        assert!(figures["per_second"].as_f64().expect("a rate") > 0.0);
        assert_eq!(responder.seen(command) - before, 600, "{workload}");
    }
}

#[test]
fn a_load_writes_each_key_before_the_run() {
    let (responder, addr) = Responder::start();
    let line = "--workload get --load --keys 500 -c 4 --requests 100 --warmup 0";
    assert_eq!(results(addr, line)["nils"], 0);
    assert_eq!(responder.seen("SET"), 500);
}

#[test]
fn sessions_are_opened_and_committed_in_turn() {
    let (responder, addr) = Responder::start();
    for line in ["-c 8 --keys 3", "-c 4 -d 8 --keys 64 --threads 2"] {
        let line = format!("--workload session --requests 1000 --warmup 0 {line}");
        let figures = results(addr, &line);
        assert_eq!(figures["errors"], serde_json::json!({}), "{line}");
        assert_eq!(figures["by_kind"].as_array().expect("kinds").len(), 2);
    }
    // What is opened is committed, even what is still held when the requests are used up.
    let opened = responder.seen("SESSION.OPEN");
    assert_eq!(opened, responder.seen("SESSION.COMMIT"));
    assert!((1_000..=1_000 + 8 + 32).contains(&opened), "{opened}");
}

#[test]
fn hand_overs_go_round_with_a_fair_server() {
    let (_responder, addr) = Responder::start();
    for workload in ["hold-contention", "hold-contention:commit"] {
        let line = format!("--workload {workload} -c 20 --seconds 0.5 --warmup 0.2");
        let figures = results(addr, &line);
        let count = figures["hand_over"]["count"].as_u64().expect("a count");
        assert!(count > 40, "{figures}");
        let most = figures["grants_most"].as_u64().expect("a count");
        let fewest = figures["grants_fewest"].as_u64().expect("a count");
        // Fair in the order in which its threads read, which is not quite the order of sending.
        assert!(most <= 2 * fewest + 2, "{figures}");
    }
}

#[test]
fn every_session_is_held_guarded_and_released() {
    let (responder, addr) = Responder::start();
    let figures = results(addr, "--workload hold-many --keys 2500 --threads 2");
    assert_eq!(figures["held"], 2_500);
    assert_eq!(
        (&figures["refused"], &figures["tried"]),
        (&1_000.into(), &1_000.into())
    );
    assert_eq!(figures["released"], 2_500);
    assert_eq!(responder.seen("SESSION.RELEASE"), 2_500);
}

#[test]
fn a_wave_is_watched_until_it_is_gone() {
    let (_responder, addr) = Responder::start();
    let line = "--workload expire-wave --keys 500 --background-keys 50 --rate 500";
    let figures = results(addr, line);
    let wave = &figures["wave"];
    let gone = wave["gone_after_first_deadline_s"].as_f64().expect("gone");
    assert!((0.9..1.5).contains(&gone), "{wave}");
    assert!(
        wave["before"]["count"].as_u64().expect("reads") > 500,
        "{wave}"
    );
    assert!(
        wave["during"]["count"].as_u64().expect("reads") > 500,
        "{wave}"
    );
    assert_eq!(figures["load"]["nils"], 0);
}

#[test]
fn memory_phases_report_what_is_alive() {
    let (_responder, addr) = Responder::start();
    let pid = std::process::id();
    let line = format!("--workload memory:W5 --live 300kb --server-pid {pid}");
    let figures = results(addr, &line);
    let phases = figures["phases"].as_array().expect("phases");
    let live: Vec<u64> = phases
        .iter()
        .map(|phase| phase["live_bytes"].as_u64().expect("bytes"))
        .collect();
    assert_eq!(live.len(), 3);
    assert!((290_000..=307_200).contains(&live[0]), "{live:?}");
    assert!((25_000..=36_000).contains(&live[1]), "{live:?}");
    assert!((290_000..=307_200).contains(&live[2]), "{live:?}");
    let (refused, _) = bench(addr, &line);
    let message = refused.expect_err("it is not empty any more").to_string();
    assert!(message.contains("must be empty"), "{message}");
}

#[test]
fn a_run_of_nothing_but_errors_fails() {
    let (_responder, addr) = Responder::start();
    let unknown = bench(
        addr,
        "--workload mixed:0 --requests 10 --warmup 0 --password x",
    );
    unknown.0.expect("SET is known");
    let (result, json) = bench(
        addr,
        "--workload hold-many --keys 10 --hold 1 --key-prefix q",
    );
    result.expect("holds are known");
    assert_eq!(json["failure"], Value::Null);
}

#[test]
fn a_missing_server_is_said_plainly() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port that is free again");
    let message = bench(addr, "").0.expect_err("nobody listens").to_string();
    assert!(message.contains("cannot connect to 127.0.0.1"), "{message}");
    assert!(message.contains("Is the server running"), "{message}");
}

/// A `redis-server` that ends with the test.
struct Redis {
    child: Child,
    addr: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Redis {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let addr = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port"])
            .arg(addr.port().to_string())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        while std::net::TcpStream::connect(addr).is_err() {
            assert!(matches!(child.try_wait(), Ok(None)), "redis-server ended");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Some(Self {
            child,
            addr,
            _directory: directory,
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The test is over whether or not it can be stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_is_loaded_and_measured() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let pid = redis.child.id();
    let line =
        format!("--workload mixed:50 --load --keys 1000 -d 8 --seconds 0.5 --server-pid {pid}");
    let figures = results(redis.addr, &line);
    assert_eq!(figures["nils"], 0);
    let server = &figures["server"];
    assert!(
        server["cpu_ns_per_request"].as_f64().expect("CPU") > 100.0,
        "{server}"
    );
    assert!(server["memory"]["resident"].as_u64().expect("bytes") > 1 << 20);

    let line =
        format!("--workload fill --keys 20000 --value-size 300 --key-prefix f: --server-pid {pid}");
    let fill = results(redis.addr, &line);
    assert_eq!(fill["load"]["requests"], 20_000);
    assert_eq!(fill["live_bytes"], 20_000 * (300 + 34));
    let each = fill["bytes_per_key"].as_f64().expect("bytes");
    assert!((300.0..700.0).contains(&each), "{fill}");

    let refused = bench(redis.addr, "--workload session --requests 100 --warmup 0");
    let message = refused.0.expect_err("Redis has no sessions").to_string();
    assert!(message.contains("unknown command"), "{message}");
    assert!(refused.1["failure"].is_string());
}
