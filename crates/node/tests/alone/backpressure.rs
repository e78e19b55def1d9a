//! Who sends ahead while his command waits is left unread (in a line, only when it has sent much), and is read again when it has run, whatever it
//! waited for.

use store::SyncMode;

use crate::served::{Served, command};

/// Two clients: one that sends ahead, and another.
const AHEAD: usize = 0;
const OTHER: usize = 1;
/// Bytes that arrive at once.
const PIECE: usize = 16 << 10;

/// What the client that sends ahead has sent.
struct Ahead {
    sent: Vec<u8>,
    /// How much of it was read.
    read: usize,
    /// The node wanted no more, and has not asked again: nothing is read.
    left: bool,
    answered: Vec<u8>,
}

impl Ahead {
    fn new(first: &[u8], pings: usize) -> Self {
        let mut sent = first.to_vec();
        sent.extend(command(&["PING"]).repeat(pings));
        Self {
            sent,
            read: 0,
            left: false,
            answered: Vec::new(),
        }
    }

    /// Reads as the shell does: until the node wants no more or nothing is left.
    fn read(&mut self, served: &mut Served) {
        let connection = served.connections[AHEAD];
        while !self.left && self.read < self.sent.len() {
            if served.node.accepts_input(connection) {
                let from = self.read;
                self.read = self.sent.len().min(from + PIECE);
                served.received(AHEAD, &self.sent[from..self.read]);
            } else {
                self.left = true;
            }
        }
    }

    /// Takes the answers, and what the node asks for.
    fn answers(&mut self, served: &mut Served) {
        let connection = served.connections[AHEAD];
        for (to, bytes) in served.sent() {
            if to == connection {
                self.answered.extend(bytes);
            }
        }
        self.left &= !served.wanted().contains(&connection);
    }

    /// Turns until nothing is left, or nothing happens.
    fn finish(mut self, served: &mut Served) -> Vec<u8> {
        loop {
            let before = self.answered.len();
            self.read(served);
            served.end_turn();
            served.disk_works();
            self.answers(served);
            if self.read == self.sent.len() && self.answered.len() == before {
                return self.answered;
            }
            assert!(
                !self.left || self.answered.len() > before,
                "{} bytes are never read",
                self.sent.len() - self.read
            );
        }
    }
}

fn pongs(answered: &[u8]) -> usize {
    answered.windows(7).filter(|w| w == b"+PONG\r\n").count()
}

#[test]
fn behind_a_session_that_another_holds() {
    let mut served = Served::new(2, SyncMode::EverySecond);
    served.received(
        OTHER,
        &command(&["SESSION.CREATE", "ID", "s", "HOLD", "60000"]),
    );
    let open = command(&["SESSION.OPEN", "s", "HOLD", "1000", "WAIT", "60000"]);
    let mut ahead = Ahead::new(&open, 40_000);
    ahead.read(&mut served);
    served.end_turn();
    served.disk_works();
    ahead.answers(&mut served);
    assert!(ahead.answered.is_empty(), "it waits");
    assert!(!ahead.left, "its end is not to be missed");
    served.received(OTHER, &command(&["SESSION.BREAK", "s"]));
    assert_eq!(pongs(&ahead.finish(&mut served)), 40_000);
}

#[test]
fn behind_a_log_that_is_busy() {
    let mut served = Served::new(2, SyncMode::EverySecond);
    // Until the disk has done something for the first time, its files are waited for by nobody.
    served.received(OTHER, &command(&["SET", "other", "1"]));
    served.end_turn();
    served.disk_works();
    let value = "v".repeat(1 << 20);
    let sets = command(&["SET", "k", &value]).repeat(64);
    let mut ahead = Ahead::new(&sets, 40_000);
    ahead.read(&mut served);
    served.end_turn();
    ahead.answers(&mut served);
    assert!(
        ahead.left,
        "the log takes 64 MiB before it has files for them"
    );
    let answered = ahead.finish(&mut served);
    assert_eq!(pongs(&answered), 40_000);
    assert_eq!(answered.windows(5).filter(|w| w == b"+OK\r\n").count(), 64);
}

#[test]
fn behind_a_pause() {
    let mut served = Served::new(2, SyncMode::EverySecond);
    served.received(OTHER, &command(&["CLIENT", "PAUSE", "60000"]));
    let mut ahead = Ahead::new(&command(&["GET", "k"]), 40_000);
    ahead.read(&mut served);
    served.end_turn();
    ahead.answers(&mut served);
    assert!(ahead.left && ahead.answered.is_empty(), "it waits");
    served.received(OTHER, &command(&["CLIENT", "UNPAUSE"]));
    assert_eq!(pongs(&ahead.finish(&mut served)), 40_000);
}

#[test]
fn behind_answers_that_nobody_reads() {
    let mut served = Served::new(2, SyncMode::EverySecond);
    let value = "v".repeat(1 << 20);
    let mut first = command(&["SET", "k", &value]);
    first.extend(command(&["GET", "k"]).repeat(20));
    let mut ahead = Ahead::new(&first, 40_000);
    ahead.read(&mut served);
    assert!(ahead.left, "the answers are 20 MiB");
    assert_eq!(pongs(&ahead.finish(&mut served)), 40_000);
}
