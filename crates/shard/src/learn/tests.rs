//! What a standby knows, learnt change by change, against what it would learn by reading all of its entries, under random changes,
//! snapshots and expiry.

use alloc::boxed::Box;
use alloc::vec::Vec;

use model::time::Deadline;
use model::{Fence, Position, Version};
use store::{HeapPages, Op, StoreConfig, SyncMode, Touched, Tuning};

use super::*;
use crate::effects::hold_value;
use crate::holds::{HeldBy, Hold};
use crate::record::{GONE, HOLD, Type, kind_of};

const IDS: [&[u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"f"];
const USERS: [&[u8]; 4] = [b"", b"ann", b"bob", b"cy"];
const SEGMENT_BYTES: usize = 1 << 14;

pub(crate) fn empty_store() -> Store {
    let config = StoreConfig {
        memory_bytes: 16 << 20,
        sync: SyncMode::EverySecond,
        seed: 7,
    };
    let tuning = Tuning {
        segment_bytes: SEGMENT_BYTES,
        files: false,
        ..Tuning::default()
    };
    Store::with(config, tuning, Box::new(HeapPages))
}

type OfUser = (Db, Vec<u8>, Vec<u8>);
type Held = (Db, Vec<u8>, Hold);

/// A store, and what is known of it.
struct Known {
    store: Store,
    holds: Holds,
    users: Users,
    marks: Marks,
}

impl Known {
    fn new(store: Store) -> Self {
        Self {
            store,
            holds: Holds::new(3),
            users: Users::default(),
            marks: Marks::default(),
        }
    }

    fn learner(&mut self) -> Learner<'_> {
        Learner {
            store: &mut self.store,
            holds: &mut self.holds,
            users: &mut self.users,
            marks: &mut self.marks,
        }
    }

    /// The users and holds that are known, with their ids.
    fn sessions(&self) -> (Vec<OfUser>, Vec<Held>) {
        let (mut users, mut holds) = (Vec::new(), Vec::new());
        for db in dbs() {
            for user in USERS {
                let of = self.users.after(db, user, None);
                users.extend(of.map(|id| (db, user.to_vec(), id.to_vec())));
            }
            for id in IDS {
                let hold = self.holds.peek(0, Named { db, id });
                holds.extend(hold.map(|hold| (db, id.to_vec(), hold)));
            }
        }
        (users, holds)
    }

    fn check(&mut self) {
        self.holds.check_invariants();
        let known = (self.sessions(), self.users.bytes(), self.marks.until_ms());
        self.holds = Holds::new(3);
        (self.users, self.marks) = (Users::default(), Marks::default());
        self.learner().learn_all(0);
        let read = (self.sessions(), self.users.bytes(), self.marks.until_ms());
        assert_eq!((known.0, known.1), (read.0, read.1));
        assert!(known.2 >= read.2, "a mark was not noted");
        self.marks.note(Deadline::from_raw(known.2));
    }
}

fn dbs() -> [Db; 2] {
    [0, 1].map(|number| Db::new(number).expect("there are sixteen"))
}

/// What a primary's shard would put into its log, at random.
struct Leader {
    store: Store,
    next: Position,
    now_ms: u64,
    random: u64,
    /// What was told, with where it stands and when.
    told: Vec<(Position, Position, u64, Vec<u8>)>,
}

