use alloc::{vec, vec::Vec};

use model::{Incarnation, Member, NodeId, Now, Position, ShardId, Zone, limits};

use super::{Agent, AskId, Effect, Event, Identity, Input};
use crate::{
    fixture::Draft,
    format::Record,
    keys::Place,
    message::{Copies, CopyStatus, Heartbeat, Message},
    metadata::{Answer, Ask, Change, Listing, Outcome, RequestId, Revision, Write},
    record::{Addresses, NodeRecord, NodeState, Role, Settings},
    timing::{BEHIND_MS, HEARTBEAT_MS, REPORT_MS, SUSPICION_MS, TICK_MS},
};

const NODES: u32 = 12;

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
    }
}

fn settings() -> Settings {
    Settings {
        shards: 1,
        copies: 3,
        write_quorum: 2,
        initial_nodes: 3,
    }
}

/// Twelve nodes without shards; node 1 coordinates.
fn listing() -> Listing {
    let role = Role {
        term: 1,
        holder: member(1),
        request: RequestId(1),
    };
    let draft = Draft::new(&settings()).record(Place::Coordinator, &role);
    draft.nodes(NODES).listing()
}

struct Bench {
    agent: Agent,
    now_ms: u64,
    watch: Option<AskId>,
}

impl Bench {
    /// Node 0, which has listed the map.
    fn new() -> Self {
        Self::of(identity(), listing()).0
    }

    /// This node, which has listed this map, and what it writes of itself then.
    fn of(identity: Identity, listing: Listing) -> (Self, Option<NodeRecord>) {
        let now_ms = 1_000;
        let agent = Agent::new(identity, at(now_ms));
        let mut bench = Self {
            agent,
            now_ms,
            watch: None,
        };
        for effect in bench.input(Input::Tick) {
            if let Effect::Ask(ask, Ask::List) = effect {
                let listed = Answer::Listed(Some(listing.clone()));
                let effects = bench.input(Input::Answered(ask, listed));
                bench.watch = effects.iter().find_map(watch_of);
            }
        }
        bench.now_ms += TICK_MS;
        let effects = bench.input(Input::Tick);
        for effect in &effects {
            if let Effect::Ask(ask, Ask::Transact(_)) = effect {
                let done = Answer::Transacted(Outcome::Committed(Revision(2)));
                bench.input(Input::Answered(*ask, done));
            }
        }
        (bench, registered(&effects))
    }

    /// The watch shows another record of node 0. What it writes of itself then, whether it says that it is superseded, and how many links it
    /// keeps.
    fn shown(&mut self, revision: u64, record: &NodeRecord) -> (Option<NodeRecord>, bool, usize) {
        let key = Place::Node(NodeId(0)).key();
        let change = Change {
            revision: Revision(revision),
            writes: vec![Write {
                key,
                value: Some(record.encode()),
            }],
        };
        let watch = self.watch.expect("it watches");
        let mut effects = self.input(Input::Answered(watch, Answer::Changed(change)));
        self.now_ms += TICK_MS;
        effects.extend(self.input(Input::Tick));
        let superseded = effects.contains(&Effect::Event(Event::Superseded));
        let mut links = effects.iter().rev().filter_map(links_of);
        let links = links.next().expect("the map is another");
        (registered(&effects), superseded, links)
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.agent.handle(at(self.now_ms), input, &mut effects);
        effects
    }

    /// Whether it lists the map within so long, while somebody says in each interval that the coordinator's term is this one.
    fn lists_while_told(&mut self, within_ms: u64, by: Member, term: u64) -> bool {
        for _ in 0..within_ms / HEARTBEAT_MS {
            // The coordinator is silent, the others live.
            let others = (2..NODES).map(|node| heartbeat(member(node), 1));
            for told in others.chain([heartbeat(by, term)]) {
                let from = told.from.node;
                self.input(Input::Message(from, Message::Heartbeat(told)));
            }
            for _ in 0..HEARTBEAT_MS / TICK_MS {
                self.now_ms += TICK_MS;
                let effects = self.input(Input::Tick);
                if effects
                    .iter()
                    .any(|e| matches!(e, Effect::Ask(_, Ask::List)))
                {
                    return true;
                }
            }
        }
        false
    }

