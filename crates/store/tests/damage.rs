//! Damage: every bit of a segment file is flipped, and every flip is found out. What passes is served, what does
//! not is not.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/random.rs"]
mod random;

use disk::Disk;
use model::time::Deadline;
use model::{Db, Position, Version};
use random::Random;
use store::{
    HeapPages, Kind, Op, RestoreReport, SegmentId, Space, Store, StoreConfig, SyncMode, Tuning,
};

const NOW_MS: u64 = 1_700_000_000_000;
const TUNING: Tuning = Tuning {
    segment_bytes: 4096,
    directory: 77,
    spare_files: 3,
    files: true,
};
const CONFIG: StoreConfig = StoreConfig {
    memory_bytes: 1 << 20,
    sync: SyncMode::EverySecond,
    seed: 1,
};

/// A store with ten keys, written by batches of two, and its disk. Its log has told that all of it is synced: before
/// that, damage cannot be told from what a loss of power does.
fn written(seal: bool) -> Disk {
    with_store(seal).0
}

fn with_store(seal: bool) -> (Disk, Store) {
    let mut store = Store::with(CONFIG, TUNING, Box::new(HeapPages));
    let mut disk = Disk::new(TUNING);
    disk.drain(&mut store);
    for batch in 0..5u8 {
        let names = [[b'k', 2 * batch], [b'k', 2 * batch + 1]];
        let ops = names.each_ref().map(|name| Op::Put {
            key: store.key(Db::ZERO, Space::Data, name),
            kind: Kind::new(1),
            version: Version::from_raw(u64::from(name[1])),
            deadline: Deadline::NEVER,
            value: &[b"value of a key"],
        });
        store
            .apply(NOW_MS, Position::new(1, 1 + 2 * u64::from(batch)), &ops)
            .expect("taken");
    }
    disk.drain(&mut store);
    for second in 1..3 {
        if seal {
            store.seal();
        } else {
            store.maintain(NOW_MS + 1_000 * second, 1 << 20, &mut |_| ());
        }
        disk.drain(&mut store);
    }
    (disk, store)
}

fn the_segment(disk: &Disk) -> SegmentId {
    let used = disk
        .files
        .iter()
        .filter(|(_, file)| file.bytes.iter().any(|b| *b != 0));
    // Behind it there may be one with nothing but the last note.
    let used: Vec<_> = used.map(|(id, _)| *id).collect();
    assert!(used.len() <= 2);
    used[0]
}

fn restore(disk: &mut Disk) -> (Store, RestoreReport) {
    disk.restore(CONFIG, TUNING, Box::new(HeapPages), NOW_MS, &mut Random(1))
}

/// The keys that are served; each must have its own value.
fn served(store: &Store) -> Vec<u8> {
    let keys = (0..10u8).filter(|n| {
        let name = [b'k', *n];
        let entry = store.get(&store.key(Db::ZERO, Space::Data, &name), NOW_MS);
        entry.is_some_and(|entry| {
            assert_eq!(entry.value(), b"value of a key");
            assert_eq!(entry.version(), Version::from_raw(u64::from(*n)));
            assert!(entry.deadline().is_never());
            true
        })
    });
    let keys: Vec<u8> = keys.collect();
    assert_eq!(
        store.len(Db::ZERO),
        keys.len() as u64,
        "nothing else is there"
    );
    keys
}

fn whole_batches(keys: &[u8]) -> bool {
    (0..5).all(|batch| keys.contains(&(2 * batch)) == keys.contains(&(2 * batch + 1)))
}

#[test]
fn every_flipped_bit_of_a_segment_is_found() {
    for seal in [true, false] {
        let id = the_segment(&written(seal));
        let len = written(seal).files[&id].bytes.len();
        assert_eq!(len == TUNING.segment_bytes, !seal);
        let clean = written(seal).files[&id].bytes.clone();
        let used = clean.iter().rposition(|b| *b != 0).expect("it is used") + 1;
        let data = if seal { used } else { len };
        for bit in 0..8 * data {
            let mut disk = written(seal);
            disk.files.get_mut(&id).expect("there").bytes[bit / 8] ^= 1 << (bit % 8);
            let (mut store, report) = restore(&mut disk);
            store.check();
            let wrong = !report.is_whole() || !report.torn.is_empty();
            assert!(
                wrong,
                "bit {bit} of byte {} of {used}, sealed: {seal}",
                bit / 8
            );
            let keys = served(&store);
            assert!(whole_batches(&keys), "bit {bit}: {keys:?}");
            assert!(
                keys.len() >= 8,
                "bit {bit}: one batch at most is lost: {keys:?}"
            );
            if bit % 97 == 0 {
                heals(&mut disk, &mut store, &keys, report.is_whole());
            }
        }
    }
}

/// A restart after the restart finds nothing wrong any more, and the damaged file was kept.
fn heals(disk: &mut Disk, store: &mut Store, keys: &[u8], torn_only: bool) {
    let mut now_ms = NOW_MS;
    for _ in 0..5 {
        disk.drain(store);
        now_ms += 1_100;
        store.maintain(now_ms, 1 << 20, &mut |_| ());
    }
    assert_eq!(disk.quarantined.is_empty(), torn_only);
    let (store, report) = restore(disk);
    assert!(report.is_whole() && report.torn.is_empty(), "{report:?}");
    assert_eq!(served(&store), keys);
}

