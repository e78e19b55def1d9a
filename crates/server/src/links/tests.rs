//! Links between two or three `Links` in one thread, over loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::{Events, Poll};
use model::{Incarnation, Member, NodeId};

use super::frame::{self, Kind};
use super::{Introduction, Links};
use crate::accept::Listener;
use crate::clock::Clock;

/// For the buffers of all links of an end.
const ROOM: usize = 32 << 20;
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct End {
    links: Links,
    poll: Poll,
    heard: Vec<(NodeId, Kind, Vec<u8>)>,
    resets: BTreeSet<NodeId>,
}

fn introduction(node: u32, secret: &str) -> Introduction {
    Introduction {
        me: Member {
            node: NodeId(node),
            incarnation: Incarnation(u128::from(node)),
        },
        cluster: "test".into(),
        secret: secret.into(),
        run: u64::from(node),
    }
}

impl End {
    fn new(node: u32, secret: &str) -> Self {
        let poll = Poll::new().unwrap();
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let mut links = Links::new(introduction(node, secret), listener, ROOM);
        links.listen(poll.registry()).unwrap();
        Self {
            links,
            poll,
            heard: Vec::new(),
            resets: BTreeSet::new(),
        }
    }

    fn turn(&mut self, now_us: u64) {
        let mut events = Events::with_capacity(64);
        self.poll
            .poll(&mut events, Some(Duration::from_millis(1)))
            .unwrap();
        let heard = &mut self.heard;
        let mut deliver =
            |from: NodeId, kind: Kind, bytes: &[u8]| heard.push((from, kind, bytes.to_vec()));
        self.links.read_again(now_us, &mut deliver);
        for event in &events {
            self.links
                .event(event, self.poll.registry(), now_us, &mut deliver);
        }
        self.links.tend(self.poll.registry(), now_us);
        self.links.flush(now_us);
        self.resets.extend(self.links.take_resets());
    }

    fn want(&mut self, others: &[(u32, SocketAddr)], now_us: u64) {
        let peers: BTreeMap<_, _> = others.iter().map(|&(n, a)| (NodeId(n), a)).collect();
        self.links.want(&peers, now_us);
    }

    fn is_up(&self, node: u32) -> bool {
        self.links.up().any(|up| up == NodeId(node))
    }
}

struct World {
    ends: Vec<End>,
    clock: Clock,
}

impl World {
    /// Nodes 0, 1, ... that know the same secret.
    fn new(nodes: u32) -> Self {
        Self {
            ends: (0..nodes).map(|node| End::new(node, "secret")).collect(),
            clock: Clock::start(),
        }
    }

    fn now_us(&self) -> u64 {
        self.clock.now().mono_us
    }

