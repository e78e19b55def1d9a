//! Random commands of several connections on few sessions, against a model that is written for being read.
//!
//! The model knows who holds what, who waits in which order, versions, fields and deadlines. It shares nothing with
//! the shard but the words. Holds end at even milliseconds and waits at odd ones, so that the model need not know
//! what comes first within one.

mod large;
mod model;
mod users;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use ::model::Position;
use store::{DiskEvent, Store, StoreConfig, SyncMode};

use self::model::{Answer, Connection, Fields, Id, Model, Step, Waiter, Who, change, min};
use super::*;
use crate::hash::FieldChange;
use crate::{Attempt, ShardSettings};

/// The shard, the model, and who waits for what.
struct Stage {
    shard: Shard,
    model: Model,
    waiting: BTreeMap<Connection, (Id, Waiter)>,
    /// The latest fence of each session, and one before it.
    fences: BTreeMap<Id, (u64, u64)>,
    highest_fence: u64,
    starts: u32,
    random: u64,
}

const IDS: u64 = 4;
const CONNECTIONS: u64 = 6;

impl Stage {
    fn new(seed: u64) -> Self {
        let store = Store::new(StoreConfig {
            memory_bytes: 64 << 20,
            sync: SyncMode::EverySecond,
            seed,
        });
        Self {
            shard: Shard::new(store, Position::new(1, 1), ShardSettings::default()),
            model: Model {
                now: 1_000_000,
                ..Model::default()
            },
            waiting: BTreeMap::new(),
            fences: BTreeMap::new(),
            highest_fence: 0,
            starts: 1,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % n
    }

    fn even(&mut self, most: u64) -> u64 {
        2 + 2 * self.below(most / 2)
    }

    fn maybe(&mut self, most: u64) -> Option<u64> {
        (self.below(2) == 0).then(|| self.even(most))
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: self.model.now,
            mono_us: self.model.now * 1000,
        }
    }

    fn caller(&self, connection: Connection) -> Caller {
        Caller {
            now: self.now(),
            connection: ConnectionId(connection),
            db: Db::ZERO,
        }
    }

    /// A connection that does not wait.
    fn connection(&mut self) -> Option<Connection> {
        let connection = 1 + self.below(CONNECTIONS);
        (!self.waiting.contains_key(&connection)).then_some(connection)
    }

    fn steps(&mut self) -> Vec<Step> {
        let count = self.below(3);
        (0..count)
            .map(|_| {
                let field = self.below(4) as u8;
                (field, (self.below(3) > 0).then(|| self.below(3) as u8))
            })
            .collect()
    }

    fn fence(&mut self, id: Id) -> u64 {
        let (latest, before) = self.fences.get(&id).copied().unwrap_or((5, 4));
        if self.below(4) == 0 { before } else { latest }
    }

    /// The disk does everything at once.
    fn pump(&mut self) {
        let mut ops = Vec::new();
        self.shard.store_mut().take_disk_ops(&mut ops);
        for op in ops {
            let event = DiskEvent { op, result: Ok(()) };
            self.shard.store_mut().disk_event(event);
        }
        self.shard.advance_commit();
    }

    fn opened(&mut self, id: Id, got: Result<Opened, Denied>) -> Answer {
        let fence = match got {
            Ok(Opened::Open(fence)) => fence,
            Ok(Opened::Absent) => return Answer::Null,
            Ok(Opened::Waits) => return Answer::Waits,
            Err(denied) => return refusal(denied),
        };
        if fence.0 == 0 {
            return Answer::Open { held: false };
        }
        assert!(fence.0 > self.highest_fence, "a fence went back");
        self.highest_fence = fence.0;
        let before = self.fences.get(&id).map_or(4, |fences| fences.0);
        self.fences.insert(id, (fence.0, before));
        Answer::Open { held: true }
    }

    /// Tells the model the fence that it could not foretell.
    fn tell(&mut self, id: Id, answer: &Answer) {
        if *answer == (Answer::Open { held: true }) {
            let fence = self.fences[&id].0;
            match self.model.holds.get_mut(&id) {
                Some((Who::Holds { fence: own, .. }, _)) => *own = fence,
                Some((Who::Turn(_), _)) | None => panic!("the model holds it too"),
            }
        }
    }

