use alloc::{vec, vec::Vec};

use model::{
    CopySet, Incarnation, Member, NodeId, Phase, Position, ServedSet, ShardConfig, ShardId,
};

use super::{LEAP, go_on, shards};
use crate::{
    brake::Brake,
    coordinator::{
        Coordinator, Proposal,
        operate::{Command, Refusal, propose},
    },
    court::Court,
    decide::Reason,
    detector::Detector,
    fixture::Draft,
    message::{Ahead, CopyStatus, Report},
    record::{NodeState, Settings},
    reports::Reports,
    situation::Situation,
    timing::{BEHIND_WAIT_MS, REPORT_MS},
};

const SHARD: ShardId = ShardId(0);
const NOW_MS: u64 = 5_000;

const fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
    }
}

fn set(nodes: &[u32], write_quorum: usize) -> CopySet {
    let members: Vec<Member> = nodes.iter().map(|node| member(*node)).collect();
    CopySet::new(&members, write_quorum)
}

/// A configuration that serves.
fn serving(epoch: u32, copies: CopySet, primary: u32) -> ShardConfig {
    ShardConfig::checked(epoch, copies, NodeId(primary), Phase::Serving).expect("it is one")
}

/// A configuration that is to be recovered from what served under the epoch before.
fn recovering(epoch: u32, copies: CopySet, primary: u32, from: CopySet) -> ShardConfig {
    let from = Some(ServedSet {
        epoch: epoch - 1,
        copies: from,
    });
    let phase = Phase::Recovering { from };
    ShardConfig::checked(epoch, copies, NodeId(primary), phase).expect("it is one")
}

/// A copy of a node reports the epoch that it has promised, and a configuration that it was told and its node's map does not show.
fn tell(reports: &mut Reports, node: u32, promised: u32, config: Option<ShardConfig>) {
    let status = CopyStatus {
        ahead: Some(Ahead {
            promised,
            config,
            slots: config.map(|_| (0, 16_383)),
        }),
        ..CopyStatus::new(
            SHARD,
            config.map_or(0, |config| config.epoch()),
            Position::new(promised, u64::from(node) + 1),
        )
    };
    let report = Report {
        from: member(node),
        copies: vec![status],
        is_all: true,
    };
    reports.hear(&report, NOW_MS);
}

/// What becomes of the shard that has been behind for so long, where the map shows this.
fn next_after(shown: Option<ShardConfig>, reports: &Reports, for_ms: u64) -> Option<ShardConfig> {
    let settings = Settings {
        shards: 1,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 1,
    };
    let draft = Draft::new(&settings).nodes(5);
    let draft = shown.into_iter().fold(draft, |draft, config| {
        draft.shard(SHARD, (0, 16_383), config)
    });
    let map = draft.map();
    let (court, brake) = (Court::default(), Brake::default());
    let situation = Situation::new(&map, &court, &brake, reports, NOW_MS).expect("it was created");
    let since = [(SHARD, NOW_MS - for_ms)].into_iter().collect();
    let proposals = go_on(&situation, &shards(&situation, &since));
    assert!(proposals.len() <= 1);
    let Proposal::Shard(SHARD, record, Reason::Behind) = proposals.into_iter().next()? else {
        panic!("another proposal");
    };
    assert_eq!((record.first_slot, record.last_slot), (0, 16_383));
    Some(record.config)
}

fn next(reports: &Reports) -> Option<ShardConfig> {
    next_after(None, reports, BEHIND_WAIT_MS)
}

#[test]
fn what_a_write_quorum_knows_goes_on_behind_what_may_be_lost() {
    let copies = set(&[0, 1, 2], 2);
    let latest = serving(9, copies, 0);
    let mut reports = Reports::default();
    tell(&mut reports, 0, 9, Some(latest));
    assert_eq!(
        next(&reports),
        None,
        "one of three may have been passed over"
    );
    tell(&mut reports, 1, 9, None);
    let old = serving(3, set(&[3, 1, 2], 2), 3);
    for shown in [None, Some(old)] {
        assert_eq!(next_after(shown, &reports, BEHIND_WAIT_MS - 1), None);
        let config = next_after(shown, &reports, BEHIND_WAIT_MS).expect("two are enough");
        assert_eq!((config.epoch(), config.primary()), (9 + LEAP, member(0)));
        assert_eq!(config.copies(), &copies);
        let from = Some(ServedSet { epoch: 9, copies });
        assert_eq!(config.phase(), Phase::Recovering { from });
    }
}

