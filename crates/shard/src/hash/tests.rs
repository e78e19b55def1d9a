//! Hashes against a map, with sizes drawn to extremes, through every way to change a record.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use alloc::{format, vec};

use model::time::Deadline;
use model::{Db, Now, Position};
use store::{Space, Store, StoreConfig, SyncMode};

use super::directory::{ChunkKey, Directory};
use crate::{Change, FieldChange, Hash, Place, Shard, ShardSettings, Type, Unchanged};

type Model = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

const NOW: Now = Now {
    unix_ms: 1_000_000,
    mono_us: 0,
};

fn shard() -> Shard {
    let config = StoreConfig {
        memory_bytes: 256 << 20,
        sync: SyncMode::None,
        seed: 7,
    };
    Shard::new(
        Store::new(config),
        Position::new(1, 1),
        ShardSettings::default(),
    )
}

/// Small and good enough; a failing seed is printed with the failure.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) ^ (self.0 >> 17 & 0xffff)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let byte = self.next() as u8;
        vec![byte; len]
    }

    fn field(&mut self) -> Vec<u8> {
        match self.below(20) {
            0 => Vec::new(),
            1 => vec![b'f'; 300 + self.below(3) as usize],
            2 => vec![b'L'; 5000],
            _ => {
                let range = [10, 100, 1000][self.below(3) as usize];
                format!("field:{}", self.below(range)).into_bytes()
            }
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(40) {
            0 => 20_000,
            1 => 4096,
            2 => 0,
            3 | 4 => 1000,
            n => n as usize * 4,
        };
        self.bytes(len)
    }
}

/// What the shard has for a key, as the model would.
fn contents(hash: Hash<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs: Vec<_> = hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
    assert_eq!(pairs.len(), hash.len());
    for (place, (field, value)) in pairs.iter().enumerate() {
        assert_eq!(hash.at(place), Some((&field[..], &value[..])));
        assert_eq!(hash.get(field), Some(&value[..]));
    }
    assert_eq!(hash.at(pairs.len()), None);
    pairs.into_iter().collect()
}

fn scanned(hash: Hash<'_>, count: usize) -> BTreeSet<Vec<u8>> {
    let (mut seen, mut cursor) = (BTreeSet::new(), 0);
    loop {
        cursor = hash.scan(cursor, count, &mut |field, _| {
            assert!(
                seen.insert(field.to_vec()),
                "visited twice without a change"
            );
        });
        if cursor == 0 {
            return seen;
        }
    }
}

