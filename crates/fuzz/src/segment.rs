//! Segment files: entries, headers, everything that a restart reads.

use model::time::Deadline;
use model::{Db, Position, Version};
use store::{
    DiskEvent, DiskOp, HeapPages, Kind, Op, Restore, SegmentId, Space, Store, StoreConfig,
    SyncMode, Tuning,
};

const BYTES: usize = 16 << 10;

const CONFIG: StoreConfig = StoreConfig {
    memory_bytes: 16 * BYTES,
    sync: SyncMode::EverySecond,
    seed: 1,
};

fn tuning() -> Tuning {
    Tuning {
        segment_bytes: BYTES,
        directory: 1,
        ..Tuning::default()
    }
}

/// A restart takes any bytes for segments without stopping, keeps its invariants, and serves no value that was never
/// written: the first byte chooses between the bytes as a file of their own, and as a patch upon a good file.
///
/// # Panics
/// If something is wrong.
pub fn segment(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else {
        return;
    };
    let (id, mut image) = good_file();
    if how % 2 == 0 {
        image = rest[..rest.len().min(BYTES)].to_vec();
    } else if let Some((at, patch)) = rest.split_first_chunk::<2>() {
        let at = usize::from(u16::from_le_bytes(*at)) % image.len();
        for (byte, change) in image[at..].iter_mut().zip(patch) {
            *byte ^= change;
        }
    }
    restart(id, &image);
}

fn restart(id: SegmentId, image: &[u8]) {
    let mut restore = Restore::new(CONFIG, tuning(), Box::new(HeapPages));
    let scanner = restore.scanner();
    let mut ids = vec![id];
    while let Some(id) = ids.pop() {
        let mut region = restore.region().expect("memory for one segment");
        region.bytes_mut()[..image.len()].copy_from_slice(image);
        restore.add(scanner.scan(id, region, image.len()));
        ids = restore.put_off();
    }
    let (store, _) = restore.finish(1_000);
    store.check();
    store.scan(0, usize::MAX, &mut |entry| {
        assert_eq!(
            entry.value(),
            value_of(entry.key()),
            "a value that nobody wrote"
        );
    });
}

/// Every key's value follows from the key: a damaged one shows.
fn value_of(key: &[u8]) -> Vec<u8> {
    key.iter()
        .rev()
        .cycle()
        .take(key.len() * 3 + 1)
        .copied()
        .collect()
}

/// A segment with some of everything, as a store writes it.
fn good_file() -> (SegmentId, Vec<u8>) {
    let mut store = Store::with(CONFIG, tuning(), Box::new(HeapPages));
    let keys: Vec<Vec<u8>> = (0..8u8)
        .map(|n| vec![b'a' + n; usize::from(n) + 1])
        .collect();
    let mut first = Position::new(1, 1);
    for round in 0..2 {
        for key in &keys {
            let value = value_of(key);
            let key = store.key(Db::ZERO, Space::Data, key);
            let put = Op::Put {
                key,
                kind: Kind::new(0),
                version: Version::FIRST,
                deadline: Deadline::NEVER,
                value: &[&value],
            };
            let ops = if round == 0 {
                vec![put, put]
            } else {
                vec![Op::Delete { key }, put]
            };
            first = store
                .apply(500, first, &ops)
                .expect("there is room")
                .last
                .plus(1);
        }
    }
    let mut ops = Vec::new();
    store.take_disk_ops(&mut ops);
    let mut file = vec![0; BYTES];
    let mut id = SegmentId(0);
    for op in ops {
        if let DiskOp::Write {
            segment,
            offset,
            len,
        } = op
        {
            let bytes = store.segment_bytes(segment, offset, len);
            file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            id = segment;
        }
        store.disk_event(DiskEvent { op, result: Ok(()) });
    }
    (id, file)
}
