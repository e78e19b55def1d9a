//! What the system makes resident behind the end of a head is given back while little is written.

use std::cell::RefCell;
use std::ptr::NonNull;

use model::time::Deadline;
use model::{Db, Position, Version};
use store::{HeapPages, Kind, Op, Pages, Region, Space, Store, StoreConfig, SyncMode, Tuning};

const SEGMENT_BYTES: usize = 256 << 10;

thread_local! {
    /// Lengths of what was given back.
    static GIVEN_BACK: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Memory that tells what is given back of it.
struct Told;

impl Pages for Told {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        let mut region = HeapPages.allocate(len)?;
        let start = NonNull::from(region.bytes_mut()).cast();
        // A test's worth of memory is never freed.
        std::mem::forget(region);
        let give_back = |_, bytes| GIVEN_BACK.with_borrow_mut(|all| all.push(bytes));
        // SAFETY: the memory is initialised, nobody else knows it, and it stays.
        Some(unsafe { Region::new(start, len, give_back, |_, _| ()) })
    }
}

fn given_back() -> Vec<usize> {
    GIVEN_BACK.take()
}

fn put(store: &mut Store, n: u64, value: &[u8]) {
    let name = n.to_le_bytes();
    let key = store.key(Db::ZERO, Space::Data, &name);
    let op = Op::Put {
        key,
        kind: Kind::new(0),
        version: Version::FIRST,
        deadline: Deadline::NEVER,
        value: &[value],
    };
    store
        .apply(1_700_000_000_000, Position::new(1, n), &[op])
        .expect("there is room");
}

#[test]
fn the_end_of_a_head_is_given_back_once_while_little_is_written() {
    let tuning = Tuning {
        segment_bytes: SEGMENT_BYTES,
        files: false,
        ..Tuning::default()
    };
    let config = StoreConfig {
        memory_bytes: 16 << 20,
        sync: SyncMode::None,
        seed: 3,
    };
    let mut store = Store::with(config, tuning, Box::new(Told));
    put(&mut store, 1, &[7; 100_000]);
    store.give_back_ends();
    assert_eq!(given_back(), [0; 0], "much was written");
    store.give_back_ends();
    assert_eq!(given_back(), [SEGMENT_BYTES - 102_400]);
    store.give_back_ends();
    assert_eq!(given_back(), [0; 0], "once");
    put(&mut store, 2, &[7; 10_000]);
    store.give_back_ends();
    assert_eq!(
        given_back(),
        [SEGMENT_BYTES - 110_592],
        "little was written"
    );
}
