use alloc::vec;

use model::{CopySet, Incarnation, Member, NodeId, Position, ShardConfig, ShardId};

use super::next;
use crate::{
    brake::Brake,
    court::Court,
    decide::Reason,
    fixture::Draft,
    map::ClusterMap,
    message::{CopyStatus, Report},
    record::Settings,
    reports::Reports,
    situation::Situation,
};

const NOW_MS: u64 = 5_000;
/// Each of the two nodes has so many shards: node 0 the even ones.
const EACH: u16 = 10;

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
    }
}

fn owner(shard: u16) -> u32 {
    u32::from(shard % 2)
}

fn map() -> ClusterMap {
    let settings = Settings {
        shards: 2 * EACH,
        copies: 1,
        write_quorum: 1,
        initial_nodes: 2,
    };
    let shards = (0..2 * EACH).map(ShardId);
    let draft = shards.fold(Draft::new(&settings).nodes(2), |draft, shard| {
        let set = CopySet::new(&[member(owner(shard.0))], 1);
        let config = ShardConfig::create(set, NodeId(owner(shard.0))).published();
        draft.shard(shard, settings.slots_of(shard), config)
    });
    draft.map()
}

/// A complete copy of a shard, with so many bytes and writes per second.
fn status(shard: u16, (bytes, writes_per_s): (u64, u32)) -> CopyStatus {
    CopyStatus {
        bytes,
        writes_per_s,
        complete: 1,
        ..CopyStatus::new(ShardId(shard), 1, Position::new(1, 9))
    }
}

/// What is moved, from whom to whom, where a shard has so many bytes and writes per second.
fn moved(size: impl Fn(u16) -> (u64, u32)) -> Option<(u32, u32)> {
    let mut reports = Reports::default();
    for node in 0..2 {
        let own = (0..2 * EACH).filter(|shard| owner(*shard) == node);
        let copies = own.map(|shard| status(shard, size(shard))).collect();
        let from = member(node);
        reports.hear(
            &Report {
                from,
                copies,
                is_all: true,
            },
            NOW_MS,
        );
    }
    let (map, court, brake) = (map(), Court::default(), Brake::default());
    let situation = Situation::new(&map, &court, &brake, &reports, NOW_MS);
    let decision = next(&situation.expect("it was created"))?;
    assert_eq!(decision.reason, Reason::Grow);
    let members = decision.config.copies().members();
    Some((owner(decision.shard.0), members[1].node.0))
}

#[test]
fn copies_go_to_whoever_has_fewer_bytes() {
    assert_eq!(moved(|_| (1 << 20, 100)), None, "all is even");
    let node_0_is_full = |shard| ((1 << 20) * u64::from(2 - owner(shard)), 100);
    assert_eq!(moved(node_0_is_full), Some((0, 1)));
}

#[test]
fn copies_go_to_whoever_has_less_to_write() {
    let node_1_is_busy = |shard| (1 << 20, 100 + 900 * owner(shard));
    assert_eq!(moved(node_1_is_busy), Some((1, 0)));
}

#[test]
fn many_bytes_here_and_many_writes_there_are_even() {
    let either = |shard| match owner(shard) {
        0 => (2 << 20, 100),
        _ => (1 << 20, 200),
    };
    assert_eq!(moved(either), None);
}

#[test]
fn what_is_next_to_nothing_does_not_count() {
    let node_0_has_a_few = |shard| (1_000, 9 * (1 - owner(shard)));
    assert_eq!(moved(node_0_has_a_few), None);
}

#[test]
fn a_copy_that_is_gone_no_longer_counts() {
    let mut reports = Reports::default();
    let mut tell = |node: u32, size: (u64, u32), now_ms| {
        let copies = vec![status(0, size)];
        let from = member(node);
        reports.hear(
            &Report {
                from,
                copies,
                is_all: true,
            },
            now_ms,
        );
    };
    let (large, small) = ((9 << 20, 900), (1 << 20, 100));
    tell(7, large, 1_000);
    tell(0, small, 5_000);
    assert_eq!(reports.size(ShardId(0), 5_000), small);
    assert_eq!(
        reports.size(ShardId(0), 9_000),
        large,
        "nobody says anything"
    );
}
