use alloc::{vec, vec::Vec};

use model::{CopySet, Incarnation, Member, NodeId, Position, ShardConfig, ShardId, Zone};

use super::{Damage, Record};
use crate::{
    message::{CopyStatus, Heartbeat, Message, Report, Resigned},
    metadata::RequestId,
    record::{Addresses, LossRecord, NodeRecord, NodeState, Role, Settings, ShardRecord},
};

const REQUEST: RequestId = RequestId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(0xfeed << 64 | u128::from(node)),
    }
}

fn settings() -> Settings {
    Settings {
        shards: 128,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 3,
    }
}

fn role() -> Role {
    Role {
        term: 7,
        holder: member(2),
        request: REQUEST,
    }
}

fn node() -> NodeRecord {
    NodeRecord {
        incarnation: member(42).incarnation,
        state: NodeState::Draining,
        process: 0x77,
        zone: Zone(3),
        addresses: Addresses {
            client: "10.0.0.1:6379".into(),
            forwarding: "10.0.0.1:6380".into(),
            sentinel: "10.0.0.1:26379".into(),
            peer: "10.0.0.1:16379".into(),
            admin: "[::1]:8080".into(),
        },
        request: REQUEST,
    }
}

fn shard() -> ShardRecord {
    let set = CopySet::new(&[member(1), member(2), member(3)], 2);
    let config = ShardConfig::create(set, NodeId(1)).published();
    let set = CopySet::new(&[member(1), member(4), member(3)], 2);
    ShardRecord {
        first_slot: 0,
        last_slot: 127,
        config: config.succeed(set, NodeId(3)),
        request: REQUEST,
    }
}

fn loss() -> LossRecord {
    LossRecord {
        shard: ShardId(3),
        epoch: 9,
        survivor: member(1),
        position: Position::new(8, 1_000),
        missing: vec![
            (member(2), Some(Position::new(8, 1_001))),
            (member(3), None),
        ],
        request: REQUEST,
    }
}

fn heartbeat() -> Message {
    Message::Heartbeat(Heartbeat {
        from: member(1),
        term: 7,
        map: 1_000,
        store_answers: true,
        is_answer: false,
        is_leaving: true,
        listens_to: 5,
        suspect_count: 1,
        suspects: vec![(NodeId(2), member(2).incarnation)],
    })
}

fn report() -> Message {
    let copy = CopyStatus {
        shard: ShardId(3),
        epoch: 9,
        position: Position::new(9, 5),
        bytes: 1 << 30,
        writes_per_s: 1_000,
        complete: 0b101,
        unreachable: 0b010,
        resigned: Resigned::InFavourOf(NodeId(6)),
        disk_fails: false,
        relic: None,
        ahead: None,
    };
    Message::Report(Report {
        from: member(1),
        copies: vec![copy],
        is_all: true,
    })
}

/// Name and bytes of one of each.
fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("cluster", settings().encode()),
        ("coordinator", role().encode()),
        ("node", node().encode()),
        ("shard", shard().encode()),
        ("loss", loss().encode()),
        ("heartbeat", heartbeat().encode()),
        ("report", report().encode()),
        ("question", Message::Question(member(1)).encode()),
    ]
}

#[test]
fn records_survive_their_bytes() {
    assert_eq!(Settings::decode(&settings().encode()), Ok(settings()));
    assert_eq!(Role::decode(&role().encode()), Ok(role()));
    assert_eq!(NodeRecord::decode(&node().encode()), Ok(node()));
    assert_eq!(ShardRecord::decode(&shard().encode()), Ok(shard()));
    assert_eq!(LossRecord::decode(&loss().encode()), Ok(loss()));
    let Message::Report(mut failing) = report() else {
        panic!("it is a report");
    };
    failing.copies[0].disk_fails = true;
    let part = Message::Report(Report {
        is_all: false,
        ..failing.clone()
    });
    let failing = Message::Report(failing);
    for message in [
        heartbeat(),
        report(),
        failing,
        part,
        Message::Question(member(1)),
    ] {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

/// What version 1 wrote can be read for ever; what is written now is the same bytes.
#[test]
fn fixtures_of_version_1() {
    let fixtures = include_str!("../../tests/fixtures/version-1.txt");
    let fixtures: Vec<&str> = fixtures.lines().collect();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|b| alloc::format!("{b:02x}"))
            .collect::<alloc::string::String>()
    };
    let written: Vec<_> = all()
        .iter()
        .map(|(name, bytes)| alloc::format!("{name} {}", hex(bytes)))
        .collect();
    assert_eq!(written, fixtures);
}

#[test]
fn every_damaged_byte_is_noticed() {
    for (name, bytes) in all() {
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(refused(&damaged), "{name}, byte {at}");
            assert!(refused(&bytes[..at]), "{name}, cut at {at}");
        }
    }
}

fn refused(bytes: &[u8]) -> bool {
    Settings::decode(bytes).is_err()
        && Role::decode(bytes).is_err()
        && NodeRecord::decode(bytes).is_err()
        && ShardRecord::decode(bytes).is_err()
        && LossRecord::decode(bytes).is_err()
        && Message::decode(bytes).is_err()
}

/// A well-formed frame with a body that cannot be: whatever it is, it is an error and nothing worse.
#[test]
fn bodies_from_outside_are_checked() {
    let mut random = 1u64;
    for _ in 0..20_000 {
        let mut body: Vec<u8> = vec![1];
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        body.push([1, 2, 3, 4, 5, 16, 17, 18][(random >> 61) as usize]);
        for _ in 0..(random >> 40) % 200 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Small numbers are the ones that counts are made of.
            body.push((random >> 33) as u8 >> ((random >> 50) % 8));
        }
        let checksum = crc::crc32c([&body[..]]);
        body.extend(checksum.to_le_bytes());
        let _ = refused(&body);
    }
    let mut too_many = shard().encode();
    too_many[10] = 8;
    let end = too_many.len() - 4;
    let checksum = crc::crc32c([&too_many[..end]]).to_le_bytes();
    too_many[end..].copy_from_slice(&checksum);
    assert_eq!(ShardRecord::decode(&too_many), Err(Damage::Value));
}
