use super::*;

fn positions(of: &[(u32, core::ops::RangeInclusive<u64>)]) -> Positions {
    let mut positions = Positions::default();
    for (epoch, sequences) in of {
        for sequence in sequences.clone() {
            positions.insert(Position::new(*epoch, sequence));
        }
    }
    positions
}

fn known(floor: (u32, u64), cuts: &[((u32, u64), u32)]) -> Known {
    let cut = |&((epoch, sequence), next): &((u32, u64), u32)| Cut {
        last: Position::new(epoch, sequence),
        epoch: next,
    };
    Known {
        floor: Position::new(floor.0, floor.1),
        cuts: cuts.iter().map(cut).collect(),
    }
}

fn end(known: &Known, of: &[(u32, core::ops::RangeInclusive<u64>)]) -> (u32, u64) {
    let end = known.end(&positions(of));
    (end.epoch(), end.sequence())
}

#[test]
fn the_log_ends_before_the_first_hole_past_the_floor() {
    let floor = known((1, 10), &[]);
    assert_eq!(end(&floor, &[]), (1, 10));
    assert_eq!(end(&floor, &[(1, 12..=99)]), (1, 10));
    assert_eq!(end(&floor, &[(1, 11..=99)]), (1, 99));
    // What is missing below the floor was cleaned away.
    assert_eq!(end(&floor, &[(1, 3..=4), (1, 9..=9000)]), (1, 9000));
    assert_eq!(end(&floor, &[(1, 11..=4095), (1, 4097..=5000)]), (1, 4095));
    assert_eq!(end(&floor, &[(1, 11..=127), (1, 129..=500)]), (1, 127));
}

#[test]
fn an_epoch_follows_where_its_first_batch_says() {
    let new = known((0, 0), &[((0, 0), 1)]);
    assert_eq!(end(&new, &[(1, 1..=5)]), (1, 5));
    assert_eq!(end(&new, &[(1, 2..=5)]), (0, 0));
    let two = known((1, 3), &[((0, 0), 1), ((1, 5), 4)]);
    assert_eq!(end(&two, &[(1, 1..=5), (4, 1..=7)]), (4, 7));
    // 6 and 7 were cut when epoch 4 began, and stay so.
    assert_eq!(end(&two, &[(1, 1..=7), (4, 1..=7)]), (4, 7));
    assert!(two.cuts_of(Position::new(1, 6)).next().is_some());
    assert!(two.cuts_of(Position::new(1, 5)).next().is_none());
    assert!(two.cuts_of(Position::new(4, 1)).next().is_none());
    // The end of epoch 1 is lost: so is all that came after.
    assert_eq!(end(&two, &[(1, 1..=4), (4, 1..=7)]), (1, 4));
    // The first batch of epoch 4 is lost.
    assert_eq!(end(&two, &[(1, 1..=7), (4, 2..=7)]), (1, 5));
}

#[test]
fn an_epoch_that_was_cut_whole_is_passed_over() {
    // Epoch 2 was lost with its first batch; epoch 3 began where it had.
    let known = known((1, 1), &[((1, 5), 2), ((1, 5), 3)]);
    assert_eq!(end(&known, &[(1, 1..=5), (2, 1..=9), (3, 1..=2)]), (3, 2));
    assert_eq!(end(&known, &[(1, 1..=5), (2, 1..=9)]), (1, 5));
}

#[test]
fn the_newest_cuts_and_those_of_which_there_is_something_are_kept() {
    let cuts: Vec<((u32, u64), u32)> = (1..=9).map(|n| ((n, 5), n + 1)).collect();
    let mut known = known((9, 9), &cuts);
    known.forget_all_but(&BTreeSet::from([3]));
    let epochs: Vec<u32> = known.cuts.iter().map(|cut| cut.epoch).collect();
    assert_eq!(epochs, [3, 7, 8, 9, 10]);
}

#[test]
fn a_floor_is_recorded_when_a_note_that_tells_it_is_synced() {
    let at = |n| Position::new(1, n);
    let mut floor = Floor::default();
    floor.mark(100, at(7));
    floor.mark(200, at(9));
    floor.advance(99);
    assert!(!floor.is_news());
    floor.advance(150);
    assert_eq!((floor.synced, floor.recorded), (at(7), Position::ZERO));
    assert!(floor.is_news());
    floor.tell();
    floor.advance(1000);
    assert_eq!(
        floor.recorded,
        Position::ZERO,
        "the note is not even complete"
    );
    floor.complete(1100);
    floor.advance(1099);
    assert_eq!(floor.recorded, Position::ZERO);
    floor.advance(1100);
    assert_eq!(floor.recorded, at(7));
    assert!(!floor.is_news());
}
