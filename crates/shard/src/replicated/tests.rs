use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Incarnation, Member, NodeId, Now, Position, ShardId};
use replica::{Replica, Restored, Settings, Vows};
use store::{Kind, Op, Space};

use crate::learn::tests::empty_store;
use crate::{Shard, ShardSettings};

const NOW: Now = Now {
    unix_ms: 1_000_000,
    mono_us: 1_000_000,
};

/// A copy that is being filled behind this position.
fn filled_behind(base: Position, time_ms: u64) -> Shard {
    let me = Member {
        node: NodeId(1),
        incarnation: Incarnation(1),
    };
    let found = Restored {
        vows: Vows::default(),
        last: Position::ZERO,
        found: Position::ZERO,
        time_ms: 0,
    };
    let replica = Replica::restored(ShardId(0), me, found, NOW, Settings::default());
    let mut shard = Shard::as_copy(empty_store(), replica, 0, ShardSettings::default());
    shard.on_reset(empty_store(), base, time_ms);
    shard
}

/// A part of a snapshot with one key.
fn part() -> Vec<u8> {
    let (mut told, mut from) = (Vec::new(), empty_store());
    let value: &[&[u8]] = &[b"value"];
    let put = Op::Put {
        key: from.key(Db::ZERO, Space::Data, b"key"),
        kind: Kind::new(0),
        version: model::Version::FIRST,
        deadline: Deadline::NEVER,
        value,
    };
    let applied = from.apply_and_tell(NOW.unix_ms, Position::new(1, 1), &[put], &mut told);
    assert!(applied.is_ok());
    told
}

fn keys(shard: &Shard) -> usize {
    let mut keys = 0;
    shard.store().scan(0, usize::MAX, &mut |_| keys += 1);
    keys
}

/// What has come and waits would stand behind what says that all is there.
#[test]
fn a_log_that_has_ended_takes_nothing_more() {
    for is_ended in [false, true] {
        let mut shard = filled_behind(Position::new(1, 5), NOW.unix_ms);
        if is_ended {
            shard.end_log();
        }
        shard.on_install(1, 0, part());
        let _ = shard.take_news();
        assert_eq!(keys(&shard), usize::from(!is_ended));
        assert_eq!(shard.store().is_sealed(), is_ended);
    }
}

/// What it is filled with does not tell by which time that was so.
#[test]
fn a_copy_that_is_filled_begins_at_the_time_of_what_it_is_filled_with() {
    let mut shard = filled_behind(Position::new(3, 7), 5_000_000);
    shard.on_install(1, 0, part());
    let _ = shard.take_news();
    assert_eq!(shard.store().latest_ms(), 5_000_000);
}
