use super::{FILE_BYTES, MOST_UNSYNCED, SLOT_BYTES, read, write};

const NAME: &str = "NOTE";

#[test]
fn the_last_text_counts() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..3 * FILE_BYTES / SLOT_BYTES {
        let text = vec![b'a'; number];
        write(dir.path(), NAME, &text, number % 2 == 0).unwrap();
        let (_, found) = read(&dir.path().join(NAME)).unwrap().unwrap();
        assert_eq!(found, text);
    }
}

#[test]
fn whatever_a_loss_of_power_makes_of_unsynced_texts_a_synced_one_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    for before in 0..20 {
        write(dir.path(), NAME, b"synced", true).unwrap();
        let synced = std::fs::read(&path).unwrap();
        for number in 0..MOST_UNSYNCED {
            write(
                dir.path(),
                NAME,
                format!("later {number}").as_bytes(),
                false,
            )
            .unwrap();
        }
        let written = std::fs::read(&path).unwrap();
        // Each slot that differs is lost, kept or torn.
        for fate in 0..3usize.pow(3) {
            let mut left = synced.clone();
            for slot in 0..FILE_BYTES / SLOT_BYTES {
                let bytes = match fate / 3usize.pow(slot as u32 % 3) % 3 {
                    0 => 0,
                    1 => SLOT_BYTES,
                    _ => 13,
                };
                let from = slot * SLOT_BYTES;
                left[from..from + bytes].copy_from_slice(&written[from..from + bytes]);
            }
            std::fs::write(&path, &left).unwrap();
            let (_, text) = read(&path).unwrap().expect("the synced one at least");
            let is_one = text == b"synced" || text.starts_with(b"later ");
            assert!(is_one, "{before}, {fate}: {text:?}");
        }
        std::fs::write(&path, &written).unwrap();
    }
}

#[test]
fn a_file_of_before_there_were_slots_is_read_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    std::fs::write(&path, b"as it was").unwrap();
    assert_eq!(read(&path).unwrap(), Some((0, b"as it was".to_vec())));
    write(dir.path(), NAME, b"as it is", false).unwrap();
    assert_eq!(read(&path).unwrap(), Some((1, b"as it is".to_vec())));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), FILE_BYTES as u64);
}

#[test]
fn room_for_a_text_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    for bytes in [0, 7, FILE_BYTES] {
        std::fs::write(&path, vec![0; bytes]).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}

#[test]
fn a_file_of_which_nothing_is_left_is_told_from_room_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    write(dir.path(), NAME, b"a text", true).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[SLOT_BYTES + 3] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damage = read(&path).unwrap_err();
    assert_eq!(damage.kind(), std::io::ErrorKind::InvalidData);
    write(dir.path(), NAME, b"the next", false).unwrap();
    assert_eq!(read(&path).unwrap(), Some((1, b"the next".to_vec())));
}
