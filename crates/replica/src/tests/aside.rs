//! A copy that is given up before an epoch serves: perhaps nobody but the primary has what it had.

use super::*;
use crate::Restored;

/// The end of the log that the copy had which was given up, and that of the primary.
const HAD: Position = Position::new(1, 1);
const END: Position = Position::new(1, 2);

fn set() -> CopySet {
    *first().copies()
}

/// The copy starts again, with what it has.
fn start_again(cluster: &mut Cluster, n: u32, vows: crate::Vows, last: Position) {
    let found = Restored {
        vows,
        last,
        found: last,
        time_ms: 0,
    };
    let (now, settings) = (cluster.now(), cluster.copies[n as usize].settings);
    cluster.copies[n as usize] = Replica::restored(ShardId(1), member(n), found, now, settings);
}

/// Copy 2 is heard by nobody and has nothing. Copies 0 and 1 start again, and 1 is to be filled by 0, which has more: by then, when it is empty, 0 is
/// lost.
fn bereft(settings: Settings) -> (Cluster, ShardConfig) {
    let mut cluster = Cluster::with(first(), settings);
    cluster.cut = vec![2];
    assert_eq!(cluster.write(0, HAD), Ok(()));
    cluster.pass(100_000);
    assert_eq!(cluster.committed(0), HAD);
    cluster.cut = vec![1, 2];
    assert_eq!(cluster.write(0, END), Ok(()));
    for n in [0, 1] {
        let copy = &cluster.copies[n as usize];
        let (vows, last) = (copy.vows(), copy.last());
        start_again(&mut cluster, n, vows, last);
    }
    cluster.cut = vec![2];
    let next = first().published().succeed(set(), NodeId(0));
    for n in [0, 1] {
        cluster.give(n, Input::Config(next));
    }
    cluster.settle();
    cluster.pass(800_000);
    let reset = |effect: &Effect| matches!(effect, Effect::Reset { base, .. } if *base == END);
    assert!(cluster.has(1, reset), "it is to be filled");
    assert_eq!(cluster.copies[1].vows().discarded, Some(HAD));
    cluster.cut = vec![0];
    cluster.effects.clear();
    (cluster, next)
}

/// The next epoch, with this primary, for those that are there.
fn succeed(cluster: &mut Cluster, config: &ShardConfig, primary: u32) -> ShardConfig {
    let next = config.succeed(set(), NodeId(primary));
    for n in [1, 2] {
        cluster.give(n, Input::Config(next));
    }
    cluster.settle();
    next
}

fn resigned(cluster: &Cluster, n: u32, to: u32) -> bool {
    let to = Some(member(to));
    cluster.has(n, |e| *e == Effect::Resign { in_favour_of: to })
}

#[test]
fn it_is_taken_back_where_nobody_else_has_what_it_had() {
    let (mut cluster, config) = bereft(Settings::default());
    assert!(cluster.copies[1].vows().kept);
    let config = succeed(&mut cluster, &config, 2);
    cluster.pass(1_000_000);
    assert!(!resigned(&cluster, 2, 1), "the other may come back");
    cluster.pass(800_000);
    assert!(resigned(&cluster, 2, 1));
    let config = succeed(&mut cluster, &config, 1);
    cluster.pass(1_800_000);
    let asks = cluster.effects.iter();
    let asks = asks.filter(|(n, e)| *n == 1 && *e == Effect::TakeBack);
    assert_eq!(asks.count(), 1);
    let vows = cluster.copies[1].vows().taken_back();
    start_again(&mut cluster, 1, vows, HAD);
    cluster.give(1, Input::Config(config));
    cluster.gathers = true;
    let config = succeed(&mut cluster, &config, 1);
    cluster.pass(800_000);
    for n in [1, 2] {
        cluster.give(n, Input::Config(config.published()));
    }
    cluster.settle();
    assert_eq!(cluster.standing(1), SERVING);
    assert_eq!(cluster.committed(1), HAD, "what was acknowledged is there");
}

/// Who comes back meanwhile has all of it, and more.
#[test]
fn it_is_not_taken_back_where_the_other_comes_back() {
    let (mut cluster, config) = bereft(Settings::default());
    succeed(&mut cluster, &config, 2);
    cluster.pass(1_000_000);
    cluster.cut = vec![];
    cluster.pass(1_000_000);
    assert!(resigned(&cluster, 2, 0) && !resigned(&cluster, 2, 1));
}

#[test]
fn where_nothing_can_be_set_aside_it_is_waited_for_the_other() {
    let settings = Settings {
        sets_aside: false,
        ..Settings::default()
    };
    let (mut cluster, config) = bereft(settings);
    assert!(!cluster.copies[1].vows().kept);
    succeed(&mut cluster, &config, 2);
    cluster.pass(3_000_000);
    assert!(!resigned(&cluster, 2, 1), "rather closed than without it");
}

/// A primary that serves says what others have of it that is needed: what a copy had behind that it need not testify to.
#[test]
fn a_copy_that_is_given_up_in_an_epoch_that_serves_testifies_to_what_is_committed() {
    let mut keeper = crate::vows::Keeper::new(crate::Vows::default());
    keeper.discard(END, 1, Some(HAD), false);
    assert_eq!(keeper.vows().discarded, Some(HAD));
    keeper.discard(Position::ZERO, 2, None, true);
    let vows = keeper.vows();
    assert_eq!(
        (vows.discarded, vows.kept),
        (Some(HAD), false),
        "half a copy"
    );
}

/// What is not persisted yet would be missing in what is set aside.
#[test]
fn what_is_set_aside_is_persisted() {
    let (mut cluster, config) = bereft(Settings::default());
    let copy = &mut cluster.copies[2];
    copy.log.push(Batch {
        first: HAD,
        last: HAD,
        time_ms: 1,
        bytes: vec![1].into(),
    });
    let epoch = config.epoch() + 1;
    let join = Message {
        shard: ShardId(1),
        epoch,
        from: member(1),
        to: member(2),
        body: Body::Join {
            base: END,
            time_ms: 1,
            needed: None,
            attempt: 1,
        },
    };
    cluster.give(2, Input::Message(join));
    assert_eq!(cluster.copies[2].vows().discarded, None);
    cluster.give(2, Input::Persisted(HAD));
    cluster.give(2, Input::Message(join));
    let vows = cluster.copies[2].vows();
    assert_eq!((vows.discarded, vows.kept), (Some(HAD), true));
}
