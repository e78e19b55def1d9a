use super::*;

struct Rig {
    segments: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let segments = folder.path().join("segments");
        std::fs::create_dir(&segments).unwrap();
        Self {
            segments,
            _folder: folder,
        }
    }

    fn open(&self) -> FileList {
        FileList::open(&self.segments).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.segments.with_file_name(FILES)).unwrap()
    }

    fn set_bytes(&self, bytes: &[u8]) {
        std::fs::write(self.segments.with_file_name(FILES), bytes).unwrap();
    }
}

fn ids(numbers: &[u64]) -> Vec<SegmentId> {
    numbers.iter().copied().map(SegmentId).collect()
}

#[test]
fn what_is_listed_and_not_there_is_missing_once() {
    let rig = Rig::new();
    let mut list = rig.open();
    assert!(list.strike_missing(&ids(&[1, 2])).unwrap().is_empty());
    for segment in ids(&[1, 2, 3, u64::MAX]) {
        list.enter(segment).unwrap();
    }
    list.strike(SegmentId(2)).unwrap();
    let mut again = rig.open();
    let missing = again.strike_missing(&ids(&[3, 7])).unwrap();
    assert_eq!(missing, ids(&[1, u64::MAX]));
    assert!(rig.open().strike_missing(&ids(&[3])).unwrap().is_empty());
}

#[test]
fn slots_are_used_again() {
    let rig = Rig::new();
    let mut list = rig.open();
    for segment in 0..100 {
        list.enter(SegmentId(segment)).unwrap();
        list.enter(SegmentId(segment)).unwrap();
        if segment >= 3 {
            list.strike(SegmentId(segment - 3)).unwrap();
        }
        if segment % 7 == 0 {
            list = rig.open();
        }
    }
    assert_eq!(rig.bytes().len(), 4 * SLOT_BYTES);
    let missing = rig.open().strike_missing(&[]).unwrap();
    assert_eq!(missing, ids(&[97, 98, 99]));
}

#[test]
fn a_torn_slot_is_free_and_harms_no_other() {
    let rig = Rig::new();
    let mut list = rig.open();
    for segment in ids(&[0x11, 0xf1e2_1234_5678_9abc, 0x33]) {
        list.enter(segment).unwrap();
    }
    let whole = rig.bytes();
    // The second slot as it was before it was written, up to each of its bytes: zeros, or another number.
    for before in [[0; SLOT_BYTES], whole[..SLOT_BYTES].try_into().unwrap()] {
        for written in 0..SLOT_BYTES {
            let mut torn = whole.clone();
            torn[SLOT_BYTES + written..2 * SLOT_BYTES].copy_from_slice(&before[written..]);
            rig.set_bytes(&torn);
            let missing = rig.open().strike_missing(&[]).unwrap();
            assert_eq!(missing, ids(&[0x11, 0x33]), "{written} bytes were written");
        }
    }
    // An end that has no whole slot is where the next one goes.
    for len in 2 * SLOT_BYTES..whole.len() {
        rig.set_bytes(&whole[..len]);
        let mut list = rig.open();
        list.enter(SegmentId(0x44)).unwrap();
        let missing = rig.open().strike_missing(&ids(&[0x11])).unwrap();
        assert_eq!(missing, ids(&[0x44, 0xf1e2_1234_5678_9abc]));
    }
}

#[test]
fn whatever_bytes_a_damaged_list_has_it_opens() {
    let rig = Rig::new();
    let noise: Vec<u8> = (0..1000_u32).map(|n| ((n * n) >> 3) as u8).collect();
    rig.set_bytes(&noise);
    let mut list = rig.open();
    list.enter(SegmentId(5)).unwrap();
    assert_eq!(rig.open().strike_missing(&[]).unwrap(), ids(&[5]));
}
