//! What must be true: a model of the server that is told every command at the moment it ran, and judges its reply.
//!
//! The simulation sees, after each input, which commands the node has run and what it has written for them, whether
//! or not that may leave yet ([`node::Node::unsent`]). So the oracle runs the same commands in the same order, at the same
//! time, and every reply must be the one that it expects. That is stricter than looking for *some* order that
//! explains the replies, costs one map lookup per command, and points at the very step that went wrong.
//!
//! Only crashes leave a choice. For every key the oracle keeps all states since the last restart, and which of them
//! somebody was *shown* (a reply that depends on the state has left), and when. After a restart each key must be in one of these
//! states, none older than what the sync mode promises to keep, and a command that changed several keys must
//! have happened on all of them or on none. A state that nobody was shown may be kept or lost.

mod batch;
mod connection;
mod hashes;
mod keys;
mod moment;
mod recovery;
pub mod sessions;
mod strings;

use std::collections::BTreeMap;
use std::rc::Rc;

use model::ConnectionId;

use crate::plan::Plan;
use crate::reply::Reply;
pub use batch::{Go, Ran, Went};
pub use recovery::{Promise, shown};

/// Where a record is: database and key.
pub type Key = (u8, Vec<u8>);

/// A deadline that never comes.
pub const NEVER: u64 = u64::MAX;

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A string.
    Text(Vec<u8>),
    /// A hash; never empty when it is a plain key.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it holds.
    pub body: Body,
    /// When it ceases to exist, in wall-clock milliseconds, or [`NEVER`].
    pub deadline_ms: u64,
}

impl Value {
    /// Bytes of what it holds.
    fn bytes(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.len(),
            Body::Hash(fields) => fields
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum(),
        }
    }
}

/// A record, or that there is none.
pub type State = Option<Rc<Value>>;

/// A state that a key has had.
#[derive(Clone, Debug)]
struct Past {
    state: State,
    /// The command that made it: the same number for all keys that it changed.
    command: u64,
    /// A restart has seen that the state before this one had expired: nothing of that is in the log.
    expired: bool,
}

/// The life of one key since the last restart.
#[derive(Clone, Debug, Default)]
struct Life {
    /// Oldest first; the first is what the restart found. Never empty once the key is known.
    past: Vec<Past>,
    /// When a reply left that depends on the state with this index: (microseconds, index), both ascending.
    shown: Vec<(u64, usize)>,
    /// States before those that had a deadline. When all have expired the log need not know which was the last: if the clock is set back, any
    /// may be found.
    overtaken: Vec<State>,
}

impl Life {
    fn current(&self) -> State {
        self.past.last().and_then(|past| past.state.clone())
    }

    /// The oldest state from which on only the deadline has changed: a reply that shows the value depends on no later one.
    fn same_value_since(&self, now_ms: u64) -> usize {
        let body = |past: &Past| {
            let alive = past
                .state
                .as_ref()
                .filter(|value| value.deadline_ms > now_ms);
            alive.map(|value| value.body.clone())
        };
        let last = self.past.len() - 1;
        let current = body(&self.past[last]);
        let same = self.past[..last]
            .iter()
            .rev()
            .take_while(|past| current.is_some() && body(past) == current);
        last - same.count()
    }
}

/// What a reply depends on: the states of these keys.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    states: Vec<(Key, usize)>,
    /// Restarts at the time: a crash forgets the indices.
    era: u64,
}

/// One command that the node has run, and what it wrote.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Who asked.
    pub connection: ConnectionId,
    /// The command's words.
    pub words: &'a [Vec<u8>],
    /// The reply.
    pub reply: &'a Reply,
    /// The node's wall clock at the time.
    pub now_ms: u64,
}

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// It was refused because the log could take no writes.
    Unavailable,
    /// It was refused because memory was full.
    OutOfMemory,
    /// It was refused because it changes more than a segment holds.
    TooLarge,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    lives: BTreeMap<Key, Life>,
    /// Databases chosen with `SELECT`.
    databases: BTreeMap<ConnectionId, u8>,
    /// Number of the command being judged.
    command: u64,
    era: u64,
    seen: Vec<(Key, usize)>,
    now_ms: u64,
    /// The latest time at which a command has run, or a restart has looked.
    latest_ms: u64,
    /// The command's reply tells something of deadlines.
    shows_deadlines: bool,
    /// States of earlier lives, if a damaged disk may bring them back.
    archive: BTreeMap<Key, Vec<State>>,
    keeps_archive: bool,
    files_fail: bool,
    segment_bytes: usize,
    holders: sessions::Holders,
    /// Keys that were found gone because their deadline had passed.
    pub expired: u64,
}

