//! The forwarding port before a cluster of our own, as clients that know one server expect it.

use std::io;

use super::rig::Cluster;
use crate::running::{Running, between};
use crate::wire::{Client, Reply};

/// Where a node forwards.
pub fn forward_of(node: &Running) -> String {
    between(&node.ready, "forward ", ")").to_owned()
}

/// Three nodes that forward.
pub fn forwarding(more: &[&str]) -> Cluster {
    let options = [&["--forward", "127.0.0.1:0"], more].concat();
    let cluster = Cluster::start(3, &options);
    cluster.settle();
    cluster
}

fn connect(cluster: &Cluster, node: u32) -> Client {
    Client::connect(&forward_of(&cluster.nodes[&node]))
}

fn ok(client: &mut Client, words: &str) {
    let reply = client.run(words);
    assert!(reply.is_ok(), "{words}: {reply:?}");
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Status(text) | Reply::Error(text) => text.clone(),
        Reply::Bulk(None) | Reply::Integer(_) | Reply::Array(_) => format!("{reply:?}"),
    }
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(Some(text.into()))
}

#[test]
fn a_connection_is_one_whatever_nodes_are_behind_it() {
    let cluster = forwarding(&[]);
    let mut client = connect(&cluster, 1);
    ok(&mut client, "CLIENT SETNAME shop");
    // Each of these keys may be on another node.
    for n in 0..32 {
        ok(&mut client, &format!("SET key:{n} {n}"));
    }
    assert_eq!(client.run("CLIENT GETNAME"), bulk("shop"));
    let id = client.run("CLIENT ID");
    assert!(matches!(id, Reply::Integer(1..)), "{id:?}");
    assert_eq!(client.run("CLIENT ID"), id, "it stays");
    let list = text(&client.run("CLIENT LIST"));
    assert!(list.contains("name=shop"), "{list}");
    assert!(text(&client.run("CLIENT INFO")).contains("name=shop"));
    for words in [
        "CLIENT NO-EVICT ON",
        "CLIENT NO-TOUCH ON",
        "CLIENT REPLY ON",
    ] {
        ok(&mut client, words);
    }
    let refused = client.run("CLIENT REPLY OFF");
    assert!(
        text(&refused).contains("not available at a forwarding port"),
        "{refused:?}"
    );
    let info = text(&client.run("INFO"));
    for line in ["redis_mode:standalone", "role:master", "cluster_enabled:0"] {
        assert!(info.contains(line), "{line}: {info}");
    }
}

/// Neither kind of port has transactions, scripts or channels; both say so in the same words, and what follows is answered.
#[test]
fn what_there_is_not_is_refused_in_the_same_words_at_all_ports() {
    let cluster = forwarding(&[]);
    let mut forwarded = connect(&cluster, 1);
    let mut direct = cluster.nodes[&1].client();
    for words in [
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH a",
        "SUBSCRIBE news",
        "PSUBSCRIBE n*",
        "PUBLISH news hello",
        "UNSUBSCRIBE",
        "EVAL return 0",
        "FUNCTION LIST",
        "MONITOR",
        "SHUTDOWN",
        "LPUSH a b",
        "SWAPDB 0 1",
    ] {
        let (one, other) = (forwarded.run(words), direct.run(words));
        assert_eq!(one, other, "{words}");
        assert!(one.error().is_some(), "{words}: {one:?}");
        assert_eq!(text(&forwarded.run("PING")), "PONG", "after {words}");
    }
}

/// What is in a database is there only, on whichever node.
#[test]
fn databases_are_apart_on_all_nodes() {
    let cluster = forwarding(&[]);
    let (mut three, mut zero) = (connect(&cluster, 1), connect(&cluster, 2));
    ok(&mut three, "SELECT 3");
    for n in 0..64 {
        ok(&mut three, &format!("SET key:{n} three"));
        assert_eq!(zero.run(&format!("GET key:{n}")), Reply::Bulk(None));
    }
    assert_eq!(three.run("DBSIZE"), Reply::Integer(64));
    assert_eq!(zero.run("DBSIZE"), Reply::Integer(0));
    ok(&mut zero, "SET key:1 zero");
    ok(&mut three, "FLUSHDB");
    assert_eq!(three.run("DBSIZE"), Reply::Integer(0));
    assert_eq!(zero.run("GET key:1"), bulk("zero"));
    assert!(text(&three.run("SELECT 99")).contains("out of range"));
    assert_eq!(three.run("DBSIZE"), Reply::Integer(0), "still in 3");
    ok(&mut three, "FLUSHALL");
    assert_eq!(zero.run("DBSIZE"), Reply::Integer(0));
}