    /// To whom it sends heartbeats while one interval passes.
    fn beaten(&mut self) -> Vec<u32> {
        let mut to = Vec::new();
        for _ in 0..HEARTBEAT_MS / TICK_MS {
            self.now_ms += TICK_MS;
            for effect in self.input(Input::Tick) {
                if let Effect::Send(node, Message::Heartbeat(_)) = effect {
                    to.push(node.0);
                }
            }
        }
        to
    }
}

/// What node 0 writes of itself.
fn registered(effects: &[Effect]) -> Option<NodeRecord> {
    effects.iter().find_map(|effect| {
        let Effect::Ask(_, Ask::Transact(transaction)) = effect else {
            return None;
        };
        let mut writes = transaction.writes.iter();
        let own = writes.find(|write| write.key == Place::Node(NodeId(0)).key());
        own.and_then(|write| NodeRecord::decode(write.value.as_ref()?).ok())
    })
}

fn watch_of(effect: &Effect) -> Option<AskId> {
    let Effect::Ask(watch, Ask::Watch(_)) = effect else {
        return None;
    };
    Some(*watch)
}

/// How many links it wants.
fn links_of(effect: &Effect) -> Option<usize> {
    let Effect::Links(nodes) = effect else {
        return None;
    };
    Some(nodes.len())
}

/// Node 0, as the listing has it.
fn identity() -> Identity {
    Identity {
        me: member(0),
        process: 0,
        zone: Zone(0),
        addresses: Addresses::default(),
        settings: settings(),
    }
}

fn at(mono_ms: u64) -> Now {
    Now {
        unix_ms: mono_ms,
        mono_us: mono_ms * 1_000,
    }
}

fn heartbeat(from: Member, term: u64) -> Heartbeat {
    Heartbeat {
        from,
        term,
        map: 0,
        store_answers: true,
        is_answer: false,
        is_leaving: false,
        listens_to: 1,
        suspect_count: 0,
        suspects: vec![],
    }
}

/// Whoever has a newer map may count on a link that this node does not know of.
#[test]
fn whoever_calls_is_answered() {
    let mut bench = Bench::new();
    assert_eq!(bench.beaten(), [1, 2, 3, 9, 10, 11]);
    let heartbeat = heartbeat(member(6), 1);
    bench.input(Input::Message(
        NodeId(6),
        Message::Heartbeat(heartbeat.clone()),
    ));
    assert_eq!(bench.beaten(), [1, 2, 3, 6, 9, 10, 11]);
    // Under another's name, or from another life, it is no call.
    bench.input(Input::Message(NodeId(7), Message::Heartbeat(heartbeat)));
    assert_eq!(bench.beaten(), [1, 2, 3, 6, 9, 10, 11]);
}

/// A heartbeat may stand in line behind a snapshot: whatever comes says that its sender lives, in the life that sent it.
#[test]
fn anything_whole_on_a_link_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let another_life = Member {
        incarnation: Incarnation(2),
        ..member(2)
    };
    for _ in 0..=SUSPICION_MS / TICK_MS {
        bench.now_ms += TICK_MS;
        for heard in [member(1), another_life] {
            bench.input(Input::Heard(heard, bench.now_ms * 1_000));
        }
        bench.input(Input::Tick);
    }
    let suspects = bench.agent.suspects();
    assert!(!suspects.contains(&NodeId(1)));
    assert!(suspects.contains(&NodeId(2)) && suspects.contains(&NodeId(3)));
}

/// Whose watch has stopped without a word may believe in a coordinator that says nothing any more (member-sim seed 4100): node 2 is not it.
#[test]
fn whoever_knows_a_later_coordinator_makes_it_look() {
    let unknown = Member {
        node: NodeId(3),
        incarnation: Incarnation(2),
    };
    for by in [member(2), unknown] {
        let mut bench = Bench::new();
        assert!(!bench.lists_while_told(3 * BEHIND_MS, by, 1), "nothing new");
        assert!(!bench.lists_while_told(BEHIND_MS - HEARTBEAT_MS, by, 2));
        assert!(bench.lists_while_told(2 * HEARTBEAT_MS, by, 2));
    }
}

