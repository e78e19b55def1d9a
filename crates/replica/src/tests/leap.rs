//! Copies that have all started again, with logs that end at different positions.

use super::*;
use crate::{How, Restored};

const BEHIND: Position = Position::new(1, 1);
const END: Position = Position::new(1, 3);

/// Copy 2 has missed two writes when all copies start again. In its files there is something up to `found`.
fn restarted(gathers: bool, found: Position) -> Cluster {
    let mut cluster = Cluster::new(first());
    cluster.gathers = gathers;
    assert_eq!(cluster.write(0, BEHIND), Ok(()));
    cluster.pass(100_000);
    cluster.cut = vec![2];
    assert_eq!(cluster.write(0, Position::new(1, 2)), Ok(()));
    assert_eq!(cluster.write(0, END), Ok(()));
    cluster.pass(100_000);
    let (now, settings) = (cluster.now(), Settings::default());
    for (n, copy) in cluster.copies.iter_mut().enumerate() {
        let restored = Restored {
            vows: copy.vows(),
            last: copy.last(),
            found: if n == 2 { found } else { copy.last() },
            time_ms: 0,
        };
        *copy = Replica::restored(ShardId(1), member(n as u32), restored, now, settings);
    }
    cluster.cut = vec![];
    cluster.effects.clear();
    let next = first().published().succeed(*first().copies(), NodeId(0));
    for config in [next, next.published()] {
        cluster.tell(config);
        cluster.pass(600_000);
    }
    assert_eq!(cluster.standing(0), SERVING);
    cluster
}

fn is_emptied(effect: &Effect) -> bool {
    matches!(effect, Effect::Reset { .. })
}

#[test]
fn a_copy_behind_the_backlog_leaps_and_gives_nothing_up() {
    let cluster = restarted(true, BEHIND);
    let leaps = |effect: &Effect| match effect {
        Effect::Leap {
            last,
            floor_ms,
            bytes,
            ..
        } => *last == END && *floor_ms == 7_000 && bytes == b"changes",
        _ => false,
    };
    assert!(cluster.has(2, leaps));
    assert!(cluster.has(2, |e| *e == Effect::Whole(How::Leapt)));
    assert!(!cluster.has(2, is_emptied));
    assert_eq!(cluster.copies[2].last(), END);
    let behind: Vec<_> = cluster.copies[0].standbys().collect();
    assert!(behind.contains(&(member(2), Some(0))), "{behind:?}");
}

#[test]
fn where_the_log_cannot_say_a_copy_is_filled_and_it_is_asked_once() {
    let cluster = restarted(false, BEHIND);
    assert!(cluster.has(2, is_emptied));
    let asked = |(_, effect): &&(u32, Effect)| matches!(effect, Effect::Gather { .. });
    assert_eq!(cluster.effects.iter().filter(asked).count(), 1);
}

#[test]
fn a_copy_with_something_behind_its_end_is_filled() {
    let cluster = restarted(true, Position::new(1, 2));
    assert!(cluster.has(2, is_emptied));
    assert!(!cluster.has(2, |e| matches!(e, Effect::Leap { .. })));
}