#[test]
fn replies_are_of_the_version_that_was_agreed_on() -> io::Result<()> {
    let cluster = forwarding(&[]);
    let mut client = connect(&cluster, 1);
    client.send(b"HELLO 3\r\n")?;
    assert_eq!(client.line()?, "%7");
    for _ in 0..14 {
        client.reply()?;
    }
    for n in 0..16 {
        assert_eq!(client.run(&format!("HSET h:{n} f v")), Reply::Integer(1));
        client.send(format!("HGETALL h:{n}\r\n").as_bytes())?;
        assert_eq!(client.line()?, "%1");
        assert_eq!((client.reply()?, client.reply()?), (bulk("f"), bulk("v")));
    }
    client.send(b"MGET none:1 none:2\r\n")?;
    assert_eq!(
        [client.line()?, client.line()?, client.line()?],
        ["*2", "_", "_"]
    );
    client.run("HELLO 2");
    client.send(b"MGET none:1 none:2\r\nGET none:3\r\nHGETALL h:1\r\n")?;
    let lines = [
        client.line()?,
        client.line()?,
        client.line()?,
        client.line()?,
        client.line()?,
    ];
    assert_eq!(lines, ["*2", "$-1", "$-1", "$-1", "*2"]);
    Ok(())
}

/// Each connection to a node proves itself with what the client has shown.
#[test]
fn a_password_is_asked_for_once_and_shown_to_all_nodes() {
    let cluster = forwarding(&["--password", "sesame"]);
    let mut client = connect(&cluster, 1);
    assert!(text(&client.run("GET a")).starts_with("NOAUTH"));
    assert!(text(&client.run("AUTH wrong")).starts_with("WRONGPASS"));
    assert!(text(&client.run("SET a 1")).starts_with("NOAUTH"));
    // What follows in the same packet is known by whom it is.
    client.send(b"AUTH sesame\r\nSET a 1\r\nGET a\r\n").unwrap();
    assert!(client.reply().unwrap().is_ok() && client.reply().unwrap().is_ok());
    assert_eq!(client.reply().unwrap(), bulk("1"));
    for n in 0..32 {
        ok(&mut client, &format!("SET key:{n} {n}"));
    }
    let mut other = connect(&cluster, 2);
    let hello = other.run("HELLO 3 AUTH default sesame SETNAME x");
    assert!(matches!(hello, Reply::Array(_)), "{hello:?}");
    assert_eq!(other.run("DBSIZE"), Reply::Integer(33));
    ok(&mut other, "CONFIG SET slowlog-max-len 7");
    assert!(matches!(other.run("RESET"), Reply::Status(_)));
    assert!(text(&other.run("GET a")).starts_with("NOAUTH"), "as new");
}

/// Who waits and goes is not granted the session; the next one is. Each of them is at another node's port.
#[test]
fn who_waits_for_a_session_and_goes_leaves_the_line() {
    let cluster = forwarding(&[]);
    let mut holder = connect(&cluster, 1);
    let opened = holder.run("SESSION.OPEN cart HOLD 60000 CREATE");
    let fence = fence_of(&opened);
    let mut gone = connect(&cluster, 2);
    gone.send(b"SESSION.OPEN cart HOLD 60000 WAIT 60000\r\n")
        .unwrap();
    waiting(&cluster, 1);
    let mut next = connect(&cluster, 3);
    next.send(b"SESSION.OPEN cart HOLD 60000 WAIT 60000\r\n")
        .unwrap();
    waiting(&cluster, 2);
    drop(gone);
    waiting(&cluster, 1);
    ok(&mut holder, &format!("SESSION.RELEASE cart {fence}"));
    let granted = fence_of(&next.reply().unwrap());
    assert!(granted > fence, "{granted} after {fence}");
    waiting(&cluster, 0);
    // The hold belongs to whom it was granted, and a plain write of others is refused.
    let held = holder.run("HSET cart a 1");
    assert!(text(&held).starts_with("HELD"), "{held:?}");
    assert_eq!(next.run("HSET cart a 1"), Reply::Integer(1));
}

