//! Looking ahead changes nothing: two nodes get the same bytes, one looks at them first, and both answer the same.

use command::Settings;
use model::{ConnectionId, Now, Position};
use node::{Input, Node, Outbox};
use shard::{Shard, ShardSettings};
use store::SyncMode;

#[path = "support/files.rs"]
mod files;

use files::Files;

const CONNECTIONS: usize = 40;
const ROUNDS: usize = 60;

const NOW: Now = Now {
    unix_ms: 1_767_225_600_000,
    mono_us: 1_000_000,
};

struct Served {
    node: Node,
    files: Files,
    connections: Vec<ConnectionId>,
}

impl Served {
    fn new() -> Self {
        let files = Files::new(SyncMode::None);
        let shard = Shard::new(
            files.empty_store(),
            Position::new(1, 1),
            ShardSettings::default(),
        );
        let node = Node::new(shard, Settings::default(), [7; 32], NOW);
        let mut served = Self {
            node,
            files,
            connections: Vec::new(),
        };
        for number in 0..CONNECTIONS {
            let outbox = served.handle(Input::Accepted {
                address: format!("127.0.0.1:{}", 50_000 + number),
                local_address: "127.0.0.1:6379".into(),
            });
            let accepted = outbox.accepted.expect("the node answers");
            served.connections.push(accepted.expect("the node accepts"));
        }
        served
    }

    fn handle(&mut self, input: Input<'_>) -> Outbox {
        let mut outbox = Outbox::default();
        self.node.handle(NOW, input, &mut outbox);
        outbox
    }

    fn received(&mut self, piece: &(usize, Vec<u8>)) {
        let connection = self.connections[piece.0];
        let mut bytes = piece.1.clone();
        self.handle(Input::Received {
            connection,
            bytes: &mut bytes,
        });
    }

    /// Looks at all pieces, as the server does, and then hands them in.
    fn received_looked_at(&mut self, pieces: &[(usize, Vec<u8>)]) {
        let connections = self.connections.clone();
        let looked_at = pieces
            .iter()
            .map(|(from, bytes)| (connections[*from], &bytes[..]));
        self.node.look_ahead(looked_at);
        for piece in pieces {
            self.node.begin_piece();
            self.received(piece);
        }
        self.node.end_ahead();
    }

    /// Ends the turn, and takes what was answered.
    fn answers(&mut self) -> Vec<(ConnectionId, Vec<u8>)> {
        let mut outbox = self.handle(Input::EndOfTurn);
        while !outbox.disk.is_empty() {
            for task in std::mem::take(&mut outbox.disk) {
                self.files.done(&self.node, &task);
                self.node.handle(NOW, task.done(Ok(())), &mut outbox);
            }
            self.node.handle(NOW, Input::EndOfTurn, &mut outbox);
        }
        self.node.take_sendable(&mut outbox);
        let mut answers = Vec::new();
        for connection in outbox.send {
            let bytes = self.node.output(connection).to_vec();
            let sent = Input::Sent {
                connection,
                bytes: bytes.len(),
            };
            self.handle(sent);
            answers.push((connection, bytes));
        }
        answers
    }
}

impl Served {
    /// All that a restart finds.
    fn kept(&self) -> Vec<u8> {
        let (store, mut told) = (self.files.restored(NOW), Vec::new());
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            cursor = store.tell_all(from, 1 << 30, &mut told);
        }
        told
    }
}

/// A linear congruential generator: the same pieces in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn command(&mut self) -> Vec<u8> {
        let key = format!("key:{}", self.below(50));
        let value = "v".repeat(self.below(1_500));
        let long = self.below(100).to_string();
        let words: &[&str] = match self.below(8) {
            0 | 1 => &["GET", &key],
            2 | 3 => &["SET", &key, &value],
            4 => &["DEL", &key],
            5 => &["PING"],
            6 => &["MSET", &key, &value, "other", &long],
            _ => return format!("GET {key}\r\n").into_bytes(),
        };
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
        bytes
    }
}

#[test]
fn looking_ahead_changes_nothing() {
    let (mut plain, mut ahead) = (Served::new(), Served::new());
    let mut chance = Chance(1);
    // What each connection still has to send, so that pieces end anywhere within commands.
    let mut unsent = vec![Vec::new(); CONNECTIONS];
    let mut answered = 0;
    for _ in 0..ROUNDS {
        let mut pieces = Vec::new();
        for (from, unsent) in unsent.iter_mut().enumerate() {
            for _ in 0..chance.below(40) {
                unsent.extend(chance.command());
            }
            let len = chance.below(unsent.len() + 1);
            pieces.push((from, unsent.drain(..len).collect::<Vec<u8>>()));
        }
        pieces.iter().for_each(|piece| plain.received(piece));
        ahead.received_looked_at(&pieces);
        let answers = plain.answers();
        assert_eq!(answers, ahead.answers());
        answered += answers.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(answered > 1 << 20, "{answered} bytes were answered");
    assert!(!plain.kept().is_empty());
    assert_eq!(plain.kept(), ahead.kept());
}
