//! What happened, as one number and, if somebody wants to read it, as lines.

use std::io::Write as _;

/// See the module. Two runs of one seed have the same digest.
#[derive(Debug, Default)]
pub struct Trace {
    digest: u64,
    shown: bool,
    turn: u64,
    us: u64,
    /// Turns before this one are not shown.
    pub from_turn: u64,
}

impl Trace {
    /// A trace; its lines go to standard output if `shown`.
    #[must_use]
    pub fn new(shown: bool) -> Self {
        Self {
            digest: 0xcbf2_9ce4_8422_2325,
            shown,
            turn: 0,
            us: 0,
            from_turn: 0,
        }
    }

    /// Mixes bytes into the digest.
    pub fn fold(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
    }

    /// Mixes numbers into the digest.
    pub fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.mix(*number);
        }
    }

    fn mix(&mut self, number: u64) {
        let mixed = (self.digest ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        // What is multiplied moves up only: without this the highest bits would stay where they are.
        self.digest = mixed.rotate_left(29);
    }

    /// The next turn begins.
    pub fn turn(&mut self, turn: u64) {
        self.turn = turn;
    }

    /// It is so late, in microseconds since the world began.
    pub fn time(&mut self, us: u64) {
        self.us = us;
    }

    /// Something has happened.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if self.shown && self.turn >= self.from_turn {
            // A reader who closes the pipe has seen enough.
            let _ = writeln!(
                std::io::stdout(),
                "{:6} {:>10.3} {}",
                self.turn,
                self.us as f64 / 1e3,
                line()
            );
        }
    }

    /// The digest so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }
}
