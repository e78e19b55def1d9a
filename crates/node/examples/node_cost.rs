//! What a request costs inside the node: bytes in, bytes out, no socket and no disk.
//!
//! `cargo run --release -p tenure-node --example node_cost -- [keys] [value bytes] [depth]`
//!
//! Prints nanoseconds per SET, GET and session hold, at the given pipeline depth. Together with the figures
//! of `scripts/compare` this tells how much of a request is ours and how much the kernel's.

use std::time::Instant;

use command::Settings;
use model::{ConnectionId, Now, Position};
use node::{Input, Node, Outbox};
use shard::{Shard, ShardSettings};
use store::{Store, StoreConfig, SyncMode};

const NOW: Now = Now {
    unix_ms: 1_767_225_600_000,
    mono_us: 1_000_000,
};

struct Rig {
    node: Node,
    outbox: Outbox,
    connection: ConnectionId,
}

impl Rig {
    fn new() -> Self {
        let store = Store::new(StoreConfig {
            memory_bytes: 4 << 30,
            sync: SyncMode::EverySecond,
            seed: 7,
        });
        let shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
        let mut node = Node::new(shard, Settings::default(), [7; 32], NOW);
        let mut outbox = Outbox::default();
        let input = Input::Accepted {
            address: "client".into(),
            local_address: "server".into(),
        };
        node.handle(NOW, input, &mut outbox);
        let connection = outbox
            .accepted
            .take()
            .and_then(Result::ok)
            .expect("a fresh node accepts");
        Self {
            node,
            outbox,
            connection,
        }
    }

    /// One turn: these bytes in, all replies out. Returns the bytes of the replies.
    fn turn(&mut self, bytes: &mut [u8]) -> usize {
        let connection = self.connection;
        self.node
            .handle(NOW, Input::Received { connection, bytes }, &mut self.outbox);
        self.node.handle(NOW, Input::EndOfTurn, &mut self.outbox);
        for task in std::mem::take(&mut self.outbox.disk) {
            self.node.handle(NOW, task.done(Ok(())), &mut self.outbox);
        }
        self.node.take_sendable(&mut self.outbox);
        self.outbox.send.clear();
        let sent = self.node.output(connection).len();
        self.node.handle(
            NOW,
            Input::Sent {
                connection,
                bytes: sent,
            },
            &mut self.outbox,
        );
        sent
    }
}

fn key(number: u64) -> String {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("sess:{:016x}{:016x}", spread, spread.rotate_left(17))
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Runs `commands` commands in pipelines of `depth` and prints the time of each.
fn measure(rig: &mut Rig, name: &str, commands: u64, depth: u64, make: impl Fn(u64, &mut Vec<u8>)) {
    let mut pipelines: Vec<Vec<u8>> = Vec::new();
    for first in (0..commands).step_by(depth as usize) {
        let mut bytes = Vec::new();
        (first..(first + depth).min(commands)).for_each(|number| make(number, &mut bytes));
        pipelines.push(bytes);
    }
    // An example measures; the core is told the time.
    #[allow(clippy::disallowed_methods)]
    let start = Instant::now();
    let replies: usize = pipelines.iter_mut().map(|bytes| rig.turn(bytes)).sum();
    let ns = start.elapsed().as_nanos() as f64 / commands as f64;
    #[allow(clippy::print_stdout)]
    {
        println!("{name:<24} {ns:>8.0} ns per command  ({replies} reply bytes)");
    }
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u64>().expect("numbers only"));
    let keys = numbers.next().unwrap_or(1_000_000);
    let value = vec![b'v'; numbers.next().unwrap_or(100) as usize];
    let depth = numbers.next().unwrap_or(16);
    let mut rig = Rig::new();
    let scattered = |number: u64| key(number.wrapping_mul(0x5851_f42d_4c95_7f2d) % keys);
    measure(&mut rig, "SET (new)", keys, depth, |n, out| {
        command(&[b"SET", key(n).as_bytes(), &value], out)
    });
    measure(&mut rig, "SET (over)", keys, depth, |n, out| {
        command(&[b"SET", scattered(n).as_bytes(), &value], out)
    });
    measure(&mut rig, "GET", keys, depth, |n, out| {
        command(&[b"GET", scattered(n).as_bytes()], out)
    });
    measure(&mut rig, "GET (absent)", keys, depth, |n, out| {
        command(&[b"GET", key(n + keys).as_bytes()], out)
    });
}
