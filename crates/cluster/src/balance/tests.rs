use alloc::{vec, vec::Vec};

use model::{CopySet, Incarnation, Member, NodeId, Position, ShardConfig, ShardId, Zone};

use super::next;
use crate::{
    brake::Brake,
    court::Court,
    decide::Reason,
    format::Record,
    keys::Place,
    map::ClusterMap,
    message::{CopyStatus, Report, Resigned},
    metadata::{Listing, RequestId, Revision},
    record::{Addresses, NodeRecord, NodeState, Settings, ShardRecord},
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
    let mut entries = vec![(Place::Cluster.key(), settings.encode())];
    for node in 0..2 {
        let record = NodeRecord {
            incarnation: Incarnation(1),
            state: NodeState::Active,
            process: u64::from(node),
            zone: Zone(0),
            addresses: Addresses::default(),
            request: RequestId(1),
        };
        entries.push((Place::Node(NodeId(node)).key(), record.encode()));
    }
    for shard in 0..2 * EACH {
        let set = CopySet::new(&[member(owner(shard))], 1);
        let (first_slot, last_slot) = settings.slots_of(ShardId(shard));
        let record = ShardRecord {
            first_slot,
            last_slot,
            config: ShardConfig::create(set, NodeId(owner(shard))).published(),
            request: RequestId(1),
        };
        entries.push((Place::Shard(ShardId(shard)).key(), record.encode()));
    }
    let revision = Revision(1);
    ClusterMap::from_listing(&Listing { revision, entries })
}

/// What is moved, from whom to whom, where a shard has so many bytes and writes per second.
fn moved(size: impl Fn(u16) -> (u64, u32)) -> Option<(u32, u32)> {
    let mut reports = Reports::default();
    for node in 0..2 {
        let own = (0..2 * EACH).filter(|shard| owner(*shard) == node);
        let copies: Vec<CopyStatus> = own
            .map(|shard| {
                let (bytes, writes_per_s) = size(shard);
                CopyStatus {
                    shard: ShardId(shard),
                    epoch: 1,
                    position: Position::new(1, 9),
                    bytes,
                    writes_per_s,
                    complete: 1,
                    unreachable: 0,
                    resigned: Resigned::No,
                    disk_fails: false,
                    relic: None,
                }
            })
            .collect();
        let from = member(node);
        reports.hear(&Report { from, copies }, NOW_MS);
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
