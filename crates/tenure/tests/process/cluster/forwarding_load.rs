//! The forwarding port under what clients do to it: long pipelines, large values, unread replies, half requests, lost quorums.

use std::thread;
use std::time::Instant;

use super::forwarding::{forward_of, forwarding};
use super::rig::Cluster;
use crate::running::{PATIENCE, Running};
use crate::wire::{Client, Reply, encode};

fn connect(cluster: &Cluster, node: u32) -> Client {
    Client::connect(&forward_of(&cluster.nodes[&node]))
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
    }
}

/// All shards are named in turn, so replies come from all nodes; they leave in the order of the commands.
#[test]
fn a_pipeline_of_100_000_commands_is_answered_in_order() {
    const COMMANDS: usize = 100_000;
    let cluster = forwarding(&[]);
    let address = forward_of(&cluster.nodes[&1]);
    let mut client = Client::connect(&address);
    let mut sender = client.another().unwrap();
    let sending = thread::spawn(move || {
        let mut bytes = Vec::new();
        for n in 0..COMMANDS / 2 {
            let (key, value) = (format!("key:{}", n % 1_000), n.to_string());
            bytes.extend(encode(&[b"SET", key.as_bytes(), value.as_bytes()]));
            bytes.extend(encode(&[b"GET", key.as_bytes()]));
        }
        sender.send(&bytes).unwrap();
    });
    for n in 0..COMMANDS / 2 {
        assert!(client.reply().unwrap().is_ok(), "{n}");
        let value = Reply::Bulk(Some(n.to_string().into()));
        assert_eq!(client.reply().unwrap(), value);
    }
    sending.join().unwrap();
}

