use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use node::CopyId;

use store::SegmentId;

use super::{
    Directory, Folders, NoteFile, delete, disown, quarantine, replace, segment_files, segment_path,
};

#[test]
fn only_one_server_uses_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = Directory::open(dir.path()).unwrap();
    let error = Directory::open(dir.path()).unwrap_err().to_string();
    let me = format!("another server (process {})", std::process::id());
    assert!(error.contains(&me), "{error}");
    drop(first);
    Directory::open(dir.path()).unwrap();
}

#[test]
fn the_epoch_and_the_clean_mark_are_remembered_once() {
    let dir = tempfile::tempdir().unwrap();
    let new = Directory::open(dir.path()).unwrap();
    assert_eq!((new.was_clean, new.last_epoch), (true, 0));
    new.record_epoch(7).unwrap();
    drop(new);
    let killed = Directory::open(dir.path()).unwrap();
    assert_eq!((killed.was_clean, killed.last_epoch), (false, 7));
    killed.mark_clean().unwrap();
    drop(killed);
    assert!(Directory::open(dir.path()).unwrap().was_clean);
    let began = Directory::open(dir.path()).unwrap();
    assert!(began.was_clean, "a start that failed changes nothing");
    began.begin().unwrap();
    drop(began);
    assert!(!Directory::open(dir.path()).unwrap().was_clean);
}

/// What cannot be read is not nothing.
#[test]
fn a_note_that_cannot_be_read_is_no_folder_of_no_use() {
    let dir = tempfile::tempdir().unwrap();
    let folders = Folders::of(&Directory::open(dir.path()).unwrap());
    for (number, note) in [(1, "one"), (2, "two"), (3, "three")] {
        let copy = CopyId(number);
        folders.keep_note(copy, note.as_bytes(), true).unwrap();
    }
    let note = |number| dir.path().join(format!("copies/{number:08x}/NOTE"));
    std::fs::write(note(1), [b'?'; 4_096]).unwrap();
    std::fs::remove_file(note(2)).unwrap();
    let found = [
        (CopyId(3), NoteFile::Says(b"three".to_vec())),
        (CopyId(2), NoteFile::Absent),
        (CopyId(1), NoteFile::Damaged),
    ];
    assert_eq!(folders.notes().unwrap(), found);
    std::fs::create_dir(note(2)).unwrap();
    let error = folders.notes().unwrap_err().to_string();
    assert!(error.contains("00000002/NOTE"), "{error}");
}

#[test]
fn a_damaged_epoch_or_an_unknown_format_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    drop(Directory::open(dir.path()).unwrap());
    std::fs::write(dir.path().join("EPOCH"), "x").unwrap();
    assert!(
        Directory::open(dir.path())
            .unwrap_err()
            .to_string()
            .contains("EPOCH is damaged")
    );
    std::fs::write(
        dir.path().join("FORMAT"),
        "tenure data directory, format 99\nid 7\n",
    )
    .unwrap();
    assert!(
        Directory::open(dir.path())
            .unwrap_err()
            .to_string()
            .contains("format 99")
    );
}

/// The files of a folder by name, with what tells each from any other, and the space that it has.
fn files(folder: &Path) -> BTreeMap<String, (u64, u64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let known = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (metadata.ino(), metadata.blocks()))
    };
    files.map(known).collect()
}

#[test]
fn replacing_a_small_file_takes_no_space() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["1\n", "22\n"] {
        replace(dir.path(), "EPOCH", text).unwrap();
    }
    let before = files(dir.path());
    assert_eq!(before.len(), 2, "{before:?}");
    // As long as they are open, no other file gets their numbers.
    let _open = ["EPOCH", "EPOCH.new"].map(|name| std::fs::File::open(dir.path().join(name)));
    for text in ["333\n", "4\n", "55\n"] {
        replace(dir.path(), "EPOCH", text).unwrap();
        let read = std::fs::read_to_string(dir.path().join("EPOCH")).unwrap();
        assert_eq!(read, text);
    }
    let after = files(dir.path());
    let (old, new) = (&before["EPOCH"], &before["EPOCH.new"]);
    assert_eq!((&after["EPOCH"], &after["EPOCH.new"]), (new, old));
    assert!(after.values().all(|(_, blocks)| *blocks > 0), "{after:?}");
}