#[test]
fn the_map_is_not_behind_what_it_shows() {
    let latest = serving(9, set(&[0, 1, 2], 2), 0);
    let mut reports = Reports::default();
    tell(&mut reports, 0, 9, Some(latest));
    tell(&mut reports, 1, 9, Some(latest));
    assert_eq!(next_after(Some(latest), &reports, BEHIND_WAIT_MS), None);
    // That it serves may be lost, too.
    let before = recovering(9, set(&[0, 1, 2], 2), 0, set(&[0, 1, 2], 2));
    assert!(next_after(Some(before), &reports, BEHIND_WAIT_MS).is_some());
}

#[test]
fn who_has_promised_more_knows_of_what_nobody_tells() {
    let latest = serving(9, set(&[0, 1, 2], 2), 0);
    let mut reports = Reports::default();
    tell(&mut reports, 0, 9, Some(latest));
    tell(&mut reports, 1, 9, Some(latest));
    tell(&mut reports, 2, 10, None);
    assert_eq!(next(&reports), None);
}

#[test]
fn as_many_are_needed_as_must_have_a_write() {
    let latest = serving(9, set(&[0, 1], 2), 0);
    let mut reports = Reports::default();
    tell(&mut reports, 0, 9, Some(latest));
    assert_eq!(
        next(&reports),
        None,
        "the other may have been sealed alone, by another set"
    );
    tell(&mut reports, 1, 9, None);
    assert!(next(&reports).is_some());
}

#[test]
fn a_copy_that_is_no_member_proves_nothing() {
    let latest = serving(9, set(&[0, 1, 2], 2), 0);
    let mut reports = Reports::default();
    tell(&mut reports, 0, 9, Some(latest));
    tell(&mut reports, 3, 4, None);
    tell(&mut reports, 4, 4, None);
    assert_eq!(next(&reports), None);
}

#[test]
fn whether_a_recovery_has_ended_its_primary_knows() {
    let (old, new) = (set(&[0, 1, 2], 2), set(&[2, 3, 4], 2));
    let latest = recovering(9, new, 4, old);
    let mut reports = Reports::default();
    for node in 0..4 {
        tell(&mut reports, node, 9, Some(latest));
    }
    assert_eq!(next(&reports), None, "it may serve by now");
    tell(&mut reports, 4, 9, Some(latest));
    let config = next(&reports).expect("it does not");
    assert_eq!((config.epoch(), config.primary()), (9 + LEAP, member(4)));
    assert_eq!(config.phase(), latest.phase());
    // Where the set stays the same it has everything either way; who goes furthest leads.
    let latest = recovering(9, old, 0, old);
    let mut reports = Reports::default();
    tell(&mut reports, 1, 9, Some(latest));
    tell(&mut reports, 2, 9, None);
    let config = next(&reports).expect("the set is the same");
    assert_eq!(config.primary(), member(2));
}

/// What a coordinator proposes for a shard whose primary's life is over, by a map that shows epoch 3, when these have reported.
fn proposed(reports: &[Report]) -> Vec<u32> {
    let settings = Settings {
        shards: 1,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 1,
    };
    let shown = serving(3, set(&[0, 1, 2], 2), 0);
    let map = (1..3)
        .fold(Draft::new(&settings), |draft, node| {
            draft.node(node, Incarnation(1), NodeState::Active)
        })
        .node(0, Incarnation(2), NodeState::Active)
        .shard(SHARD, (0, 16_383), shown)
        .map();
    let mut coordinator = Coordinator::new(NOW_MS - REPORT_MS);
    for report in reports {
        coordinator.hear(report, NOW_MS);
    }
    let (court, detector) = (Court::default(), Detector::new(NOW_MS));
    let wishes = coordinator.reconcile(&map, &court, &detector, NodeId(1), NOW_MS);
    let epochs = wishes
        .proposals
        .iter()
        .filter_map(|proposal| match proposal {
            Proposal::Shard(_, record, _) => Some(record.config.epoch()),
            Proposal::Revival(..)
            | Proposal::Node(..)
            | Proposal::Forget(_)
            | Proposal::Acknowledgement(..) => None,
        });
    epochs.collect()
}