#[test]
fn the_longest_values_pass_in_both_directions() {
    let cluster = forwarding(&["--max-value", "7MiB"]);
    let mut client = connect(&cluster, 1);
    let value: Vec<u8> = (0..7 << 20).map(|n: u32| (n % 251) as u8).collect();
    for key in [&b"a"[..], b"b", b"c"] {
        let reply = client.call(&[b"SET", key, &value]).unwrap();
        assert!(reply.is_ok(), "{reply:?}");
    }
    for key in [&b"a"[..], b"b", b"c"] {
        assert!(client.call(&[b"GET", key]).unwrap() == Reply::Bulk(Some(value.clone())));
    }
    // What is too long is refused before it is sent.
    client
        .send(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n", value.len() + 1).as_bytes())
        .unwrap();
    let refused = client.reply().unwrap();
    let refused = refused.error().expect("an error");
    assert!(refused.contains("invalid bulk length"), "{refused}");
}

/// A client that goes in the middle of a command has not sent it; what it left behind is forgotten.
#[test]
fn half_a_command_is_none() {
    let cluster = forwarding(&[]);
    let node = &cluster.nodes[&1];
    let mut client = connect(&cluster, 1);
    let whole = encode(&[b"SET", b"whole", b"1"]);
    let half = encode(&[b"SET", b"half", &[b'x'; 100_000]]);
    client
        .send(&[&whole[..], &half[..half.len() - 1]].concat())
        .unwrap();
    assert!(client.reply().unwrap().is_ok());
    drop(client);
    until("it is gone", || {
        node.metric("tenure_forward_clients") == 0.0
            && node.metric("tenure_forward_buffered_bytes") == 0.0
    });
    let mut other = connect(&cluster, 2);
    assert_eq!(other.run("EXISTS whole"), Reply::Integer(1));
    assert_eq!(other.run("EXISTS half"), Reply::Integer(0));
}

/// A node's memory, and what of it clients of the forwarding port may leave unread.
const MEMORY: &str = "128MiB";
const BUFFERS: f64 = (16 << 20) as f64;

/// Forty clients ask for 16 MiB each and read nothing. The memory for that is bounded, those who leave most unread are cut off, and others are
/// served all the while.
#[test]
fn who_does_not_read_is_cut_off_and_harms_nobody() {
    let cluster = forwarding(&["--memory", MEMORY]);
    let node = &cluster.nodes[&1];
    let mut other = connect(&cluster, 1);
    let value = vec![b'v'; 1 << 20];
    for n in 0..8 {
        let key = format!("large:{n}");
        assert!(
            other
                .call(&[b"SET", key.as_bytes(), &value])
                .unwrap()
                .is_ok()
        );
    }
    let asked: Vec<u8> = (0..16)
        .flat_map(|n| format!("GET large:{}\r\n", n % 8).into_bytes())
        .collect();
    let mut idle = Vec::new();
    for n in 0..40 {
        let mut client = connect(&cluster, 1);
        client.send(&asked).unwrap();
        idle.push(client);
        serves(&mut other, n);
        bounded(node);
    }
    until("some are cut off", || {
        bounded(node);
        node.metric("tenure_forward_cut_off_total") > 0.0
    });
    serves(&mut other, 41);
    // Who reads after all gets everything that he was not cut off from, and whoever was finds the end of the connection.
    let lens: Vec<usize> = idle
        .iter_mut()
        .map(|client| {
            client.finish_quietly();
            client.rest().map_or(0, |rest| rest.len())
        })
        .collect();
    let whole = 16 * ((1 << 20) + "$1048576\r\n\r\n".len());
    assert!(
        lens.iter().all(|len| *len <= whole) && lens.contains(&whole),
        "{lens:?}"
    );
    until("it is all given back", || {
        node.metric("tenure_forward_buffered_bytes") < 1e6
    });
    serves(&mut other, 42);
}

fn serves(client: &mut Client, n: usize) {
    let (key, value) = (format!("small:{n}"), n.to_string());
    let reply = client.call(&[b"SET", key.as_bytes(), value.as_bytes()]);
    assert!(reply.unwrap().is_ok());
    assert_eq!(
        client.run(&format!("GET {key}")),
        Reply::Bulk(Some(value.into()))
    );
}

/// What waits is bounded: by the memory for it, and by a little for each client.
fn bounded(node: &Running) {
    let most = BUFFERS + 41.0 * f64::from(192 << 10);
    let kept = node.metric("tenure_forward_buffered_bytes");
    assert!(kept <= most, "{kept}");
}

/// One command that asks for more than there is memory for ends its connection, and nobody else's.
#[test]
fn a_reply_longer_than_the_memory_for_it_is_not_collected() {
    let cluster = forwarding(&["--memory", MEMORY]);
    let mut client = connect(&cluster, 1);
    let value = vec![b'v'; 1 << 20];
    let keys: Vec<String> = (0..24).map(|n| format!("large:{n}")).collect();
    for key in &keys {
        let set = client.call(&[b"SET", key.as_bytes(), &value]).unwrap();
        assert!(set.is_ok(), "{set:?}");
    }
    client
        .send(format!("MGET {}\r\n", keys.join(" ")).as_bytes())
        .unwrap();
    assert_eq!(client.rest().unwrap(), b"", "the connection ends");
    let node = &cluster.nodes[&1];
    assert_eq!(node.metric("tenure_forward_cut_off_total"), 1.0);
    until("it is given back", || {
        node.metric("tenure_forward_buffered_bytes") == 0.0
    });
    serves(&mut connect(&cluster, 1), 1);
}

/// Of five nodes two stand still: some shards have lost their quorum, others have not. A command over several shards is then answered with the
/// error of the first that failed, and has happened in those that did not.
#[test]
fn of_a_command_over_several_shards_some_parts_may_fail() {
    let options = ["--forward", "127.0.0.1:0", "--forward-wait", "3s"];
    let cluster = Cluster::start(5, &options);
    cluster.settle();
    let mut client = connect(&cluster, 1);
    let (lost, kept) = keys_of_two_shards(&cluster);
    for node in [4, 5] {
        cluster.nodes[&node].signal("STOP");
    }
    // A shard that two nodes of three are left of fails over; afterwards it is served.
    until("the other shard is served", || {
        let mut client = connect(&cluster, 1);
        client.run(&format!("SET {kept} before")).is_ok()
    });
    let reply = client.run(&format!("MSET {lost} after {kept} after"));
    let told = reply
        .error()
        .expect("one of two cannot be written")
        .to_owned();
    // Its primary may be one of those that stand still, and have been sent it.
    let errors = ["NOQUORUM", "CLUSTERDOWN", "UNKNOWN"];
    assert!(errors.iter().any(|e| told.starts_with(e)), "{told}");
    let after = Reply::Bulk(Some(b"after".to_vec()));
    assert_eq!(client.run(&format!("GET {kept}")), after, "the other was");
    let reply = client.run(&format!("DEL {lost} {kept}"));
    assert!(reply.error().is_some(), "{reply:?}");
    assert_eq!(client.run(&format!("GET {kept}")), Reply::Bulk(None));
    for node in [4, 5] {
        cluster.nodes[&node].signal("CONT");
    }
    until("all is served again", || {
        let mut client = connect(&cluster, 1);
        client
            .run(&format!("MSET {lost} again {kept} again"))
            .is_ok()
    });
}

/// A key of a shard that nodes 4 and 5 both hold, and one of a shard that at most one of them does.
fn keys_of_two_shards(cluster: &Cluster) -> (String, String) {
    let survey = cluster.survey();
    let both = |slot: u16| {
        let mut shards = survey.shards.iter();
        let shard = shards.find(|s| (s.first_slot..=s.last_slot).contains(&slot));
        let members = shard.expect("all slots are someone's").members.iter();
        members.filter(|member| member.node > 3).count() == 2
    };
    let mut client = cluster.nodes[&1].client();
    let mut find = |want: bool| {
        let mut keys = (0..10_000).map(|n| format!("key:{n}"));
        keys.find(|key| match client.run(&format!("CLUSTER KEYSLOT {key}")) {
            Reply::Integer(slot) => both(slot as u16) == want,
            Reply::Status(_) | Reply::Error(_) | Reply::Bulk(_) | Reply::Array(_) => false,
        })
        .expect("copies are spread")
    };
    (find(true), find(false))
}
