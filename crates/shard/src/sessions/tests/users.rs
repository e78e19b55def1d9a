//! The index of users against what the sessions themselves say, under random commands of every kind that can make, move or
//! end a session.

use super::*;
use crate::writes::{Change, Place};

const NAMES: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
const USERS: [&[u8]; 3] = [b"ann", b"bob", b"cy"];

struct Index {
    shard: Shard,
    now_ms: u64,
    random: u64,
    starts: u32,
}

impl Index {
    fn new(seed: u64) -> Self {
        let store = Store::new(StoreConfig {
            memory_bytes: 64 << 20,
            sync: SyncMode::EverySecond,
            seed,
        });
        Self {
            shard: Shard::new(store, Position::new(1, 1), ShardSettings::default()),
            now_ms: 1_000_000,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            starts: 1,
        }
    }

    fn below(&mut self, n: u64) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) % n) as usize
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: self.now_ms,
            mono_us: self.now_ms * 1000,
        }
    }

    fn caller(&self, db: Db) -> Caller {
        Caller {
            now: self.now(),
            connection: ConnectionId(1),
            db,
        }
    }

    fn step(&mut self) {
        let (now, db) = (self.now(), Db::new(self.below(2) as u8).unwrap());
        let other = Db::new(1 - db.number()).unwrap();
        let (id, to, user) = (
            NAMES[self.below(5)],
            NAMES[self.below(5)],
            USERS[self.below(3)],
        );
        let caller = self.caller(db);
        let terms = Terms {
            user: (self.below(3) > 0).then_some(user),
            idle_ms: (self.below(2) == 0).then_some(30),
            max_ms: None,
        };
        let open = Open {
            create: self.below(2) == 0,
            terms,
            ..Open::default()
        };
        // Refusals are the others' tests; here only the index counts.
        match self.below(14) {
            0 | 1 => _ = self.shard.create_session(caller, id, &terms, None, &[]),
            2 | 3 => _ = self.shard.open_session(caller, id, &open, Attempt::First),
            4 => _ = self.shard.destroy_session(caller, id, None),
            5 => _ = self.shard.delete(now, db, id),
            6 => {
                _ = self
                    .shard
                    .r#move(now, Place { db, key: id }, Place { db, key: to })
            }
            7 => {
                _ = self
                    .shard
                    .r#move(now, Place { db, key: id }, Place { db: other, key: id })
            }
            8 if id != to => {
                _ = self
                    .shard
                    .copy(now, Place { db, key: id }, Place { db, key: to });
            }
            8 => {}
            9 => _ = self.shard.rotate_session(caller, id, to, None, 0),
            10 => {
                let body: &[&[u8]] = &[b"plain"];
                let change = Change {
                    r#type: crate::Type::String,
                    deadline: Deadline::after(self.now_ms, 20),
                    body,
                };
                _ = self.shard.put(now, db, id, change);
            }
            11 => {
                self.now_ms += 7;
                if self.below(2) == 0 {
                    while self.shard.maintain(self.now(), 1 << 20) {}
                }
            }
            12 if self.below(6) == 0 => {
                let only = (self.below(2) == 0).then_some(db);
                _ = self.shard.flush(now, only);
            }
            12 if self.below(3) == 0 => _ = self.shard.swap(now, db, other),
            12 => _ = self.shard.revoke_user(caller, user, Some(id)),
            _ if self.below(6) == 0 => self.restart(),
            _ => {}
        }
        self.pump();
        self.compare();
    }

    fn pump(&mut self) {
        let mut ops = Vec::new();
        self.shard.store_mut().take_disk_ops(&mut ops);
        for op in ops {
            let event = DiskEvent { op, result: Ok(()) };
            self.shard.store_mut().disk_event(event);
        }
        self.shard.advance_commit();
    }

    fn restart(&mut self) {
        self.starts += 1;
        let spare = Self::new(1).shard;
        let store = core::mem::replace(&mut self.shard, spare).into_store();
        let next = Position::new(self.starts, 1);
        self.shard = Shard::new(store, next, ShardSettings::default());
        self.shard.rebuild(self.now()).unwrap();
    }

    fn compare(&mut self) {
        let mut all = 0;
        for db in [Db::ZERO, Db::new(1).unwrap()] {
            for user in USERS {
                let of_user = |id: &&[u8]| {
                    let record = self.shard.peek(self.now(), db, id);
                    let meta = record.and_then(|record| record.meta);
                    meta.is_some_and(|meta| meta.user == user)
                };
                let want: Vec<Vec<u8>> = NAMES
                    .iter()
                    .copied()
                    .filter(of_user)
                    .map(<[u8]>::to_vec)
                    .collect();
                all += want.len();
                // In pages of two: the cursor takes part.
                let (mut got, mut after) = (Vec::new(), None);
                loop {
                    let caller = self.caller(db);
                    let page = self.shard.list_user(caller, user, after.as_deref(), 2);
                    got.extend(page.ids);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(got, want);
            }
        }
        // What has expired and was not swept yet may still be in the index, nothing else.
        let unswept = self.unswept();
        assert_eq!(self.shard.users().sessions(), all + unswept);
    }

    /// Sessions in the index that have expired, each still in the store under that user.
    fn unswept(&self) -> usize {
        let mut unswept = 0;
        for db in [Db::ZERO, Db::new(1).unwrap()] {
            for user in USERS {
                for id in self.shard.users.after(db, user, None) {
                    let stored = self.shard.store.get(&self.shard.data_key(db, id), 0);
                    let meta = stored.and_then(|entry| Record::of(entry).meta);
                    assert_eq!(
                        meta.map(|meta| meta.user),
                        Some(user),
                        "the index keeps what is gone"
                    );
                    unswept += usize::from(self.shard.peek(self.now(), db, id).is_none());
                }
            }
        }
        unswept
    }
}

#[test]
fn the_index_says_what_the_sessions_say() {
    for seed in 1..60 {
        super::say(seed);
        let mut index = Index::new(seed);
        for _ in 0..300 {
            index.step();
        }
    }
}
