//! The memory of a process is one number, whatever other nodes and clients do not read.

use std::thread;
use std::time::{Duration, Instant};

use super::rig::Cluster;
use crate::running::{Running, between};
use crate::wire::Client;

/// What each node may use.
const MEMORY: &str = "128MiB";
const MEMORY_BYTES: u64 = 128 << 20;

/// The most that a process has had in memory of its own, since it is looked at: its code is shared with the others, and in a development build
/// is several times as large.
struct Peak(u64);

impl Peak {
    fn look(&mut self, node: &Running) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid()));
        let status = status.expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.expect("Linux tells it").parse().expect("a number");
        self.0 = self.0.max(kib * 1024);
    }
}

/// Overwrites large values through a forwarding port for a while, whatever becomes of each.
fn write_hard(forward: &str, writers: usize, span: Duration) -> u64 {
    let value = vec![b'v'; 64 << 10];
    let write = |writer: usize| {
        let mut client = Client::connect(forward);
        let (began, mut acknowledged) = (Instant::now(), 0);
        for n in 0.. {
            if began.elapsed() > span {
                break;
            }
            let key = format!("{writer}:{}", n % 16);
            let reply = client.call(&[b"SET", key.as_bytes(), &value]).unwrap();
            acknowledged += u64::from(reply.is_ok());
        }
        acknowledged
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..writers)
            .map(|n| scope.spawn(move || write(n)))
            .collect();
        writers.into_iter().map(|w| w.join().unwrap()).sum()
    })
}

/// A standby stands still under writes, so what is for it piles up; it goes on, and falls behind again. What primaries keep for it, on
/// the way and to be sent again, is part of the number.
#[test]
fn a_standby_that_stands_still_makes_nobody_exceed_its_memory() {
    let options = [
        "--memory",
        MEMORY,
        "--forward",
        "127.0.0.1:0",
        "--shards",
        "16",
    ];
    let cluster = Cluster::start(3, &options);
    cluster.settle();
    let forward = between(&cluster.nodes[&1].ready, "forward ", ")").to_owned();
    let mut peaks = [Peak(0), Peak(0)];
    let mut acknowledged = 0;
    for round in 0..4 {
        let signal = if round % 2 == 0 { "STOP" } else { "CONT" };
        cluster.nodes[&3].signal(signal);
        thread::scope(|scope| {
            let writing = scope.spawn(|| write_hard(&forward, 4, Duration::from_secs(3)));
            while !writing.is_finished() {
                peaks[0].look(&cluster.nodes[&1]);
                peaks[1].look(&cluster.nodes[&2]);
                thread::park_timeout(Duration::from_millis(10));
            }
            acknowledged += writing.join().unwrap();
        });
    }
    assert!(acknowledged > 1_000, "{acknowledged} writes are no load");
    for peak in peaks {
        assert!(peak.0 <= MEMORY_BYTES, "{} MiB", peak.0 >> 20);
    }
}