#[test]
fn nothing_follows_from_what_the_map_says_of_such_a_shard() {
    assert_eq!(proposed(&[]), [4]);
    let mut reports = Reports::default();
    tell(&mut reports, 1, 9, None);
    let told: Vec<Report> = reports
        .fresh(SHARD, NOW_MS)
        .map(|(from, status)| Report {
            from,
            copies: vec![status],
            is_all: true,
        })
        .collect();
    assert!(
        proposed(&told).is_empty(),
        "epoch 4 would lead to another 9"
    );
}

#[test]
fn an_operator_may_go_on_with_what_is_left_of_what_the_map_has_lost() {
    let settings = Settings {
        shards: 2,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 1,
    };
    let map = Draft::new(&settings).nodes(3).map();
    let latest = serving(9, set(&[0, 1, 2], 2), 0);
    let mut reports = Reports::default();
    tell(&mut reports, 1, 9, Some(latest));
    let (court, brake) = (Court::default(), Brake::default());
    let situation = Situation::new(&map, &court, &brake, &reports, NOW_MS).expect("it was created");
    let recover = |shard| propose(&situation, Command::RecoverLongest(ShardId(shard)));
    let Ok(Proposal::Revival(SHARD, record, loss, Reason::Forced)) = recover(0) else {
        panic!("{:?}", recover(0));
    };
    let slots = (record.first_slot, record.last_slot);
    assert_eq!(slots, (0, 16_383), "whatever the settings say now");
    let config = record.config;
    assert_eq!((config.epoch(), config.primary()), (9 + LEAP, member(1)));
    let Phase::Recovering { from: Some(from) } = config.phase() else {
        panic!("{config:?}");
    };
    assert_eq!(from.copies.members(), [member(1)]);
    assert_eq!((loss.epoch, loss.survivor), (9 + LEAP, member(1)));
    assert_eq!(recover(1), Err(Refusal::NoSuchShard), "nobody knows of it");
}

/// Who has not said anything yet may have a longer log, or one without damage.
#[test]
fn an_operator_waits_until_all_that_live_have_said_what_they_have() {
    let settings = Settings {
        shards: 2,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 1,
    };
    let map = Draft::new(&settings).nodes(3).map();
    let mut coordinator = Coordinator::new(0);
    let mut recovered_after = |node, is_all| {
        let report = Report {
            from: member(node),
            copies: Vec::new(),
            is_all,
        };
        coordinator.hear(&report, NOW_MS);
        let command = Command::RecoverLongest(SHARD);
        let done = coordinator.operate(command, &map, &Court::default(), NOW_MS);
        done.map(|_| ()).unwrap_err()
    };
    assert_eq!(recovered_after(1, true), Refusal::NotHeard(NodeId(0)));
    assert_eq!(recovered_after(0, true), Refusal::NotHeard(NodeId(2)));
    assert_eq!(recovered_after(2, false), Refusal::NotHeard(NodeId(2)));
    assert_eq!(recovered_after(2, true), Refusal::NoSuchShard);
    assert_eq!(recovered_after(2, false), Refusal::NoSuchShard);
}

/// A node has come with the directory of another cluster, where this shard was in a later epoch.
#[test]
fn what_is_served_by_whom_the_map_says_is_not_doubted() {
    let shown = serving(9, set(&[0, 1, 2], 2), 0);
    let foreign = serving(50, set(&[3], 1), 3);
    let served = |complete, unreachable| {
        let mut reports = Reports::default();
        tell(&mut reports, 3, 50, Some(foreign));
        let status = CopyStatus {
            epoch: 9,
            complete,
            unreachable,
            ahead: None,
            ..reports.fresh(SHARD, NOW_MS).next().expect("it was told").1
        };
        let report = Report {
            from: member(0),
            copies: vec![status],
            is_all: true,
        };
        reports.hear(&report, NOW_MS);
        next_after(Some(shown), &reports, BEHIND_WAIT_MS).is_none()
    };
    assert!(served(0b011, 0b100));
    assert!(!served(0b001, 0b110), "it may have been passed over since");
    assert!(!served(0b111, 0b110));
}
