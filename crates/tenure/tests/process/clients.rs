//! Clients of all kinds: slow, greedy, broken, many.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::running::{PATIENCE, Running};
use crate::wire::{Client, Reply, encode};

fn server(more: &[&str]) -> (tempfile::TempDir, Running) {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(dir.path(), more);
    (dir, server)
}

fn resident_bytes(server: &Running) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse::<u64>()
        .unwrap()
        * 1024
}

#[test]
fn a_byte_at_a_time() {
    let (_dir, server) = server(&[]);
    let mut client = server.client();
    for byte in [encode(&[b"SET", b"k", b"a\r\nb"]), encode(&[b"GET", b"k"])].concat() {
        client.send(&[byte]).unwrap();
    }
    assert!(client.reply().unwrap().is_ok());
    assert_eq!(
        client.reply().unwrap(),
        Reply::Bulk(Some(b"a\r\nb".to_vec()))
    );
}

#[test]
fn ten_thousand_commands_in_one_pipeline() {
    let (_dir, server) = server(&[]);
    let mut client = server.client();
    let pipeline: Vec<u8> = (0..10_000)
        .flat_map(|i| {
            encode(&[
                b"SET",
                format!("k{i}").as_bytes(),
                format!("v{i}").as_bytes(),
            ])
        })
        .chain((0..10_000).flat_map(|i| encode(&[b"GET", format!("k{i}").as_bytes()])))
        .collect();
    client.send(&pipeline).unwrap();
    for _ in 0..10_000 {
        assert!(client.reply().unwrap().is_ok());
    }
    for i in 0..10_000 {
        assert_eq!(
            client.reply().unwrap(),
            Reply::Bulk(Some(format!("v{i}").into_bytes()))
        );
    }
}

/// More is sent behind a command that waits than is read before it has run.
#[test]
fn ten_thousand_commands_behind_one_that_waits() {
    let (_dir, server) = server(&[]);
    let mut holder = server.client();
    let held = holder.run("SESSION.CREATE ID s HOLD 60000");
    assert_eq!(held.error(), None);
    let mut client = server.client();
    let mut commands = encode(&[b"SESSION.OPEN", b"s", b"HOLD", b"9", b"WAIT", b"60000"]);
    commands.extend(encode(&[b"ECHO", &[b'x'; 50]]).repeat(10_000));
    let mut sender = client.another().unwrap();
    let sending = std::thread::spawn(move || sender.send(&commands));
    while server.metric("tenure_hold_waiters") == 0.0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Until nothing more is read. Were it less, the test would ask for less, and pass.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(holder.run("SESSION.BREAK s"), Reply::Integer(1));
    assert_eq!(client.reply().unwrap().error(), None);
    for _ in 0..10_000 {
        assert_eq!(client.reply().unwrap(), Reply::Bulk(Some(vec![b'x'; 50])));
    }
    sending.join().unwrap().unwrap();
}

