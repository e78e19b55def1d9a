use std::sync::mpsc::Receiver;

use mio::{Poll, Token};

use super::*;
use crate::directory::Directory;

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
        let path = tempfile::tempdir().unwrap();
        let directory = Directory::open(path.path()).unwrap();
        let folders = Folders::of(&directory);
        let poll = Poll::new().unwrap();
        let (mailbox, messages) = Mailbox::new(&poll, Token(0)).unwrap();
        let clock = Clock::start();
        let disk = Disk::start(folders.clone(), SEGMENT_BYTES, false, mailbox, clock).unwrap();
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
            if let Message::Disk(done) = self.messages.recv().unwrap() {
                return self.disk.done(done);
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
        rig.disk.tend_folder(FileTask::Keep { copy, ticket, note });
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
    assert_eq!(
        found,
        [(two, Some(b"two".to_vec())), (one, Some(b"one".to_vec()))]
    );
    let bytes = |copy| std::fs::read(segment_path(&rig.folders.segments(copy), SEGMENT)).unwrap();
    assert!(bytes(one).starts_with(b"001") && bytes(two).starts_with(b"042"));

    rig.disk.tend_folder(FileTask::Remove { copy: one });
    assert!(rig.next().is_none());
    assert!(rig.disk.is_quiet());
    assert_eq!(rig.folders.notes().unwrap().len(), 1);
    assert!(!rig.folders.segments(one).exists());
}