    fn step(&mut self) {
        let id = self.below(IDS) as Id;
        let what = self.below(16);
        if what == 0 {
            self.advance();
        } else if what == 1 && self.below(8) == 0 {
            self.restart();
        } else if what == 1 && self.below(4) == 0 {
            self.close();
        } else if let Some(connection) = self.connection() {
            self.shard.begin_write(ConnectionId(connection));
            match what {
                0 | 1 => {}
                2..=5 => self.open(connection, id),
                6 | 7 => self.commit(connection, id),
                8 => self.plain_write(connection, id),
                9 => self.plain_deadline(connection, id),
                _ => self.other(connection, id, what),
            }
        }
        self.run_woken();
        self.pump();
        self.compare();
    }

    fn advance(&mut self) {
        let ms = self.even(60);
        self.model.advance(ms);
        while self.shard.maintain(self.now(), 1 << 20) {}
    }

    fn restart(&mut self) {
        self.starts += 1;
        let empty = Store::new(StoreConfig {
            memory_bytes: 64 << 20,
            sync: SyncMode::EverySecond,
            seed: 1,
        });
        let settings = ShardSettings::default();
        let spare = Shard::new(empty, Position::new(1, 1), settings.clone());
        let store = core::mem::replace(&mut self.shard, spare).into_store();
        self.shard = Shard::new(store, Position::new(self.starts, 1), settings);
        self.shard.rebuild(self.now()).unwrap();
        self.waiting.clear();
        self.model.holds.retain(|_, (who, line)| {
            line.clear();
            match who {
                Who::Holds { owner, .. } => {
                    *owner = None;
                    true
                }
                Who::Turn(_) => false,
            }
        });
    }

    fn close(&mut self) {
        let connection = 1 + self.below(CONNECTIONS);
        self.shard.connection_closed(ConnectionId(connection));
        if let Some((id, _)) = self.waiting.remove(&connection) {
            let line = &mut self.model.holds.get_mut(&id).unwrap().1;
            line.retain(|w| w.connection != connection);
        }
    }

    fn open(&mut self, connection: Connection, id: Id) {
        let hold_ms = self.maybe(100);
        let wait_ms = if hold_ms.is_some() && self.below(3) > 0 {
            self.even(120) - 1
        } else {
            0
        };
        let create = self.below(2) == 0;
        let open = Open {
            hold_ms,
            wait_ms,
            create,
            terms: Terms::default(),
        };
        let got = self
            .shard
            .open_session(self.caller(connection), &[id], &open, Attempt::First);
        let got = self.opened(id, got);
        let want = self.model.open(connection, id, hold_ms, wait_ms, create);
        assert_eq!(got, want);
        self.tell(id, &got);
        if got == Answer::Waits {
            let waiter = Waiter {
                connection,
                until: 0,
                hold_ms: hold_ms.unwrap(),
                create,
            };
            self.waiting.insert(connection, (id, waiter));
        }
    }

    fn run_woken(&mut self) {
        loop {
            let mut got: Vec<_> = self.shard.take_woken();
            let mut want = core::mem::take(&mut self.model.woken);
            // Across sessions the order is free.
            got.sort_by_key(|(connection, _)| connection.0);
            want.sort_by_key(|(connection, _)| *connection);
            let told: Vec<_> = got.iter().map(|(c, attempt)| (c.0, *attempt)).collect();
            assert_eq!(told, want);
            if told.is_empty() {
                return;
            }
            for (connection, attempt) in told {
                let (id, waiter) = self.waiting.remove(&connection).expect("it waits");
                let open = Open {
                    hold_ms: Some(waiter.hold_ms),
                    wait_ms: 1,
                    create: waiter.create,
                    terms: Terms::default(),
                };
                let caller = self.caller(connection);
                let got = self.shard.open_session(caller, &[id], &open, attempt);
                let got = self.opened(id, got);
                let want = self.model.again(id, &waiter, attempt);
                assert_eq!(got, want);
                self.tell(id, &got);
            }
        }
    }

    fn commit(&mut self, connection: Connection, id: Id) {
        let (fence, steps, keep_ms) = (self.fence(id), self.steps(), self.maybe(100));
        let caller = self.caller(connection);
        let mut commit = |steps: &[Step]| {
            let (bytes, changes) = (bytes_of(steps), steps);
            let changes = changes_of(changes, &bytes);
            let commit = Commit {
                change: ValueChange::Fields(&changes),
                idle_ms: None,
                keep_ms,
            };
            self.shard
                .commit_session(caller, &[id], Fence(fence), &commit)
                .map_or_else(refusal, Answer::Version)
        };
        let mut got = vec![commit(&steps)];
        let mut want = vec![self.model.commit(id, fence, &steps, keep_ms)];
        // A client that has lost the reply asks again.
        if steps.len() == 1 {
            got.push(commit(&steps));
            want.push(self.model.commit(id, fence, &steps, keep_ms));
        }
        assert_eq!(got, want);
    }