/// A client goes away while its command waits, and has sent more behind it than all buffers of the kernel hold: what it waits for is not kept for it. Nor
/// is it for one that stays, as nobody could tell that one from the other.
#[test]
fn who_sends_much_and_goes_away_leaves_the_line() {
    let (_dir, server) = server(&[]);
    let mut holder = server.client();
    let held = holder.run("SESSION.CREATE ID s HOLD 60000");
    assert_eq!(held.error(), None);
    let open = encode(&[b"SESSION.OPEN", b"s", b"HOLD", b"60000", b"WAIT", b"60000"]);
    for (bytes, stays) in [
        (0, false),
        (300 << 10, false),
        (40 << 20, false),
        (40 << 20, true),
    ] {
        let mut client = server.client();
        client.send(&open).unwrap();
        let until = |waiters: f64| {
            let since = Instant::now();
            while server.metric("tenure_hold_waiters") != waiters {
                assert!(since.elapsed() < Duration::from_secs(20), "{bytes} bytes");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        until(1.0);
        client.send(&vec![b'\n'; bytes]).unwrap();
        let stays = stays.then_some(client);
        until(0.0);
        if let Some(mut client) = stays {
            let told = client.reply().unwrap();
            assert!(told.error().unwrap().starts_with("HELD "), "{told:?}");
            assert_eq!(client.run("PING").error(), None);
        }
    }
}

#[test]
fn a_length_that_is_only_claimed_costs_nothing() {
    let (_dir, server) = server(&[]);
    let before = resident_bytes(&server);
    let mut clients: Vec<_> = (0..100).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(b"*1048576\r\n$1048576\r\n").unwrap();
    }
    let mut liar = server.client();
    liar.send(b"*2\r\n$3\r\nGET\r\n$999999999999\r\n").unwrap();
    assert_eq!(
        liar.reply().unwrap().error(),
        Some("ERR Protocol error: invalid bulk length")
    );
    assert!(
        liar.rest().unwrap().is_empty(),
        "it is closed after one error"
    );
    assert!(server.client().run("SET a b").is_ok());
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(
        grown < 16 << 20,
        "100 claims of 1 TiB altogether took {grown} bytes"
    );
}

#[test]
fn a_broken_frame_gets_one_error_after_the_replies_before_it() {
    let (_dir, server) = server(&[]);
    let mut client = server.client();
    client.send(b"SET a b\r\n*1\r\n:5\r\nSET c d\r\n").unwrap();
    assert!(client.reply().unwrap().is_ok());
    let error = client.reply().unwrap();
    assert!(
        error
            .error()
            .unwrap()
            .starts_with("ERR Protocol error: expected '$'"),
        "{error:?}"
    );
    assert!(client.rest().unwrap().is_empty());
    assert_eq!(server.client().run("GET c"), Reply::Bulk(None));
}

#[test]
fn whoever_sends_no_more_still_gets_the_replies() {
    let (_dir, server) = server(&[]);
    let mut client = server.client();
    assert!(
        client
            .call(&[b"SET", b"big", &vec![b'x'; 100_000]])
            .unwrap()
            .is_ok()
    );
    // 20 MB of replies: far more than the kernel keeps for us.
    let gets = b"GET big\r\n".repeat(200);
    client.send(&gets).unwrap();
    client.finish();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| server.client().run("SET a b").is_ok());
        assert!(other.join().unwrap());
    });
    assert_eq!(
        client.rest().unwrap().len(),
        200 * (100_000 + "$100000\r\n\r\n".len())
    );
}

#[test]
fn a_reader_that_does_not_read_is_bounded_and_harms_nobody() {
    let (_dir, server) = server(&[]);
    let mut other = server.client();
    assert!(
        other
            .call(&[b"SET", b"big", &vec![b'x'; 1 << 20]])
            .unwrap()
            .is_ok()
    );
    let before = resident_bytes(&server);
    let mut slow = server.client();
    // It asks for 4 GiB and reads nothing.
    for _ in 0..4096 {
        slow.send(b"GET big\r\n").unwrap();
    }
    let began = Instant::now();
    for round in 0..1000 {
        assert!(
            other
                .call(&[b"SET", b"k", format!("{round}").as_bytes()])
                .unwrap()
                .is_ok()
        );
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes are kept for it");
    // Once it reads, it gets everything that it asked for.
    for _ in 0..64 {
        assert_eq!(
            slow.reply().unwrap(),
            Reply::Bulk(Some(vec![b'x'; 1 << 20]))
        );
    }
}

#[test]
fn the_buffers_of_all_connections_together_are_bounded() {
    let (_dir, server) = server(&["--memory", "128MiB"]);
    let mut other = server.client();
    let big = vec![b'x'; 1 << 20];
    assert!(other.call(&[b"SET", b"big", &big]).unwrap().is_ok());
    let before = resident_bytes(&server);
    // Each of them alone is within its bounds.
    let mut slow: Vec<_> = (0..100).map(|_| server.client()).collect();
    for client in &mut slow {
        for _ in 0..16 {
            // It may be closed already.
            let _ = client.send(b"GET big\r\n");
        }
    }
    for _ in 0..100 {
        assert!(
            other.run("SET k v").is_ok(),
            "small connections are not touched"
        );
    }
    assert!(server.metric("tenure_connections_closed_for_memory_total") > 0.0);
    let grown = resident_bytes(&server).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
}

#[test]
fn more_clients_than_allowed_are_told_so() {
    let (_dir, server) = server(&["--max-clients", "3"]);
    let mut kept: Vec<_> = (0..3).map(|_| server.client()).collect();
    for client in &mut kept {
        assert!(client.run("SET a b").is_ok());
    }
    let refused = server.client().rest().unwrap();
    assert_eq!(refused, b"-ERR max number of clients reached\r\n");
    drop(kept.pop());
    while !Client::connect(&server.address)
        .call(&[b"SET", b"a", b"b"])
        .is_ok_and(|reply| reply.is_ok())
    {}
    assert!(server.metric("tenure_connections_refused_total") >= 1.0);
}

/// So many connections, or as many as the system lets this process have besides those of other tests.
fn connections_wanted() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, most).unwrap();
    let allowed = limit.maximum.unwrap_or(u64::MAX).saturating_sub(2_000);
    let wanted = usize::try_from(allowed).unwrap().min(10_000);
    assert!(
        wanted >= 1_000,
        "the limit of open files is too low to test anything"
    );
    wanted
}