impl Leader {
    fn below(&mut self, n: u64) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) % n) as usize
    }

    fn deadline(&mut self) -> Deadline {
        match self.below(3) {
            0 => Deadline::NEVER,
            _ => Deadline::from_raw(self.now_ms + 1 + self.below(5_000) as u64),
        }
    }

    /// One batch of a few changes.
    fn write(&mut self) {
        let count = 1 + self.below(3);
        let changes: Vec<_> = (0..count).map(|_| self.change()).collect();
        let values: Vec<[&[u8]; 1]> = changes.iter().map(|change| [&change.value[..]]).collect();
        let ops = changes.iter().zip(&values);
        let ops: Vec<Op<'_>> = ops
            .map(|(change, value)| change.op(&self.store, value))
            .collect();
        let (first, mut bytes) = (self.next, Vec::new());
        let applied = self
            .store
            .apply_and_tell(self.now_ms, first, &ops, &mut bytes);
        let last = applied.expect("there is room").last;
        if last >= first {
            self.next = last.plus(1);
            self.told.push((first, last, self.now_ms, bytes));
        }
    }

    fn change(&mut self) -> Change {
        let db = dbs()[self.below(2)];
        let (key, user) = (IDS[self.below(6)], USERS[self.below(4)]);
        let fence = Fence(self.random);
        let (space, kind, value) = match self.below(4) {
            0 => (Space::Data, kind_of(Type::String, false), b"plain".to_vec()),
            1 => (
                Space::Hold,
                HOLD,
                hold_value(HeldBy::Session, fence).to_vec(),
            ),
            2 => (Space::Mark, GONE, Vec::new()),
            _ => (Space::Data, kind_of(Type::String, true), session_of(user)),
        };
        let what = match self.below(16) {
            0 => What::Flush((self.below(2) == 0).then_some(db)),
            1..=3 => What::Delete,
            4..=6 => What::Touch,
            _ => What::Put,
        };
        let deadline = self.deadline();
        Change {
            db,
            key,
            space,
            kind,
            value,
            deadline,
            what,
        }
    }
}

enum What {
    Put,
    Delete,
    Touch,
    Flush(Option<Db>),
}

struct Change {
    db: Db,
    key: &'static [u8],
    space: Space,
    kind: Kind,
    value: Vec<u8>,
    deadline: Deadline,
    what: What,
}