    fn turn(&mut self) {
        let now_us = self.now_us();
        self.ends.iter_mut().for_each(|end| end.turn(now_us));
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let began = self.clock.elapsed();
        while !done(self) {
            assert!(self.clock.elapsed() < began + PATIENCE, "{what}");
            self.turn();
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let (of_a, of_b) = (self.ends[a].links.address(), self.ends[b].links.address());
        let now_us = self.now_us();
        self.ends[a].want(&[(b as u32, of_b)], now_us);
        self.ends[b].want(&[(a as u32, of_a)], now_us);
        self.until("a link", |world| {
            world.ends[a].is_up(b as u32) && world.ends[b].is_up(a as u32)
        });
    }
}

#[test]
fn messages_go_both_ways_whole_and_in_order() {
    let mut world = World::new(2);
    world.connect(0, 1);
    let big: Vec<u8> = (0..5_000_000u32).map(|n| n as u8).collect();
    let now_us = world.now_us();
    for part in [&b"one"[..], &big, b"three"] {
        world.ends[0]
            .links
            .send(NodeId(1), Kind::Replica, part, now_us);
    }
    world.ends[1]
        .links
        .send(NodeId(0), Kind::Agent, b"back", now_us);
    world.until("messages", |world| {
        world.ends[1].heard.len() == 3 && world.ends[0].heard.len() == 1
    });
    let expected: Vec<_> = [&b"one"[..], &big, b"three"]
        .map(|part| (NodeId(0), Kind::Replica, part.to_vec()))
        .into();
    assert!(world.ends[1].heard == expected);
    assert_eq!(
        world.ends[0].heard,
        [(NodeId(1), Kind::Agent, b"back".to_vec())]
    );
}

#[test]
fn two_that_open_at_once_keep_one_connection_and_nobody_calls_it_a_reset() {
    let mut world = World::new(2);
    let addresses = [0, 1].map(|n| world.ends[n].links.address());
    // Both open at the same moment: a wish from so long ago is due for both.
    world.ends[0].want(&[(1, addresses[1])], 0);
    world.ends[1].want(&[(0, addresses[0])], 0);
    world.until("one link", |world| {
        world.ends[0].is_up(1) && world.ends[1].is_up(0)
    });
    for _ in 0..200 {
        world.turn();
    }
    for (end, other) in [(0, 1), (1, 0)] {
        assert!(world.ends[end].is_up(other));
        assert_eq!(world.ends[end].links.open.len(), 1, "end {end}");
        assert!(world.ends[end].resets.is_empty());
    }
}

#[test]
fn an_end_that_is_gone_is_a_reset_and_one_that_says_farewell_is_none() {
    let mut world = World::new(3);
    world.connect(0, 2);
    world.connect(1, 2);
    let now_us = world.now_us();
    // Node 2 opened both links, having the highest number.
    let remaining = world.ends[1].links.address();
    world.ends[2].want(&[(1, remaining)], now_us);
    world.until("a farewell", |world| !world.ends[0].is_up(2));
    assert!(world.ends[0].resets.is_empty());
    world.ends.pop();
    world.until("a reset", |world| !world.ends[1].is_up(2));
    assert_eq!(world.ends[1].resets, [NodeId(2)].into());
}

#[test]
fn who_does_not_belong_here_is_refused() {
    let mut world = World::new(1);
    let address = world.ends[0].links.address();
    world.ends.push(End::new(1, "another"));
    let now_us = world.now_us();
    world.ends[1].want(&[(0, address)], now_us);
    world.until("a refusal", |world| world.ends[0].links.stats.refused > 0);
    assert!(!world.ends[0].is_up(1) && !world.ends[1].is_up(0));
}

#[test]
fn a_stranger_cannot_claim_a_long_frame_or_stay_silent() {
    let mut world = World::new(1);
    let address = world.ends[0].links.address();
    let mut stranger = std::net::TcpStream::connect(address).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    frame::write(Kind::Agent, &vec![0; 1 << 20], &mut bytes);
    stranger.write_all(&bytes[..9]).unwrap();
    let before = world.ends[0].links.stats.refused;
    world.until("a refusal", |world| {
        world.ends[0].links.stats.refused > before
    });
    let silent = std::net::TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    world.until("a connection", |world| !world.ends[0].links.open.is_empty());
    world.until("the end of patience", |world| {
        world.ends[0].links.open.is_empty()
    });
    for mut stream in [stranger, silent] {
        let mut rest = Vec::new();
        // It may be reset, as it had sent what nobody read.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "nothing is told to a stranger");
    }
}

/// Messages of copies are left out where there is no room for them; heartbeats find some, until they pile up as well.
#[test]
fn a_peer_that_does_not_read_is_bounded() {
    let mut world = World::new(2);
    world.connect(0, 1);
    let now_us = world.now_us();
    let links = &mut world.ends[0].links;
    let message = vec![7; 4 << 20];
    for _ in 0..64 {
        links.send(NodeId(1), Kind::Replica, &message, now_us);
        links.flush(now_us);
        assert!(links.buffered_bytes() <= ROOM);
    }
    assert!(links.stats.left_out > 32, "{:?}", links.stats);
    links.send(NodeId(1), Kind::Agent, b"heartbeat", now_us);
    assert_eq!(links.stats.overfull, 0);
    assert!(links.up().count() == 1);
    while links.up().count() == 1 {
        links.send(NodeId(1), Kind::Agent, &message[..64 << 10], now_us);
        assert!(links.buffered_bytes() <= ROOM);
    }
    assert_eq!(links.stats.overfull, 1);
    assert_eq!(links.buffered_bytes(), 0);
}

/// What is left out is not missed by what comes after it: the frames on the link stay whole.
#[test]
fn a_peer_that_reads_again_hears_what_found_room() {
    let mut world = World::new(2);
    world.connect(0, 1);
    let now_us = world.now_us();
    let links = &mut world.ends[0].links;
    let message = vec![7; 1 << 20];
    while links.stats.left_out < 10 {
        links.send(NodeId(1), Kind::Replica, &message, now_us);
        links.flush(now_us);
    }
    links.send(NodeId(1), Kind::Agent, b"heartbeat", now_us);
    let sent = links.stats.frames_out as usize;
    world.until("what was sent", |world| world.ends[1].heard.len() == sent);
    let last = (NodeId(0), Kind::Agent, b"heartbeat".to_vec());
    assert!(world.ends[1].heard.last() == Some(&last));
    assert!(world.ends[0].links.buffered_bytes() <= 2 << 20);
}
