//! What is easier to see in a few steps than in a simulation: three copies, told everything by hand.

// Of the effects only some matter to these tests.
#![allow(clippy::wildcard_enum_match_arm)]

mod aside;
mod leap;
mod mend;

use alloc::vec::Vec;
use std::collections::VecDeque;
use std::vec;

use model::{CopySet, Incarnation, Member, NodeId, Now, Position, ShardConfig, ShardId};

use crate::wire::{Ack, Append, Body, Message};
use crate::{Batch, Effect, Gathered, Input, Outbox, Refusal, Replica, Settings, Standing, Ticket};

fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        incarnation: Incarnation(7),
    }
}

/// Copies in memory, and messages that arrive in order, at once, where nobody is cut off.
struct Cluster {
    copies: Vec<Replica>,
    now_us: u64,
    cut: Vec<u32>,
    /// What a copy says that it has touched.
    touched: Option<&'static [u8]>,
    /// Whether a copy can say what has changed behind a position.
    gathers: bool,
    /// Its disk keeps the vow to be synced waiting.
    unsaved: Option<u32>,
    messages: VecDeque<(Member, Vec<u8>)>,
    /// What was said to or by somebody who is cut off.
    lost: Outbox,
    effects: Vec<(u32, Effect)>,
}

impl Cluster {
    fn new(config: ShardConfig) -> Self {
        Self::with(config, Settings::default())
    }

    fn with(config: ShardConfig, settings: Settings) -> Self {
        let copies =
            (0..3).map(|n| Replica::fresh(ShardId(1), member(n), config.epoch(), settings));
        let mut cluster = Self {
            copies: copies.collect(),
            now_us: 1_000_000,
            cut: Vec::new(),
            touched: None,
            gathers: false,
            unsaved: None,
            messages: VecDeque::new(),
            lost: Outbox::default(),
            effects: Vec::new(),
        };
        cluster.tell(config);
        cluster.tell(config.published());
        cluster
    }

    fn now(&self) -> Now {
        Now {
            unix_ms: 5_000 + self.now_us / 1_000,
            mono_us: self.now_us,
        }
    }

    fn tell(&mut self, config: ShardConfig) {
        for n in 0..3 {
            self.give(n, Input::Config(config));
        }
        self.settle();
    }

    fn give(&mut self, n: u32, input: Input<'_>) {
        let mut out = Outbox::default();
        let now = self.now();
        self.copies[n as usize].handle(now, input, &mut out);
        self.messages.extend(out.messages);
        let mut done: Vec<Input<'static>> = Vec::new();
        for effect in out.effects {
            match &effect {
                Effect::Save(vows, _) if self.unsaved == Some(n) && vows.synced == 2 => {}
                Effect::Save(_, ticket) => done.push(Input::Saved(*ticket)),
                Effect::Accepted { last, .. } => done.push(Input::Persisted(*last)),
                Effect::Leap { last, .. } => done.push(Input::Persisted(*last)),
                Effect::Gather { to, from } => {
                    let last = self.copies[n as usize].last();
                    let found = self.gathers.then_some(Gathered {
                        first: from.plus(1),
                        last,
                        floor_ms: 7_000,
                        bytes: b"changes",
                    });
                    let (to, from) = (*to, *from);
                    done.push(Input::Gathered { to, from, found });
                }
                Effect::Trace { attempt, .. } => done.push(Input::Traced {
                    attempt: *attempt,
                    keys: self.touched,
                }),
                _ => {}
            }
            self.effects.push((n, effect));
        }
        for input in done {
            self.give(n, input);
        }
    }

    fn settle(&mut self) {
        while let Some((to, bytes)) = self.messages.pop_front() {
            let message = crate::wire::decode(&bytes).expect("our own message");
            let cut = self.cut.contains(&to.node.0) || self.cut.contains(&message.from.node.0);
            if cut {
                self.lost.messages.push((to, bytes));
            } else {
                self.give(to.node.0, Input::Message(message));
            }
        }
    }

    fn pass(&mut self, us: u64) {
        for _ in 0..us / 10_000 {
            self.now_us += 10_000;
            for n in 0..3 {
                self.give(n, Input::Tick);
            }
            self.settle();
        }
    }

