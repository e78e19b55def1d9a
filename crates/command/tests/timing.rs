//! What is timed, and what the slow log may tell.

use std::sync::atomic::{AtomicU64, Ordering};

use command::{Arguments, Attempt, Clients, Scene, Server, Settings};
use model::{Now, Position};
use resp::{Limits, Parser};
use shard::{Shard, ShardSettings};
use store::{Store, StoreConfig, SyncMode};

const NOW: Now = Now {
    unix_ms: 1_767_225_600_000,
    mono_us: 1_000_000,
};

/// A clock by which every reading is twenty milliseconds after the one before.
fn stopwatch() -> u64 {
    static READINGS: AtomicU64 = AtomicU64::new(0);
    READINGS.fetch_add(1, Ordering::Relaxed) * 20_000_000
}

struct Rig {
    shard: Shard,
    server: Server,
    clients: Clients,
    connection: model::ConnectionId,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        let store = Store::new(StoreConfig {
            memory_bytes: 64 << 20,
            sync: SyncMode::None,
            seed: 7,
        });
        let mut clients = Clients::default();
        let connection = clients.add("10.0.0.1:5000".into(), "127.0.0.1:6379".into(), 0);
        clients.expect(connection).authenticated = true;
        Self {
            shard: Shard::new(store, Position::new(1, 1), ShardSettings::default()),
            server: Server::new(settings, [7; 32], NOW),
            clients,
            connection,
        }
    }

    fn run(&mut self, line: &str) -> String {
        let mut bytes = format!("{line}\n").into_bytes();
        let limits = Limits {
            arguments: 100,
            bulk_bytes: 1 << 20,
            authenticated: true,
        };
        let (mut spans, mut from) = (Vec::new(), 0);
        let parsed = Parser::default().next(&mut bytes, &mut from, &limits, &mut spans);
        assert!(parsed.is_ok_and(|command| command.is_some()));
        let arguments = Arguments::new(&bytes, &spans);
        let scene = Scene {
            now: NOW,
            shard: &mut self.shard,
            others: &mut [],
            server: &mut self.server,
            clients: &mut self.clients,
            connection: self.connection,
        };
        let mut out = Vec::new();
        let prepared = command::prepare(arguments);
        command::execute(scene, prepared, arguments, Attempt::First, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

#[test]
fn the_slow_log_tells_no_session_and_no_secret() {
    let mut rig = Rig::new(Settings {
        stopwatch: Some(stopwatch),
        slowlog_slower_than_us: 0,
        ..Settings::default()
    });
    rig.run("SET sess:0123456789abcdefSECRETID value-of-the-session");
    rig.run("GET short-id");
    rig.run("AUTH default a-password");
    rig.run("CONFIG SET requirepass another-password");
    let told = rig.run("SLOWLOG GET -1");
    for secret in ["SECRETID", "value-of", "short-id", "password"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    for shown in [
        "sess:012... (29 bytes)",
        "(20 bytes)",
        "... (8 bytes)",
        "10.0.0.1:5000",
        "config",
    ] {
        assert!(told.contains(shown), "no {shown} in {told}");
    }
    assert!(told.starts_with("*3\r\n"), "AUTH is not kept: {told}");
    rig.run("SLOWLOG RESET");
    rig.run("CONFIG SET slowlog-max-len 2");
    (0..5).for_each(|_| drop(rig.run("PING")));
    assert_eq!(rig.run("SLOWLOG LEN"), ":2\r\n");
}

#[test]
fn commands_that_may_take_long_are_timed_each_time_and_others_by_sample() {
    let mut rig = Rig::new(Settings {
        stopwatch: Some(stopwatch),
        slowlog_slower_than_us: -1,
        ..Settings::default()
    });
    for _ in 0..640 {
        rig.run("PING");
        rig.run("KEYS *");
    }
    let histogram = rig.run("LATENCY HISTOGRAM keys ping");
    assert!(histogram.contains("calls\r\n:640\r\n"), "{histogram}");
    let timed = rig.server.stats.commands.iter().map(|c| c.latency.count());
    let pings = timed.sum::<u64>() - 640;
    assert!((1..=64).contains(&pings), "{pings} of 640 calls were timed");
    let stats = rig.run("INFO commandstats");
    assert!(
        stats.contains("cmdstat_keys:calls=640,usec=12800000,"),
        "{stats}"
    );
    assert_eq!(rig.run("SLOWLOG LEN"), ":0\r\n");
    rig.run("CONFIG RESETSTAT");
    assert_eq!(rig.run("LATENCY HISTOGRAM keys"), "*0\r\n");
}
