//! Whoever is gone without a word is noticed: the kernel asks after the other end of each connection that the server keeps.

use std::time::Instant;

use super::rig::Cluster;
use crate::running::{PATIENCE, between};
use crate::wire::{Client, Reply};

/// In how many hundredths of a second the kernel asks after the other end of the connections from this port, if it does: of one to `to`,
/// or of all. From `/proc/net/tcp`, where that is timer 2; it shows timer 1 instead until what was sent is acknowledged.
fn timers(from: u16, to: Option<u16>) -> Vec<Option<u64>> {
    let began = Instant::now();
    loop {
        let timers = timers_now(from, to);
        if timers.iter().all(|(kind, _)| *kind != 1) {
            let asks = |(kind, when)| (kind == 2).then_some(when);
            return timers.into_iter().map(asks).collect();
        }
        assert!(began.elapsed() < PATIENCE, "{timers:?}");
    }
}

fn timers_now(from: u16, to: Option<u16>) -> Vec<(u64, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |address: &str| u16::from_str_radix(&address[address.len() - 4..], 16).unwrap();
    let timer = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, remote, state) = (port(words[1]), port(words[2]), words[3]);
        let is_meant = local == from && to.is_none_or(|to| to == remote) && state == "01";
        let (kind, when) = words[5].split_once(':').unwrap();
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        is_meant.then(|| (number(kind), number(when)))
    };
    table.lines().skip(1).filter_map(timer).collect()
}

/// The same of the server's end of this client's connection, which is there.
fn timer(client: &Client) -> Option<u64> {
    let (reached, own) = client.ports();
    let timers = timers(reached, Some(own));
    assert_eq!(timers.len(), 1, "{reached} with {own}");
    timers[0]
}

fn is_about(timer: Option<u64>, seconds: u64) {
    let hundredths = timer.expect("it is asked after");
    let range = (seconds - 60) * 100..=seconds * 100;
    assert!(range.contains(&hundredths), "{hundredths} of {seconds} s");
}

#[test]
fn the_kernel_asks_after_the_other_end_of_each_connection() {
    let ports = ["--forward", "127.0.0.1:0", "--sentinel", "127.0.0.1:0"];
    let more = [&ports[..], &["--copies", "1", "--tcp-keepalive", "1000s"]].concat();
    let cluster = Cluster::start(1, &more);
    let node = &cluster.nodes[&1];
    let forward = between(&node.ready, "forward ", ",");
    let sentinel = between(&node.ready, "sentinel ", ")");
    let mut clients = [&node.address, forward, sentinel].map(Client::connect);
    for client in &mut clients {
        assert_eq!(client.run("PING"), Reply::Status("PONG".into()));
        is_about(timer(client), 1_000);
    }
    let [client, forwarded, _] = &mut clients;
    // Behind the forwarding port, both ends of its connections to the node: besides this client's own.
    forwarded.run("SET a b");
    let (reached, _) = client.ports();
    let behind = timers(reached, None);
    assert!(behind.len() > 1, "{behind:?}");
    for timer in behind {
        is_about(timer, 1_000);
    }
    // As Redis: it holds for whoever comes from now on.
    assert!(client.run("CONFIG SET tcp-keepalive 0").is_ok());
    let mut other = node.client();
    other.run("PING");
    assert_eq!(timer(&other), None);
    is_about(timer(client), 1_000);
    // Of the map, for as long as it is watched.
    let map = &cluster.map.as_ref().unwrap().address;
    let (_, port) = map.rsplit_once(':').unwrap();
    let port = port.parse().unwrap();
    // A watch that has ended is begun again a moment later.
    let began = Instant::now();
    loop {
        let watches = timers(port, None);
        if watches.iter().flatten().any(|&timer| timer <= 200) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{watches:?}");
    }
}
