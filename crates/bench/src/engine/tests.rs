use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Sender};

use super::*;
use crate::clock::MILLISECOND_NS;
use crate::latency::{Kind, Latency};
use crate::reply::Reply;
use crate::request::append_command;

/// Sends `PING` on every connection, `left` times altogether.
struct Pings {
    left: u64,
    replies: u64,
}

impl Pings {
    fn new(left: u64) -> Self {
        Self { left, replies: 0 }
    }
}

impl Traffic for Pings {
    fn kinds(&self) -> &'static [&'static str] {
        &["ping"]
    }

    fn next_request(&mut self, _connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        self.left = self.left.checked_sub(1)?;
        append_command(&[b"PING"], out);
        Some(0)
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {
        self.replies += 1;
    }
}

/// How the responder treats the requests of one connection.
#[derive(Clone, Copy)]
enum Manner {
    /// `+PONG` for each.
    Answer,
    /// The same, but once, after so many requests, nothing for so long.
    Stall { after: usize, time: Duration },
    /// Closes the connection after so many requests.
    Close { after: usize },
    /// Never answers.
    Silence,
    /// Answers something that is no reply.
    Garbage,
}

/// The bytes of one `PING`.
const PING_BYTES: usize = 14;

/// A server of `PING`s on a port of its own; it ends with its connections.
fn responder(connections: usize, manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().expect("a connection");
            thread::spawn(move || respond(stream, manner));
        }
    });
    addr
}

fn respond(mut stream: std::net::TcpStream, manner: Manner) {
    let mut buffer = [0; 65536];
    let mut bytes = 0;
    let mut answered = 0;
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        bytes += length;
        while answered < bytes / PING_BYTES {
            match manner {
                Manner::Stall { after, time } if answered == after => pause(time),
                Manner::Close { after } if answered == after => return,
                Manner::Answer | Manner::Stall { .. } | Manner::Close { .. } => {}
                Manner::Silence => break,
                Manner::Garbage => drop(stream.write_all(b"HTTP/1.1 400\r\n")),
            }
            answered += 1;
            if stream.write_all(b"+PONG\r\n").is_err() {
                return;
            }
        }
    }
}

fn pause(time: Duration) {
    let (_sender, receiver): (Sender<()>, _) = mpsc::channel();
    assert!(receiver.recv_timeout(time).is_err());
}

fn plan(addr: SocketAddr, connections: usize, depth: usize, limit: Limit) -> Plan {
    Plan {
        server: Server {
            addr: addr.to_string(),
            password: None,
        },
        connections,
        depth,
        pace: Pace::Closed,
        limit,
        warmup_ns: 0,
        drain_ns: 5 * SECOND_NS,
        tick_ns: 10 * MILLISECOND_NS,
        spin: false,
        server_pid: None,
        seed: 1,
        title: String::new(),
    }
}

fn go(plan: &Plan, traffics: Vec<Pings>) -> Run<Pings> {
    let interrupted = AtomicBool::new(false);
    run(plan, Clock::start(), &interrupted, traffics, |_| {
        Verdict::Continue
    })
    .expect("the responder is there")
}

#[test]
fn a_closed_loop_sends_exactly_what_was_asked_for() {
    for (connections, depth, threads) in [(1, 1, 1), (5, 7, 1), (5, 16, 3)] {
        let addr = responder(connections, Manner::Answer);
        let plan = plan(addr, connections, depth, Limit::Requests(1_000));
        let run = go(&plan, (0..threads).map(|_| Pings::new(u64::MAX)).collect());
        assert_eq!(run.answered, 1_000);
        assert_eq!(run.tally.latencies[0].len(), 1_000);
        assert_eq!(run.traffics.iter().map(|t| t.replies).sum::<u64>(), 1_000);
        assert_eq!((run.failed, run.lost_connections), (0, 0));
    }
}

#[test]
fn a_loop_ends_with_its_traffic() {
    let plan = plan(responder(3, Manner::Answer), 3, 4, Limit::Exhausted);
    let run = go(&plan, vec![Pings::new(100)]);
    assert_eq!(run.answered, 100);
}

#[test]
fn spinning_sends_the_same() {
    let plan = Plan {
        spin: true,
        ..plan(responder(1, Manner::Answer), 1, 1, Limit::Requests(500))
    };
    assert_eq!(go(&plan, vec![Pings::new(u64::MAX)]).answered, 500);
}

#[test]
fn the_warm_up_is_not_counted() {
    let plan = Plan {
        warmup_ns: 100 * MILLISECOND_NS,
        ..plan(responder(2, Manner::Answer), 2, 1, Limit::Requests(50))
    };
    let run = go(&plan, vec![Pings::new(u64::MAX)]);
    assert!(run.traffics[0].replies > 50);
    assert!(run.tally.latencies[0].len() <= 50);
    assert!(run.tally.latencies[0].len() >= 48);
}