/// Until so many wait in line, on all nodes together.
fn waiting(cluster: &Cluster, want: u64) {
    let began = std::time::Instant::now();
    let count = || -> f64 {
        let nodes = cluster.nodes.values();
        nodes.map(|node| node.metric("tenure_hold_waiters")).sum()
    };
    while count() != want as f64 {
        assert!(
            began.elapsed() < crate::running::PATIENCE,
            "{want} are to wait"
        );
    }
}

fn fence_of(opened: &Reply) -> i64 {
    let Reply::Array(parts) = opened else {
        panic!("no session in {opened:?}");
    };
    let at = parts.iter().position(|part| *part == bulk("fence"));
    match at.and_then(|at| parts.get(at + 1)) {
        Some(Reply::Integer(fence)) => *fence,
        Some(_) | None => panic!("no fence in {opened:?}"),
    }
}

/// Shards change hands and a node dies while it goes on: a SCAN finds everything all the same, as whoever leads a shard next goes on where the last one was.
#[test]
fn a_scan_is_complete_while_shards_move_and_a_node_dies() {
    let mut cluster = forwarding(&[]);
    let mut client = connect(&cluster, 1);
    for n in 0..2_000 {
        ok(&mut client, &format!("SET key:{n} {n}"));
    }
    cluster.start_node(4);
    let drained = cluster.command(&["drain", "2", "--no-wait"]);
    assert!(drained.status.success(), "{drained:?}");
    let (mut moving, mut scans) = (true, 0);
    while moving {
        moving = cluster
            .survey()
            .nodes
            .iter()
            .any(|node| node.node == 2 && node.copies > 0);
        has_all(scan(&mut client, |_| {}));
        scans += 1;
    }
    assert!(scans > 1, "{scans} scans while shards moved");
    cluster.settle();
    // Whoever is asked is not whoever dies.
    let all = scan(&mut client, |page| {
        if page == 3 {
            cluster.nodes.remove(&3).expect("it runs").kill();
        }
    });
    has_all(all);
}

/// All 2,000 keys, and no other.
fn has_all(mut keys: Vec<String>) {
    keys.sort_unstable();
    keys.dedup();
    let number = |key: &String| key.strip_prefix("key:").and_then(|n| n.parse::<u32>().ok());
    let known = keys.iter().filter_map(number).filter(|n| *n < 2_000);
    assert_eq!((keys.len(), known.count()), (2_000, 2_000));
}

/// A command about all nodes asks those that lead now, though nobody has told the port that they do: a client that only ever asks for
/// sizes is refused nothing that was moved.
#[test]
fn who_leads_now_is_asked_by_whoever_asks_all() {
    let mut cluster = forwarding(&[]);
    let mut client = connect(&cluster, 1);
    for n in 0..200 {
        ok(&mut client, &format!("SET key:{n} {n}"));
        let made = client.run(&format!("SESSION.CREATE ID {{s{n}}} USER anna"));
        assert!(made.error().is_none(), "{made:?}");
    }
    cluster.start_node(4);
    cluster.settle();
    let four = Client::connect(&cluster.nodes[&4].address).run("DBSIZE");
    assert!(
        matches!(four, Reply::Integer(1..)),
        "it leads something: {four:?}"
    );
    assert_eq!(client.run("DBSIZE"), Reply::Integer(400));
    assert_eq!(client.run("SESSION.REVOKE USER anna"), Reply::Integer(200));
    assert_eq!(client.run("DBSIZE"), Reply::Integer(200));
    ok(&mut client, "FLUSHALL");
    let four = Client::connect(&cluster.nodes[&4].address).run("DBSIZE");
    assert_eq!(four, Reply::Integer(0));
}

/// All keys that a SCAN tells; `before` is called with the number of each page before it is asked for.
fn scan(client: &mut Client, mut before: impl FnMut(u32)) -> Vec<String> {
    let (mut cursor, mut keys) = (String::from("0"), Vec::new());
    for page in 0..10_000 {
        before(page);
        let page = client.run(&format!("SCAN {cursor} COUNT 100"));
        let Reply::Array(parts) = &page else {
            panic!("{page:?}");
        };
        cursor = text(&parts[0]);
        let Reply::Array(found) = &parts[1] else {
            panic!("{page:?}");
        };
        keys.extend(found.iter().map(text));
        if cursor == "0" {
            return keys;
        }
    }
    panic!("it does not end");
}
