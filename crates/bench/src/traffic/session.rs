//! Sessions used as they are meant to be: opened with a hold, then committed.

use std::collections::VecDeque;

use super::Traffic;
use crate::args::BenchArgs;
use crate::distribution::Distribution;
use crate::keys::{KeyNames, ValuePool};
use crate::latency::Kind;
use crate::random::Random;
use crate::reply::Reply;
use crate::request::{Template, append_bulk, append_number};
use crate::size::SizeRange;

/// `SESSION.OPEN id HOLD ms WAIT ms CREATE`.
const OPEN: Kind = 0;
/// `SESSION.COMMIT id fence SET 1 data value`.
const COMMIT: Kind = 1;

/// What one connection has under way.
#[derive(Clone, Debug, Default)]
struct Line {
    /// Sessions whose OPEN has no reply yet, in order.
    opening: VecDeque<u64>,
    /// Sessions that are held, with their fences.
    held: VecDeque<(u64, i64)>,
}

/// Opens and commits sessions in turn on each connection.
///
/// With more than one request under way, a connection would wait for itself if it opened a session
/// twice, and two connections for one another if they opened the same two: so each then keeps to its own
/// part of the sessions, and to different ones within a batch.
#[derive(Clone, Debug)]
pub struct Sessions {
    names: KeyNames,
    pool: ValuePool,
    sizes: SizeRange,
    distribution: Distribution,
    random: Random,
    open: Template,
    commit: Template,
    lines: Vec<Line>,
    /// Parts that the sessions are dealt into: 1 when all connections share all.
    parts: u64,
    first_part: u64,
    keys_in_part: u64,
}

impl Sessions {
    /// The traffic of a worker whose first connection has the number `first_connection` in the run.
    pub fn new(args: &BenchArgs, worker: usize, first_connection: usize) -> Self {
        let names = args.key_names();
        let (hold, wait) = (args.hold.to_string(), args.wait.to_string());
        let options = ["HOLD", &hold, "WAIT", &wait, "CREATE"];
        let parts = if args.depth() > 1 {
            args.connections() as u64
        } else {
            1
        };
        let keys_in_part = (args.keys / parts).max(1);
        Self {
            open: Template::new(&names, &["SESSION.OPEN"], 0, &options),
            commit: Template::new(&names, &["SESSION.COMMIT"], 5, &[]),
            pool: ValuePool::new(args.value_size.high, args.seed),
            sizes: args.value_size,
            distribution: Distribution::new(args.distribution, keys_in_part),
            random: Random::stream(args.seed, worker as u64),
            lines: vec![Line::default(); args.connections()],
            names,
            parts,
            first_part: first_connection as u64,
            keys_in_part,
        }
    }

    /// The next session of `connection`, one that it is not opening already.
    fn draw(&mut self, connection: usize) -> u64 {
        let drawn = self.distribution.draw(&mut self.random);
        if self.parts == 1 {
            return drawn;
        }
        let part = (self.first_part + connection as u64) % self.parts;
        let opening = &self.lines[connection].opening;
        (0..self.keys_in_part)
            .map(|step| (drawn + step) % self.keys_in_part * self.parts + part)
            .find(|key| !opening.contains(key))
            .unwrap_or(part)
    }

    fn write_commit(&self, key: u64, fence: i64, out: &mut Vec<u8>) {
        self.commit.begin(&self.names, key, out);
        append_number(fence, out);
        append_bulk(b"SET", out);
        append_bulk(b"1", out);
        append_bulk(b"data", out);
        append_bulk(self.pool.value(key, self.sizes.of_key(key)), out);
        self.commit.end(out);
    }
}

impl Traffic for Sessions {
    fn kinds(&self) -> &'static [&'static str] {
        &["open", "commit"]
    }

    fn next_request(&mut self, connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        if let Some((key, fence)) = self.lines[connection].held.pop_front() {
            self.write_commit(key, fence, out);
            return Some(COMMIT);
        }
        let key = self.draw(connection);
        self.lines[connection].opening.push_back(key);
        self.open.append(&self.names, key, out);
        Some(OPEN)
    }

    fn is_unfinished(&self, connection: usize) -> bool {
        !self.lines[connection].held.is_empty()
    }

    fn take_reply(&mut self, connection: usize, kind: Kind, _now: u64, reply: &Reply<'_>) {
        if kind != OPEN {
            return;
        }
        let line = &mut self.lines[connection];
        let key = line.opening.pop_front();
        if let Some(held) = key.zip(reply.number) {
            line.held.push_back(held);
        }
    }
}