#[test]
fn a_torn_twin_is_never_read() {
    let dir = tempfile::tempdir().unwrap();
    let read = || std::fs::read_to_string(dir.path().join("EPOCH")).unwrap();
    for text in ["first", "second"] {
        replace(dir.path(), "EPOCH", text).unwrap();
    }
    let twin = dir.path().join("EPOCH.new");
    assert_eq!(std::fs::read(&twin).unwrap(), b"first");
    // Whoever writes the next one dies at each byte of it, and power is lost.
    let third = "the third, which is longer";
    for len in 0..third.len() {
        std::fs::write(&twin, &third[..len]).unwrap();
        assert_eq!(read(), "second");
    }
    std::fs::remove_file(&twin).unwrap();
    replace(dir.path(), "EPOCH", third).unwrap();
    assert_eq!(read(), third);
}

#[test]
fn the_next_copy_has_a_folder_with_room_for_its_notes() {
    let dir = tempfile::tempdir().unwrap();
    let folders = Folders::of(&Directory::open(dir.path()).unwrap());
    folders.make_spare().unwrap();
    let spare = files(&dir.path().join("copies/spare"));
    assert!(
        folders.notes().unwrap().is_empty(),
        "nobody takes it for a copy"
    );
    // As long as it is open, no other file gets its number.
    let _open = std::fs::File::open(dir.path().join("copies/spare/NOTE"));
    let copy = CopyId(0x10);
    folders.keep_note(copy, b"first", true).unwrap();
    folders.keep_note(copy, b"second", false).unwrap();
    let folder = dir.path().join("copies/00000010");
    assert_eq!(files(&folder), spare);
    assert!(folder.join("segments").is_dir());
    assert!(!dir.path().join("copies/spare").exists());
}

#[test]
fn half_a_spare_folder_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let folders = Folders::of(&Directory::open(dir.path()).unwrap());
    let spare = dir.path().join("copies/spare");
    std::fs::create_dir_all(&spare).unwrap();
    // As a disk that was full left it.
    std::fs::write(spare.join("NOTE"), b"").unwrap();
    folders.make_spare().unwrap();
    let made = files(&spare);
    assert!(made.values().all(|(_, blocks)| *blocks > 0), "{made:?}");
    assert_eq!(made.len(), 1);
    assert!(spare.join("segments").is_dir());
}

#[test]
fn a_disowned_file_is_found_as_such_and_goes_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let segments = directory.segments_path();
    for id in 1..=3 {
        std::fs::write(segment_path(&segments, SegmentId(id)), "bytes").unwrap();
    }
    std::fs::write(segments.join("0000000000000004.other"), "no segment").unwrap();
    let found = || {
        let files = segment_files(&segments).unwrap();
        let found = files.iter().map(|file| (file.id.0, file.disowned));
        found.collect::<Vec<_>>()
    };
    disown(&segments, SegmentId(1)).unwrap();
    disown(&segments, SegmentId(2)).unwrap();
    assert_eq!(found(), [(3, false), (2, true), (1, true)]);
    // Whatever is asked for again has been done.
    disown(&segments, SegmentId(2)).unwrap();
    disown(&segments, SegmentId(99)).unwrap();
    quarantine(&segments, SegmentId(2)).unwrap();
    delete(&segments, SegmentId(1)).unwrap();
    delete(&segments, SegmentId(1)).unwrap();
    assert_eq!(found(), [(3, false)]);
    // Nor is there anything left to do where the folder of a copy is gone.
    delete(&dir.path().join("gone"), SegmentId(1)).unwrap();
    let aside = dir.path().join("quarantine");
    let aside = std::fs::read(segment_path(&aside, SegmentId(2)));
    assert_eq!(aside.unwrap(), b"bytes");
}
