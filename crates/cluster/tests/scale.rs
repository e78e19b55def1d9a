//! `docs/scale.md` says what the code does: its constants are compared, its figures computed.

use cluster::{
    format::Record,
    keys::Place,
    links,
    map::ClusterMap,
    message::{CopyStatus, Heartbeat, Message, Report},
    metadata::{Listing, RequestId, Revision},
    placement::{self, Site},
    record::{Addresses, NodeRecord, NodeState, Role, Settings, ShardRecord},
    timing,
};
use model::{CopySet, Incarnation, Member, NodeId, Position, ShardConfig, ShardId, Zone, limits};

const NODES: u32 = 1_000;
const SETTINGS: Settings = Settings {
    shards: limits::MAX_SHARDS,
    copies: 3,
    write_quorum: 2,
    initial_nodes: 1_000,
};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scale.md");
    std::fs::read_to_string(path).expect("docs/scale.md")
}

/// What the document's table says of `name`, without the separators of thousands.
fn stated(document: &str, name: &str) -> u64 {
    let start = format!("| `{name}` | ");
    let rest = document.lines().find_map(|line| line.strip_prefix(&start));
    let rest = rest.unwrap_or_else(|| panic!("docs/scale.md says nothing of {name}"));
    let number: String = rest
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ',')
        .collect();
    number.replace(',', "").parse().expect("a number")
}

#[test]
fn the_documents_constants_are_the_codes() {
    let document = document();
    let constants = [
        ("TICK_MS", timing::TICK_MS),
        ("HEARTBEAT_MS", timing::HEARTBEAT_MS),
        ("SILENCE_MS", timing::SILENCE_MS),
        ("CONFIRM_MS", timing::CONFIRM_MS),
        ("TAKEOVER_STEP_MS", timing::TAKEOVER_STEP_MS),
        ("BRAKE_MS", timing::BRAKE_MS),
        ("REPORT_MS", timing::REPORT_MS),
        ("RECONCILE_MS", timing::RECONCILE_MS),
        ("RELIST_MS", timing::RELIST_MS),
        ("REPAIR_DELAY_MS", timing::REPAIR_DELAY_MS),
        ("BALANCE_MS", timing::BALANCE_MS),
        ("NEIGHBOURS", links::NEIGHBOURS as u64),
        ("MAX_NODES", u64::from(limits::MAX_NODES)),
        ("MAX_SHARDS", u64::from(limits::MAX_SHARDS)),
        ("MAX_TRANSACTION_KEYS", limits::MAX_TRANSACTION_KEYS as u64),
        ("MAX_REPAIRS_PER_NODE", limits::MAX_REPAIRS_PER_NODE as u64),
    ];
    for (name, value) in constants {
        assert_eq!(stated(&document, name), value, "{name}");
    }
}

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(u128::from(node) + 1),
    }
}

fn node(node: u32) -> NodeRecord {
    let address = |port: u16| format!("node-{node:04}.example.net:{port}");
    NodeRecord {
        incarnation: member(node).incarnation,
        state: NodeState::Active,
        process: u64::from(node / 8),
        zone: Zone((node / 8 % 3) as u16),
        addresses: Addresses {
            client: address(6379),
            forwarding: address(6380),
            sentinel: address(26379),
            peer: address(16379),
            admin: address(8080),
        },
        request: RequestId(1),
    }
}

/// Everything that the metadata store holds of a cluster of a thousand nodes, eight to a process, in three zones.
fn listing() -> Listing {
    let mut sites: Vec<Site> = (0..NODES)
        .map(|n| Site {
            node: NodeId(n),
            process: u64::from(n / 8),
            zone: Zone((n / 8 % 3) as u16),
            burden: 0,
        })
        .collect();
    let role = Role {
        term: 1,
        holder: member(0),
        request: RequestId(1),
    };
    let mut entries = vec![
        (Place::Cluster.key(), SETTINGS.encode()),
        (Place::Coordinator.key(), role.encode()),
    ];
    entries.extend((0..NODES).map(|n| (Place::Node(NodeId(n)).key(), node(n).encode())));
    for shard in (0..SETTINGS.shards).map(ShardId) {
        let mut held: Vec<Site> = Vec::new();
        while held.len() < 3 {
            let site = placement::choose(shard, &sites, &held).expect("a thousand nodes");
            sites[site.node.0 as usize].burden += 1;
            held.push(site);
        }
        let members: Vec<Member> = held.iter().map(|s| member(s.node.0)).collect();
        let config = ShardConfig::create(
            CopySet::new(&members, 2),
            members[usize::from(shard.0) % 3].node,
        )
        .published();
        let (first_slot, last_slot) = SETTINGS.slots_of(shard);
        let record = ShardRecord {
            first_slot,
            last_slot,
            config,
            request: RequestId(1),
        };
        entries.push((Place::Shard(shard).key(), record.encode()));
    }
    entries.sort();
    Listing {
        revision: Revision(1),
        entries,
    }
}

#[test]
fn the_documents_figures_are_what_the_code_gives() {
    let document = document();
    let listing = listing();
    let map = ClusterMap::from_listing(&listing);
    assert_eq!(map.shards().len(), usize::from(limits::MAX_SHARDS));
    let bytes: usize = listing
        .entries
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();

    let links = links::of(&map);
    let others = |node: &u32| links[&NodeId(*node)].len() as u64;
    let sum: u64 = (1..NODES).map(|n| others(&n)).sum();
    let most = (1..NODES).map(|n| others(&n)).max().expect("nodes");
    let copies = |node: u32| {
        map.shards()
            .values()
            .filter(|r| r.config.copies().contains(member(node)))
            .count() as u64
    };
    let most_copies = (0..NODES).map(copies).max().expect("nodes");

    let heartbeat = Message::Heartbeat(Heartbeat {
        from: member(1),
        term: 1,
        map: 0,
        store_answers: true,
        is_answer: false,
        is_leaving: false,
        listens_to: 30,
        suspect_count: 0,
        suspects: Vec::new(),
    });
    let heartbeat = heartbeat.encode().len() as u64;
    let status = CopyStatus::new(ShardId(0), 1, Position::ZERO);
    let report = |copies: u64| {
        let copies = vec![status; copies as usize];
        Message::Report(Report {
            from: member(1),
            copies,
            is_all: true,
        })
        .encode()
        .len() as u64
    };
    let beats_per_s = 1_000 / timing::HEARTBEAT_MS;
    let mean = sum / u64::from(NODES - 1);
    let everybody = u64::from(NODES - 1);
    let figures = [
        ("map bytes", bytes as u64),
        ("copies of a node, most", most_copies),
        ("links of a node, mean", mean),
        ("links of a node, most", most),
        ("bytes of a heartbeat", heartbeat),
        (
            "heartbeats a node sends per second, mean",
            mean * beats_per_s,
        ),
        (
            "bytes of heartbeats a node sends per second, mean",
            mean * beats_per_s * heartbeat,
        ),
        (
            "heartbeats the coordinator receives per second",
            everybody * beats_per_s,
        ),
        (
            "bytes of heartbeats the coordinator receives per second",
            everybody * beats_per_s * heartbeat,
        ),
        (
            "bytes of reports the coordinator receives per second, at most",
            everybody * report(most_copies) * 1_000 / timing::REPORT_MS,
        ),
    ];
    let wrong: Vec<_> = figures
        .iter()
        .filter(|(name, value)| stated(&document, name) != *value)
        .collect();
    assert!(wrong.is_empty(), "docs/scale.md should say: {wrong:?}");
}
