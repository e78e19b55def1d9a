use alloc::vec::Vec;

use model::Position;

use super::*;
use crate::batch::control;
use crate::entry::format::{Control, HEADER_BYTES};

fn tombstone(key: &[u8], position: u64, deadline: u64) -> (Header, Vec<u8>) {
    let header = Header {
        deadline: Deadline::from_raw(deadline),
        key_len: key.len(),
        ..control(Control::Tombstone, Position::ZERO, position, key.len() + 8)
    };
    let mut entry = Vec::from([0; HEADER_BYTES]);
    entry.extend_from_slice(key);
    entry.extend([0; 8]);
    header.write(&mut entry);
    (header, entry)
}

#[test]
fn one_tombstone_covers_those_before_it_that_live_no_longer() {
    let of_a = [(5, 100), (7, 100), (9, 90), (9, 100), (3, 80)].map(|(p, d)| tombstone(b"a", p, d));
    let of_b = tombstone(b"b", 2, 10);
    let mut tombstones = Tombstones::default();
    for (header, entry) in &of_a {
        tombstones.note(1, header, entry);
    }
    // The hash of another key may be the same.
    tombstones.note(1, &of_b.0, &of_b.1);
    let needed = |t: &mut Tombstones| {
        let mut needed = |(header, entry): &(Header, Vec<u8>)| t.is_needed(1, header, entry);
        (of_a.each_ref().map(&mut needed), needed(&of_b))
    };
    assert_eq!(
        needed(&mut tombstones),
        ([false, false, false, true, false], true)
    );
    tombstones.complete(&[1]);
    assert_eq!(
        needed(&mut tombstones),
        ([false, false, false, true, false], true)
    );
    tombstones.complete(&[]);
    assert_eq!(needed(&mut tombstones), ([false; 5], false));
}

#[test]
fn a_newer_tombstone_that_lives_less_long_is_needed_too() {
    let (long, new) = (tombstone(b"a", 5, 100), tombstone(b"a", 7, 50));
    let mut tombstones = Tombstones::default();
    for (header, entry) in [&long, &new] {
        tombstones.note(1, header, entry);
    }
    for (header, entry) in [&long, &new] {
        assert!(tombstones.is_needed(1, header, entry));
    }
}

#[test]
fn of_copies_one_is_needed() {
    let (header, entry) = tombstone(b"a", 5, 100);
    let shorter = tombstone(b"a", 4, 90);
    let mut tombstones = Tombstones::default();
    for (header, entry) in [(&shorter.0, &shorter.1), (&header, &entry)] {
        tombstones.note(1, header, entry);
    }
    tombstones.note(1, &header, &entry);
    tombstones.note(1, &header, &entry);
    let answers = [(); 4].map(|()| tombstones.is_needed(1, &header, &entry));
    assert_eq!(answers, [false, false, true, true], "the last one stays");
}