impl Change {
    fn op<'a>(&self, store: &Store, value: &'a [&'a [u8]; 1]) -> Op<'a> {
        let key = store.key(self.db, self.space, self.key);
        match self.what {
            What::Put => Op::Put {
                key,
                kind: self.kind,
                version: Version::FIRST,
                deadline: self.deadline,
                value,
            },
            What::Delete => Op::Delete { key },
            What::Touch => Op::Touch {
                key,
                deadline: self.deadline,
            },
            What::Flush(db) => Op::Flush { db },
        }
    }
}

fn session_of(user: &[u8]) -> Vec<u8> {
    let meta = Meta {
        user,
        ..Meta::new(1)
    };
    let mut value = Vec::new();
    meta.encode(&mut value);
    value
}

/// A leader writes; one store follows from the beginning, another begins with a snapshot that is read meanwhile.
fn run(seed: u64) {
    let mut leader = Leader {
        store: empty_store(),
        next: Position::new(1, 1),
        now_ms: 1_000_000,
        random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        told: Vec::new(),
    };
    let mut standby = Known::new(empty_store());
    let mut filled = Known::new(empty_store());
    let joins_at = leader.below(40);
    let (mut cursor, mut followed, mut joined) = (Some(0), [0, 0], false);
    for step in 0..120 {
        for _ in 0..leader.below(3) {
            leader.write();
        }
        leader.now_ms += leader.below(400) as u64;
        if step == joins_at {
            followed[1] = leader.told.len();
            joined = true;
            filled
                .store
                .begin_behind(Position::from_raw(leader.next.raw() - 1), leader.now_ms);
        }
        if leader.below(2) == 0 {
            catch_up(&leader, &mut standby, &mut followed[0]);
        }
        if joined && leader.below(2) == 0 {
            cursor = cursor.and_then(|cursor| fill(&leader, &mut filled, cursor));
        }
        if joined && leader.below(3) == 0 {
            catch_up(&leader, &mut filled, &mut followed[1]);
        }
        let now_ms = leader.now_ms;
        standby.learner().maintain(now_ms - 1_000, 1 << 16);
        standby.check();
    }
    while let Some(at) = cursor {
        cursor = fill(&leader, &mut filled, at);
    }
    catch_up(&leader, &mut filled, &mut followed[1]);
    filled.check();
    filled.learner().maintain(leader.now_ms, 1 << 20);
    filled.check();
}

fn catch_up(leader: &Leader, known: &mut Known, followed: &mut usize) {
    for (first, last, now_ms, bytes) in &leader.told[*followed..] {
        let told = Told::trusted(bytes);
        let done = known
            .learner()
            .follow(told, |store| store.follow(*now_ms, (*first, *last), told));
        done.expect("there is room");
    }
    *followed = leader.told.len();
}

fn fill(leader: &Leader, known: &mut Known, cursor: u64) -> Option<u64> {
    let mut bytes = Vec::new();
    let next = leader.store.tell_all(cursor, 64, &mut bytes);
    let told = Told::trusted(&bytes);
    let done = known
        .learner()
        .follow(told, |store| store.fill(leader.now_ms, told));
    done.expect("there is room");
    next
}

#[test]
fn a_standby_knows_what_its_entries_say() {
    for seed in 0..300 {
        run(seed);
    }
}

/// Writes once more what was touched, as it is.
fn rewrite(leader: &mut Leader, keys: &[u8]) {
    for about in Told::trusted(keys).about() {
        let About::Removed { db, space, key } = about else {
            panic!("{about:?} is not a key that was touched");
        };
        let key = leader.store.key(db, space, key);
        let Some(entry) = leader.store.get_expired(&key) else {
            continue;
        };
        let (kind, version, deadline) = (entry.kind(), entry.version(), entry.deadline());
        let (value, mut bytes) = (entry.value().to_vec(), Vec::new());
        let put = Op::Put {
            key,
            kind,
            version,
            deadline,
            value: &[&value],
        };
        let (first, now_ms) = (leader.next, leader.now_ms);
        let applied = leader
            .store
            .apply_and_tell(now_ms, first, &[put], &mut bytes);
        let last = applied.expect("there is room").last;
        leader.next = last.plus(1);
        leader.told.push((first, last, now_ms, bytes));
    }
}

/// A standby follows one leader, then another that has not all the first one had, and is mended. Returns whether it was.
fn stray(seed: u64) -> bool {
    let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let leader_at = |next, random| Leader {
        store: empty_store(),
        next,
        now_ms: 1_000_000,
        random,
        told: Vec::new(),
    };
    let mut leader = leader_at(Position::new(1, 1), random);
    let mut standby = Known::new(empty_store());
    let mut followed = 0;
    (0..30).for_each(|_| leader.write());
    catch_up(&leader, &mut standby, &mut followed);
    let parting = standby.store.newest();
    // What it follows now, nobody else will have.
    let mut rival = leader_at(parting.plus(1), !random | 1);
    (0..10).for_each(|_| rival.write());
    let mut touched = Touched::new();
    let mut told = rival.told.iter().map(|(.., bytes)| Told::trusted(bytes));
    let can_say = told.all(|told| touched.add(&standby.store, told));
    if !can_say {
        return false;
    }
    catch_up(&rival, &mut standby, &mut 0);
    standby.check();
    let keys = touched.into_told();
    crate::mend::mend(&mut standby.learner(), parting, &keys).expect("there is room");
    standby.check();
    leader.next = Position::new(2, 1);
    (0..10).for_each(|_| leader.write());
    rewrite(&mut leader, &keys);
    catch_up(&leader, &mut standby, &mut followed);
    standby.check();
    let mut other = Known::new(empty_store());
    catch_up(&leader, &mut other, &mut 0);
    let (here, there) = (standby.sessions(), other.sessions());
    assert_eq!(here, there, "seed {seed}");
    true
}

#[test]
fn a_copy_that_is_mended_knows_what_the_others_know() {
    let mended = (0..300).filter(|seed| stray(*seed)).count();
    assert!(mended > 30, "only {mended} were mended");
}