/// A reply that is wrong, or an expectation that needs one.
pub(crate) type Verdict = Result<(), String>;

impl Oracle {
    /// Bits of the disk may flip: then every state that a key ever had may come back. Writes and syncs may fail: then files
    /// are written anew. And `segment_bytes` bound what one command may change.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            keeps_archive: plan.bit_flip > 0,
            files_fail: plan.disk.write > 0 || plan.disk.sync > 0,
            segment_bytes: plan.segment_bytes,
            ..Self::default()
        }
    }

    /// Judges a command that the node has just run.
    ///
    /// # Errors
    /// What is wrong with its reply.
    pub fn judge(&mut self, run: Run<'_>) -> Result<(Outcome, Seen), String> {
        self.command += 1;
        self.now_ms = run.now_ms;
        self.latest_ms = self.latest_ms.max(run.now_ms);
        self.seen.clear();
        let name = String::from_utf8_lossy(&run.words[0]).to_ascii_uppercase();
        self.shows_deadlines = ["PTTL", "PEXPIRETIME", "PERSIST", "PEXPIRE", "PEXPIREAT"]
            .contains(&name.as_str())
            || name.starts_with("SESSION.");
        let outcome = match refusal(run.reply) {
            Some(Outcome::TooLarge) if self.is_large(&run) => Outcome::TooLarge,
            Some(outcome) if may_be_refused(&name, outcome) => outcome,
            Some(_) => return Err(format!("{name} was refused: {:?}", run.reply)),
            None => {
                self.run(&name, &run)
                    .map_err(|wrong| explain(&run, &wrong))?;
                Outcome::Done
            }
        };
        let seen = Seen {
            states: std::mem::take(&mut self.seen),
            era: self.era,
        };
        Ok((outcome, seen))
    }

    /// Whether what the command brings, and what it changes, come near the size of a segment.
    fn is_large(&self, run: &Run<'_>) -> bool {
        let brought: usize = run.words.iter().map(Vec::len).sum();
        let db = self.databases.get(&run.connection).copied().unwrap_or(0);
        let lives = run.words[1..]
            .iter()
            .filter_map(|word| self.lives.get(&(db, word.clone())));
        let changed: usize = lives
            .filter_map(|life| life.current())
            .map(|v| v.bytes())
            .sum();
        (brought + changed) * 4 > self.segment_bytes
    }

    fn run(&mut self, name: &str, run: &Run<'_>) -> Verdict {
        let mut asked = Asked {
            db: self.databases.get(&run.connection).copied().unwrap_or(0),
            words: run.words,
            reply: run.reply,
            connection: run.connection,
        };
        match self.run_group(name, &mut asked) {
            Some(verdict) => verdict,
            None => Err(format!("the oracle does not know {name}")),
        }
    }

    fn run_group(&mut self, name: &str, asked: &mut Asked<'_>) -> Option<Verdict> {
        self.sessions(name, asked)
            .or_else(|| self.strings(name, asked))
            .or_else(|| self.hashes(name, asked))
            .or_else(|| self.keys(name, asked))
            .or_else(|| self.connection(name, asked))
    }

    /// A connection is there no more.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.databases.remove(&connection);
    }

    /// The key's record now. The reply depends on it.
    fn look(&mut self, key: &Key) -> State {
        let life = self.lives.entry(key.clone()).or_default();
        if life.past.is_empty() {
            life.past.push(Past {
                state: None,
                command: 0,
                expired: false,
            });
        }
        let index = if self.shows_deadlines {
            life.past.len() - 1
        } else {
            life.same_value_since(self.now_ms)
        };
        self.seen.push((key.clone(), index));
        let state = life.current();
        if state.as_ref().is_some_and(|v| v.deadline_ms <= self.now_ms) {
            self.expired += 1;
            return None;
        }
        state
    }

    /// The key's record from now on.
    fn set(&mut self, key: &Key, state: State) {
        let state = state.filter(|value| value.deadline_ms > self.now_ms);
        self.look(key);
        let command = self.command;
        let life = self.lives.get_mut(key).expect("it was just looked at");
        life.past.push(Past {
            state,
            command,
            expired: false,
        });
        self.seen.push((key.clone(), life.past.len() - 1));
    }

    /// A reply has left that depends on this.
    pub fn show(&mut self, seen: &Seen, now_us: u64) {
        if seen.era != self.era {
            return;
        }
        for (key, index) in &seen.states {
            let Some(life) = self.lives.get_mut(key) else {
                continue;
            };
            if life.shown.last().is_none_or(|(_, last)| last < index) {
                life.shown.push((now_us, *index));
            }
        }
    }

    /// Keys that were ever looked at.
    pub fn known(&self) -> impl Iterator<Item = &Key> {
        self.lives.keys()
    }
}

