//! A node alone, its clients and its files, driven turn by turn as the server's loop does it.

use command::Settings;
use model::{ConnectionId, Now, Position};
use node::{Input, Node, Outbox};
use shard::{Shard, ShardSettings};
use store::SyncMode;

use crate::files::Files;

/// A command as clients send it.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// When everything begins.
pub const NOW: Now = Now {
    unix_ms: 1_767_225_600_000,
    mono_us: 1_000_000,
};

/// See the module.
pub struct Served {
    pub node: Node,
    pub files: Files,
    /// When everything happens.
    pub now: Now,
    /// By client.
    pub connections: Vec<ConnectionId>,
    /// What the node asked for and did not get yet.
    outbox: Outbox,
}

impl Served {
    pub fn new(clients: usize, sync: SyncMode) -> Self {
        Self::with(clients, sync, Settings::default())
    }

    pub fn with(clients: usize, sync: SyncMode, settings: Settings) -> Self {
        let files = Files::new(sync);
        let shard = Shard::new(
            files.empty_store(),
            Position::new(1, 1),
            ShardSettings::default(),
        );
        let node = Node::new(shard, settings, [7; 32], NOW);
        let mut served = Self {
            node,
            files,
            now: NOW,
            connections: Vec::new(),
            outbox: Outbox::default(),
        };
        for client in 0..clients {
            served.handle(Input::Accepted {
                address: format!("127.0.0.1:{}", 50_000 + client),
                local_address: "127.0.0.1:6379".into(),
            });
            let accepted = served.outbox.accepted.take().expect("the node answers");
            served.connections.push(accepted.expect("the node accepts"));
        }
        served
    }

    pub fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.outbox);
    }

    pub fn received(&mut self, client: usize, bytes: &[u8]) {
        let (connection, mut bytes) = (self.connections[client], bytes.to_vec());
        self.handle(Input::Received {
            connection,
            bytes: &mut bytes,
        });
    }

    /// Ends the turn; the disk does nothing.
    pub fn end_turn(&mut self) {
        self.handle(Input::EndOfTurn);
    }

    /// The disk does all that it is asked for, turn after turn.
    pub fn disk_works(&mut self) {
        while !self.outbox.disk.is_empty() {
            self.asked_disk_works();
            self.handle(Input::EndOfTurn);
        }
    }

    /// The disk does what it was asked for in this turn.
    pub fn asked_disk_works(&mut self) {
        for task in std::mem::take(&mut self.outbox.disk) {
            self.files.done(&self.node, &task);
            self.handle(task.done(Ok(())));
        }
    }

    /// Takes what may be sent.
    pub fn sent(&mut self) -> Vec<(ConnectionId, Vec<u8>)> {
        self.node.take_sendable(&mut self.outbox);
        let mut answers = Vec::new();
        for connection in std::mem::take(&mut self.outbox.send) {
            let bytes = self.node.output(connection).to_vec();
            self.handle(Input::Sent {
                connection,
                bytes: bytes.len(),
            });
            answers.push((connection, bytes));
        }
        answers
    }

    /// Whom the node has closed.
    pub fn closed(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.outbox.close)
    }

    /// Whom the node wants to read from again.
    pub fn wanted(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.outbox.read)
    }
}