    /// `HSET` and `HDEL`, without a session that is not there.
    fn plain_write(&mut self, connection: Connection, id: Id) {
        let steps = self.steps();
        let may = self.may_write(connection, id);
        if !may || self.model.session(id).is_none() {
            return;
        }
        let bytes = bytes_of(&steps);
        let changed =
            self.shard
                .change_hash(self.now(), Db::ZERO, &[id], &changes_of(&steps, &bytes));
        let removed = changed.unwrap().removed;
        let session = self.model.session(id).unwrap();
        let changes = steps.iter().any(|(_, value)| value.is_some()) || removed > 0;
        change(&mut session.fields, &steps);
        session.version += u64::from(changes);
    }

    /// `PEXPIRE`.
    fn plain_deadline(&mut self, connection: Connection, id: Id) {
        let ms = self.even(200);
        if !self.may_write(connection, id) || self.model.session(id).is_none() {
            return;
        }
        let until = self.model.now + ms;
        let deadline = Deadline::at(until).unwrap();
        self.shard
            .touch(self.now(), Db::ZERO, &[id], deadline)
            .unwrap();
        let session = self.model.session(id).unwrap();
        session.deadline = min(Some(until), session.max);
        let deadline = session.deadline.unwrap();
        if let Some((Who::Holds { until, .. }, _)) = self.model.holds.get_mut(&id) {
            *until = deadline.min(*until);
        }
    }

    fn may_write(&mut self, connection: Connection, id: Id) -> bool {
        let now = self.now();
        let connected = ConnectionId(connection);
        let got = self
            .shard
            .check_write(now, connected, Db::ZERO, &[id], true)
            .map_err(|unwritable| match unwritable {
                Unwritable::Held { remaining_ms } => remaining_ms.unwrap(),
                Unwritable::Lapsed | Unwritable::Gone => panic!("no guards here"),
            });
        assert_eq!(got, self.model.may_write(connection, id));
        got.is_ok()
    }