    fn write(&mut self, n: u32, position: Position) -> Result<(), Refusal> {
        // An owner's clock starts no earlier than it is told when it begins to serve.
        let floors = self.effects.iter().filter_map(|(m, effect)| match effect {
            Effect::Serve { floor_ms, .. } if *m == n => Some(*floor_ms),
            _ => None,
        });
        let time_ms = floors.fold(self.now().unix_ms, u64::max);
        self.copies[n as usize].propose(position, position, time_ms, b"entry")?;
        self.give(n, Input::Persisted(position));
        self.settle();
        Ok(())
    }

    fn standing(&self, n: u32) -> Standing {
        self.copies[n as usize].standing(self.now())
    }

    fn committed(&self, n: u32) -> Position {
        self.copies[n as usize].committed()
    }

    fn has(&self, n: u32, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.effects.iter().any(|(m, e)| *m == n && wanted(e))
    }
}

fn first() -> ShardConfig {
    let members = [member(0), member(1), member(2)];
    ShardConfig::create(CopySet::new(&members, 2), NodeId(0))
}

const SERVING: Standing = Standing::Serving { quorum: true };

#[test]
fn a_write_is_committed_by_a_quorum_and_a_slow_standby_delays_nobody() {
    let mut cluster = Cluster::new(first());
    cluster.cut = vec![2];
    assert_eq!(cluster.write(0, Position::new(1, 1)), Ok(()));
    assert_eq!(cluster.committed(0), Position::new(1, 1));
    assert_eq!(cluster.standing(0), SERVING);
    cluster.cut = vec![];
    cluster.pass(300_000);
    assert_eq!(cluster.committed(2), Position::new(1, 1), "sent again");
}

/// How many batches these messages to a copy have.
fn batches_to(out: &Outbox, n: u32) -> usize {
    let messages = out.messages.iter().filter(|(to, _)| *to == member(n));
    let bodies = messages.filter_map(|(_, bytes)| Some(crate::wire::decode(bytes)?.body));
    let counts = bodies.map(|body| match body {
        Body::Append(append) => append.batches.iter().count(),
        _ => 0,
    });
    counts.sum()
}

