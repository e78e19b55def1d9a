//! The bytes stay what they are, and no bytes do harm.

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use model::{Incarnation, Member, NodeId, Position, ShardId};

use super::{
    Ack, Append, Batches, Body, Chunk, HEADER_BYTES, Leap, MAX_MESSAGE_BYTES, Mend, Message,
    Testimony, decode, recipient, write_batch, written,
};
use crate::log::Batch;

/// One message of each kind in version 1, a line each: its name and its bytes.
const FIXTURES: &str = include_str!("fixtures/v1.txt");

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(0xA1A2_A3A4_A5A6_A7A8_B1B2_B3B4_B5B6_B7B8 + u128::from(node)),
    }
}

fn batches() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, last, text) in [(1, 1, &b"one"[..]), (2, 5, b""), (6, 7, b"three entries")] {
        let batch = Batch {
            first: Position::new(3, first),
            last: Position::new(3, last),
            time_ms: 1_700_000_000_000 + last,
            bytes: text.into(),
        };
        write_batch(&mut bytes, &batch);
    }
    bytes
}

fn ack() -> Ack {
    Ack {
        echo_us: 77,
        number: 8,
        have: Position::new(3, 7),
        persisted: Position::new(3, 5),
        attempt: 2,
        step: 9,
        synced: true,
        whole: false,
        gap: true,
        installed: false,
        leaps: false,
    }
}

fn bodies(batches: &[u8]) -> Vec<(&'static str, Body<'_>)> {
    let append = Append {
        sent_us: 123_456,
        base: Position::new(2, 9),
        commit: Position::new(2, 10),
        prev: Position::new(3, 0),
        batches: written(batches),
    };
    let heartbeat = Append {
        batches: Batches::default(),
        ..append
    };
    let testimony = Testimony {
        last: Position::new(2, 9),
        synced: 2,
        whole: true,
        kept: false,
    };
    let kept = Testimony {
        whole: false,
        kept: true,
        ..testimony
    };
    let tail = Body::Tail {
        prev: Position::new(3, 0),
        reachable: true,
        batches: written(batches),
    };
    let join = Body::Join {
        base: Position::new(3, 7),
        time_ms: 1_700_000_000_000,
        needed: None,
        attempt: 2,
    };
    let join_served = Body::Join {
        base: Position::new(3, 7),
        time_ms: 1_700_000_000_000,
        needed: Some(Position::ZERO),
        attempt: 2,
    };
    let chunk = Chunk {
        at: Position::new(3, 7),
        attempt: 2,
        step: 1,
        is_last: true,
        bytes: b"a snapshot's part",
    };
    let mend = Mend {
        parting: Position::new(2, 9),
        time_ms: 1_700_000_000_000,
        need: None,
        needed: Position::new(2, 8),
        attempt: 1,
    };
    let rewritten = Mend {
        need: Some(Position::new(3, 7)),
        ..mend
    };
    let leap = Leap {
        sent_us: 123_456,
        base: Position::new(3, 7),
        commit: Position::new(2, 9),
        prev: Position::new(2, 9),
        first: Position::new(3, 1),
        last: Position::new(3, 7),
        time_ms: 1_700_000_000_000,
        floor_ms: 1_700_000_001_100,
        bytes: b"the owner's changes",
    };
    let touched = |keys| Body::Touched { attempt: 1, keys };
    let from = Position::new(2, 9);
    let resigned = Some(member(5));
    vec![
        ("append", Body::Append(append)),
        ("heartbeat", Body::Append(heartbeat)),
        ("ack", Body::Ack(ack())),
        ("refused", Body::Refused { promised: 9 }),
        ("seal", Body::Seal { resigned: None }),
        ("seal-resigned", Body::Seal { resigned }),
        ("testimony", Body::Testimony(testimony)),
        ("testimony-kept", Body::Testimony(kept)),
        ("unknown", Body::Unknown),
        ("fetch", Body::Fetch { from }),
        ("tail", tail),
        ("join", join),
        ("join-served", join_served),
        ("chunk", Body::Chunk(chunk)),
        ("mend", Body::Mend(mend)),
        ("mend-rewritten", Body::Mend(rewritten)),
        ("touched", touched(Some(b"the owner's keys"))),
        ("touched-nothing", touched(Some(b""))),
        ("touched-untold", touched(None)),
        ("leap", Body::Leap(leap)),
    ]
}

fn message(body: Body<'_>) -> Message<'_> {
    Message {
        shard: ShardId(513),
        epoch: 3,
        from: member(1),
        to: member(2),
        body,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_version_1() {
    let batches = batches();
    let lines: Vec<String> = bodies(&batches)
        .into_iter()
        .map(|(name, body)| format!("{name} {}\n", hex(&message(body).encode())))
        .collect();
    assert_eq!(lines.concat(), FIXTURES, "a released format never changes");
}

#[test]
fn what_is_written_is_read() {
    let batches = batches();
    for (name, body) in bodies(&batches) {
        let sent = message(body);
        let bytes = sent.encode();
        assert_eq!(decode(&bytes), Some(sent), "{name}");
        assert_eq!(recipient(&bytes), Some((ShardId(513), member(2))));
    }
}

#[test]
fn a_message_that_is_cut_or_too_long_is_none() {
    let batches = batches();
    for (name, body) in bodies(&batches) {
        let bytes = message(body).encode();
        for end in 0..HEADER_BYTES.min(bytes.len() - 1) {
            assert_eq!(decode(&bytes[..end]), None, "{name} cut at {end}");
        }
    }
    let mut long = message(Body::Unknown).encode();
    long.push(0);
    assert_eq!(decode(&long), None, "something follows");
    assert_eq!(decode(&vec![1; MAX_MESSAGE_BYTES + 1]), None);
}

#[test]
fn batches_that_do_not_follow_each_other_are_refused() {
    let batch = |first, last| Batch {
        first,
        last,
        time_ms: 1,
        bytes: b"x"[..].into(),
    };
    let p = Position::new;
    for wrong in [
        vec![batch(p(3, 2), p(3, 1))],
        vec![batch(p(3, 1), p(4, 1))],
        vec![batch(p(3, 1), p(3, 4)), batch(p(3, 4), p(3, 5))],
    ] {
        let mut bytes = Vec::new();
        for batch in &wrong {
            write_batch(&mut bytes, batch);
        }
        assert!(Batches::checked(&bytes).is_none(), "{wrong:?}");
    }
}

/// A length that is claimed and not there, a bit that is flipped, anything: a message or none, and what is a message is written as it was read.
#[test]
fn any_bytes_are_a_message_or_none() {
    let batches = batches();
    let seeds: Vec<Vec<u8>> = bodies(&batches)
        .into_iter()
        .map(|(_, body)| message(body).encode())
        .collect();
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let mut read = 0;
    for round in 0..60_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = [0, 1, 0x7f, 0xff][random(4)],
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random(256) as u8),
            }
        }
        if let Some(message) = decode(&bytes) {
            read += 1;
            assert_eq!(message.encode(), bytes, "one message, one form");
        }
    }
    assert!(read > 1_000, "only {read} mutants were messages");
}