/// A command being judged.
struct Asked<'a> {
    db: u8,
    words: &'a [Vec<u8>],
    reply: &'a Reply,
    connection: ConnectionId,
}

impl<'a> Asked<'a> {
    fn key(&self, index: usize) -> Key {
        (self.db, self.words[index].clone())
    }

    fn word(&self, index: usize) -> &'a [u8] {
        &self.words[index]
    }

    fn number(&self, index: usize) -> u64 {
        let text = std::str::from_utf8(&self.words[index]).unwrap_or_default();
        text.parse().expect("the workload sends whole numbers")
    }

    /// The words from `index` on, in upper case: options.
    fn options(&self, index: usize) -> Vec<String> {
        let rest = self.words.iter().skip(index);
        rest.map(|w| String::from_utf8_lossy(w).to_ascii_uppercase())
            .collect()
    }

    fn expect(&self, expected: &Reply) -> Verdict {
        if self.reply == expected {
            Ok(())
        } else {
            Err(format!("expected {}", brief(expected)))
        }
    }

    fn expect_integer(&self, expected: i64) -> Verdict {
        self.expect(&Reply::Integer(expected))
    }

    fn expect_error(&self, code: &str) -> Verdict {
        if self.reply.code() == Some(code) {
            Ok(())
        } else {
            Err(format!("expected an error -{code}"))
        }
    }
}

const TOO_LARGE: &str = "ERR the command changes too much at once";

fn refusal(reply: &Reply) -> Option<Outcome> {
    match reply {
        Reply::Error(text) if text.starts_with("MISCONF") => Some(Outcome::Unavailable),
        Reply::Error(text) if text.starts_with("OOM") => Some(Outcome::OutOfMemory),
        Reply::Error(text) if text.starts_with(TOO_LARGE) => Some(Outcome::TooLarge),
        Reply::Error(_)
        | Reply::Simple(_)
        | Reply::Integer(_)
        | Reply::Bulk(_)
        | Reply::Null
        | Reply::Array(_) => None,
    }
}

/// Reads are never refused; what frees memory is not refused for want of memory.
fn may_be_refused(name: &str, outcome: Outcome) -> bool {
    let reads = [
        "GET",
        "MGET",
        "EXISTS",
        "TYPE",
        "TTL",
        "PTTL",
        "PEXPIRETIME",
        "STRLEN",
        "HGET",
        "HMGET",
        "HGETALL",
        "HLEN",
        "HEXISTS",
        "PING",
        "SELECT",
        "HELLO",
    ];
    let freeing = [
        "DEL",
        "UNLINK",
        "PEXPIRE",
        "PERSIST",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB",
        "GETDEL",
        "PEXPIREAT",
    ];
    let frees = freeing.contains(&name);
    match outcome {
        Outcome::Unavailable => !reads.contains(&name),
        Outcome::OutOfMemory => !reads.contains(&name) && !frees,
        Outcome::TooLarge | Outcome::Done => false,
    }
}

fn explain(run: &Run<'_>, wrong: &str) -> String {
    let words: Vec<String> = run.words.iter().map(|word| text(word)).collect();
    format!(
        "connection {:x} at {}: {}\n  got {}\n  {wrong}",
        run.connection.0,
        run.now_ms,
        words.join(" "),
        brief(run.reply)
    )
}

/// Bytes for people, shortened.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let shown: String = bytes
        .iter()
        .take(40)
        .map(|b| b.escape_ascii().to_string())
        .collect();
    if bytes.len() > 40 {
        format!("{shown}...[{}]", bytes.len())
    } else {
        shown
    }
}

/// A reply for people, shortened.
#[must_use]
pub fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Simple(line) => format!("+{line}"),
        Reply::Error(line) => format!("-{line}"),
        Reply::Integer(n) => format!(":{n}"),
        Reply::Bulk(bytes) => format!("\"{}\"", text(bytes)),
        Reply::Null => "null".into(),
        Reply::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(brief).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}