/// Sends each connection a command of its own, and reads its reply once all are sent.
fn ask_all(connections: &mut [TcpStream], command: impl Fn(usize) -> Vec<u8>, reply: &[u8]) {
    for (i, stream) in connections.iter_mut().enumerate() {
        stream.write_all(&command(i)).unwrap();
    }
    let mut got = vec![0; reply.len()];
    for stream in connections {
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, reply);
    }
}

#[test]
fn ten_thousand_connections_come_work_at_once_and_go() {
    let (_dir, server) = server(&[]);
    let wanted = connections_wanted();
    let connect = |_| {
        let stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut connections: Vec<TcpStream> = (0..wanted).map(connect).collect();
    let key = |i: usize| format!("k{i}").into_bytes();
    ask_all(
        &mut connections,
        |i| encode(&[b"SET", &key(i), b"v"]),
        b"+OK\r\n",
    );
    ask_all(
        &mut connections,
        |i| encode(&[b"GET", &key(i)]),
        b"$1\r\nv\r\n",
    );
    assert_eq!(server.metric("tenure_connections"), wanted as f64);
    assert_eq!(server.metric("tenure_connections_refused_total"), 0.0);
    drop(connections);
    while server.metric("tenure_connections") > 0.0 {}
    assert_eq!(
        server.metric("tenure_connections_accepted_total"),
        wanted as f64
    );
}

#[test]
fn the_metrics_can_be_parsed_and_count() {
    // Every call is timed if every call may be slow.
    let (_dir, server) = server(&["--slowlog-slower-than=0"]);
    let mut client = server.client();
    for _ in 0..7 {
        client.run("SET a b");
    }
    client.run("GET a");
    let (status, text) = server.http("/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let mut helped = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(
                helped.insert(rest.split(' ').next().unwrap().to_owned()),
                "twice: {line}"
            );
        } else if !line.starts_with("# TYPE ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            let family = name.split('{').next().unwrap();
            let known = ["", "_bucket", "_sum", "_count"]
                .iter()
                .any(|end| family.strip_suffix(end).is_some_and(|f| helped.contains(f)));
            assert!(known, "no HELP for {line}");
        }
    }
    assert_eq!(server.metric("tenure_commands_total{command=\"set\"}"), 7.0);
    assert!(server.metric("tenure_process_resident_bytes") > 1e6);
    assert_eq!(
        server.metric("tenure_command_seconds_count{command=\"get\"}"),
        1.0
    );
}

#[test]
fn no_id_and_no_value_is_in_the_log() {
    let (_dir, server) = server(&[
        "--log-level",
        "debug",
        "--log-format",
        "json",
        "--slowlog-slower-than",
        "0",
    ]);
    let mut client = server.client();
    let id = "sess:4f1d7c0b9a2e48d6bb5f00c1d2e3f405";
    client.run(&format!("SET {id} topsecretvalue"));
    client.run(&format!("GET {id}"));
    client.run(&format!("NOSUCH {id}"));
    client
        .send(b"*1\r\n:sess:4f1d7c0b9a2e48d6bb5f00c1d2e3f405\r\n")
        .unwrap();
    client.rest().unwrap();
    let (_, metrics) = server.http("/metrics");
    let log = server.stop();
    assert!(
        log.lines().count() > 2 && log.lines().all(|line| line.starts_with('{')),
        "{log}"
    );
    for text in [log, metrics] {
        assert!(
            !text.contains("4f1d7c0b9a2e48d6") && !text.contains("topsecret"),
            "{text}"
        );
    }
}
