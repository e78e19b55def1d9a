//! A primary dies, or is stopped.

use std::time::Instant;

use server::survey::Survey;

use super::rig::{Cluster, ClusterClient};
use crate::wire::Reply;

const KEYS: usize = 200;

fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("key-{n}")).collect()
}

/// Writes this under all keys.
pub fn write_all(client: &mut ClusterClient, value: &str) {
    for key in keys() {
        let reply = client.until_answered(&key, &["SET", &key, value]);
        assert!(reply.is_ok(), "{key}: {reply:?}");
    }
}

/// Reads it there.
pub fn read_all(client: &mut ClusterClient, value: &str) {
    for key in keys() {
        let reply = client.until_answered(&key, &["GET", &key]);
        assert_eq!(reply, Reply::Bulk(Some(value.into())), "{key}");
    }
}

/// The node that leads most of the shards.
fn busiest(cluster: &Cluster) -> u32 {
    let survey = cluster.survey();
    let busiest = survey.nodes.iter().max_by_key(|node| node.primaries);
    busiest.expect("there are nodes").node
}

#[test]
fn a_killed_primary_is_followed_by_one_that_has_every_acknowledged_write() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    write_all(&mut client, "before");
    let victim = busiest(&cluster);
    let address = cluster.nodes[&victim].address.clone();
    let lost = keys().into_iter().find(|key| client.home(key) == address);
    let lost = lost.expect("it leads something");
    cluster.kill(victim);
    let began = Instant::now();
    assert!(
        client
            .until_answered(&lost, &["SET", &lost, "before"])
            .is_ok()
    );
    println!("the first write after {} ms", began.elapsed().as_millis());
    read_all(&mut client, "before");
    write_all(&mut client, "after");
    cluster.start_node(victim);
    cluster.until("the node is filled again", |survey| {
        survey.is_whole() && survey.nodes.iter().all(|node| node.copies == 8)
    });
    read_all(&mut client, "after");
}

#[test]
fn a_stopped_node_hands_over_first_and_every_request_is_answered_or_redirected() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    write_all(&mut client, "before");
    let node = busiest(&cluster);
    let stopping = cluster.nodes.remove(&node).unwrap();
    stopping.signal("TERM");
    // Whoever writes meanwhile is answered, redirected, or told so: only a connection that was closed leaves him in doubt.
    write_all(&mut client, "during");
    let (status, log) = stopping.wait();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("leaving") && log.contains("stopped"), "{log}");
    read_all(&mut client, "during");
    let survey = cluster.until("others lead", |survey| {
        survey.is_served() && survey.shards.iter().all(|shard| shard.primary != node)
    });
    assert!(
        survey.shards.iter().all(|shard| shard.members.len() == 3),
        "its copies wait for it"
    );
    cluster.start_node(node);
    cluster.until("it is back", |survey| survey.is_whole());
    read_all(&mut client, "during");
}

#[test]
fn all_killed_at_once_come_back_with_every_acknowledged_write() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    write_all(&mut client, "kept");
    for node in 1..=3 {
        cluster.kill(node);
    }
    for node in 1..=3 {
        cluster.start_node(node);
    }
    let mut client = cluster.client();
    read_all(&mut client, "kept");
    write_all(&mut client, "more");
    cluster.until("all is well again", Survey::is_whole);
}

#[test]
fn a_node_that_keeps_nothing_on_disk_is_filled_by_the_others() {
    let mut cluster = Cluster::start(3, &["--dir", "off"]);
    let mut client = cluster.client();
    write_all(&mut client, "kept");
    for node in 1..=3 {
        let life = |survey: &Survey| {
            let row = survey.nodes.iter().find(|row| row.node == node);
            row.map(|row| row.life.clone())
        };
        let before = life(&cluster.survey());
        cluster.kill(node);
        cluster.start_node(node);
        cluster.until("another life is filled", |survey| {
            life(survey) != before && survey.is_whole()
        });
    }
    let mut client = cluster.client();
    read_all(&mut client, "kept");
}

#[test]
fn a_node_whose_disk_has_lost_a_file_begins_a_new_life() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    write_all(&mut client, "kept");
    cluster.stop(2);
    let copies = std::fs::read_dir(cluster.dir(2).join("copies")).unwrap();
    let segments = copies.map(|copy| copy.unwrap().path().join("segments"));
    let mut files = segments.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    std::fs::remove_file(files.next().expect("a file").unwrap().path()).unwrap();
    cluster.start_node(2);
    cluster.until("it is filled", Survey::is_whole);
    let mut client = cluster.client();
    read_all(&mut client, "kept");
    let log = cluster.stop(2);
    assert!(
        log.contains("a segment file is missing") && log.contains("begins a new life"),
        "{log}"
    );
    cluster.start_node(2);
    cluster.until("it is back", Survey::is_whole);
    let log = cluster.stop(2);
    assert!(!log.contains("is missing"), "it is reported once: {log}");
}

#[test]
fn the_figures_of_a_member_are_among_the_metrics() {
    let cluster = Cluster::start(3, &[]);
    let nodes = || cluster.nodes.values();
    let sum = |name: &str| nodes().map(|node| node.metric(name)).sum::<f64>();
    assert!((sum("tenure_cluster_coordinates") - 1.0).abs() < 0.1);
    assert!((sum("tenure_copies{role=\"primary\"}") - 8.0).abs() < 0.1);
    assert!((sum("tenure_copies{role=\"standby\"}") - 16.0).abs() < 0.1);
    assert!((sum("tenure_links") - 6.0).abs() < 0.1);
    assert!(sum("tenure_shard_epoch{shard=\"0\"}") >= 3.0);
    for node in nodes() {
        assert_eq!(node.http("/readyz").1, "serving\n");
    }
}
