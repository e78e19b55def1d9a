//! A whole node, fed with bytes by two clients.

use command::Settings;
use model::{ConnectionId, Now, Position};
use node::{Input, Node, Outbox};
use shard::{Shard, ShardSettings};
use sim::reply::Reply;
use store::{Store, StoreConfig, SyncMode};

/// Whatever clients send, the node lives, its store is in order, and all that it answers are whole replies. A byte 0xff
/// in the input changes to the other client, and lets a second pass.
///
/// # Panics
/// If not.
pub fn node(bytes: &[u8]) {
    let mut stage = Stage::new();
    for (turn, part) in bytes.split(|&byte| byte == 0xff).take(64).enumerate() {
        stage.pass_a_second();
        stage.send(turn % 2, part);
    }
    stage.node.shard().store().check();
}

struct Stage {
    node: Node,
    now: Now,
    clients: [Option<ConnectionId>; 2],
}

impl Stage {
    fn new() -> Self {
        let now = Now {
            unix_ms: 1_767_225_600_000,
            mono_us: 1_000_000,
        };
        let store = Store::new(StoreConfig {
            memory_bytes: 64 << 20,
            sync: SyncMode::EverySecond,
            seed: 7,
        });
        let shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
        Self {
            node: Node::new(shard, Settings::default(), [7; 32], now),
            now,
            clients: [None; 2],
        }
    }

    fn pass_a_second(&mut self) {
        self.now.unix_ms += 1_000;
        self.now.mono_us += 1_000_000;
    }

    fn connect(&mut self) -> ConnectionId {
        let mut outbox = Outbox::default();
        let accepted = Input::Accepted {
            address: "10.0.0.1:1".into(),
            local_address: "10.0.0.2:6379".into(),
        };
        self.node.handle(self.now, accepted, &mut outbox);
        let accepted = outbox.accepted.expect("an answer");
        accepted.expect("two connections are not too many")
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        let connection = match self.clients[client] {
            Some(connection) => connection,
            None => self.connect(),
        };
        self.clients[client] = Some(connection);
        let mut bytes = bytes.to_vec();
        let mut outbox = Outbox::default();
        let received = Input::Received {
            connection,
            bytes: &mut bytes,
        };
        self.node.handle(self.now, received, &mut outbox);
        self.finish_turn(outbox);
    }

    /// On a disk that does everything at once.
    fn finish_turn(&mut self, mut outbox: Outbox) {
        self.node.handle(self.now, Input::EndOfTurn, &mut outbox);
        while !outbox.disk.is_empty() {
            for task in std::mem::take(&mut outbox.disk) {
                self.node.handle(self.now, task.done(Ok(())), &mut outbox);
            }
            self.node.handle(self.now, Input::EndOfTurn, &mut outbox);
        }
        self.node.take_sendable(&mut outbox);
        for connection in std::mem::take(&mut outbox.send) {
            let bytes = self.node.output(connection).len();
            whole_replies(self.node.output(connection));
            let sent = Input::Sent { connection, bytes };
            self.node.handle(self.now, sent, &mut outbox);
        }
        for closed in outbox.close {
            for client in &mut self.clients {
                client.take_if(|connection| *connection == closed);
            }
        }
    }
}

fn whole_replies(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match Reply::parse(bytes) {
            Ok(Some((_, len))) => bytes = &bytes[len..],
            Ok(None) => panic!("half a reply: {:?}", String::from_utf8_lossy(bytes)),
            Err(wrong) => panic!("no reply: {wrong}"),
        }
    }
}
