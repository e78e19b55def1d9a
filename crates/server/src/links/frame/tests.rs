use cluster::format::Record as _;
use model::{Incarnation, Member, NodeId};

use super::{Broken, Hello, Kind, MAX_BYTES, MAX_HELLO_BYTES, read, write};

fn hello() -> Hello {
    Hello {
        cluster: "shop".into(),
        secret: b"secret".to_vec(),
        from: Member {
            node: NodeId(2),
            incarnation: Incarnation(7),
        },
        to: NodeId(3),
        run: 9,
    }
}

#[test]
fn frames_survive_their_bytes_one_behind_the_other() {
    let all = [
        (Kind::Hello, hello().encode()),
        (Kind::Agent, b"a".to_vec()),
        (Kind::Replica, vec![7; 100_000]),
        (Kind::Farewell, Vec::new()),
    ];
    let mut bytes = Vec::new();
    for (kind, body) in &all {
        write(*kind, body, &mut bytes);
    }
    let mut rest = &bytes[..];
    for (kind, body) in &all {
        let frame = read(rest, MAX_BYTES).unwrap().expect("a whole frame");
        assert_eq!((frame.kind, frame.body), (*kind, &body[..]));
        rest = &rest[frame.length..];
    }
    assert!(rest.is_empty());
    assert_eq!(Hello::decode(&all[0].1), Ok(hello()));
}

#[test]
fn a_part_of_a_frame_is_waited_for() {
    let mut bytes = Vec::new();
    write(Kind::Agent, b"message", &mut bytes);
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end], MAX_BYTES), Ok(None));
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let mut bytes = Vec::new();
    write(Kind::Replica, b"message", &mut bytes);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        // A longer length asks for more bytes; when they are there the checksum is another.
        damaged.resize(1 << 10, 0);
        assert!(read(&damaged, 64).is_err(), "byte {at}");
    }
}

#[test]
fn a_claimed_length_is_compared_with_the_limit_before_anything_is_read() {
    let mut bytes = Vec::new();
    write(Kind::Agent, &vec![0; MAX_HELLO_BYTES], &mut bytes);
    assert_eq!(read(&bytes[..8], MAX_HELLO_BYTES), Err(Broken::Length));
    assert_eq!(read(&bytes[..8], MAX_BYTES), Ok(None));
    assert_eq!(read(&[0; 8], MAX_BYTES), Err(Broken::Length));
}

/// What version 1 wrote can be read for ever.
#[test]
fn the_fixture_of_protocol_1() {
    let mut bytes = Vec::new();
    write(Kind::Hello, &hello().encode(), &mut bytes);
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, include_str!("fixture-1.txt").trim_end());
}
