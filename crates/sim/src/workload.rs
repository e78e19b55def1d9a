//! What clients ask for.
//!
//! Commands come in groups, each with a weight that the plan draws, zero included, so that some runs are nearly all
//! deletes and others never delete. Every value that is written is unlike every other.

use std::collections::BTreeMap;

use crate::plan::Plan;
use crate::random::Random;
use crate::reply::Reply;

/// Groups of commands; see [`Workload::next`].
pub const GROUPS: usize = 8;
/// The group that empties and swaps databases, and the one of sessions: never both in one run.
pub const DATABASE_GROUP: usize = 6;
/// See [`DATABASE_GROUP`].
pub const SESSION_GROUP: usize = 7;

/// A command's words.
pub type Words = Vec<Vec<u8>>;

/// See the module.
#[derive(Debug)]
pub struct Workload {
    random: Random,
    written: u64,
    /// The last fence of each session.
    fences: BTreeMap<Vec<u8>, u64>,
}

/// Words from anything that is bytes.
macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(Vec::from($word)),*] };
}

fn number(n: u64) -> Vec<u8> {
    n.to_string().into_bytes()
}

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed, "workload"),
            written: 0,
            fences: BTreeMap::new(),
        }
    }

    /// The next command of a client.
    pub fn next(&mut self, plan: &Plan) -> Words {
        let total: u32 = plan.weights.iter().sum();
        let mut at = self.random.below(u64::from(total)) as u32;
        let mut group = 0;
        while at >= plan.weights[group] {
            at -= plan.weights[group];
            group += 1;
        }
        match group {
            0 => self.string(plan),
            1 => self.hash(plan),
            2 => self.expiry(plan),
            3 => self.removal(plan),
            4 => self.several(plan),
            5 => self.counter(plan),
            DATABASE_GROUP => self.database(plan),
            _ => self.session(plan),
        }
    }

    /// A command has been run: fences are worth remembering.
    pub fn learn(&mut self, words: &[Vec<u8>], reply: &Reply) {
        let fence = reply.under("fence").and_then(Reply::integer);
        let id = reply.under("id").and_then(Reply::bulk);
        if let (Some(fence), Some(id)) = (fence.filter(|fence| *fence > 0), id)
            && words[0].starts_with(b"SESSION.")
        {
            self.fences.insert(id.to_vec(), fence as u64);
        }
    }

    fn session(&mut self, plan: &Plan) -> Words {
        let id = format!("s{}", self.random.index(plan.keys.min(4))).into_bytes();
        let fence = self.fences.get(&id).copied().unwrap_or(1);
        let fence = number(if self.random.below(12) == 0 {
            fence + 1
        } else {
            fence
        });
        let hold = number(self.random.extreme(1, plan.longest_ttl_ms));
        let wait = number(self.random.extreme(1, plan.longest_ttl_ms));
        let (field, value) = (self.field(), self.value(plan));
        match self.random.below(20) {
            0 => words!["SESSION.CREATE", "ID", id, "FIELDS", "1", field, value],
            1 => words![
                "SESSION.CREATE",
                "ID",
                id,
                "HOLD",
                hold,
                "FIELDS",
                "1",
                field,
                value
            ],
            2 => words!["SESSION.OPEN", id],
            3 | 4 => words!["SESSION.OPEN", id, "HOLD", hold],
            5..=8 => words!["SESSION.OPEN", id, "HOLD", hold, "WAIT", wait],
            9 => words!["SESSION.OPEN", id, "HOLD", hold, "WAIT", wait, "CREATE"],
            10 => words!["SESSION.READ", id],
            11..=13 => words!["SESSION.COMMIT", id, fence, "SET", "1", field, value],
            14 | 15 => words!["SESSION.RELEASE", id, fence],
            16 => words!["SESSION.RENEW", id, fence, hold],
            17 => words!["HSET", id, field, value],
            18 => words!["HGETALL", id],
            _ if self.random.below(2) == 0 => words!["SESSION.DESTROY", id],
            _ => words!["SESSION.BREAK", id],
        }
    }

    /// The name of the key with this number; some are long.
    #[must_use]
    pub fn key_name(number: usize) -> Vec<u8> {
        let mut name = format!("k{number}").into_bytes();
        if number % 7 == 3 {
            name.resize(150, b'.');
        }
        name
    }

    fn key(&mut self, plan: &Plan) -> Vec<u8> {
        Self::key_name(self.random.index(plan.keys))
    }

    fn field(&mut self) -> Vec<u8> {
        format!("f{}", self.random.extreme(0, 30)).into_bytes()
    }

    fn value(&mut self, plan: &Plan) -> Vec<u8> {
        self.written += 1;
        let mut value = format!("v{}", self.written).into_bytes();
        let len = self.random.extreme(0, plan.value_bytes) as usize;
        if value.len() < len {
            value.resize(len, b'a' + (self.written % 26) as u8);
        }
        value
    }

    fn ttl(&mut self, plan: &Plan) -> Vec<u8> {
        number(self.random.between(1, plan.longest_ttl_ms))
    }

    fn string(&mut self, plan: &Plan) -> Words {
        let (key, value) = (self.key(plan), self.value(plan));
        match self.random.below(12) {
            0..=3 => words!["GET", key],
            4..=6 => words!["SET", key, value],
            7 => words!["SET", key, value, "PX", self.ttl(plan)],
            8 => words!["SET", key, value, "NX"],
            9 => words!["SET", key, value, "XX", "GET"],
            10 => words!["SET", key, value, "KEEPTTL"],
            _ => words!["STRLEN", key],
        }
    }

    fn hash(&mut self, plan: &Plan) -> Words {
        let (key, field) = (self.key(plan), self.field());
        match self.random.below(10) {
            0..=3 => {
                let mut command = words!["HSET", key];
                for _ in 0..self.random.extreme(1, 12) {
                    command.push(self.field());
                    command.push(self.value(plan));
                }
                command
            }
            4 => words!["HGET", key, field],
            5 | 6 => words!["HGETALL", key],
            7 => words!["HDEL", key, field, self.field()],
            8 => words!["HLEN", key],
            _ => words!["HINCRBY", key, "n", number(self.random.below(100))],
        }
    }

    fn expiry(&mut self, plan: &Plan) -> Words {
        let (key, ttl) = (self.key(plan), self.ttl(plan));
        match self.random.below(9) {
            0 | 1 => words!["PEXPIRE", key, ttl],
            2 => words![
                "PEXPIRE",
                key,
                ttl,
                *self.random.pick(&["NX", "XX", "GT", "LT"])
            ],
            3 => words!["PERSIST", key],
            4 => words!["PTTL", key],
            5 => words!["PEXPIRETIME", key],
            6 => words!["GETEX", key, "PX", ttl],
            7 => words!["GETEX", key, "PERSIST"],
            _ => words!["TYPE", key],
        }
    }

    fn removal(&mut self, plan: &Plan) -> Words {
        match self.random.below(4) {
            0 | 1 => words!["DEL", self.key(plan)],
            2 => words!["UNLINK", self.key(plan), self.key(plan), self.key(plan)],
            _ => words!["GETDEL", self.key(plan)],
        }
    }

    fn several(&mut self, plan: &Plan) -> Words {
        match self.random.below(7) {
            0 | 1 => {
                let mut command = words!["MSET"];
                for _ in 0..self.random.extreme(1, 6) {
                    command.push(self.key(plan));
                    command.push(self.value(plan));
                }
                command
            }
            2 => words![
                "MSETNX",
                self.key(plan),
                self.value(plan),
                self.key(plan),
                self.value(plan)
            ],
            3 => words!["MGET", self.key(plan), self.key(plan), self.key(plan)],
            4 => words!["RENAME", self.key(plan), self.key(plan)],
            5 => words!["COPY", self.key(plan), self.key(plan), "REPLACE"],
            _ => words!["EXISTS", self.key(plan), self.key(plan)],
        }
    }

    fn counter(&mut self, plan: &Plan) -> Words {
        match self.random.below(3) {
            0 => words!["APPEND", self.key(plan), self.value(plan)],
            _ => words![
                "INCRBY",
                format!("c{}", self.random.index(3)),
                number(self.random.below(100))
            ],
        }
    }

    fn database(&mut self, plan: &Plan) -> Words {
        let databases = u64::from(plan.databases);
        match self.random.below(12) {
            0 => words!["FLUSHDB"],
            1 => words!["FLUSHALL"],
            2 => {
                let (a, b) = (self.random.below(databases), self.random.below(databases));
                words!["SWAPDB", number(a), number(b)]
            }
            3..=7 => words!["SELECT", number(self.random.below(databases))],
            _ => words!["PING"],
        }
    }
}

/// A command as bytes.
#[must_use]
pub fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
