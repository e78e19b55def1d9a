use alloc::collections::{BTreeMap, BTreeSet};

use super::{Index, Reference};
use crate::pages::{HeapPages, Pages, Region};

fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state ^ (*state >> 29)
}

fn all(index: &Index, budget: usize) -> BTreeSet<Reference> {
    let mut seen = BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = index.scan(cursor, budget, |reference| {
            assert!(seen.insert(reference), "every cell once");
        });
        if cursor == 0 {
            return seen;
        }
    }
}

#[test]
fn random_inserts_and_removals_agree_with_a_map() {
    let mut state = 7;
    for tables in [1, 4] {
        let mut index = Index::new(tables);
        let mut map: BTreeMap<Reference, u64> = BTreeMap::new();
        for round in 0..60_000u64 {
            let grow = round / 10_000 % 2 == 0;
            if grow || round % 3 == 0 {
                // Few different tags: long runs of full buckets.
                let hash = random(&mut state)
                    & if round % 2 == 0 {
                        !0
                    } else {
                        0x8000_0000_0000_00ff
                    };
                let reference = Reference::new(round as usize >> 10, 64 + (round as usize & 1023));
                index.insert(hash, reference, true, &mut HeapPages);
                map.insert(reference, hash);
            } else if let Some((reference, hash)) = map.pop_first() {
                let at = index.find_reference(hash, reference).expect("it is there");
                index.remove(at, &mut HeapPages);
                assert!(index.find_reference(hash, reference).is_none());
            }
            if round % 5_000 == 0 {
                index.check();
            }
        }
        for (reference, hash) in &map {
            assert!(index.find_reference(*hash, *reference).is_some());
        }
        assert_eq!(all(&index, 50), map.keys().copied().collect());
        while let Some((reference, hash)) = map.pop_first() {
            let at = index.find_reference(hash, reference).expect("it is there");
            index.remove(at, &mut HeapPages);
        }
        index.check();
        assert!(
            index.bytes() < 4096,
            "an empty index is small: {}",
            index.bytes()
        );
    }
}

#[test]
fn a_scan_survives_resizing() {
    let mut state = 3;
    let mut index = Index::new(2);
    let mut stay = BTreeSet::new();
    for i in 0..2_000 {
        let reference = Reference::new(0, 64 + i);
        index.insert(random(&mut state), reference, true, &mut HeapPages);
        stay.insert(reference);
    }
    let mut added = alloc::vec::Vec::new();
    let mut seen = BTreeSet::new();
    let (mut cursor, mut round) = (0, 0);
    loop {
        cursor = index.scan(cursor, 40, |reference| {
            seen.insert(reference);
        });
        for i in 0..300 {
            let hash = random(&mut state);
            if round % 2 == 0 {
                let reference = Reference::new(1 + round, 64 + i);
                index.insert(hash, reference, true, &mut HeapPages);
                added.push((hash, reference));
            } else if let Some((hash, reference)) = added.pop() {
                let at = index.find_reference(hash, reference).expect("it is there");
                index.remove(at, &mut HeapPages);
            }
        }
        round += 1;
        if cursor == 0 {
            break;
        }
    }
    assert!(round > 20);
    assert!(
        seen.is_superset(&stay),
        "what was there all the time was seen"
    );
}

#[test]
fn cells_take_less_than_ten_bytes_on_average() {
    let mut state = 11;
    let mut index = Index::new(16);
    let (mut sum, mut count) = (0.0, 0);
    for i in 0..400_000usize {
        index.insert(
            random(&mut state),
            Reference::new(i >> 16, 64 + (i & 0xffff)),
            true,
            &mut HeapPages,
        );
        if i > 200_000 && i % 1_000 == 0 {
            sum += index.bytes() as f64 / index.cells() as f64;
            count += 1;
        }
    }
    let mean = sum / f64::from(count);
    assert!(mean < 9.7, "{mean} bytes a cell");
}

/// Memory that counts how often a table asked for some.
struct Asked(usize);

impl Pages for Asked {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        self.0 += 1;
        HeapPages.allocate(len)
    }
}

#[test]
fn a_table_that_grows_moves_only_when_it_has_doubled() {
    let mut state = 5;
    let mut index = Index::new(2);
    let mut pages = Asked(0);
    let (mut bytes, mut growths) = (index.bytes(), 0);
    let mut hashes = alloc::vec::Vec::new();
    for i in 0..60_000usize {
        let hash = random(&mut state);
        let reference = Reference::new(i >> 16, 64 + (i & 0xffff));
        index.insert(hash, reference, true, &mut pages);
        hashes.push((hash, reference));
        if index.bytes() > bytes {
            (bytes, growths) = (index.bytes(), growths + 1);
            index.check();
        }
    }
    for (hash, reference) in hashes {
        assert!(index.find_reference(hash, reference).is_some());
    }
    // Two tables with room for 64 KiB at first, then 256, then 1,024.
    assert_eq!(pages.0, 2 * 3);
    assert!(growths > 2 * 30, "{growths}");
}

#[test]
fn a_table_has_pages_of_its_own_while_it_has_many_buckets() {
    let mut state = 9;
    let mut index = Index::new(2);
    let mut pages = Asked(0);
    let mut hashes = alloc::vec::Vec::new();
    for round in 1..=2 {
        while hashes.len() < 400 {
            let hash = random(&mut state);
            let reference = Reference::new(0, 64 + hashes.len());
            index.insert(hash, reference, true, &mut pages);
            hashes.push((hash, reference));
        }
        index.check();
        assert!(index.bytes() >= 2 * 4096 && pages.0 == 2 * round);
        for (hash, reference) in hashes.drain(40..) {
            let at = index.find_reference(hash, reference).expect("it is there");
            index.remove(at, &mut pages);
        }
        index.check();
        assert!(index.bytes() < 2 * 1024 + 256, "{}", index.bytes());
        for (hash, reference) in &hashes {
            assert!(index.find_reference(*hash, *reference).is_some());
        }
    }
}