#[test]
fn what_is_under_way_to_a_standby_that_does_not_answer_is_bounded() {
    let settings = Settings {
        window_bytes: 100,
        message_bytes: 1,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(first(), settings);
    let mut count = 0;
    for sequence in 1..20 {
        let (at, now) = (Position::new(1, sequence), cluster.now());
        let proposed = cluster.copies[0].propose(at, at, 1 << 50, &[0; 8]);
        assert_eq!(proposed, Ok(()));
        let mut out = Outbox::default();
        cluster.copies[0].handle(now, Input::Tick, &mut out);
        count += batches_to(&out, 2);
    }
    // 40 bytes each with its header: the third goes when 80 are under way.
    assert_eq!(count, 3);
}

/// Also when what was sent has left the backlog, as others have it: it would be sent all that is written.
#[test]
fn what_is_under_way_is_bounded_though_the_log_goes_on() {
    let settings = Settings {
        window_bytes: 100,
        message_bytes: 1,
        backlog_bytes: 400,
        uncommitted_bytes: 200,
        ..Settings::default()
    };
    let mut cluster = Cluster::with(first(), settings);
    cluster.cut = vec![2];
    for sequence in 1..=50 {
        assert_eq!(cluster.write(0, Position::new(1, sequence)), Ok(()));
        cluster.give(0, Input::Tick);
        cluster.settle();
    }
    assert_eq!(cluster.committed(0), Position::new(1, 50));
    let count = batches_to(&cluster.lost, 2);
    assert!(count <= 3, "{count} batches of 37 bytes");
    cluster.cut = vec![];
    cluster.gathers = true;
    cluster.pass(500_000);
    assert_eq!(cluster.copies[2].last(), Position::new(1, 50));
}

/// The whole window, each time, would be much work for nothing.
#[test]
fn who_stands_still_is_not_sent_the_same_again_and_again() {
    let mut cluster = Cluster::new(first());
    cluster.cut = vec![2];
    for sequence in 1..=20 {
        assert_eq!(cluster.write(0, Position::new(1, sequence)), Ok(()));
    }
    let mut count = 0;
    for _ in 0..200 {
        cluster.now_us += 10_000;
        let mut out = Outbox::default();
        let now = cluster.now();
        cluster.copies[0].handle(now, Input::Tick, &mut out);
        count += batches_to(&out, 2);
        cluster.messages.extend(out.messages);
        cluster.settle();
    }
    assert!(count <= 20, "{count} batches were sent again");
    cluster.cut = vec![];
    cluster.pass(100_000);
    assert_eq!(cluster.copies[2].last(), Position::new(1, 20));
}

#[test]
fn without_a_quorum_reads_are_refused_and_writes_wait() {
    let mut cluster = Cluster::new(first());
    cluster.pass(100_000);
    cluster.cut = vec![1, 2];
    assert_eq!(cluster.write(0, Position::new(1, 1)), Ok(()));
    cluster.pass(400_000);
    assert_eq!(cluster.committed(0), Position::ZERO);
    assert_eq!(cluster.standing(0), Standing::Serving { quorum: false });
    assert_eq!(cluster.copies[0].read_right(cluster.now()), None);
    cluster.cut = vec![];
    cluster.pass(300_000);
    assert_eq!(cluster.committed(0), Position::new(1, 1));
    assert_eq!(cluster.standing(0), SERVING);
}

#[test]
fn a_successor_waits_for_the_lease_of_a_primary_that_does_not_answer() {
    let mut cluster = Cluster::new(first());
    assert_eq!(cluster.write(0, Position::new(1, 1)), Ok(()));
    cluster.cut = vec![0];
    let next = first().published().succeed(*first().copies(), NodeId(1));
    for n in [1, 2] {
        cluster.give(n, Input::Config(next));
    }
    cluster.settle();
    let publishes = |c: &Cluster| c.has(1, |e| matches!(e, Effect::Publish(p) if p.epoch() == 2));
    cluster.pass(200_000);
    assert!(
        !publishes(&cluster),
        "the old primary may still answer reads"
    );
    assert!(cluster.copies[0].read_right(cluster.now()).is_some());
    cluster.pass(300_000);
    assert!(publishes(&cluster));
    assert_eq!(cluster.copies[0].read_right(cluster.now()), None);
    for n in [1, 2] {
        cluster.give(n, Input::Config(next.published()));
    }
    cluster.settle();
    assert_eq!(cluster.standing(1), SERVING);
    assert_eq!(cluster.committed(1), Position::new(1, 1));
}

#[test]
fn a_successor_that_waits_for_the_metadata_store_is_not_called_for_nothing() {
    let mut cluster = Cluster::new(first());
    let next = first().published().succeed(*first().copies(), NodeId(1));
    for n in 0..3 {
        cluster.give(n, Input::Config(next));
    }
    cluster.settle();
    assert!(cluster.has(1, |e| matches!(e, Effect::Publish(p) if p.epoch() == 2)));
    is_not_called_for_nothing(cluster);
}

#[test]
fn a_successor_that_waits_for_its_disk_is_not_called_for_nothing() {
    let mut cluster = Cluster::new(first());
    let next = first().published().succeed(*first().copies(), NodeId(1));
    cluster.unsaved = Some(1);
    for n in 0..3 {
        cluster.give(n, Input::Config(next));
    }
    cluster.settle();
    assert!(cluster.has(
        1,
        |e| matches!(e, Effect::Save(vows, _) if vows.synced == 2)
    ));
    is_not_called_for_nothing(cluster);
}

fn is_not_called_for_nothing(mut cluster: Cluster) {
    for _ in 0..100 {
        cluster.pass(10_000);
        let next_us = cluster.copies[1].next_us().unwrap_or(u64::MAX);
        assert!(next_us > cluster.now_us, "it was just called");
    }
}

/// A standby that its disk keeps waiting: it is handed everything, and what it says is picked out.
struct Standby {
    copy: Replica,
    now_us: u64,
}

impl Standby {
    fn hear(&mut self, epoch: u32, from: u32, body: Body<'_>) -> Vec<Vec<u8>> {
        self.give(Input::Message(Message {
            shard: ShardId(1),
            epoch,
            from: member(from),
            to: member(1),
            body,
        }))
    }

    /// Vows are saved at once; batches are not.
    fn give(&mut self, input: Input<'_>) -> Vec<Vec<u8>> {
        let mut out = Outbox::default();
        let now = Now {
            unix_ms: 0,
            mono_us: self.now_us,
        };
        self.copy.handle(now, input, &mut out);
        let mut said: Vec<Vec<u8>> = out.messages.into_iter().map(|(_, bytes)| bytes).collect();
        for effect in out.effects {
            if let Effect::Save(_, ticket) = effect {
                said.extend(self.give(Input::Saved(ticket)));
            }
        }
        said
    }
}

#[test]
fn an_acknowledgement_binds_though_the_copy_did_not_count_when_it_heard() {
    let lease_us = Settings::default().lease_us;
    let base = Position::new(1, 1);
    let mut standby = Standby {
        copy: Replica::fresh(ShardId(1), member(1), 2, Settings::default()),
        now_us: 1_000,
    };
    let mut bytes = Vec::new();
    let batch = Batch {
        first: base,
        last: base,
        time_ms: 0,
        bytes: vec![1].into(),
    };
    crate::wire::write_batch(&mut bytes, &batch);
    let append = Append {
        sent_us: 7,
        base,
        commit: Position::ZERO,
        prev: Position::ZERO,
        batches: crate::wire::written(&bytes),
    };
    standby.hear(2, 0, Body::Append(append));
    assert!(!standby.copy.is_synced(), "nothing of it is persisted");
    standby.now_us += 50_000;
    let said = standby.give(Input::Persisted(base));
    let said = said.last().and_then(|bytes| crate::wire::decode(bytes));
    let Some(Body::Ack(ack)) = said.map(|message| message.body) else {
        panic!("it acknowledges what it has persisted, not {said:?}");
    };
    assert!(ack.synced && ack.echo_us == 7, "a lease goes with it");
    let seal = Body::Seal { resigned: None };
    assert_eq!(standby.hear(3, 2, seal).len(), 0, "the lease runs");
    standby.now_us = 1_000 + lease_us - 1;
    assert_eq!(standby.give(Input::Tick).len(), 0, "the lease runs");
    standby.now_us += 1;
    assert_eq!(standby.give(Input::Tick).len(), 1, "it testifies");
}

#[test]
fn a_lease_counts_from_when_what_is_acknowledged_was_sent() {
    let mut cluster = Cluster::new(first());
    cluster.cut = vec![1, 2];
    cluster.pass(400_000);
    assert_eq!(cluster.copies[0].read_right(cluster.now()), None);
    let sent_us = cluster.now_us - 200_000;
    let ack = Ack {
        echo_us: sent_us,
        number: 100,
        synced: true,
        whole: true,
        ..Ack::default()
    };
    let late = Message {
        shard: ShardId(1),
        epoch: 1,
        from: member(1),
        to: member(0),
        body: Body::Ack(ack),
    };
    cluster.give(0, Input::Message(late));
    let right = cluster.copies[0].read_right(cluster.now());
    let until_us = sent_us + Settings::default().counted_lease_us();
    assert_eq!(right.map(|r| r.until_us), Some(until_us));
}

#[test]
fn no_word_leaves_before_the_vow_that_it_rests_on_is_saved() {
    let now = Now {
        unix_ms: 0,
        mono_us: 1,
    };
    let heartbeat = Append {
        sent_us: 1,
        base: Position::ZERO,
        commit: Position::ZERO,
        prev: Position::ZERO,
        batches: crate::wire::written(&[]),
    };
    for body in [Body::Seal { resigned: None }, Body::Append(heartbeat)] {
        let mut copy = Replica::fresh(ShardId(1), member(1), 1, Settings::default());
        let message = Message {
            shard: ShardId(1),
            epoch: 2,
            from: member(0),
            to: member(1),
            body,
        };
        let mut out = Outbox::default();
        copy.handle(now, Input::Message(message), &mut out);
        let [Effect::Save(vows, ticket)] = out.effects[..] else {
            panic!("it makes a vow: {:?}", out.effects);
        };
        assert_eq!((vows.promised, out.messages.len()), (2, 0));
        copy.handle(now, Input::Saved(ticket), &mut out);
        assert_eq!(out.messages.len(), 1);
    }
}

#[test]
fn a_hand_over_waits_for_nothing() {
    let mut cluster = Cluster::new(first());
    assert_eq!(cluster.write(0, Position::new(1, 1)), Ok(()));
    cluster.give(0, Input::HandOver(member(1)));
    let refused = cluster.write(0, Position::new(1, 2));
    assert_eq!(refused, Err(Refusal::HandingOver));
    assert!(cluster.has(0, |e| *e == Effect::HandOverReady(member(1))));
    let next = first().published().succeed(*first().copies(), NodeId(1));
    cluster.tell(next);
    cluster.tell(next.published());
    assert_eq!(cluster.standing(1), SERVING, "no time has passed");
    assert_eq!(cluster.standing(0), Standing::Standby);
    assert_eq!(cluster.write(1, Position::new(2, 1)), Ok(()));
    assert_eq!(cluster.committed(1), Position::new(2, 1));
}

#[test]
fn a_hand_over_that_does_not_come_is_forgotten() {
    let mut cluster = Cluster::new(first());
    cluster.give(0, Input::HandOver(member(1)));
    cluster.pass(600_000);
    assert_eq!(cluster.write(0, Position::new(1, 1)), Ok(()));
}

#[test]
fn a_part_of_a_snapshot_that_was_read_is_sent_until_it_is_installed() {
    let mut cluster = Cluster::new(first());
    assert_eq!(cluster.write(0, Position::new(1, 1)), Ok(()));
    cluster.cut = vec![2];
    // The standby says what it does by hand.
    let say = |cluster: &mut Cluster, ack: Ack| {
        let from_2 = Message {
            shard: ShardId(1),
            epoch: 1,
            from: member(2),
            to: member(0),
            body: Body::Ack(Ack {
                echo_us: cluster.now_us,
                ..ack
            }),
        };
        cluster.effects.clear();
        cluster.give(0, Input::Message(from_2));
    };
    let read = |cluster: &Cluster| {
        cluster.effects.iter().find_map(|(_, effect)| match effect {
            Effect::Read(want) => Some(*want),
            _ => None,
        })
    };
    let chunks = |cluster: &Cluster| {
        let messages = cluster.messages.iter();
        let bodies = messages.filter_map(|(_, bytes)| Some(crate::wire::decode(bytes)?.body));
        let chunks = bodies.filter_map(|body| match body {
            Body::Chunk(chunk) => Some(chunk.bytes.to_vec()),
            _ => None,
        });
        chunks.collect::<Vec<_>>()
    };
    let ack = |number, attempt, step| Ack {
        number,
        attempt,
        step,
        ..Ack::default()
    };
    say(&mut cluster, ack(100, 0, 0));
    say(&mut cluster, ack(101, 1, 0));
    let want = read(&cluster).expect("the first part is asked for");
    let found = |bytes, next| Input::Read {
        want,
        at: Position::new(1, 1),
        bytes,
        next,
    };
    cluster.give(0, found(b"first", Some(7)));
    assert_eq!(chunks(&cluster), [b"first"]);
    cluster.messages.clear();
    cluster.now_us += 3 * Settings::default().resend_us;
    cluster.effects.clear();
    cluster.give(0, Input::Tick);
    // Read again, it might end elsewhere; and which of the two was installed would not be known.
    assert_eq!(read(&cluster), None);
    assert_eq!(chunks(&cluster), [b"first"]);
    cluster.give(0, found(b"again", Some(9)));
    say(&mut cluster, ack(102, 1, 1));
    let next = read(&cluster).expect("the next part is asked for");
    assert_eq!((next.step, next.cursor), (1, 7));
}

#[test]
fn a_later_life_answers_unknown() {
    let mut cluster = Cluster::new(first());
    let again = Member {
        incarnation: Incarnation(8),
        ..member(2)
    };
    cluster.copies[2] = Replica::fresh(ShardId(1), again, 2, Settings::default());
    let next = first().published().succeed(*first().copies(), NodeId(1));
    cluster.tell(next);
    assert!(cluster.has(1, |e| *e == Effect::Gone(member(2))));
}

#[test]
fn the_primary_counts_a_lease_shorter_than_the_standby_grants_it() {
    let settings = Settings::default();
    let error = settings.rate_error_ppm as f64 / 1e6;
    // The longest that the one may last in true time, and the shortest that the other may.
    let counted = settings.counted_lease_us() as f64 / (1.0 - error);
    let granted = settings.lease_us as f64 / (1.0 + error);
    assert!(counted <= granted, "{counted} {granted}");
}

#[test]
#[should_panic(expected = "saved what was never given")]
fn a_ticket_that_was_never_given_is_a_bug() {
    let mut copy = Replica::fresh(ShardId(1), member(0), 1, Settings::default());
    let now = Now {
        unix_ms: 0,
        mono_us: 0,
    };
    copy.handle(now, Input::Saved(Ticket(3)), &mut Outbox::default());
}
