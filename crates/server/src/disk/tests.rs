use std::sync::mpsc::Receiver;

use mio::{Poll, Token};
use store::SyncMode;

use super::*;
use crate::directory::{Directory, NoteFile, segment_files};

const SEGMENT: SegmentId = SegmentId(7);
/// Less than a page of zeros would do as well.
const SEGMENT_BYTES: usize = 64 << 10;

fn task(copy: CopyId, op: DiskOp) -> DiskTask {
    DiskTask { copy, op }
}

fn write(copy: CopyId, offset: u32) -> DiskTask {
    let op = DiskOp::Write {
        segment: SEGMENT,
        offset,
        len: 3,
    };
    task(copy, op)
}

fn says(note: &[u8]) -> NoteFile {
    NoteFile::Says(note.to_vec())
}

fn create(copy: CopyId) -> DiskTask {
    task(copy, DiskOp::Create { segment: SEGMENT })
}

struct Rig {
    directory: Directory,
    folders: Folders,
    disk: Disk,
    messages: Receiver<Message>,
    _poll: Poll,
    _path: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(copies: Option<(StoreConfig, Tuning)>) -> Self {
        let path = tempfile::tempdir().unwrap();
        let directory = Directory::open(path.path()).unwrap();
        let folders = Folders::of(&directory);
        let poll = Poll::new().unwrap();
        let (mailbox, messages) = Mailbox::new(&poll, Token(0)).unwrap();
        let clock = Clock::start();
        let disk = Disk::start(folders.clone(), SEGMENT_BYTES, copies, mailbox, clock).unwrap();
        Self {
            directory,
            folders,
            disk,
            messages,
            _poll: poll,
            _path: path,
        }
    }

    fn next(&mut self) -> Option<Input<'static>> {
        loop {
            if let Message::Disk(done, took) = self.messages.recv().unwrap() {
                return self.disk.done(done, took);
            }
        }
    }

    fn next_op(&mut self) -> (CopyId, DiskOp, Result<(), DiskError>) {
        match self.next() {
            Some(Input::Disk { copy, event }) => (copy, event.op, event.result),
            other => panic!("nobody has asked for {other:?}"),
        }
    }
}

#[test]
fn writes_keep_their_order_while_the_file_is_being_created() {
    let mut rig = Rig::new();
    let alone = CopyId::ALONE;
    assert!(rig.disk.perform(create(alone), b"").is_none());
    assert!(rig.disk.perform(write(alone, 0), b"abc").is_none());
    assert_eq!(rig.next_op().2, Ok(()));
    // The file is there, but the first write may still wait behind whatever the thread is busy with.
    assert!(rig.disk.perform(write(alone, 3), b"def").is_none());
    for offset in [0, 3] {
        let (_, op, result) = rig.next_op();
        assert_eq!((op, result), (write(alone, offset).op, Ok(())));
    }
    assert!(rig.disk.is_quiet());
    let event = rig.disk.perform(write(alone, 6), b"ghi").unwrap();
    assert_eq!(event.result, Ok(()));
    let bytes = std::fs::read(segment_path(&rig.directory.segments_path(), SEGMENT)).unwrap();
    assert!(bytes.starts_with(b"abcdefghi"));
    assert_eq!(bytes.len(), SEGMENT_BYTES);
}

#[test]
fn copies_have_folders_of_their_own() {
    let mut rig = Rig::new();
    let (one, two) = (CopyId(1), CopyId(0x2a));
    for (copy, note) in [(one, b"one"), (two, b"two")] {
        let ticket = u64::from(copy.0);
        let note = note.to_vec();
        rig.disk.tend_folder(FileTask::Keep {
            copy,
            ticket,
            note,
            at_once: false,
        });
        assert!(rig.disk.perform(create(copy), b"").is_none());
        assert!(
            matches!(rig.next(), Some(Input::Kept { copy: c, ticket: t }) if (c, t) == (copy, ticket))
        );
        assert_eq!(rig.next_op(), (copy, create(copy).op, Ok(())));
        let text = format!("{:03}", copy.0);
        let event = rig.disk.perform(write(copy, 0), text.as_bytes()).unwrap();
        assert_eq!(event.result, Ok(()));
    }
    let found = rig.folders.notes().unwrap();
    assert_eq!(found, [(two, says(b"two")), (one, says(b"one"))]);
    let bytes = |copy| std::fs::read(segment_path(&rig.folders.segments(copy), SEGMENT)).unwrap();
    assert!(bytes(one).starts_with(b"001") && bytes(two).starts_with(b"042"));

    rig.disk.tend_folder(FileTask::Remove { copy: one });
    assert!(rig.next().is_none());
    assert!(rig.disk.is_quiet());
    assert_eq!(rig.folders.notes().unwrap().len(), 1);
    assert!(!rig.folders.segments(one).exists());
}