/// One stall of 300 ms at 1,000 requests a second hides about 300 requests in a closed loop and must
/// show all of them in an open one.
#[test]
fn an_open_loop_charges_a_stall_to_every_request_that_was_due() {
    let manner = Manner::Stall {
        after: 200,
        time: Duration::from_millis(300),
    };
    let plan = Plan {
        pace: Pace::Open {
            per_second: 1_000.0,
            arrivals: Arrivals::Even,
        },
        ..plan(responder(1, manner), 1, 1, Limit::Time(SECOND_NS))
    };
    let open = go(&plan, vec![Pings::new(u64::MAX)]);
    let closed_plan = Plan {
        pace: Pace::Closed,
        server: Server {
            addr: responder(1, manner).to_string(),
            password: None,
        },
        ..plan
    };
    let closed = go(&closed_plan, vec![Pings::new(u64::MAX)]);

    let slow = |run: &Run<Pings>| run.tally.latencies[0].count_between(50_000_000, u64::MAX / 2);
    assert_eq!(slow(&closed), 1, "the closed loop sees the stall once");
    // Requests due in the first 250 ms of the stall waited more than 50 ms.
    assert!((200..=400).contains(&slow(&open)), "{}", slow(&open));
    let latency = Latency::of(&open.tally.latencies[0]);
    assert!(latency.p90_us > 150_000.0, "{latency:?}");
    assert!((950..=1_050).contains(&open.answered), "{}", open.answered);
}

#[test]
fn what_is_never_answered_counts_with_its_age() {
    let plan = Plan {
        pace: Pace::Open {
            per_second: 100.0,
            arrivals: Arrivals::Even,
        },
        drain_ns: 100 * MILLISECOND_NS,
        ..plan(
            responder(1, Manner::Silence),
            1,
            1,
            Limit::Time(500 * MILLISECOND_NS),
        )
    };
    let run = go(&plan, vec![Pings::new(u64::MAX)]);
    assert_eq!(run.answered, 0);
    assert!(
        (45..=55).contains(&run.tally.unanswered),
        "{}",
        run.tally.unanswered
    );
    let latency = Latency::of(&run.tally.latencies[0]);
    assert_eq!(latency.count, run.tally.unanswered);
    assert!(latency.max_us > 550_000.0, "{latency:?}");
}

#[test]
fn lost_connections_end_the_run_and_are_said() {
    for manner in [Manner::Close { after: 10 }, Manner::Garbage] {
        let addr = responder(2, manner);
        let run = go(
            &plan(addr, 2, 4, Limit::Time(10 * SECOND_NS)),
            vec![Pings::new(u64::MAX)],
        );
        assert_eq!(run.lost_connections, 2);
        assert_eq!(run.tally.errors["CONNECTION"].count, 2);
        assert!(run.elapsed_ns < 5 * SECOND_NS);
    }
}

#[test]
fn an_observer_and_an_interrupt_end_the_run() {
    let plan = plan(
        responder(2, Manner::Answer),
        1,
        1,
        Limit::Time(60 * SECOND_NS),
    );
    let interrupted = AtomicBool::new(false);
    let clock = Clock::start();
    let mut looks = 0;
    let watched = run(
        &plan,
        clock,
        &interrupted,
        vec![Pings::new(u64::MAX)],
        |_| {
            looks += 1;
            if looks == 3 {
                Verdict::Stop
            } else {
                Verdict::Continue
            }
        },
    )
    .expect("the responder is there");
    assert!(!watched.interrupted && watched.answered > 0);

    let observe = |_| {
        interrupted.store(true, Ordering::Relaxed);
        Verdict::Continue
    };
    let cut = run(
        &plan,
        clock,
        &interrupted,
        vec![Pings::new(u64::MAX)],
        observe,
    )
    .expect("the responder is there");
    assert!(cut.interrupted && cut.answered > 0);
    assert!(clock.now_ns() < 30 * SECOND_NS);
}

#[test]
fn a_missing_server_is_said_with_its_address() {
    let addr = SocketAddr::from(([127, 0, 0, 1], ports::reserve()));
    let interrupted = AtomicBool::new(false);
    let plan = plan(addr, 1, 1, Limit::Exhausted);
    let error = run(
        &plan,
        Clock::start(),
        &interrupted,
        vec![Pings::new(1)],
        |_| Verdict::Continue,
    )
    .map(drop)
    .expect_err("nobody listens");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[test]
fn shares_add_up() {
    for total in 0..20 {
        for workers in 1..7 {
            let sum: usize = (0..workers).map(|index| share(total, workers, index)).sum();
            assert_eq!(sum, total);
        }
    }
}