    fn other(&mut self, connection: Connection, id: Id, what: u64) {
        let (caller, fence, ms) = (self.caller(connection), self.fence(id), self.even(150));
        match what {
            10 => {
                let (idle_ms, max_ms) = (self.maybe(300), self.maybe(500));
                let terms = Terms {
                    user: None,
                    idle_ms,
                    max_ms,
                };
                let got = self.shard.create_session(caller, &[id], &terms, None, &[]);
                let want = if self.model.session(id).is_some() {
                    Answer::Exists
                } else if let Some(left) = self.model.left(id) {
                    Answer::Held(left)
                } else {
                    self.model.create(id, idle_ms, max_ms);
                    Answer::Done(true)
                };
                assert_eq!(got.map_or_else(refusal, |_| Answer::Done(true)), want);
            }
            11 => {
                let got = self.shard.release_session(caller, &[id], Fence(fence));
                let want = self.model.holding(id, fence).is_some();
                assert_eq!(got.is_ok(), want);
                if want {
                    self.model.next_in_line(id);
                }
            }
            12 => {
                let got = self.shard.renew_session(caller, &[id], Fence(fence), ms);
                let want = self.model.holding(id, fence).is_some();
                assert_eq!(got.is_ok(), want);
                if want {
                    let until = self.model.hold_until(id, ms);
                    self.model.renewed(id, until);
                    let session = self.model.session(id).unwrap();
                    session.deadline = session.deadline.map(|d| d.max(until));
                }
            }
            13 => {
                let version = 1 + self.below(6);
                let steps = self.steps();
                let bytes = bytes_of(&steps);
                let changes = changes_of(&steps, &bytes);
                let change_to = ValueChange::Fields(&changes);
                let got = self.shard.write_session(caller, &[id], version, change_to);
                let held = self.model.holds.get(&id).and_then(|(who, _)| match who {
                    Who::Holds { until, .. } => Some(until - self.model.now),
                    Who::Turn(_) => None,
                });
                let want = match self.model.session(id) {
                    None => Answer::Conflict(0),
                    Some(_) if held.is_some() => Answer::Held(held.unwrap()),
                    Some(session) if session.version != version => {
                        Answer::Conflict(session.version)
                    }
                    Some(session) => {
                        session.version += 1;
                        change(&mut session.fields, &steps);
                        Answer::Version(session.version)
                    }
                };
                assert_eq!(got.map_or_else(refusal, Answer::Version), want);
            }
            14 if self.below(2) == 0 => {
                let got = self.shard.touch_session(caller, &[id], None);
                let is_there = self.model.session(id).is_some();
                assert_eq!(got, Ok(is_there));
                if is_there {
                    self.model.slide(id, None);
                }
            }
            14 => {
                let held = matches!(self.model.holds.get(&id), Some((Who::Holds { .. }, _)));
                assert_eq!(self.shard.break_session(caller, &[id]), Ok(held));
                if held {
                    self.model.next_in_line(id);
                }
            }
            _ if self.below(3) == 0 => {
                let is_there = self.model.session(id).is_some();
                let got = self.shard.destroy_session(caller, &[id], None);
                assert_eq!(got, Ok(is_there));
                if is_there {
                    self.model.destroy(id);
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self) {
        self.shard.holds.check_invariants();
        for id in 0..IDS as Id {
            let (now, caller) = (self.now(), self.caller(1));
            let info = self.shard.session_info(caller, &[id]);
            let Some(want) = self.model.session(id).cloned() else {
                assert!(info.is_none(), "session {id} is back");
                continue;
            };
            let info = info.expect("the session is there");
            let name = [id];
            let view = self.shard.session_view(caller, &name).unwrap();
            let Value::Fields(hash) = view.value else {
                panic!("it has fields");
            };
            let fields: Fields = hash.iter().map(|(f, v)| (f[0], v[0])).collect();
            assert_eq!(fields, want.fields);
            assert_eq!(view.record.version.counter(), want.version);
            assert_eq!(
                view.record.deadline.remaining_ms(0),
                want.deadline,
                "deadline of {id} at {}",
                now.unix_ms
            );
            let (held, waiters) = match self.model.holds.get(&id) {
                None => (None, 0),
                Some((Who::Turn(_), line)) => (None, line.len()),
                Some((Who::Holds { fence, until, .. }, line)) => {
                    (Some((*fence, Some(*until))), line.len())
                }
            };
            let got = info
                .hold
                .map(|hold| (hold.fence.0, hold.deadline.remaining_ms(0)));
            assert_eq!((got, info.waiters), (held, waiters));
        }
    }
}

fn bytes_of(steps: &[Step]) -> Vec<[u8; 2]> {
    steps
        .iter()
        .map(|(field, value)| [*field, value.unwrap_or(0)])
        .collect()
}

fn changes_of<'a>(steps: &[Step], bytes: &'a [[u8; 2]]) -> Vec<FieldChange<'a>> {
    let pairs = steps.iter().zip(bytes);
    pairs
        .map(|((_, value), bytes)| match value {
            Some(_) => FieldChange::Set(&bytes[..1], &bytes[1..]),
            None => FieldChange::Remove(&bytes[..1]),
        })
        .collect()
}

fn refusal(denied: Denied) -> Answer {
    match denied {
        Denied::Exists => Answer::Exists,
        Denied::Fenced(_) => Answer::Fenced,
        Denied::Version(version) => Answer::Conflict(version),
        Denied::Unwritable(Unwritable::Held { remaining_ms }) => {
            Answer::Held(remaining_ms.expect("every hold here ends"))
        }
        Denied::Unwritable(Unwritable::Gone | Unwritable::Lapsed)
        | Denied::WrongType
        | Denied::UserCap(_)
        | Denied::LineFull
        | Denied::Refused(_) => panic!("not here: {denied:?}"),
    }
}

#[test]
fn random_commands_do_what_the_model_does() {
    let seeds = std::env::var("SEED").map_or(1..120, |seed| {
        let seed: u64 = seed.parse().expect("SEED is a number");
        seed..seed + 1
    });
    for seed in seeds {
        say(seed);
        let mut stage = Stage::new(seed);
        for _ in 0..400 {
            stage.step();
        }
    }
}

/// Shown only if the test fails: `SEED=7 cargo test -p tenure-shard random_commands` runs that seed alone.
#[expect(clippy::print_stdout, reason = "a failure names its seed")]
fn say(seed: u64) {
    std::println!("SEED={seed}");
}
