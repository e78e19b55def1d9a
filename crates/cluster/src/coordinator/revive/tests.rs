use alloc::{vec, vec::Vec};

use model::{CopySet, Incarnation, Member, NodeId, Phase, Position, ShardConfig, ShardId};

use super::super::Proposal;
use super::{from_longest, from_relics};
use crate::{
    brake::Brake,
    court::Court,
    decide::Reason,
    fixture::Draft,
    map::ClusterMap,
    message::{CopyStatus, Relic, Report},
    record::{LossRecord, NodeState, Settings},
    reports::Reports,
    situation::Situation,
    timing::REPAIR_DELAY_MS,
};

const SHARD: ShardId = ShardId(0);
const NOW_MS: u64 = 5_000;
const OLD: Incarnation = Incarnation(1);
const NEW: Incarnation = Incarnation(2);

const fn member(node: u32, incarnation: Incarnation) -> Member {
    Member {
        node: NodeId(node),
        incarnation,
    }
}

/// A shard that the old lives of nodes 0, 1 and 2 serve; the nodes are in these lives.
fn map(lives: [Incarnation; 3]) -> ClusterMap {
    let settings = Settings {
        shards: 1,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 1,
    };
    let members: Vec<Member> = (0..3).map(|node| member(node, OLD)).collect();
    let config = ShardConfig::create(CopySet::new(&members, 2), NodeId(0)).published();
    let nodes = (0..).zip(lives);
    let draft = nodes.fold(Draft::new(&settings), |draft, (node, life)| {
        draft.node(node, life, NodeState::Active)
    });
    draft.shard(SHARD, (0, 16_383), config).map()
}

/// A node in its new life tells of what it has: up to so far, and whose.
fn tell(reports: &mut Reports, node: u32, sequence: u64, relic: Option<Relic>) {
    let status = CopyStatus {
        relic,
        ..CopyStatus::new(SHARD, 1, Position::new(1, sequence))
    };
    let report = Report {
        from: member(node, NEW),
        copies: vec![status],
        is_all: true,
    };
    reports.hear(&report, NOW_MS);
}

const fn relic(damaged: bool) -> Option<Relic> {
    Some(Relic { life: OLD, damaged })
}

/// What becomes of the shard that could not be proved for so long.
fn revived(
    lives: [Incarnation; 3],
    reports: &Reports,
    for_ms: u64,
) -> Option<(ShardConfig, LossRecord)> {
    let (map, court, brake) = (map(lives), Court::default(), Brake::default());
    let situation = Situation::new(&map, &court, &brake, reports, NOW_MS).expect("it was created");
    let record = &map.shards()[&SHARD];
    let proposal = from_relics(&situation, SHARD, record, for_ms)?;
    let Proposal::Revival(_, record, loss, Reason::Relics) = proposal else {
        panic!("{proposal:?}");
    };
    Some((record.config, loss))
}

#[test]
fn what_all_members_have_left_is_enough_at_once() {
    let mut reports = Reports::default();
    for (node, sequence) in [(0, 7), (1, 9), (2, 8)] {
        assert_eq!(
            revived([NEW; 3], &reports, 0),
            None,
            "node {node} is missing"
        );
        tell(&mut reports, node, sequence, relic(false));
    }
    let (config, loss) = revived([NEW; 3], &reports, 0).expect("all are there");
    assert_eq!((config.epoch(), config.primary()), (2, member(1, NEW)));
    let Phase::Recovering { from: Some(from) } = config.phase() else {
        panic!("{config:?}");
    };
    assert_eq!(
        (from.copies.members().len(), from.copies.read_quorum()),
        (3, 2)
    );
    assert_eq!(
        from.epoch, 0,
        "the power may have left an earlier note: who was synced to nothing, as it says, counts too"
    );
    assert!((0..3).all(|node| from.copies.contains(member(node, NEW))));
    assert_eq!(
        (loss.survivor, loss.position),
        (member(1, NEW), Position::new(1, 9))
    );
    assert_eq!(loss.missing.len(), 3, "each life may have had more");
}

#[test]
fn who_may_have_more_is_waited_for() {
    let mut reports = Reports::default();
    tell(&mut reports, 0, 7, relic(false));
    tell(&mut reports, 1, 6, relic(false));
    assert_eq!(revived([NEW; 3], &reports, REPAIR_DELAY_MS - 1), None);
    let (config, _) = revived([NEW; 3], &reports, REPAIR_DELAY_MS).expect("two are enough");
    let Phase::Recovering { from: Some(from) } = config.phase() else {
        panic!("{config:?}");
    };
    assert_eq!(from.copies.members(), [member(0, NEW), member(1, NEW)]);
    assert_eq!(from.copies.read_quorum(), 2, "both have to be asked");
    assert_eq!(
        config.copies().members().len(),
        3,
        "and another gets a copy"
    );
}

#[test]
fn one_is_not_enough_however_long() {
    let mut reports = Reports::default();
    tell(&mut reports, 0, 7, relic(false));
    tell(&mut reports, 1, 9, relic(true));
    let of_another = Some(Relic {
        life: Incarnation(7),
        damaged: false,
    });
    tell(&mut reports, 2, 9, of_another);
    assert_eq!(revived([NEW; 3], &reports, u64::MAX), None);
}

#[test]
fn a_member_that_lives_counts_with_the_relics_of_others() {
    let mut reports = Reports::default();
    tell(&mut reports, 1, 9, relic(false));
    tell(&mut reports, 2, 6, relic(false));
    let (config, loss) = revived([OLD, NEW, NEW], &reports, 0).expect("all are there");
    assert!(config.copies().contains(member(0, OLD)));
    assert_eq!(loss.missing.len(), 2);
}

#[test]
fn an_operator_gets_one_without_damage_if_there_is_any() {
    let mut reports = Reports::default();
    tell(&mut reports, 0, 9, relic(true));
    let survivor = |reports: &Reports| {
        let (map, court, brake) = (map([NEW; 3]), Court::default(), Brake::default());
        let situation =
            Situation::new(&map, &court, &brake, reports, NOW_MS).expect("it was created");
        let proposal = from_longest(&situation, SHARD);
        let Ok(Proposal::Revival(_, _, loss, Reason::Forced)) = proposal else {
            panic!("{proposal:?}");
        };
        loss.survivor.node
    };
    assert_eq!(survivor(&reports), NodeId(0));
    tell(&mut reports, 2, 6, relic(false));
    assert_eq!(survivor(&reports), NodeId(2));
}
