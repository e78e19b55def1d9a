//! A copy that sets aside what it has while it is filled by the only other that has it: that one loses its disk meanwhile.

use std::path::Path;
use std::time::Instant;

use server::survey::Survey;

use super::rig::Cluster;
use crate::running::PATIENCE;
use crate::wire::{Client, Reply};

/// Enough to be filled for some hundred milliseconds.
const KEYS: usize = 600;
const VALUE_BYTES: usize = 128 << 10;
/// Written while one node is away.
const LATER: usize = 20;
/// A copy may be filled before its primary is gone: then it is not taken back, and nothing is seen of that.
const ATTEMPTS: usize = 5;

fn key(n: usize) -> String {
    format!("{{bag}}:{n}")
}

fn value(n: usize) -> String {
    format!("{n:08}").repeat(VALUE_BYTES / 8)
}

fn write(cluster: &Cluster, keys: std::ops::Range<usize>) -> String {
    let mut client = cluster.client();
    for n in keys {
        let (key, value) = (key(n), value(n));
        let reply = client.until_answered("{bag}", &["SET", &key, &value]);
        assert!(reply.is_ok(), "{key}: {reply:?}");
    }
    client.home("{bag}").to_owned()
}

/// Folders of copies, but for the spare one.
fn folders(dir: &Path) -> usize {
    let folders = std::fs::read_dir(dir.join("copies")).unwrap();
    let names = folders.filter_map(|folder| folder.ok()?.file_name().into_string().ok());
    names.filter(|name| name != "spare").count()
}

/// Returns whether a copy was taken back.
fn loses_the_disk_while_it_fills() -> bool {
    let mut cluster = Cluster::start(3, &["--memory", "512MiB"]);
    let home = write(&cluster, 0..KEYS);
    let mut nodes = cluster.nodes.iter();
    let primary = *nodes.find(|(_, node)| node.address == home).unwrap().0;
    let mut others = (1..=3).filter(|node| *node != primary);
    let (away, keeper) = (others.next().unwrap(), others.next().unwrap());
    cluster.kill(away);
    assert_eq!(write(&cluster, KEYS..KEYS + LATER), home);
    let served = |survey: &Survey| survey.shards.iter().all(|shard| shard.phase == "serving");
    cluster.until("what it led is led by others", |survey| {
        served(survey) && survey.shards.iter().all(|shard| shard.primary != away)
    });
    cluster.kill(keeper);
    // Nobody acknowledges it, and no log can say it to whoever has missed it.
    let mut client = Client::connect(&home);
    client
        .send(b"SELECT 1\r\nSET {bag} 1\r\nFLUSHDB\r\n")
        .unwrap();
    assert!(client.reply().unwrap().is_ok());
    std::thread::sleep(std::time::Duration::from_millis(100));
    cluster.kill(primary);
    cluster.start_node(primary);
    cluster.start_node(keeper);
    let began = Instant::now();
    while folders(&cluster.dir(keeper)) <= 8 {
        assert!(began.elapsed() < PATIENCE, "nothing is set aside");
    }
    cluster.kill(primary);
    std::fs::remove_dir_all(cluster.dir(primary)).unwrap();
    cluster.start_node(away);
    cluster.start_node(primary);
    let mut client = cluster.client();
    for n in 0..KEYS + LATER {
        let reply = client.until_answered("{bag}", &["GET", &key(n)]);
        assert_eq!(reply, Reply::Bulk(Some(value(n).into_bytes())), "{n}");
    }
    let taken_back = cluster.nodes[&keeper].metric("tenure_copies_taken_back_total");
    taken_back > 0.0
}

#[test]
fn what_was_set_aside_comes_back_where_nobody_else_has_it() {
    let attempts = (0..ATTEMPTS).any(|_| loses_the_disk_while_it_fills());
    assert!(
        attempts,
        "in {ATTEMPTS} attempts each copy was filled in time"
    );
}
