//! A client: what it has sent, what of that has arrived and run, and what it has been told.

use std::collections::VecDeque;

use model::ConnectionId;

use crate::oracle::{Ran, Seen};
use crate::reply::Reply;
use crate::workload::{Words, encode};

/// A command on its way to the node, or waiting there.
#[derive(Debug)]
struct Sent {
    words: Words,
    /// Offset of its end in everything that the connection ever sends.
    end: u64,
}

impl Sent {
    /// What it asks to wait for its turn.
    fn wait_ms(&self) -> u64 {
        let words = self.words.iter();
        let mut after = words.skip_while(|word| *word != b"WAIT").skip(1);
        let number = after.next().and_then(|word| str::from_utf8(word).ok());
        number.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A command that has run, and whose reply has not wholly left.
#[derive(Debug)]
pub struct Owed {
    /// Offset of the reply's end in everything that the node ever writes to the connection.
    end: u64,
    /// What the reply depends on.
    pub seen: Seen,
}

/// One connection of a client. All offsets count from its beginning.
#[derive(Debug)]
pub struct Link {
    /// Its number at the node.
    pub id: ConnectionId,
    outgoing: VecDeque<u8>,
    /// The node wanted no more, and has not asked again: nothing is read of it.
    pub unread: bool,
    asked: u64,
    delivered: u64,
    waiting: VecDeque<Sent>,
    /// Bytes that the node has written and that were understood.
    written: u64,
    /// Bytes that have left the node.
    taken: u64,
    owed: VecDeque<Owed>,
}

impl Link {
    /// A connection that the node has just accepted.
    #[must_use]
    pub fn new(id: ConnectionId) -> Self {
        Self {
            id,
            outgoing: VecDeque::new(),
            unread: false,
            asked: 0,
            delivered: 0,
            waiting: VecDeque::new(),
            written: 0,
            taken: 0,
            owed: VecDeque::new(),
        }
    }

    /// The client sends a command.
    pub fn ask(&mut self, words: Words) {
        let bytes = encode(&words);
        self.asked += bytes.len() as u64;
        self.outgoing.extend(bytes);
        let end = self.asked;
        self.waiting.push_back(Sent { words, end });
    }

    /// Bytes that are under way.
    #[must_use]
    pub fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Commands that have not run.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// For how long its commands may stand in line in all, one after the other, in milliseconds.
    #[must_use]
    pub fn waits_ms(&self) -> u64 {
        self.waiting.iter().map(Sent::wait_ms).sum()
    }

    /// Whether every command was answered, and the answer read.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.owed.is_empty()
    }

    /// Whether the node has some of a command and not all of it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let begun = |sent: &Sent| sent.end > self.delivered;
        let front = self.waiting.iter().find(|sent| begun(sent));
        front.is_some_and(|sent| sent.end - encode(&sent.words).len() as u64 != self.delivered)
    }

    /// The next `len` bytes arrive.
    pub fn deliver(&mut self, len: usize) -> Vec<u8> {
        let len = len.min(self.outgoing.len());
        self.delivered += len as u64;
        self.outgoing.drain(..len).collect()
    }

    /// Looks at all that the node has written and not sent: the commands that have run since the last look.
    ///
    /// # Errors
    /// The node has written what is no reply, or a reply to nothing.
    pub fn look(&mut self, unsent: &[u8]) -> Result<Vec<Ran>, String> {
        let mut at = (self.written - self.taken) as usize;
        let mut ran = Vec::new();
        while at < unsent.len() {
            let (reply, len) = Reply::parse(&unsent[at..])?.ok_or("half a reply was written")?;
            at += len;
            self.written += len as u64;
            let sent = self.waiting.pop_front();
            let sent = sent.filter(|sent| sent.end <= self.delivered);
            let words = sent
                .ok_or_else(|| format!("a reply to nothing: {reply:?}"))?
                .words;
            self.owed.push_back(Owed {
                end: self.written,
                seen: Seen::default(),
            });
            ran.push(Ran { words, reply });
        }
        Ok(ran)
    }

    /// What the last `seen.len()` replies depend on.
    pub fn depend(&mut self, seen: Vec<Seen>) {
        let from = self.owed.len() - seen.len();
        for (owed, seen) in self.owed.iter_mut().skip(from).zip(seen) {
            owed.seen = seen;
        }
    }

    /// So many bytes have left. Returns what was shown by it: the first byte of a reply may tell all.
    pub fn take(&mut self, bytes: usize) -> Vec<Seen> {
        self.taken += bytes as u64;
        let mut shown = Vec::new();
        let mut start = self.taken - bytes as u64;
        for owed in &mut self.owed {
            if start >= self.taken {
                break;
            }
            shown.push(owed.seen.clone());
            start = owed.end;
        }
        while self.owed.front().is_some_and(|owed| owed.end <= self.taken) {
            self.owed.pop_front();
        }
        shown
    }
}
