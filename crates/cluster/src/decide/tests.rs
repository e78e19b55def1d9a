use alloc::{vec, vec::Vec};

use model::{CopySet, Incarnation, Member, NodeId, Position, ShardConfig, ShardId};

use super::{Decision, Reason, decide};
use crate::{
    brake::Brake,
    court::Court,
    fixture::Draft,
    map::ClusterMap,
    message::{CopyStatus, Report, Resigned},
    record::{NodeState, Settings},
    reports::Reports,
    situation::Situation,
};

const SHARD: ShardId = ShardId(0);
const NOW_MS: u64 = 5_000;

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
    }
}

/// Nodes 0, 1 and 2, and a shard that the first `copies` of them hold; node 0 leads it.
fn map(copies: u32) -> ClusterMap {
    let members: Vec<Member> = (0..copies).map(member).collect();
    let set = CopySet::new(&members, quorum_of(copies));
    map_with(
        copies,
        Incarnation(1),
        ShardConfig::create(set, NodeId(0)).published(),
    )
}

fn quorum_of(copies: u32) -> usize {
    copies as usize / 2 + 1
}

/// Nodes 0, in this life, 1 and 2, and a shard in this configuration.
fn map_with(copies: u32, life: Incarnation, config: ShardConfig) -> ClusterMap {
    let nodes = [life, Incarnation(1), Incarnation(1)].map(|life| (life, NodeState::Active));
    map_of(copies, &nodes, config)
}

/// Nodes from 0 on, and a shard in this configuration.
fn map_of(copies: u32, nodes: &[(Incarnation, NodeState)], config: ShardConfig) -> ClusterMap {
    let settings = Settings {
        shards: 1,
        copies: copies as u8,
        write_quorum: quorum_of(copies) as u8,
        initial_nodes: 1,
    };
    let nodes = (0..).zip(nodes);
    let draft = nodes.fold(Draft::new(&settings), |draft, (node, (life, state))| {
        draft.node(node, *life, *state)
    });
    draft.shard(SHARD, (0, 16_383), config).map()
}

/// Node 0 says that all copies are complete, and this of itself.
fn reports(resigned: Resigned) -> Reports {
    let mut reports = Reports::default();
    hear(&mut reports, 0, resigned, false);
    reports
}

fn hear(reports: &mut Reports, node: u32, resigned: Resigned, disk_fails: bool) {
    let status = CopyStatus {
        resigned,
        disk_fails,
        ..COMPLETE
    };
    tell(reports, node, status);
}

fn hear_of(reports: &mut Reports, node: u32, epoch: u32, resigned: Resigned) {
    let status = CopyStatus {
        epoch,
        resigned,
        complete: 0,
        ..COMPLETE
    };
    tell(reports, node, status);
}

const COMPLETE: CopyStatus = CopyStatus {
    complete: 0b111,
    ..CopyStatus::new(SHARD, 1, Position::new(1, 9))
};

fn tell(reports: &mut Reports, node: u32, status: CopyStatus) {
    let report = Report {
        from: member(node),
        copies: vec![status],
        is_all: true,
    };
    reports.hear(&report, NOW_MS);
}

fn decision(copies: u32, court: &Court, reports: &Reports) -> Option<Decision> {
    let (map, brake) = (map(copies), Brake::default());
    let situation = Situation::new(&map, court, &brake, reports, NOW_MS).expect("it was created");
    decide(&situation, SHARD, &map.shards()[&SHARD])
}

fn successor(copies: u32, court: &Court, reports: &Reports) -> Option<(u32, Reason)> {
    let decision = decision(copies, court, reports)?;
    assert_eq!(decision.config.epoch(), 2);
    Some((decision.config.primary().node.0, decision.reason))
}

#[test]
fn nothing_changes_while_nothing_is_wrong() {
    assert_eq!(decision(3, &Court::default(), &reports(Resigned::No)), None);
}

#[test]
fn who_is_about_to_end_hands_over_to_somebody_who_stays() {
    let mut court = Court::default();
    court.note_leaving(NodeId(0), true);
    court.note_leaving(NodeId(1), true);
    let reports = reports(Resigned::No);
    assert_eq!(successor(3, &court, &reports), Some((2, Reason::HandOver)));
    court.note_leaving(NodeId(2), true);
    assert_eq!(successor(3, &court, &reports), None, "nobody stays");
    court.note_leaving(NodeId(2), false);
    court.note_leaving(NodeId(0), false);
    assert_eq!(successor(3, &court, &reports), None, "the primary stays");
}

#[test]
fn who_resigns_is_followed_by_the_one_it_names() {
    let court = Court::default();
    let reports = |resigned| reports(resigned);
    let named = reports(Resigned::InFavourOf(NodeId(2)));
    assert_eq!(successor(3, &court, &named), Some((2, Reason::Failover)));
    let any = reports(Resigned::Yes);
    assert_eq!(successor(3, &court, &any), Some((1, Reason::Failover)));
}

