//! The forwarding port before a real Redis Cluster, which it must be able to speak to as to our own nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forward::metrics::Metrics;
use forward::{Cluster, Settings};
use model::{NodeId, Topology};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/wire.rs"]
mod wire;

use redis_cluster::RedisCluster;
use wire::{Connection, command};

/// A port before a cluster.
struct Port {
    port: u16,
    metrics: Arc<Metrics>,
    drain: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Port {
    async fn before(cluster: &RedisCluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let seeds = cluster.nodes.iter().map(|n| n.address()).collect();
        let known = Arc::new(Cluster::new(
            cluster.nodes[0].address(),
            seeds,
            String::new(),
        ));
        let settings = Settings {
            password: String::new(),
            max_clients: 10,
            bulk_bytes: 16 << 20,
            buffer_bytes: 256 << 20,
            patience: Duration::from_secs(20),
            keepalive: Duration::from_secs(300),
        };
        let metrics = Arc::new(Metrics::default());
        let (drain, draining) = watch::channel(false);
        // Nobody plans anything with the nodes of a Redis Cluster.
        let (_, topology) = watch::channel(Arc::new(Topology {
            me: NodeId(1),
            revision: 1,
            nodes: Vec::new(),
            ranges: Vec::new(),
        }));
        let counted = Arc::clone(&metrics);
        let serving = forward::serve(listener, known, settings, counted, topology, draining);
        Self {
            port,
            metrics,
            drain,
            serving: tokio::spawn(serving),
        }
    }

    async fn connect(&self) -> Connection {
        Connection::open(self.port).await.expect("it listens")
    }
}

#[tokio::test]
async fn a_cluster_looks_like_one_server() {
    let cluster = RedisCluster::start(false).await;
    let port = Port::before(&cluster).await;
    let mut client = port.connect().await;
    asks_one_thing_at_a_time(&mut client).await;
    asks_for_everything(&mut client).await;
    keeps_what_was_chosen(&port, &cluster).await;
    keeps_the_order_of_pipelines(&mut client).await;
    passes_large_values(&mut client).await;
    speaks_inline_and_tells_mistakes(&port).await;
    turns_away_too_many(&port).await;
    drains(port, client).await;
}

async fn asks_one_thing_at_a_time(client: &mut Connection) {
    for (line, reply) in [
        ("PING", "+PONG|"),
        ("PING hello", "$5|hello|"),
        ("SET a 1", "+OK|"),
        ("SET b 2", "+OK|"),
        ("SET c 3", "+OK|"),
        ("GET b", "$1|2|"),
        ("HSET {h} f v g w", ":2|"),
        ("HGET {h} g", "$1|w|"),
        (
            "GET {h}",
            "-WRONGTYPE Operation against a key holding the wrong kind of value|",
        ),
        ("MSET a 5 b 6 c 7 {a}x 8", "+OK|"),
        (
            "MGET c nosuch {a}x b a c",
            "*6|$1|7|$-1|$1|8|$1|6|$1|5|$1|7|",
        ),
        ("EXISTS a b c nosuch a", ":4|"),
        ("TOUCH a b c", ":3|"),
        ("DEL a b nosuch", ":2|"),
        ("UNLINK c {a}x", ":2|"),
        (
            "RENAME a b",
            "-CROSSSLOT Keys in request don't hash to the same slot|",
        ),
        (
            "MSETNX a 1 b 2",
            "-CROSSSLOT Keys in request don't hash to the same slot|",
        ),
        (
            "CLUSTER SLOTS",
            "-ERR This instance has cluster support disabled|",
        ),
        (
            "READONLY",
            "-ERR This instance has cluster support disabled|",
        ),
        ("SELECT 1", "-ERR SELECT is not allowed in cluster mode|"),
        ("GET", "-ERR wrong number of arguments for 'get' command|"),
        (
            "CLIENT REPLY OFF",
            "-ERR CLIENT REPLY OFF and SKIP are not available at a forwarding port|",
        ),
    ] {
        assert_eq!(client.ask(line).await, reply, "{line}");
    }
}

async fn asks_for_everything(client: &mut Connection) {
    client.ok("FLUSHALL").await;
    assert_eq!(client.ask("RANDOMKEY").await, "$-1|");
    for number in 0..300 {
        client.ok(&format!("SET key:{number} {number}")).await;
    }
    assert_eq!(client.ask("DBSIZE").await, ":300|");
    assert!(client.ask("RANDOMKEY").await.contains("key:"));
    let all = client.ask("KEYS key:*").await;
    assert!(all.starts_with("*300|"), "{all}");
    assert!(client.ask("KEYS key:1?").await.starts_with("*10|"));
    // `SCAN ... SLOT` is Tenure's: its nodes are scanned by the tests of real clusters.
    assert_eq!(client.ask("SCAN 0").await, "-ERR syntax error|");
    assert_eq!(client.ask("SCAN x").await, "-ERR invalid cursor|");
    let info = client.ask("INFO").await;
    assert!(info.contains("role:master|") && info.contains("cluster_enabled:0|"));
    assert!(info.contains("redis_mode:standalone|"), "{info}");
}

/// A name is given on the connection to one node, and known on those to all.
async fn keeps_what_was_chosen(port: &Port, cluster: &RedisCluster) {
    let mut client = port.connect().await;
    client.ok("SET a 1").await;
    let hello = client.ask("HELLO 3 SETNAME chosen").await;
    assert!(
        hello.starts_with("%7|") && hello.contains("standalone"),
        "{hello}"
    );
    for key in ["a", "b", "c"] {
        assert_eq!(client.ask(&format!("GET nosuch:{key}")).await, "_|");
        client.ok(&format!("SET {key} 1")).await;
    }
    assert_eq!(client.ask("CLIENT GETNAME").await, "$6|chosen|");
    client.ok("CLIENT SETNAME again").await;
    for key in ["a", "b", "c"] {
        assert_eq!(client.ask(&format!("GET {key}")).await, "$1|1|");
    }
    let mut named = 0;
    for node in &cluster.nodes {
        let list = node.connect().await.ask("CLIENT LIST").await;
        named += usize::from(list.contains("name=again"));
    }
    assert_eq!(named, 3);
    assert_eq!(client.ask("RESET").await, "+RESET|");
    assert_eq!(client.ask("GET nosuch").await, "$-1|", "RESP2 again");
    assert_eq!(client.ask("QUIT").await, "+OK|");
    assert_eq!(client.raw().await, None);
}

async fn keeps_the_order_of_pipelines(client: &mut Connection) {
    client.ok("SET counter 0").await;
    let mut bytes = Vec::new();
    for number in 0..2_000 {
        let key = format!("p:{number}");
        bytes.extend(command(&[b"SET", key.as_bytes(), key.as_bytes()]));
        bytes.extend(command(&[b"INCR", b"counter"]));
        bytes.extend(command(&[b"GET", key.as_bytes()]));
        bytes.extend(command(&[b"MGET", b"counter", key.as_bytes()]));
    }
    client.send(&bytes).await;
    for number in 0..2_000 {
        let (key, count) = (format!("p:{number}"), number + 1);
        let (len, digits) = (key.len(), count.to_string().len());
        assert_eq!(client.reply().await, "+OK|");
        assert_eq!(client.reply().await, format!(":{count}|"));
        assert_eq!(client.reply().await, format!("${len}|{key}|"));
        let both = format!("*2|${digits}|{count}|${len}|{key}|");
        assert_eq!(client.reply().await, both);
    }
}

/// Larger than any buffer on the way, in both directions, and many at a time.
async fn passes_large_values(client: &mut Connection) {
    let value: Vec<u8> = (0..6_000_000u32).map(|n| (n % 251) as u8).collect();
    for key in [&b"big:1"[..], b"big:2", b"big:3"] {
        client.send(&command(&[b"SET", key, &value])).await;
        assert_eq!(client.reply().await, "+OK|");
    }
    let keys = [&b"big:1"[..], b"big:2", b"big:3", b"big:1"];
    let gets: Vec<Vec<u8>> = keys.iter().map(|key| command(&[b"GET", key])).collect();
    client.send(&gets.concat()).await;
    for _ in keys {
        let raw = client.raw().await.expect("a reply");
        let body = raw.strip_prefix(b"$6000000\r\n").expect("all of it");
        assert!(body.strip_suffix(b"\r\n") == Some(&value[..]));
    }
}

async fn speaks_inline_and_tells_mistakes(port: &Port) {
    let mut client = port.connect().await;
    client.send(b"SET inline 'a b'\r\n\r\nGET inline\r\n").await;
    assert_eq!(client.reply().await, "+OK|");
    assert_eq!(client.reply().await, "$3|a b|");
    client.send(b"*1\r\n$x\r\n").await;
    let told = client.reply().await;
    assert_eq!(told, "-ERR Protocol error: invalid bulk length|");
    assert_eq!(client.raw().await, None);
}

async fn turns_away_too_many(port: &Port) {
    let mut clients = Vec::new();
    loop {
        let mut client = port.connect().await;
        client.send(b"PING\r\n").await;
        if client.reply().await == "-ERR max number of clients reached|" {
            break;
        }
        clients.push(client);
    }
    assert!((8..=10).contains(&clients.len()), "{}", clients.len());
    assert!(port.metrics.turned_away.load(Ordering::Relaxed) >= 1);
}

async fn drains(port: Port, mut client: Connection) {
    port.drain.send(true).expect("somebody listens");
    assert_eq!(client.raw().await, None, "who is idle is disconnected");
    port.serving.await.expect("it ends");
    assert_eq!(port.metrics.buffered_bytes.load(Ordering::Relaxed), 0);
}

/// A slot moves from one node to another while it is written.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start(false).await;
    let port = Port::before(&cluster).await;
    let mut client = port.connect().await;
    // `foo` is in slot 12182, the third node's.
    client.ok("SET foo 1").await;
    let (mut source, mut target) = (
        cluster.nodes[2].connect().await,
        cluster.nodes[0].connect().await,
    );
    let id = async |index: usize| {
        let reply = cluster.nodes[index]
            .connect()
            .await
            .ask("CLUSTER MYID")
            .await;
        reply.split('|').nth(1).expect("a bulk string").to_owned()
    };
    let (source_id, target_id) = (id(2).await, id(0).await);
    target
        .ok(&format!("CLUSTER SETSLOT 12182 IMPORTING {source_id}"))
        .await;
    source
        .ok(&format!("CLUSTER SETSLOT 12182 MIGRATING {target_id}"))
        .await;
    // What is still at the source is answered there; what is not, at the target, after ASK.
    assert_eq!(client.ask("GET foo").await, "$1|1|");
    client.ok("SET {foo}new 2").await;
    assert_eq!(target.ask("DBSIZE").await, ":1|");
    assert_eq!(client.ask("MGET {foo}new {foo}new").await, "*2|$1|2|$1|2|");
    let migrate = format!("MIGRATE 127.0.0.1 {} foo 0 5000", cluster.nodes[0].port);
    source.ok(&migrate).await;
    assert_eq!(client.ask("GET foo").await, "$1|1|");
    target
        .ok(&format!("CLUSTER SETSLOT 12182 NODE {target_id}"))
        .await;
    source
        .ok(&format!("CLUSTER SETSLOT 12182 NODE {target_id}"))
        .await;
    let mut bytes = Vec::new();
    for number in 0..100 {
        let value = format!("{number}");
        bytes.extend(command(&[b"SET", b"foo", value.as_bytes()]));
        bytes.extend(command(&[b"GET", b"foo"]));
    }
    client.send(&bytes).await;
    for number in 0..100 {
        assert_eq!(client.reply().await, "+OK|");
        let text = number.to_string();
        assert_eq!(client.reply().await, format!("${}|{text}|", text.len()));
    }
}

/// A primary is killed while it is written to. What was in flight may be unknown; all the rest waits for the successor.
#[tokio::test]
async fn a_failover_is_waited_for() {
    let mut cluster = RedisCluster::start(true).await;
    let port = Port::before(&cluster).await;
    let mut client = port.connect().await;
    client.ok("SET foo before").await;
    // Redis replicates after it has acknowledged; what this test is about is the port.
    let mut third = cluster.nodes[2].connect().await;
    assert_eq!(third.ask("SET foo before").await, "+OK|");
    assert_eq!(third.ask("WAIT 1 5000").await, ":1|");
    cluster.nodes[2].kill();
    assert_eq!(client.ask("GET foo").await, "$6|before|", "it waited");
    client.ok("SET foo after").await;
    assert_eq!(client.ask("GET foo").await, "$5|after|");
    let mut other = port.connect().await;
    assert_eq!(other.ask("GET foo").await, "$5|after|");
    assert!(other.ask("DBSIZE").await.starts_with(':'));
    assert_eq!(port.metrics.gave_up.load(Ordering::Relaxed), 0);
}