/// Every chunk in the store is named by the directory of its root, has the root's deadline, and the counts and
/// ranges of the directories are right.
fn check_chunks(shard: &mut Shard, keys: &[Vec<u8>]) {
    let mut named = BTreeSet::new();
    for key in keys {
        let Some(record) = shard.peek(NOW, Db::ZERO, key) else {
            continue;
        };
        if record.r#type != Type::BigHash {
            continue;
        }
        let directory = Directory::decode(record.body);
        let ends = directory
            .chunks()
            .iter()
            .skip(1)
            .map(|c| u64::from(c.start));
        for (chunk, end) in directory.chunks().iter().zip(ends.chain([1 << 32])) {
            let mut chunk_key = ChunkKey::of(key);
            let bytes = chunk_key.number(chunk.number).to_vec();
            let row = super::Pairs::of(shard.chunk(NOW, Db::ZERO, &bytes));
            assert_eq!(row.count(), chunk.count as usize);
            assert!(chunk.count > 0 && chunk.number < directory.next);
            for (field, _) in row {
                let hash = super::field_hash(field);
                assert!(hash >= chunk.start && u64::from(hash) < end);
            }
            named.insert((bytes, record.deadline));
        }
    }
    let (mut there, mut cursor) = (BTreeSet::new(), 0);
    loop {
        cursor = shard.store.scan(cursor, 1 << 20, &mut |entry| {
            if entry.space() == Space::Chunk && !entry.deadline().has_passed(NOW.unix_ms) {
                there.insert((entry.key().to_vec(), entry.deadline()));
            }
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(there, named);
}

fn changes(random: &mut Random) -> Vec<(bool, Vec<u8>, Vec<u8>)> {
    let many = [1, 1, 1, 3, 12, 200][random.below(6) as usize];
    let sets_of_ten = [1, 5, 9][random.below(3) as usize];
    (0..many)
        .map(|_| {
            (
                random.below(10) < sets_of_ten,
                random.field(),
                random.value(),
            )
        })
        .collect()
}

fn change(shard: &mut Shard, model: &mut Model, key: &[u8], list: &[(bool, Vec<u8>, Vec<u8>)]) {
    let changes: Vec<_> = list
        .iter()
        .map(|(sets, field, value)| match sets {
            true => FieldChange::Set(field, value),
            false => FieldChange::Remove(field),
        })
        .collect();
    let changed = shard.change_hash(NOW, Db::ZERO, key, &changes).unwrap();
    let fields = model.entry(key.to_vec()).or_default();
    let (mut added, mut removed) = (0, 0);
    for (sets, field, value) in list {
        if *sets {
            added += usize::from(fields.insert(field.clone(), value.clone()).is_none());
        } else {
            removed += usize::from(fields.remove(field).is_some());
        }
    }
    assert_eq!(
        (changed.added, changed.removed, changed.len),
        (added, removed, fields.len())
    );
    if fields.is_empty() {
        model.remove(key);
    }
}

fn other(random: &mut Random, shard: &mut Shard, model: &mut Model, keys: &[Vec<u8>]) {
    let [from, to] = [(); 2].map(|()| &keys[random.below(keys.len() as u64) as usize]);
    let place = |key| Place { db: Db::ZERO, key };
    match random.below(6) {
        0 => {
            let was = model.remove(from);
            assert_eq!(shard.delete(NOW, Db::ZERO, from).unwrap(), was.is_some());
        }
        1 if from != to => {
            let there = shard.copy(NOW, place(from), place(to)).unwrap();
            assert_eq!(there, model.contains_key(from));
            if let Some(fields) = model.get(from).cloned() {
                model.insert(to.clone(), fields);
            }
        }
        2 if from != to => {
            let there = shard.r#move(NOW, place(from), place(to)).unwrap();
            assert_eq!(there, model.contains_key(from));
            if let Some(fields) = model.remove(from) {
                model.insert(to.clone(), fields);
            }
        }
        3 => {
            let body = Change {
                r#type: Type::String,
                deadline: Deadline::NEVER,
                body: &[b"string"],
            };
            shard.put(NOW, Db::ZERO, from, body).unwrap();
            let refused = shard.change_hash(NOW, Db::ZERO, from, &[FieldChange::Remove(b"x")]);
            assert_eq!(refused, Err(Unchanged::WrongType));
            shard.delete(NOW, Db::ZERO, from).unwrap();
            model.remove(from);
        }
        _ => {
            let deadline = Deadline::after(NOW.unix_ms, 1 + random.below(1000));
            let there = shard.touch(NOW, Db::ZERO, from, deadline).unwrap();
            assert_eq!(there, model.contains_key(from));
        }
    }
}

fn run(seed: u64, steps: u64) -> usize {
    let (mut random, mut shard, mut model) = (Random(seed), shard(), Model::new());
    let keys: Vec<Vec<u8>> = ["a", "b", "", "a\0\0\0\0"]
        .map(|k| k.as_bytes().to_vec())
        .to_vec();
    let mut big = 0;
    for step in 0..steps {
        let key = keys[random.below(4) as usize].clone();
        if random.below(8) == 0 {
            other(&mut random, &mut shard, &mut model, &keys);
        } else {
            let list = changes(&mut random);
            change(&mut shard, &mut model, &key, &list);
        }
        for key in &keys {
            let count = 1 + random.below(50) as usize;
            let there = shard.hash(NOW, Db::ZERO, key).unwrap();
            assert_eq!(there.map(contents), model.get(key).cloned(), "step {step}");
            if let Some(hash) = there {
                big += usize::from(hash.is_big);
                assert_eq!(scanned(hash, count), model[key].keys().cloned().collect());
            }
        }
        if step % 8 == 0 {
            check_chunks(&mut shard, &keys);
        }
    }
    big
}

#[test]
#[allow(clippy::print_stderr, reason = "a failing run shows its seed")]
fn hashes_match_a_map() {
    let mut big = 0;
    for seed in 0..12 {
        std::eprintln!("seed {seed}");
        big += run(seed, 120);
    }
    assert!(big > 1000, "too few big hashes were met: {big}");
}

#[test]
fn a_hash_that_shrinks_is_packed_again_and_leaves_no_chunk() {
    let mut shard = shard();
    let fields: Vec<Vec<u8>> = (0..5000).map(|i| format!("f{i}").into_bytes()).collect();
    for field in &fields {
        let set = [FieldChange::Set(field, b"0123456789abcdef0123456789abcdef")];
        shard.change_hash(NOW, Db::ZERO, b"k", &set).unwrap();
    }
    let r#type = |shard: &mut Shard| shard.record(NOW, Db::ZERO, b"k").map(|r| r.r#type);
    assert_eq!(r#type(&mut shard), Some(Type::BigHash));
    check_chunks(&mut shard, &[b"k".to_vec()]);
    for field in &fields[10..] {
        shard
            .change_hash(NOW, Db::ZERO, b"k", &[FieldChange::Remove(field)])
            .unwrap();
    }
    assert_eq!(r#type(&mut shard), Some(Type::Hash));
    check_chunks(&mut shard, &[]);
    for field in &fields[..10] {
        shard
            .change_hash(NOW, Db::ZERO, b"k", &[FieldChange::Remove(field)])
            .unwrap();
    }
    assert_eq!(r#type(&mut shard), None);
}

#[test]
fn a_scan_meets_every_lasting_field_over_splits_and_joins() {
    let mut shard = shard();
    let lasting: Vec<Vec<u8>> = (0..400)
        .map(|i| format!("lasting:{i}").into_bytes())
        .collect();
    for field in &lasting {
        let set = [FieldChange::Set(field, &[b'v'; 40])];
        shard.change_hash(NOW, Db::ZERO, b"k", &set).unwrap();
    }
    let (mut seen, mut cursor, mut round) = (BTreeSet::new(), 0, 0);
    loop {
        let hash = shard.hash(NOW, Db::ZERO, b"k").unwrap().unwrap();
        cursor = hash.scan(cursor, 7, &mut |field, _| {
            seen.insert(field.to_vec());
        });
        if cursor == 0 {
            break;
        }
        let fields: Vec<_> = (0..100)
            .map(|i| format!("passing:{i}").into_bytes())
            .collect();
        let changes: Vec<_> = fields
            .iter()
            .map(|field| match round % 2 {
                0 => FieldChange::Set(field, &[b'p'; 200]),
                _ => FieldChange::Remove(field),
            })
            .collect();
        shard.change_hash(NOW, Db::ZERO, b"k", &changes).unwrap();
        round += 1;
    }
    assert!(round > 20 && lasting.iter().all(|field| seen.contains(field)));
}

#[test]
fn field_hashes_never_change() {
    let hashes = [&b""[..], b"a", b"data", b"lastAccessedTime"].map(super::field_hash);
    assert_eq!(
        hashes,
        [2_238_767_700, 2_192_678_300, 1_380_904_642, 1_729_039_957]
    );
}

/// As damage does it.
fn lose_a_chunk(shard: &mut Shard, key: &[u8]) {
    let record = shard.record(NOW, Db::ZERO, key).unwrap();
    let number = Directory::decode(record.body).chunks()[1].number;
    let mut chunk_key = ChunkKey::of(key);
    let mut batch = crate::batch::Batch::default();
    batch.delete(Db::ZERO, Space::Chunk, chunk_key.number(number));
    shard.apply_batch(NOW, &batch).unwrap();
}

/// What is removed may be more than one batch takes: the tombstones of these, whose keys are long, take 10 MiB.
#[test]
fn any_number_of_broken_hashes_is_removed() {
    let (mut shard, mut model) = (shard(), Model::new());
    let key = |n: usize| alloc::format!("{n:060000}").into_bytes();
    for n in 0..60 {
        let list: Vec<_> = (0..100)
            .map(|i| (true, format!("field:{i}").into_bytes(), vec![b'v'; 40]))
            .collect();
        change(&mut shard, &mut model, &key(n), &list);
        lose_a_chunk(&mut shard, &key(n));
    }
    assert_eq!(shard.rebuild(NOW), Ok(60));
    for n in 0..60 {
        assert!(shard.record(NOW, Db::ZERO, &key(n)).is_none());
    }
}

#[test]
fn a_hash_that_lost_a_chunk_is_removed_by_a_restart_and_the_others_stay() {
    let (mut shard, mut model) = (shard(), Model::new());
    for key in [&b"broken"[..], b"whole"] {
        let list: Vec<_> = (0..500)
            .map(|i| (true, format!("field:{i}").into_bytes(), vec![b'v'; 40]))
            .collect();
        change(&mut shard, &mut model, key, &list);
    }
    assert_eq!(shard.rebuild(NOW), Ok(0));
    lose_a_chunk(&mut shard, b"broken");
    assert_eq!(shard.rebuild(NOW), Ok(1));
    assert!(shard.record(NOW, Db::ZERO, b"broken").is_none());
    assert_eq!(
        shard.hash(NOW, Db::ZERO, b"whole").unwrap().unwrap().len(),
        500
    );
    check_chunks(&mut shard, &[b"broken".to_vec(), b"whole".to_vec()]);
}
