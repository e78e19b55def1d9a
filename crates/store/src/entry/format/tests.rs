use alloc::vec;
use alloc::vec::Vec;

use model::Position;
use model::time::Deadline;

use super::{
    Control, HEADER_BYTES, Header, Place, SEGMENT_HEADER, Salt, SegmentHeader, What, finish,
    finish_copy, set_deadline, verify,
};
use crate::disk::SegmentId;
use crate::entry::{Kind, Space};

fn salt() -> Salt {
    Salt::new(0x1122_3344_5566_7788, SegmentId(9))
}

fn header() -> Header {
    Header {
        len: HEADER_BYTES + 3 + 5,
        more: false,
        what: What::User(Kind::new(2)),
        db: 15,
        space: Space::Mark,
        position: Position::new(3, 77),
        version: 0x0102_0304_0506_0708,
        deadline: Deadline::from_raw(0x0000_1234_5678_9abc),
        key_len: 3,
    }
}

fn entry() -> Vec<u8> {
    let mut bytes = vec![0; header().len];
    header().write(&mut bytes);
    bytes[HEADER_BYTES..].copy_from_slice(b"keyvalue");
    bytes
}

#[test]
fn an_entry_has_these_bytes() {
    let mut bytes = entry();
    finish(&mut bytes, salt(), true, true);
    let fixture = include_bytes!("fixtures/entry_v1.bin");
    assert_eq!(
        bytes, fixture,
        "the format has changed: give it another version"
    );
    assert_eq!(verify(fixture, salt()), Some(Place::First));
    assert_eq!(
        Header::read(fixture),
        Header {
            more: true,
            ..header()
        }
    );
}

#[test]
fn a_segment_header_has_these_bytes() {
    let header = SegmentHeader {
        class: 4,
        segment: SegmentId(0x0a0b_0c0d),
        directory: 0x1122_3344_5566_7788,
        created_ms: 1_700_000_000_000,
        epoch: 6,
        bytes: 8 << 20,
    };
    let mut bytes = vec![0xff; SEGMENT_HEADER];
    header.write(&mut bytes);
    let fixture = include_bytes!("fixtures/segment_header_v1.bin");
    assert_eq!(
        bytes, fixture,
        "the format has changed: give it another version"
    );
    assert_eq!(SegmentHeader::read(fixture), Some(header));
    for bit in 0..8 * SEGMENT_HEADER {
        let mut bytes = fixture.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(SegmentHeader::read(&bytes), None, "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_an_entry_shows() {
    for first in [true, false] {
        let mut bytes = entry();
        finish(&mut bytes, salt(), first, false);
        let place = if first { Place::First } else { Place::Later };
        assert_eq!(verify(&bytes, salt()), Some(place));
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&bytes, salt()), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn an_entry_passes_only_in_its_own_segment_and_directory() {
    let mut bytes = entry();
    finish(&mut bytes, salt(), true, false);
    for segment in (0..200).filter(|id| *id != 9) {
        let other = Salt::new(0x1122_3344_5566_7788, SegmentId(segment));
        assert_eq!(verify(&bytes, other), None);
    }
    assert_eq!(
        verify(&bytes, Salt::new(0x1122_3344_5566_7789, SegmentId(9))),
        None
    );
}

#[test]
fn a_touch_mends_the_checksum() {
    let mut bytes = entry();
    finish(&mut bytes, salt(), false, true);
    for deadline in [
        Deadline::NEVER,
        Deadline::from_raw(0),
        Deadline::from_raw(99),
    ] {
        set_deadline(&mut bytes, deadline);
        assert_eq!(verify(&bytes, salt()), Some(Place::Later));
        assert_eq!(
            Header::read(&bytes),
            Header {
                more: true,
                deadline,
                ..header()
            }
        );
    }
}

#[test]
fn all_kinds_come_back() {
    let mut whats: Vec<What> = (0..=Kind::MAX).map(|n| What::User(Kind::new(n))).collect();
    let controls = [
        Control::Tombstone,
        Control::Touch,
        Control::State,
        Control::Note,
    ];
    whats.extend(controls.map(What::Control));
    for what in whats {
        for space in [Space::Data, Space::Chunk, Space::Hold, Space::Mark] {
            let header = Header {
                what,
                space,
                ..header()
            };
            let mut bytes = vec![0; header.len];
            header.write(&mut bytes);
            assert_eq!(Header::read(&bytes), header);
        }
    }
}

#[test]
fn a_copy_stands_alone_in_another_segment_and_passes_if_the_original_did() {
    let other = Salt::new(7, SegmentId(10));
    for (first, more) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut bytes = entry();
        finish(&mut bytes, salt(), first, more);
        let place = Place::behind(!first);
        assert_eq!(verify(&bytes, salt()), Some(place));
        let mut copy = bytes.clone();
        finish_copy(&mut copy, (salt(), other), place);
        assert_eq!(verify(&copy, other), Some(Place::First));
        assert!(!Header::read(&copy).more);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        finish_copy(&mut bytes, (salt(), other), place);
        assert_eq!(verify(&bytes, other), None, "damage is not mended");
    }
}
