//! What dispatch costs: looking a command up, and running GET and SET on keys that are in cache.
//!
//! `cargo run --release -p tenure-command --example dispatch_cost`
//!
//! Prints nanoseconds per command: the least of several rounds, as everything else that runs only adds to it. The
//! keys are few, so that the figures show the way to the store and back and not the memory's latency.

use std::time::Instant;

use command::{Arguments, Attempt, Clients, Scene, Server, Settings};
use model::{ConnectionId, Now, Position};
use resp::{Limits, Parser, Span};
use shard::{Shard, ShardSettings};
use store::{DiskEvent, Store, StoreConfig, SyncMode};

const NOW: Now = Now {
    unix_ms: 1_767_225_600_000,
    mono_us: 1_000_000,
};
const KEYS: usize = 256;
const ROUNDS: usize = 200;

struct Rig {
    shard: Shard,
    server: Server,
    clients: Clients,
    connection: ConnectionId,
    out: Vec<u8>,
}

/// Commands that were parsed before: the bytes, and the arguments of each.
struct Parsed {
    bytes: Vec<u8>,
    commands: Vec<Vec<Span>>,
}

fn parse(commands: &[Vec<Vec<u8>>]) -> Parsed {
    let mut bytes = Vec::new();
    for words in commands {
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    let limits = Limits {
        arguments: 1 << 10,
        bulk_bytes: 1 << 20,
        authenticated: true,
    };
    let (mut parser, mut from, mut spans) = (Parser::default(), 0, Vec::new());
    let mut parsed = Vec::new();
    while let Ok(Some(span)) = parser.next(&mut bytes, &mut from, &limits, &mut spans) {
        parsed.push(spans[span.first as usize..][..span.count as usize].to_vec());
        from = span.end;
    }
    Parsed {
        bytes,
        commands: parsed,
    }
}

impl Rig {
    fn new() -> Self {
        let store = Store::new(StoreConfig {
            memory_bytes: 256 << 20,
            sync: SyncMode::None,
            seed: 7,
        });
        let mut clients = Clients::default();
        let connection = clients.add("client".into(), "server".into(), 0);
        clients.expect(connection).authenticated = true;
        Self {
            shard: Shard::new(store, Position::new(1, 1), ShardSettings::default()),
            server: Server::new(Settings::default(), [7; 32], NOW),
            clients,
            connection,
            out: Vec::with_capacity(1 << 20),
        }
    }

    /// Does what the store asks of the disk, at once.
    fn settle(&mut self) {
        let mut ops = Vec::new();
        loop {
            self.shard.maintain(NOW, 1 << 20);
            self.shard.store_mut().take_disk_ops(&mut ops);
            if ops.is_empty() {
                break;
            }
            for op in ops.drain(..) {
                let event = DiskEvent { op, result: Ok(()) };
                self.shard.store_mut().disk_event(event);
            }
        }
        self.shard.advance_commit();
    }

    fn run(&mut self, parsed: &Parsed) {
        for spans in &parsed.commands {
            let arguments = Arguments::new(&parsed.bytes, spans);
            let prepared = command::prepare(arguments);
            let scene = Scene {
                now: NOW,
                shard: &mut self.shard,
                others: &mut [],
                server: &mut self.server,
                clients: &mut self.clients,
                connection: self.connection,
            };
            let ended = command::execute(scene, prepared, arguments, Attempt::First, &mut self.out);
            assert!(ended == command::Ended::Replied);
        }
        self.out.clear();
    }
}

/// The least time of a round, per command.
fn least_ns(commands: usize, mut round: impl FnMut() -> u64) -> f64 {
    let least = (0..ROUNDS).map(|_| round()).min();
    least.unwrap_or(0) as f64 / commands as f64
}

// An example measures; the core is told the time.
#[allow(clippy::disallowed_methods)]
fn timed(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as u64
}

fn main() {
    let key = |i: usize| format!("sess:{i:032x}").into_bytes();
    let word = |text: &str| text.as_bytes().to_vec();
    let each =
        |make: &dyn Fn(usize) -> Vec<Vec<u8>>| parse(&(0..KEYS).map(make).collect::<Vec<_>>());
    let value = vec![b'v'; 100];
    let set = each(&|i| vec![word("SET"), key(i), value.clone()]);
    let set_ex = each(&|i| vec![word("SET"), key(i), value.clone(), word("EX"), word("3600")]);
    let cases = [
        ("SET", &set),
        ("SET EX", &set_ex),
        ("GET", &each(&|i| vec![word("GET"), key(i)])),
        (
            "EXPIRE",
            &each(&|i| vec![word("EXPIRE"), key(i), word("3600")]),
        ),
        ("EXISTS", &each(&|i| vec![word("EXISTS"), key(i)])),
        ("PING", &each(&|_| vec![word("PING")])),
    ];
    let mut rig = Rig::new();
    rig.settle();
    rig.run(&set);
    for (name, parsed) in cases {
        let lookup = least_ns(KEYS, || {
            timed(|| {
                for spans in &parsed.commands {
                    let arguments = Arguments::new(&parsed.bytes, spans);
                    core::hint::black_box(command::prepare(core::hint::black_box(arguments)));
                }
            })
        });
        let whole = least_ns(KEYS, || {
            let ns = timed(|| rig.run(parsed));
            rig.settle();
            ns
        });
        #[allow(clippy::print_stdout)]
        {
            println!("{name:<8} look up {lookup:>5.1} ns, look up and run {whole:>6.1} ns");
        }
    }
}