/// The same disk, with two more batches of which it is not known that they are synced, and where in the file the first of them begins.
fn written_on() -> (Disk, SegmentId, usize, usize) {
    let (mut disk, mut store) = with_store(false);
    let id = the_segment(&disk);
    let used = |disk: &Disk| {
        let bytes = &disk.files[&id].bytes;
        bytes.iter().rposition(|b| *b != 0).expect("it is used") + 1
    };
    let synced = used(&disk);
    for batch in 5..7u64 {
        let key = store.key(Db::ZERO, Space::Data, b"later");
        let op = Op::Put {
            key,
            kind: Kind::new(1),
            version: Version::from_raw(batch),
            deadline: Deadline::NEVER,
            value: &[b"a value that may be lost with the power"],
        };
        store
            .apply(NOW_MS + 2_000, Position::new(1, 6 + batch), &[op])
            .expect("taken");
    }
    disk.take(&mut store);
    disk.work(&mut store, usize::MAX);
    let end = used(&disk);
    (disk, id, synced, end)
}

#[test]
fn damage_is_told_from_what_the_power_takes() {
    let (disk, id, synced, end) = written_on();
    let bytes = disk.files[&id].bytes.clone();
    let report_of = |at: usize| {
        let mut disk = written_on().0;
        disk.files.get_mut(&id).expect("there").bytes[at] ^= 0x80;
        restore(&mut disk).1
    };
    assert!(end > synced + 100 && bytes.len() > end);
    // Behind the header, up to the last key that was synced.
    let last = bytes
        .windows(2)
        .rposition(|two| two == b"k\x09")
        .expect("there");
    // Where the position of an entry is damaged itself, it may seem to be one that was not synced.
    let keys = (64..last).filter(|at| bytes[*at] == b'k' && bytes[at + 1] < 10);
    let positions: Vec<usize> = keys.flat_map(|key| key - 24..key - 16).collect();
    let may_seem_new = |at: usize| positions.contains(&at);
    for at in (64..last).filter(|at| !may_seem_new(*at)) {
        let report = report_of(at);
        assert!(!report.damaged.is_empty(), "byte {at}: {report:?}");
    }
    // In the first of the two batches.
    for at in synced + 33..synced + 60 {
        let report = report_of(at);
        assert!(report.is_beginning(), "byte {at}: {report:?}");
        assert!(!report.hollow.is_empty(), "byte {at}: {report:?}");
    }
}

#[test]
fn a_cut_file_is_found() {
    for seal in [true, false] {
        let id = the_segment(&written(seal));
        let len = written(seal).files[&id].bytes.len();
        for cut in (1..len).step_by(if seal { 1 } else { 61 }) {
            let mut disk = written(seal);
            disk.files.get_mut(&id).expect("there").bytes.truncate(cut);
            let (store, report) = restore(&mut disk);
            assert!(!report.damaged.is_empty(), "cut at {cut}, sealed: {seal}");
            assert!(whole_batches(&served(&store)));
        }
    }
}

#[test]
fn a_first_write_that_was_torn_is_told_once() {
    let mut disk = written(false);
    let id = the_segment(&disk);
    let bytes = &mut disk.files.get_mut(&id).expect("there").bytes;
    bytes.fill(0);
    bytes[100] = 1;
    let (_, report) = restore(&mut disk);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.torn.len(), 1, "{report:?}");
}

#[test]
fn a_file_of_another_segment_or_directory_is_not_served() {
    let mut disk = written(true);
    let id = the_segment(&disk);
    let file = disk.files.remove(&id).expect("there");
    disk.files.insert(SegmentId(id.0 + 100), file.clone());
    let (store, report) = restore(&mut disk);
    assert_eq!(report.foreign, [SegmentId(id.0 + 100)]);
    assert!(served(&store).is_empty());
    let mut disk = written(true);
    let other = Tuning {
        directory: 78,
        ..TUNING
    };
    let pages = Box::new(HeapPages);
    let (_, report) = disk.restore(CONFIG, other, pages, NOW_MS, &mut Random(1));
    assert_eq!(report.foreign, [id]);
}

#[test]
fn garbage_of_any_kind_is_survived() {
    let mut random = Random(9);
    for _ in 0..300 {
        let mut disk = written(random.one_in(2));
        let id = the_segment(&disk);
        let bytes = &mut disk.files.get_mut(&id).expect("there").bytes;
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            let to = (at + random.below(400) as usize).min(bytes.len());
            let first = random.next() as usize;
            match random.below(3) {
                0 => bytes[at..to].fill(0),
                1 => bytes[at..to]
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, b)| *b = (first >> (i % 8)) as u8),
                _ => {
                    let room = bytes.len() - (to - at) + 1;
                    bytes.copy_within(at..to, first % room);
                }
            }
        }
        let (store, _) = restore(&mut disk);
        store.check();
        assert!(whole_batches(&served(&store)));
    }
}
