use model::time::Deadline;
use model::{ConnectionId, Db, Now, Position, Version};
use store::{Kind, Space, Store, StoreConfig, SyncMode};

use crate::batch::{Batch, Header};
use crate::sessions::{Caller, Terms};
use crate::{Shard, ShardSettings};

const NOW: Now = Now {
    unix_ms: 1_000_000,
    mono_us: 0,
};

fn caller() -> Caller {
    Caller {
        now: NOW,
        connection: ConnectionId(1),
        db: Db::ZERO,
    }
}

fn config(memory_bytes: usize) -> StoreConfig {
    StoreConfig {
        memory_bytes,
        sync: SyncMode::None,
        seed: 7,
    }
}

/// The same as a restart finds it.
fn restarted(shard: Shard) -> Shard {
    let store = shard.into_store();
    let epoch = store.newest().epoch() + 1;
    Shard::new(store, Position::new(epoch, 1), ShardSettings::default())
}

/// As damage does it: the entry goes, and nothing that follows from its going is done.
fn lose(shard: &mut Shard, id: &[u8]) {
    let mut batch = Batch::default();
    batch.delete(Db::ZERO, Space::Data, id);
    shard.apply_batch(NOW, &batch).unwrap();
}

#[test]
fn the_hold_of_a_session_that_the_disk_has_lost_is_removed_by_a_restart() {
    let store = Store::new(config(64 << 20));
    let mut shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
    for id in [&b"lost"[..], b"kept"] {
        shard
            .create_session(caller(), id, &Terms::default(), Some(100_000), &[])
            .unwrap();
    }
    let mut shard = restarted(shard);
    lose(&mut shard, b"lost");
    assert_eq!(shard.rebuild(NOW), Ok(0));
    let mut create = |id| shard.create_session(caller(), id, &Terms::default(), Some(5), &[]);
    create(b"lost").unwrap();
    create(b"kept").unwrap_err();
    let info = shard.session_info(caller(), b"kept").unwrap();
    assert!(info.hold.is_some(), "whose session is there stays held");
}

/// What is removed may be more than one batch takes: the tombstones of these take 12 MiB.
#[test]
fn any_number_of_holds_is_removed() {
    let store = Store::new(config(128 << 20));
    let mut shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
    let id = |n: usize| alloc::format!("{n:060000}").into_bytes();
    for n in 0..200 {
        let terms = Terms::default();
        let created = shard.create_session(caller(), &id(n), &terms, Some(100_000), &[]);
        created.unwrap();
    }
    let mut shard = restarted(shard);
    for n in 0..200 {
        lose(&mut shard, &id(n));
    }
    assert_eq!(shard.rebuild(NOW), Ok(0));
    for n in 0..200 {
        let terms = Terms::default();
        let created = shard.create_session(caller(), &id(n), &terms, Some(5), &[]);
        created.unwrap();
    }
}

/// Where not even the reserve has room the start ends with that, and not with a panic: more memory helps.
#[test]
fn no_room_to_remove_a_hold_is_said() {
    let store = Store::new(config(32 << 20));
    let mut shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
    let terms = Terms::default();
    let created = shard.create_session(caller(), b"lost", &terms, Some(100_000), &[]);
    created.unwrap();
    let mut shard = restarted(shard);
    lose(&mut shard, b"lost");
    let header = Header {
        kind: Kind::new(0),
        version: Version::FIRST,
        deadline: Deadline::NEVER,
    };
    // Marks may use the reserve as well.
    let mut marks = 0_u64;
    for len in [1_000, 100, 0] {
        let mut fits = true;
        while fits {
            let (key, value) = (marks.to_le_bytes(), &[0; 1_000][..len]);
            let mut batch = Batch::default();
            batch.put(Db::ZERO, Space::Mark, &key, header, &[value]);
            fits = shard.apply_batch(NOW, &batch).is_ok();
            marks += 1;
        }
    }
    assert!(marks > 20_000, "{marks}");
    restarted(shard).rebuild(NOW).unwrap_err();
}
