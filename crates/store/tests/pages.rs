//! What a store asks its memory for: a segment that follows a full one of its class will be filled, too.

use std::cell::RefCell;

use model::time::Deadline;
use model::{Db, Position, Version};
use store::{HeapPages, Kind, Op, Pages, Region, Space, Store, StoreConfig, SyncMode, Tuning};

thread_local! {
    /// Of each segment, whether it was asked for to be filled.
    static TO_FILL: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
}

struct Asked;

impl Pages for Asked {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        TO_FILL.with_borrow_mut(|all| all.push(false));
        HeapPages.allocate(len)
    }

    fn allocate_to_fill(&mut self, len: usize) -> Option<Region> {
        TO_FILL.with_borrow_mut(|all| all.push(true));
        HeapPages.allocate(len)
    }

    fn allocate_table(&mut self, len: usize) -> Option<Region> {
        HeapPages.allocate(len)
    }
}

#[test]
fn a_segment_that_follows_a_full_one_of_its_class_is_to_be_filled() {
    let tuning = Tuning {
        segment_bytes: 256 << 10,
        files: false,
        ..Tuning::default()
    };
    let config = StoreConfig {
        memory_bytes: 16 << 20,
        sync: SyncMode::None,
        seed: 3,
    };
    const NOW_MS: u64 = 1_700_000_000_000;
    let soon = Deadline::after(NOW_MS, 1_000);
    let mut store = Store::with(config, tuning, Box::new(Asked));
    let deadlines = [Deadline::NEVER; 5].into_iter().chain([soon; 4]);
    for (n, deadline) in (1u64..).zip(deadlines) {
        let name = n.to_le_bytes();
        let op = Op::Put {
            key: store.key(Db::ZERO, Space::Data, &name),
            kind: Kind::new(0),
            version: Version::FIRST,
            deadline,
            value: &[&[7; 100_000]],
        };
        let applied = store.apply(NOW_MS, Position::new(1, n), &[op]);
        applied.expect("there is room");
    }
    // Two of these fit into a segment.
    assert_eq!(TO_FILL.take(), [false, true, true, false, true]);
}