fn keep(copy: CopyId, ticket: u64) -> FileTask {
    FileTask::Keep {
        copy,
        ticket,
        note: b"a note".to_vec(),
        at_once: true,
    }
}

#[test]
fn a_note_that_cannot_be_kept_delays_only_what_depends_on_it() {
    let mut rig = Rig::new();
    let (old, new, other) = (CopyId(1), CopyId(2), CopyId(3));
    rig.disk.tend_folder(keep(old, 1));
    assert!(matches!(rig.next(), Some(Input::Kept { ticket: 1, .. })));
    // A file in the place of the folder: as good as no room for one.
    let place = rig.directory.path().join("copies/00000002");
    std::fs::write(&place, b"").unwrap();
    rig.disk.tend_folder(keep(new, 2));
    rig.disk.tend_folder(keep(new, 3));
    rig.disk.tend_folder(FileTask::Remove { copy: old });
    rig.disk.tend_folder(keep(other, 4));
    assert!(rig.disk.perform(create(other), b"").is_none());
    assert!(rig.disk.perform(create(new), b"").is_none());
    assert!(matches!(rig.next(), Some(Input::Kept { ticket: 4, .. })));
    assert_eq!(rig.next_op(), (other, create(other).op, Ok(())));
    let (copy, _, result) = rig.next_op();
    assert_eq!(copy, new);
    assert!(result.is_err(), "its folder is not there");
    let kept: Vec<CopyId> = rig
        .folders
        .notes()
        .unwrap()
        .iter()
        .map(|(copy, _)| *copy)
        .collect();
    assert!(
        kept.contains(&old),
        "what takes its place is not kept: {kept:?}"
    );

    std::fs::remove_file(&place).unwrap();
    for expected in [2, 3] {
        assert!(matches!(rig.next(), Some(Input::Kept { ticket, .. }) if ticket == expected));
    }
    assert!(rig.next().is_none(), "the old copy is removed");
    assert!(rig.disk.is_quiet());
    assert!(!rig.folders.segments(old).exists());
}

/// A device stands for a file whose sync fails: it has none.
#[test]
fn a_file_that_cannot_be_synced_is_disowned_at_once() {
    let mut rig = Rig::new();
    let segments = rig.directory.segments_path();
    std::os::unix::fs::symlink("/dev/null", segment_path(&segments, SEGMENT)).unwrap();
    let sync = task(CopyId::ALONE, DiskOp::Sync { segment: SEGMENT });
    assert!(rig.disk.perform(sync, b"").is_none());
    let (_, _, result) = rig.next_op();
    assert!(result.is_err(), "{result:?}");
    let found = segment_files(&segments).unwrap();
    assert!(
        matches!(found.as_slice(), [file] if file.id == SEGMENT && file.disowned),
        "{found:?}"
    );
}

/// It is read by another thread, and given whole or not at all.
#[test]
fn what_a_copy_has_set_aside_is_read() {
    let tuning = Tuning {
        segment_bytes: SEGMENT_BYTES,
        ..Tuning::default()
    };
    let config = StoreConfig {
        memory_bytes: 64 << 20,
        sync: SyncMode::None,
        seed: 7,
    };
    let mut rig = Rig::with(Some((config, tuning)));
    let copy = CopyId(3);
    rig.disk.tend_folder(keep(copy, 1));
    assert!(matches!(rig.next(), Some(Input::Kept { .. })));
    rig.disk.restore(copy);
    assert!(!rig.disk.is_quiet());
    let Some(Input::Restored(found)) = rig.next() else {
        panic!("it is not given");
    };
    assert_eq!(
        (found.copy, says(&found.note)),
        (copy, rig.folders.note(copy).unwrap())
    );
    assert!(rig.disk.is_quiet());

    let damaged = segment_path(&rig.folders.segments(copy), SEGMENT);
    std::fs::write(damaged, [0xff; 4096]).unwrap();
    rig.disk.restore(copy);
    assert!(rig.next().is_none(), "something of it is lost");
    rig.disk.restore(CopyId(4));
    assert!(rig.next().is_none(), "it is not there");
    assert!(rig.disk.is_quiet());
}
