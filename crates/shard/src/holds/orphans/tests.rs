use model::{ConnectionId, Db, Now, Position};
use store::{Space, Store, StoreConfig, SyncMode};

use crate::batch::Batch;
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

#[test]
fn the_hold_of_a_session_that_the_disk_has_lost_is_removed_by_a_restart() {
    let config = StoreConfig {
        memory_bytes: 64 << 20,
        sync: SyncMode::None,
        seed: 7,
    };
    let settings = ShardSettings::default();
    let mut shard = Shard::new(Store::new(config), Position::new(1, 1), settings.clone());
    for id in [&b"lost"[..], b"kept"] {
        shard
            .create_session(caller(), id, &Terms::default(), Some(100_000), &[])
            .unwrap();
    }
    // As damage does it: the entry goes, and nothing that follows from its going is done.
    let spare = Shard::new(Store::new(config), Position::new(1, 1), settings.clone());
    let store = core::mem::replace(&mut shard, spare).into_store();
    let mut shard = Shard::new(store, Position::new(2, 1), settings);
    let mut batch = Batch::default();
    batch.delete(Db::ZERO, Space::Data, b"lost");
    shard.apply_batch(NOW, &batch).unwrap();
    shard.rebuild(NOW);
    let mut create = |id| shard.create_session(caller(), id, &Terms::default(), Some(5), &[]);
    create(b"lost").unwrap();
    create(b"kept").unwrap_err();
    let info = shard.session_info(caller(), b"kept").unwrap();
    assert!(info.hold.is_some(), "whose session is there stays held");
}
