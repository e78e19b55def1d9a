//! Looking ahead changes nothing: two nodes get the same bytes, one looks at them first, and both answer the same.

use model::ConnectionId;
use store::SyncMode;

use crate::served::Served;

const CONNECTIONS: usize = 40;
const ROUNDS: usize = 60;

/// One client's bytes.
type Piece = (usize, Vec<u8>);

fn served() -> Served {
    Served::new(CONNECTIONS, SyncMode::None)
}

fn received(served: &mut Served, pieces: &[Piece]) {
    for (client, bytes) in pieces {
        served.received(*client, bytes);
    }
}

/// Looks at all pieces, as the server does, and then hands them in.
fn received_looked_at(served: &mut Served, pieces: &[Piece]) {
    let connections = served.connections.clone();
    let looked_at = pieces
        .iter()
        .map(|(client, bytes)| (connections[*client], &bytes[..]));
    served.node.look_ahead(looked_at);
    for (client, bytes) in pieces {
        served.node.begin_piece();
        served.received(*client, bytes);
    }
    served.node.end_ahead();
}

/// Ends the turn, and takes what was answered.
fn answers(served: &mut Served) -> Vec<(ConnectionId, Vec<u8>)> {
    served.end_turn();
    served.disk_works();
    served.sent()
}

/// All that a restart finds.
fn kept(served: &Served) -> Vec<u8> {
    let (store, mut told) = (served.files.restored(crate::served::NOW), Vec::new());
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        cursor = store.tell_all(from, 1 << 30, &mut told);
    }
    told
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
    let (mut plain, mut ahead) = (served(), served());
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
        received(&mut plain, &pieces);
        received_looked_at(&mut ahead, &pieces);
        let answers = answers(&mut plain);
        assert_eq!(answers, self::answers(&mut ahead));
        answered += answers.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(answered > 1 << 20, "{answered} bytes were answered");
    assert!(!kept(&plain).is_empty());
    assert_eq!(kept(&plain), kept(&ahead));
}
