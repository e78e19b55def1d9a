//! Nodes of a cluster whose disks are full.

use std::path::Path;
use std::time::{Duration, Instant};

use server::survey::Survey;

use super::rig::{Cluster, Map};
use crate::disk_full::SmallDisk;
use crate::running::PATIENCE;
use crate::wire::Reply;

/// Room for the files that eight copies make ahead, and some more.
const SIZE: &str = "220m";
const KEYS: usize = 64;
/// More than fit on the disks.
const MOST: usize = 100_000;
/// Whoever is told to wait for so long is told no.
const WAITED: Duration = Duration::from_secs(10);

/// A cluster of three, some of whose nodes have a small disk each. Nothing, if such disks cannot be made here.
fn start(small: &[u32]) -> Option<(Cluster, Vec<SmallDisk>)> {
    let folder = tempfile::tempdir().unwrap();
    let at = |node: &u32| folder.path().join(format!("node-{node}"));
    let disks: Option<Vec<SmallDisk>> = small
        .iter()
        .map(|node| SmallDisk::mount_at(&at(node), SIZE))
        .collect();
    let Some(disks) = disks else {
        println!("skipped: only root can mount a small file system");
        return None;
    };
    let map = Map::start(Path::new(folder.path()), "127.0.0.1:0", "");
    let meta = format!("tenure://{}", map.address);
    Some((Cluster::with(folder, Some(map), &meta, 3, &[]), disks))
}

fn key(n: usize) -> String {
    format!("key-{}", n % KEYS)
}

/// Large, so that the log soon needs another file.
fn value(n: usize) -> String {
    format!("{n:0>50000}")
}

/// A key of before.
fn kept(n: usize) -> String {
    format!("kept-{n}")
}

fn leads(survey: &Survey, node: u32) -> bool {
    survey.shards.iter().any(|shard| shard.primary == node)
}

#[test]
fn a_primary_whose_disk_is_full_is_relieved_before_anybody_notices() {
    let Some((cluster, disks)) = start(&[1]) else {
        return;
    };
    let mut client = cluster.client();
    assert!(leads(&cluster.survey(), 1));
    disks[0].fill();
    // So many writes that node 1 would need more files than it has made ahead.
    let mut refused = 0;
    for n in 0..40 * KEYS {
        let reply = client.until_answered(&key(n), &["SET", &key(n), &value(n)]);
        refused += usize::from(!reply.is_ok());
    }
    cluster.until("others lead", |survey| {
        survey.is_served() && !leads(survey, 1)
    });
    println!("{refused} of {} writes were refused", 40 * KEYS);
    assert_eq!(refused, 0, "it said so before its last file was full");
    for n in 39 * KEYS..40 * KEYS {
        let reply = client.until_answered(&key(n), &["GET", &key(n)]);
        assert_eq!(reply, Reply::Bulk(Some(value(n).into_bytes())));
    }
    disks[0].clear();
    cluster.until("it leads its share again", |survey| {
        survey.is_whole() && leads(survey, 1)
    });
}

#[test]
fn where_all_disks_are_full_reads_go_on() {
    let Some((mut cluster, disks)) = start(&[1, 2, 3]) else {
        return;
    };
    let mut client = cluster.client();
    for key in (0..KEYS).map(kept) {
        assert!(client.until_answered(&key, &["SET", &key, "kept"]).is_ok());
    }
    disks.iter().for_each(SmallDisk::fill);
    let refusal = write_until_refused(&cluster);
    assert!(
        refusal.starts_with("MISCONF") && refusal.contains("no space"),
        "{refusal}"
    );
    read_on(&cluster);
    for node in [1, 2, 3] {
        lose_and_start_again(&mut cluster, &disks, node);
        disks.iter().for_each(SmallDisk::clear);
        cluster.until("there is room again", Survey::is_whole);
        disks.iter().for_each(SmallDisk::fill);
        read_on(&cluster);
    }
    disks.iter().for_each(SmallDisk::clear);
    let (mut client, began) = (cluster.client(), Instant::now());
    while !client
        .until_answered("kept-0", &["SET", "kept-0", "again"])
        .is_ok()
    {
        assert!(began.elapsed() < PATIENCE, "writes did not resume");
    }
}

/// What the node led gets a new epoch, whose members have to keep what they promise on disks that have no room; then it comes back, as the
/// same member, to one.
fn lose_and_start_again(cluster: &mut Cluster, disks: &[SmallDisk], node: u32) {
    let row = |survey: &Survey| survey.nodes.iter().find(|row| row.node == node).cloned();
    let before = row(&cluster.survey()).expect("it is a member");
    cluster.kill(node);
    disks.iter().for_each(SmallDisk::fill);
    cluster.until("others lead", |survey| {
        survey.is_served() && !leads(survey, node)
    });
    read_on(cluster);
    cluster.start_node(node);
    disks.iter().for_each(SmallDisk::fill);
    let after = cluster.until("it is back", |survey| {
        let mut members = survey.shards.iter().flat_map(|shard| &shard.members);
        survey.is_served() && members.all(|member| member.present)
    });
    assert_eq!(row(&after).map(|row| row.life), Some(before.life));
    read_on(cluster);
}

/// Reads everything, from whoever leads by now; for longer than it takes until nobody can tell the time any more.
fn read_on(cluster: &Cluster) {
    let mut client = cluster.client();
    for key in (0..KEYS).map(kept) {
        client.until_answered(&key, &["GET", &key]);
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        for key in (0..KEYS).map(kept) {
            // Redirected at most: whoever is told to wait is told so after two seconds, and again.
            let mut read = || client.redirected(&key, &["GET", &key]).unwrap();
            let reply = read().or_else(&mut read);
            let kept = Some(Reply::Bulk(Some(b"kept".to_vec())));
            assert_eq!(reply, kept, "{key}: {}", client.refusal());
        }
    }
}

/// Fills the log of one shard until it takes nothing more. Returns what is said then.
fn write_until_refused(cluster: &Cluster) -> String {
    let mut client = cluster.client();
    let (mut n, mut taken) = (0, Instant::now());
    while taken.elapsed() < WAITED {
        let key = format!("{{one}}:{n}");
        let reply = client.once(&key, &["SET", &key, &value(n)]);
        match reply.ok().flatten() {
            Some(reply) if reply.is_ok() => (n, taken) = (n + 1, Instant::now()),
            Some(reply) => return reply.error().expect("OK or an error").to_owned(),
            None => (),
        }
        assert!(n < MOST, "nothing is refused");
    }
    panic!("whoever writes is told to wait: {:?}", cluster.survey());
}