#[test]
fn who_has_the_longest_log_is_in_the_next_set() {
    // Of the two that served, node 0 has begun a new life, and node 1 was away while it was replaced.
    let served = ShardConfig::create(CopySet::new(&[member(0), member(1)], 2), NodeId(0));
    let reborn = Member {
        incarnation: Incarnation(2),
        ..member(0)
    };
    let empty = CopySet::new(&[reborn, member(2)], 2);
    let config = served.published().succeed(empty, NodeId(2));
    let mut reports = Reports::default();
    let named = Resigned::InFavourOf(NodeId(1));
    hear_of(&mut reports, 2, config.epoch(), named);
    let (map, brake, court) = (
        map_with(2, reborn.incarnation, config),
        Brake::default(),
        Court::default(),
    );
    let situation = Situation::new(&map, &court, &brake, &reports, NOW_MS).expect("it was created");
    let decision = decide(&situation, SHARD, &map.shards()[&SHARD]).expect("it can be served");
    assert_eq!(decision.config.primary(), member(1));
    assert_eq!(decision.config.copies().members(), [reborn, member(1)]);
}

#[test]
fn a_sole_copy_that_resigns_leads_in_the_next_epoch() {
    let court = Court::default();
    assert_eq!(
        successor(1, &court, &reports(Resigned::Yes)),
        Some((0, Reason::Failover))
    );
}

#[test]
fn a_primary_whose_disk_fails_hands_over_to_one_whose_disk_works() {
    let court = Court::default();
    let with_failing = |nodes: &[u32]| {
        let mut reports = reports(Resigned::No);
        for &node in nodes {
            hear(&mut reports, node, Resigned::No, true);
        }
        reports
    };
    assert_eq!(successor(3, &court, &with_failing(&[1, 2])), None);
    let successor_of = |nodes: &[u32]| successor(3, &court, &with_failing(nodes));
    assert_eq!(successor_of(&[0]), Some((1, Reason::HandOver)));
    assert_eq!(
        successor_of(&[0, 1]),
        None,
        "node 2 alone could acknowledge nothing, and read no more than node 0"
    );
}

#[test]
fn a_primary_is_not_given_to_a_node_whose_disk_fails() {
    let mut reports = reports(Resigned::No);
    hear(&mut reports, 1, Resigned::No, true);
    hear(&mut reports, 0, Resigned::No, true);
    let mut court = Court::default();
    court.note_leaving(NodeId(0), true);
    assert_eq!(
        successor(3, &court, &reports),
        Some((2, Reason::HandOver)),
        "who ends hands over even if the two that stay are one too few"
    );
}

/// What becomes of a shard that the first lives of nodes 0, 1 and 2 serve, node 2 in another now, and of these states.
fn next_set(states: &[NodeState], of_members: u32) -> Option<(Vec<u32>, Reason)> {
    let members: Vec<Member> = (0..of_members).map(member).collect();
    let set = CopySet::new(&members, quorum_of(of_members));
    let config = ShardConfig::create(set, NodeId(0)).published();
    let life = |node| Incarnation(if node == 2 { 2 } else { 1 });
    let nodes: Vec<_> = (0..).map(life).zip(states.iter().copied()).collect();
    let (map, court, brake) = (
        map_of(3, &nodes, config),
        Court::default(),
        Brake::default(),
    );
    let reports = reports(Resigned::No);
    let situation = Situation::new(&map, &court, &brake, &reports, NOW_MS).expect("it was created");
    let decision = decide(&situation, SHARD, &map.shards()[&SHARD])?;
    let members = decision.config.copies().members().iter();
    Some((members.map(|m| m.node.0).collect(), decision.reason))
}

/// A drain moves what is there. It does not leave a shard with a copy less.
#[test]
fn a_lost_copy_is_made_on_a_draining_node_if_no_other_may_have_it() {
    use NodeState::{Active, Draining, Gone};
    let replaced = |nodes: [u32; 3]| Some((nodes.to_vec(), Reason::Replace));
    let spare = [Draining, Draining, Draining, Draining];
    assert_eq!(next_set(&spare, 3), replaced([0, 1, 2]), "its own node");
    let spare = [Draining, Draining, Gone, Draining];
    assert_eq!(next_set(&spare, 3), replaced([0, 1, 3]));
    let spare = [Active, Active, Gone, Draining];
    assert_eq!(next_set(&spare, 3), replaced([0, 1, 3]));
    let spare = [Draining, Draining, Draining, Draining, Active];
    assert_eq!(next_set(&spare, 3), replaced([0, 1, 4]));
    let spare = [Draining, Draining, Gone, Gone];
    assert_eq!(next_set(&spare, 3), None, "what is gone gets nothing");
}

#[test]
fn a_set_that_is_too_small_grows_onto_a_draining_node_if_no_other_may_have_it() {
    use NodeState::{Active, Draining};
    let grown = |nodes: [u32; 3]| Some((nodes.to_vec(), Reason::Grow));
    assert_eq!(next_set(&[Active, Draining, Draining], 2), grown([0, 1, 2]));
    let spare = [Active, Draining, Draining, Active];
    assert_eq!(next_set(&spare, 2), grown([0, 1, 3]));
}
