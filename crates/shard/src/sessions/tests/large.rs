//! Sessions whose fields are in chunks: everything that a command does must reach all of them.

use alloc::format;
use alloc::string::String;

use super::*;

const FIELDS: usize = 600;
const SESSION: &[u8] = b"{t}large";

fn field(n: usize) -> String {
    format!("field-{n:04}")
}

fn shard() -> Shard {
    let store = Store::new(StoreConfig {
        memory_bytes: 64 << 20,
        sync: SyncMode::EverySecond,
        seed: 3,
    });
    Shard::new(store, Position::new(1, 1), ShardSettings::default())
}

fn at(ms: u64) -> Caller {
    Caller {
        now: Now {
            unix_ms: ms,
            mono_us: ms * 1000,
        },
        connection: ConnectionId(1),
        db: Db::ZERO,
    }
}

fn fields_of(shard: &mut Shard, caller: Caller, id: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    match shard.session_view(caller, id)?.value {
        Value::Fields(hash) => Some(hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect()),
        Value::Data(_) => panic!("it has fields"),
    }
}

fn open(hold_ms: Option<u64>) -> Open<'static> {
    Open {
        hold_ms,
        ..Open::default()
    }
}

#[test]
fn a_large_session_is_opened_committed_rotated_and_expires_as_a_whole() {
    let mut shard = shard();
    let names: Vec<String> = (0..FIELDS).map(field).collect();
    let value = [b'v'; 40];
    let sets: Vec<_> = names
        .iter()
        .map(|name| FieldChange::Set(name.as_bytes(), &value))
        .collect();
    let terms = Terms {
        user: Some(b"ann"),
        idle_ms: Some(1000),
        max_ms: None,
    };
    shard
        .create_session(at(1000), SESSION, &terms, None, &sets)
        .unwrap();
    assert_eq!(
        shard.peek(at(1000).now, Db::ZERO, SESSION).unwrap().r#type,
        crate::Type::BigHash
    );
    // Sliding reaches the chunks: at 2100 those that had not been touched would be gone.
    let opened = shard.open_session(at(1900), SESSION, &open(Some(500)), Attempt::First);
    let Ok(Opened::Open(fence)) = opened else {
        panic!("{opened:?}");
    };
    while shard.maintain(at(2100).now, 1 << 20) {}
    assert_eq!(
        fields_of(&mut shard, at(2100), SESSION).unwrap().len(),
        FIELDS
    );
    // A commit with another idle time rewrites some chunks and touches the others.
    let commit = Commit {
        change: ValueChange::Fields(&[
            FieldChange::Set(b"field-0000", b"new"),
            FieldChange::Remove(b"field-0001"),
        ]),
        idle_ms: Some(5000),
        keep_ms: Some(900),
    };
    assert_eq!(
        shard.commit_session(at(2200), SESSION, fence, &commit),
        Ok(2)
    );
    while shard.maintain(at(2950).now, 1 << 20) {}
    let fields = fields_of(&mut shard, at(2950), SESSION).unwrap();
    assert_eq!(
        (fields.len(), &fields[&b"field-0000"[..]][..]),
        (FIELDS - 1, &b"new"[..])
    );
    // Its id changes: everything moves, nothing stays.
    let moved = shard.rotate_session(at(3000), SESSION, b"{t}moved", Some(fence), 0);
    assert_eq!(moved, Ok(true));
    assert_eq!(fields_of(&mut shard, at(3000), b"{t}moved"), Some(fields));
    let mut chunks = 0;
    let mut cursor = 0;
    loop {
        cursor = shard.store().scan(cursor, 1000, &mut |entry| {
            if entry.space() == Space::Chunk && !entry.deadline().has_passed(3000) {
                assert!(
                    entry.key().windows(7).any(|w| w == b"{t}move"),
                    "a chunk stayed behind"
                );
                chunks += 1;
            }
        });
        if cursor == 0 {
            break;
        }
    }
    assert!(chunks > 5, "{chunks} chunks");
    // The hold moved with it, under the same fence.
    let info = shard.session_info(at(3000), b"{t}moved").unwrap();
    assert_eq!(info.hold.map(|hold| hold.fence), Some(fence));
    assert!(info.bytes > FIELDS * 40);
    let commit = Commit {
        change: ValueChange::Data(b"small"),
        idle_ms: None,
        keep_ms: None,
    };
    assert_eq!(
        shard.commit_session(at(3050), b"{t}moved", fence, &commit),
        Ok(3)
    );
    assert!(shard.session_info(at(3050), b"{t}moved").unwrap().bytes < 300);
    // The idle deadline is the commit's of 2200.
    while shard.maintain(at(7200).now, 1 << 20) {}
    assert!(shard.session_view(at(7200), b"{t}moved").is_none());
    assert_eq!(shard.users().sessions(), 0);
    let live = shard.store().usage().live_payload;
    assert!(live < 200, "{live} bytes are left behind");
}
