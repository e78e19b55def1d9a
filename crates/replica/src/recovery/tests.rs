//! A member that has testified and then says nothing more: it is asked for what only it has, and not for ever.

// Of the effects and messages only some matter to these tests.
#![allow(clippy::wildcard_enum_match_arm)]

use alloc::vec::Vec;
use std::vec;

use model::{CopySet, Incarnation, Member, NodeId, Now, Position, ShardConfig, ShardId};

use crate::log::Batch;
use crate::wire::{Ack, Body, Message, Testimony};
use crate::{Effect, Input, Outbox, Replica, Restored, Settings, Vows};

const LEASE_US: u64 = 300_000;

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(7),
    }
}

fn at(counter: u64) -> Position {
    Position::new(1, counter)
}

/// Member 1, whose log ends at 1, is to lead epoch 2. The others speak when they are told to.
struct Successor {
    copy: Replica,
    now_us: u64,
    /// Whom it has asked for what it lacks.
    fetched_from: Vec<u32>,
    published: bool,
}

impl Successor {
    /// Its own lease is over, so it has testified to itself.
    fn among(nodes: u32, write_quorum: usize) -> Self {
        let members: Vec<Member> = (0..nodes).map(member).collect();
        let copies = CopySet::new(&members, write_quorum);
        let vows = Vows {
            promised: 1,
            synced: 1,
            ..Vows::default()
        };
        let found = Restored {
            vows,
            last: at(1),
            found: at(1),
            time_ms: 1,
        };
        let me = member(1);
        let now = Now {
            unix_ms: 0,
            mono_us: 0,
        };
        let mut successor = Self {
            copy: Replica::restored(ShardId(1), me, found, now, Settings::default()),
            now_us: LEASE_US,
            fetched_from: Vec::new(),
            published: false,
        };
        let first = ShardConfig::create(copies, NodeId(0));
        let next = first.published().succeed(copies, NodeId(1));
        successor.give(Input::Config(next));
        successor
    }

    fn give(&mut self, input: Input<'_>) {
        let mut out = Outbox::default();
        let now = Now {
            unix_ms: 0,
            mono_us: self.now_us,
        };
        self.copy.handle(now, input, &mut out);
        for (to, bytes) in out.messages {
            let message = crate::wire::decode(&bytes).expect("its own message");
            if let Body::Fetch { .. } = message.body {
                self.fetched_from.push(to.node.0);
            }
        }
        for effect in out.effects {
            match effect {
                Effect::Save(_, ticket) => self.give(Input::Saved(ticket)),
                Effect::Accepted { last, .. } => self.give(Input::Persisted(last)),
                Effect::Publish(_) => self.published = true,
                effect => panic!("{effect:?}"),
            }
        }
    }

    fn hear(&mut self, from: u32, body: Body<'_>) {
        self.give(Input::Message(Message {
            shard: ShardId(1),
            epoch: 2,
            from: member(from),
            to: member(1),
            body,
        }));
    }

    fn testimony(&mut self, from: u32, last: Position) {
        let testimony = Testimony {
            last,
            synced: 1,
            whole: true,
            kept: false,
        };
        self.hear(from, Body::Testimony(testimony));
    }

    /// This member is synced, up to here. A later answer is to what was sent later.
    fn ack(&mut self, from: u32, persisted: Position) {
        self.wait(10_000);
        let ack = Ack {
            echo_us: self.now_us,
            number: 1,
            have: persisted,
            persisted,
            attempt: 0,
            step: 0,
            synced: true,
            whole: true,
            gap: false,
            installed: false,
            leaps: true,
        };
        self.hear(from, Body::Ack(ack));
    }

    /// What follows 1: one batch.
    fn tail(&mut self, from: u32) {
        let batch = Batch {
            first: at(2),
            last: at(2),
            time_ms: 2,
            bytes: vec![1].into(),
        };
        let mut bytes = Vec::new();
        crate::wire::write_batch(&mut bytes, &batch);
        let tail = Body::Tail {
            prev: at(1),
            reachable: true,
            batches: crate::wire::written(&bytes),
        };
        self.hear(from, tail);
    }

    fn wait(&mut self, us: u64) {
        for _ in 0..us / 10_000 {
            self.now_us += 10_000;
            self.give(Input::Tick);
        }
    }
}

#[test]
fn what_only_a_silent_member_has_is_done_without() {
    let mut successor = Successor::among(3, 2);
    successor.testimony(0, at(3));
    successor.testimony(2, at(1));
    successor.wait(LEASE_US / 2);
    successor.ack(2, at(1));
    assert!(!successor.published, "it may still answer");
    successor.wait(LEASE_US);
    successor.ack(2, at(1));
    assert!(successor.published);
}

#[test]
fn what_a_member_has_said_late_before_it_fell_silent_is_done_without() {
    let mut successor = Successor::among(3, 2);
    successor.testimony(2, at(1));
    successor.testimony(0, at(3));
    successor.ack(2, at(1));
    assert!(!successor.published, "it is asked for what it has");
    successor.wait(LEASE_US + 2 * Settings::default().resend_us);
    assert!(successor.published);
}

#[test]
fn a_silent_member_without_which_too_few_have_spoken_is_asked_on() {
    let mut successor = Successor::among(3, 2);
    successor.testimony(0, at(3));
    successor.wait(10 * LEASE_US);
    successor.fetched_from.clear();
    successor.wait(LEASE_US);
    assert!(successor.fetched_from.contains(&0));
    assert!(!successor.published);
}

#[test]
fn a_silent_member_that_speaks_again_is_listened_to() {
    let mut successor = Successor::among(3, 3);
    successor.testimony(0, at(2));
    successor.testimony(2, at(1));
    successor.wait(2 * LEASE_US);
    successor.testimony(0, at(2));
    successor.wait(10_000);
    successor.tail(0);
    assert_eq!(successor.copy.last(), at(2));
}

#[test]
fn what_was_fetched_of_a_member_before_it_fell_silent_is_kept() {
    let mut successor = Successor::among(3, 2);
    successor.testimony(0, at(3));
    successor.testimony(2, at(1));
    successor.tail(0);
    successor.wait(LEASE_US + 2 * Settings::default().resend_us);
    successor.ack(2, at(1));
    assert!(!successor.published, "one of three has the second batch");
    successor.ack(2, at(2));
    assert!(successor.published);
}

#[test]
fn of_those_that_have_the_longest_log_another_is_asked_when_one_is_silent() {
    let mut successor = Successor::among(5, 3);
    successor.testimony(0, at(2));
    successor.testimony(2, at(2));
    successor.wait(LEASE_US / 2);
    assert!(!successor.fetched_from.contains(&2));
    successor.wait(LEASE_US);
    assert!(successor.fetched_from.contains(&2));
    successor.fetched_from.clear();
    successor.wait(2 * LEASE_US);
    assert!(successor.fetched_from.contains(&0));
}
