//! A copy whose log has parted from the primary's.

use super::*;
use crate::{How, Restored, Rewritten};

const PARTING: Position = Position::new(1, 1);
const STRAY: Position = Position::new(1, 2);

/// The first primary has written what nobody else has, another serves, and they hear each other again.
fn parted(touched: Option<&'static [u8]>) -> Cluster {
    let mut cluster = apart(touched, Settings::default());
    cluster.cut = vec![];
    cluster.pass(200_000);
    cluster
}

/// The same, before they hear each other; the first knows already who leads.
fn apart(touched: Option<&'static [u8]>, settings: Settings) -> Cluster {
    let mut cluster = Cluster::with(first(), settings);
    cluster.touched = touched;
    assert_eq!(cluster.write(0, PARTING), Ok(()));
    cluster.pass(100_000);
    cluster.cut = vec![0];
    assert_eq!(cluster.write(0, STRAY), Ok(()));
    let next = first().published().succeed(*first().copies(), NodeId(1));
    for config in [next, next.published()] {
        for n in [1, 2] {
            cluster.give(n, Input::Config(config));
        }
        cluster.settle();
        cluster.pass(600_000);
    }
    assert_eq!(cluster.standing(1), SERVING);
    assert_eq!(cluster.write(1, Position::new(2, 1)), Ok(()));
    cluster.give(0, Input::Config(next.published()));
    cluster
}

fn is_whole(effect: &Effect) -> bool {
    matches!(effect, Effect::Whole(_))
}

/// What copy 1 is to write once more.
fn asked(cluster: &Cluster) -> Vec<Vec<u8>> {
    let effects = cluster.effects.iter().filter(|(n, _)| *n == 1);
    let keys = effects.filter_map(|(_, effect)| match effect {
        Effect::Rewrite { to, keys, .. } if *to == member(0) => Some(keys.clone()),
        _ => None,
    });
    keys.collect()
}

fn rewritten(cluster: &mut Cluster, used: usize, end: Option<Position>) {
    let (to, attempt) = (member(0), 1);
    cluster.give(
        1,
        Input::Rewritten(Rewritten {
            to,
            attempt,
            used,
            end,
        }),
    );
    cluster.settle();
}

#[test]
fn a_copy_that_has_strayed_goes_on_from_the_parting() {
    let mut cluster = parted(Some(b"keys"));
    let vows = cluster.copies[0].vows();
    assert_eq!((vows.discarded, vows.attempt), (Some(STRAY), 1));
    let mends = |effect: &Effect| match effect {
        Effect::Mend { parting, keys, .. } => *parting == PARTING && keys == b"keys",
        _ => false,
    };
    assert!(cluster.has(0, mends));
    assert_eq!(cluster.copies[0].last(), Position::new(2, 1));
    assert_eq!(asked(&cluster), [b"keys"]);
    // In parts, as there is room.
    rewritten(&mut cluster, 3, None);
    assert_eq!(asked(&cluster), [&b"keys"[..], b"s"]);
    let end = Position::new(2, 2);
    assert_eq!(cluster.write(1, end), Ok(()));
    cluster.pass(200_000);
    assert!(!cluster.copies[0].is_synced(), "it does not know yet");
    rewritten(&mut cluster, 1, Some(end));
    cluster.pass(200_000);
    assert!(cluster.has(0, |e| *e == Effect::Whole(How::Mended)));
    assert!(!cluster.has(0, |e| matches!(e, Effect::Reset { .. })));
    assert_eq!(cluster.copies[0].vows().discarded, None);
    assert_eq!(cluster.committed(0), end);
    let behind: Vec<_> = cluster.copies[1].standbys().collect();
    assert!(behind.contains(&(member(0), Some(0))), "{behind:?}");
}

#[test]
fn a_copy_that_is_mended_counts_for_nothing() {
    let mut cluster = parted(Some(b"keys"));
    cluster.cut = vec![2];
    assert_eq!(cluster.write(1, Position::new(2, 2)), Ok(()));
    cluster.pass(100_000);
    assert_eq!(cluster.copies[0].last(), Position::new(2, 2), "it follows");
    assert_eq!(cluster.committed(1), Position::new(2, 1));
    let behind: Vec<_> = cluster.copies[1].standbys().collect();
    assert!(behind.contains(&(member(0), None)), "{behind:?}");
}

#[test]
fn a_copy_that_cannot_say_what_it_has_touched_is_filled() {
    let cluster = parted(None);
    assert!(cluster.has(0, |e| matches!(e, Effect::Reset { .. })));
    assert!(!cluster.has(0, |e| matches!(e, Effect::Mend { .. })));
    assert_eq!(cluster.copies[0].vows().attempt, 2);
}

#[test]
fn a_copy_that_starts_again_while_it_is_mended_is_filled() {
    let mut cluster = parted(Some(b"keys"));
    let found = Restored {
        vows: cluster.copies[0].vows(),
        last: cluster.copies[0].last(),
        found: cluster.copies[0].last(),
        time_ms: 0,
    };
    let (now, settings) = (cluster.now(), Settings::default());
    cluster.copies[0] = Replica::restored(ShardId(1), member(0), found, now, settings);
    rewritten(&mut cluster, 4, Some(Position::new(2, 1)));
    cluster.pass(200_000);
    assert!(cluster.has(0, |e| matches!(e, Effect::Reset { .. })));
    assert!(!cluster.has(0, is_whole));
}

#[test]
fn what_cannot_be_written_once_more_for_long_is_not_waited_for() {
    let mut cluster = parted(Some(b"keys"));
    for _ in 0..100 {
        rewritten(&mut cluster, 0, None);
        cluster.pass(100_000);
    }
    assert!(cluster.has(0, |e| matches!(e, Effect::Reset { .. })));
}

/// What fills the room waits for a quorum, which there is only when the copy is mended.
#[test]
fn a_copy_is_mended_where_clients_have_filled_the_room() {
    let settings = Settings {
        uncommitted_bytes: 100,
        ..Settings::default()
    };
    let mut cluster = apart(Some(b"keys"), settings);
    cluster.cut = vec![2];
    let full = (2..).find(|batch| cluster.write(1, Position::new(2, *batch)) == Err(Refusal::Full));
    let full = full.expect("there is an end of it");
    cluster.pass(100_000);
    assert_eq!(asked(&cluster).len(), 0, "clients have the room");
    cluster.pass(400_000);
    assert_eq!(asked(&cluster), [b"keys"]);
    let end = Position::new(2, full);
    assert_eq!(cluster.write(1, end), Ok(()), "there is room for this");
    rewritten(&mut cluster, 4, Some(end));
    cluster.pass(200_000);
    assert!(cluster.has(0, |e| *e == Effect::Whole(How::Mended)));
    assert_eq!(cluster.committed(1), end);
}

#[test]
fn a_log_of_another_epoch_parts_where_both_have_a_batch() {
    let log = {
        let mut log = crate::log::Log::new(Position::new(1, 5), 0);
        for last in [
            Position::new(1, 7),
            Position::new(3, 1),
            Position::new(3, 4),
        ] {
            log.push(Batch {
                first: last,
                last,
                time_ms: 1,
                bytes: vec![1].into(),
            });
        }
        log
    };
    let partings = [
        (Position::new(1, 4), None),
        (Position::new(1, 6), Some(Position::new(1, 5))),
        (Position::new(1, 9), Some(Position::new(1, 7))),
        (Position::new(2, 2), Some(Position::new(1, 7))),
        (Position::new(4, 1), Some(Position::new(3, 4))),
    ];
    for (end, parting) in partings {
        assert_eq!(log.parting(end), parting, "{end}");
    }
}
