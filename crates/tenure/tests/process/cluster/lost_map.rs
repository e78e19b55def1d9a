//! The metadata store loses what it had: it is restored from a backup, or empty.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use server::survey::Survey;

use super::failover::{read_all, write_all};
use super::metadata::{Etcd, write_and_read};
use super::power::{damage, lose_power};
use super::rig::{Cluster, ClusterClient};
use crate::running::PATIENCE;
use crate::wire::Reply;

/// Epochs that are left free for what was lost.
const LEAP: u32 = 1_000;

fn read(client: &mut ClusterClient, value: &str) {
    for n in 0..100 {
        let key = format!("key-{n}");
        let reply = client.until_answered(&key, &["GET", &key]);
        assert_eq!(reply, Reply::Bulk(Some(value.into())), "{key}");
    }
}

fn map_file(cluster: &Cluster) -> PathBuf {
    cluster.dir(1).with_file_name("metadata.redb")
}

/// So many shards at least have gone on behind what may be lost, and everything is well.
fn until_made_good(cluster: &Cluster, shards: usize) {
    cluster.until("the map is made good", |survey| {
        let leapt = survey.shards.iter().filter(|shard| shard.epoch > LEAP);
        leapt.count() >= shards && survey.is_whole()
    });
}

#[test]
fn a_map_that_is_lost_is_made_good_from_what_the_nodes_know() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    write_and_read(&mut client, "before");
    cluster.settle();
    // A backup of the map, and then a failover that it does not know of.
    cluster.map.take().unwrap().kill();
    let (file, backup) = (map_file(&cluster), cluster.dir(1).with_file_name("backup"));
    fs::copy(&file, &backup).unwrap();
    cluster.restart_map();
    cluster.kill(2);
    write_and_read(&mut client, "behind the backup");
    cluster.start_node(2);
    cluster.until("it is back", Survey::is_whole);

    cluster.map.take().unwrap().kill();
    fs::rename(&backup, &file).unwrap();
    cluster.restart_map();
    read(&mut client, "behind the backup");
    // Of those that node 2 led.
    until_made_good(&cluster, 1);
    read(&mut client, "behind the backup");
    // And nobody is in the way of the next failover.
    cluster.kill(1);
    write_and_read(&mut client, "once more");
    cluster.start_node(1);
    cluster.until("it is back", Survey::is_whole);

    // Nothing is left of the map, and all processes have died: what they know is in their directories.
    cluster.map.take().unwrap().kill();
    fs::remove_file(&file).unwrap();
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster.restart_map();
    for node in 1..=3 {
        cluster.start_node(node);
    }
    until_made_good(&cluster, 8);
    let mut client = cluster.client();
    read(&mut client, "once more");
    write_and_read(&mut client, "healed");
}

#[test]
fn an_etcd_that_comes_back_empty_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(folder.path());
    let dir = folder.path().to_owned();
    let meta = format!("etcd://{}", etcd.address);
    let mut cluster = Cluster::with(folder, None, &meta, 3, &[]);
    let mut client = cluster.client();
    write_and_read(&mut client, "before");
    etcd.lose_all(&dir);
    read(&mut client, "before");
    until_made_good(&cluster, 8);
    let victim = cluster.survey().shards[0].primary;
    cluster.kill(victim);
    write_and_read(&mut client, "after");
}

/// Nobody knows who has had copies: an operator says when all are there that may have had some.
#[test]
fn a_map_that_is_lost_with_the_power_waits_for_an_operator() {
    let mut cluster = Cluster::start(3, &["--sync", "everysec"]);
    let mut client = cluster.client();
    let value = "kept".repeat(50);
    write_all(&mut client, &value);
    cluster.settle();
    let file = map_file(&cluster);
    cluster.map.take().unwrap().kill();
    fs::remove_file(&file).unwrap();
    for node in 1..=3 {
        lose_power(&mut cluster, node);
    }
    // What it has left of one shard lacks something: another goes on.
    damage(&cluster.dir(1));
    cluster.restart_map();
    for node in 1..=3 {
        cluster.start_node(node);
    }
    cluster.until("it is said", |survey| survey.behind_by_relics.len() == 8);
    let status = cluster.command(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout);
    let advice = "tenure cluster recover 0 1 2 3 4 5 6 7 --longest";
    assert!(!status.status.success() && text.contains(advice), "{text}");

    let shards = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let began = Instant::now();
    loop {
        let first = cluster.command(&["recover", "0", "--longest"]);
        let text = String::from_utf8_lossy(&first.stderr);
        if first.status.success() {
            break;
        }
        // The last of them may have started just now, or replaces what is damaged.
        assert!(text.contains("has not said yet all that it has"), "{text}");
        assert!(began.elapsed() < PATIENCE, "{text}");
    }
    let others = [&["recover", "--longest"], &shards[1..]].concat();
    let recovered = cluster.command(&others);
    assert!(recovered.status.success(), "{recovered:?}");
    read_all(&mut cluster.client(), &value);
    cluster.until("it is well", Survey::is_whole);
    // Those that can be are acknowledged, and it is said which cannot.
    let most = cluster.command(&[&["acknowledge", "99"], &shards[..]].concat());
    let text = String::from_utf8_lossy(&most.stderr);
    assert!(
        !most.status.success() && text.contains("acknowledge 99: "),
        "{text}"
    );
    cluster.until("nothing is reported", |survey| survey.losses.is_empty());
}
