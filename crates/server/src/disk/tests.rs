use mio::{Poll, Token};

use super::*;

const SEGMENT: SegmentId = SegmentId(7);

fn write(offset: u32) -> DiskOp {
    DiskOp::Write {
        segment: SEGMENT,
        offset,
        len: 3,
    }
}

#[test]
fn writes_keep_their_order_while_the_file_is_being_created() {
    let dir = tempfile::tempdir().unwrap();
    let poll = Poll::new().unwrap();
    let (mailbox, messages) = Mailbox::new(&poll, Token(0)).unwrap();
    let mut disk = Disk::start(dir.path().to_path_buf(), mailbox, Clock::start()).unwrap();
    let next = |disk: &mut Disk| match messages.recv().unwrap() {
        Message::Disk(done) => disk.done(done),
        other @ (Message::Observe(_) | Message::Drain) => panic!("nobody sends {other:?}"),
    };
    assert!(
        disk.perform(DiskOp::Create { segment: SEGMENT }, b"")
            .is_none()
    );
    assert!(disk.perform(write(0), b"abc").is_none());
    assert!(next(&mut disk).result.is_ok());
    // The file is there, but the first write may still wait behind whatever the thread is busy with.
    assert!(disk.perform(write(3), b"def").is_none());
    for offset in [0, 3] {
        let event = next(&mut disk);
        assert_eq!((event.op, event.result), (write(offset), Ok(())));
    }
    assert!(disk.is_quiet());
    let event = disk.perform(write(6), b"ghi").unwrap();
    assert_eq!(event.result, Ok(()));
    let bytes = std::fs::read(segment_path(dir.path(), SEGMENT)).unwrap();
    assert!(bytes.starts_with(b"abcdefghi"));
}