/// Where a node is may change from one start to the next without its life.
#[test]
fn what_is_new_of_a_node_is_written() {
    let registered = |identity| Bench::of(identity, listing()).1;
    assert_eq!(registered(identity()), None, "nothing is new");
    let moved = Identity {
        zone: Zone(3),
        ..identity()
    };
    assert_eq!(registered(moved).map(|record| record.zone), Some(Zone(3)));
    let regrouped = Identity {
        process: 7,
        ..identity()
    };
    assert_eq!(registered(regrouped).map(|record| record.process), Some(7));
}

/// An operator wants everything moved away from it: that it lost its power meanwhile is no reason to give it more.
#[test]
fn a_node_that_is_drained_is_drained_in_its_next_life_too() {
    let registered_after = |state| {
        let reborn = Identity {
            me: Member {
                incarnation: Incarnation(2),
                ..member(0)
            },
            ..identity()
        };
        let mut listing = listing();
        let place = Place::Node(NodeId(0)).key();
        let entry = listing.entries.iter_mut().find(|(key, _)| *key == place);
        let (_, bytes) = entry.expect("it is listed");
        let record = NodeRecord::decode(bytes).expect("it is a node's");
        *bytes = NodeRecord { state, ..record }.encode();
        let registered = Bench::of(reborn, listing).1;
        registered.map(|record| (record.incarnation, record.state))
    };
    let states = [
        (NodeState::Joining, NodeState::Joining),
        (NodeState::Active, NodeState::Joining),
        (NodeState::Draining, NodeState::Draining),
        (NodeState::Gone, NodeState::Joining),
    ];
    for (before, after) in states {
        assert_eq!(registered_after(before), Some((Incarnation(2), after)));
    }
}

/// Two processes that are configured with one number must not take it from each other again and again: each time what the other holds
/// is given up. Who comes later has it.
#[test]
fn a_number_that_another_has_taken_is_not_taken_back() {
    let mut bench = Bench::new();
    let before = bench.agent.map().nodes()[&NodeId(0)].clone();
    let drained = NodeRecord {
        state: NodeState::Draining,
        ..before.clone()
    };
    assert_eq!(bench.shown(2, &drained), (None, false, 6), "it is itself");
    let other = NodeRecord {
        incarnation: Incarnation(9),
        ..before.clone()
    };
    // Nor does it take the other's links.
    assert_eq!(bench.shown(3, &other), (None, true, 0));
    let again = NodeRecord {
        state: NodeState::Draining,
        ..other
    };
    assert_eq!(bench.shown(4, &again), (None, false, 0), "it was said");
    assert_eq!(bench.shown(5, &before), (None, false, 6), "it has it again");
}

/// A metadata store that was restored from a backup shows the life that this one has followed.
#[test]
fn a_number_is_taken_back_from_the_life_before() {
    let reborn = Member {
        incarnation: Incarnation(2),
        ..member(0)
    };
    let identity = Identity {
        me: reborn,
        ..identity()
    };
    let (mut bench, registered) = Bench::of(identity, listing());
    let before = bench.agent.map().nodes()[&NodeId(0)].clone();
    let mine = registered.expect("it registers");
    assert_eq!(bench.shown(2, &mine), (None, false, 6));
    let (again, superseded, _) = bench.shown(3, &before);
    assert!(!superseded && again.is_some_and(|record| record.incarnation == reborn.incarnation));
}

/// The coordinator may go by what a node has once it has been told of all, and not before.
#[test]
fn a_report_says_whether_it_is_the_last_one() {
    let mut bench = Bench::new();
    let mut reported = |copies: usize, is_all| {
        let copy = |shard| CopyStatus::new(ShardId(shard as u16), 1, Position::ZERO);
        let statuses = (0..copies).map(copy).collect();
        bench.input(Input::Copies(Copies { statuses, is_all }));
        bench.now_ms += REPORT_MS;
        let effects = bench.input(Input::Tick);
        let parts = effects.iter().filter_map(|effect| {
            let Effect::Send(_, Message::Report(report)) = effect else {
                return None;
            };
            Some((report.copies.len(), report.is_all))
        });
        parts.collect::<Vec<_>>()
    };
    let most = limits::MAX_REPORTED_COPIES;
    assert_eq!(reported(0, true), [(0, true)]);
    assert_eq!(reported(most + 1, true), [(most, false), (1, true)]);
    assert_eq!(reported(most + 1, false), [(most, false), (1, false)]);
    assert_eq!(reported(0, false), [(0, false)]);
}
