//! Nodes that come and go.

use super::rig::{Cluster, Map};
use crate::running::{Running, fails, tenure};
use crate::wire::Reply;

#[test]
fn a_fourth_node_gets_its_share_and_a_drained_one_can_go() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    for n in 0..200 {
        let key = format!("key-{n}");
        assert!(client.until_answered(&key, &["SET", &key, "v"]).is_ok());
    }
    cluster.start_node(4);
    client.seeds.push(cluster.nodes[&4].address.clone());
    cluster.until("node 4 has its share", |survey| {
        let four = survey.nodes.iter().find(|node| node.node == 4);
        survey.is_whole() && four.is_some_and(|node| node.copies >= 3 && node.primaries > 0)
    });
    let drained = cluster.command(&["drain", "2"]);
    assert!(drained.status.success(), "{drained:?}");
    let survey = cluster.survey();
    let two = survey.nodes.iter().find(|node| node.node == 2).unwrap();
    assert_eq!((two.state.as_str(), two.copies), ("gone", 0));
    let alive = cluster.command(&["forget", "1"]);
    let why = String::from_utf8(alive.stderr).unwrap();
    assert!(
        !alive.status.success() && why.contains("still answers"),
        "{why}"
    );
    cluster.stop(2);
    let forgotten = cluster.command(&["forget", "2"]);
    assert!(forgotten.status.success(), "{forgotten:?}");
    let status = cluster.command(&["status"]);
    assert!(status.status.success(), "{status:?}");
    client.seeds.remove(1);
    for n in 0..200 {
        let key = format!("key-{n}");
        let reply = client.until_answered(&key, &["GET", &key]);
        assert_eq!(reply, Reply::Bulk(Some(b"v".to_vec())));
    }
}

#[test]
fn who_belongs_to_another_cluster_or_does_not_know_its_secret_stays_outside() {
    let cluster = Cluster::start(3, &[]);
    let dir = tempfile::tempdir().unwrap();
    let map = &cluster.map.as_ref().unwrap().address;
    let meta = format!("tenure://{map}");
    let options = [
        "--meta",
        &meta,
        "--peer",
        "127.0.0.1:0",
        "--node",
        "9",
        "--cluster",
        "other",
    ];
    let stranger = Running::spawn(&mut tenure(dir.path(), &options));
    while !stranger.log().contains("it belongs to another cluster")
        && !cluster
            .nodes
            .values()
            .any(|node| node.log().contains("it belongs to another cluster"))
    {
        // It is told to be refused by whoever opened the link.
        cluster.survey();
    }
    let survey = cluster.survey();
    assert!(
        survey
            .shards
            .iter()
            .all(|s| s.members.iter().all(|m| m.node != 9))
    );
}

#[test]
fn whoever_commands_a_cluster_with_a_secret_has_to_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let map = Map::start(folder.path(), "127.0.0.1:0", "sesame");
    let meta = format!("tenure://{}", map.address);
    let secret = ["--cluster-secret", "sesame"];
    let cluster = Cluster::with(folder, Some(map), &meta, 3, &secret);
    let refused = cluster.command(&["drain", "3", "--no-wait"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && why.contains("TENURE_CLUSTER_SECRET"),
        "{why}"
    );
    let mut command = cluster.commander(&["drain", "3", "--no-wait"]);
    let taken = command
        .env("TENURE_CLUSTER_SECRET", "sesame")
        .output()
        .unwrap();
    assert!(taken.status.success(), "{taken:?}");
    cluster.until("it is draining", |survey| {
        survey.nodes[2].state == "draining"
    });
    let looked = cluster.command(&["nodes"]);
    assert!(looked.status.success(), "whoever reaches the port may look");
}

#[test]
fn nodes_of_one_process_never_hold_two_copies_of_a_shard() {
    let mut cluster = Cluster::start(3, &[]);
    let meta = format!("tenure://{}", cluster.map.as_ref().unwrap().address);
    let dir = tempfile::tempdir().unwrap();
    let options = [
        "--meta",
        &meta,
        "--peer",
        "127.0.0.1:0",
        "--node",
        "4",
        "--nodes",
        "2",
    ];
    // The first of its two ready lines is waited for.
    let two = Running::spawn(&mut tenure(dir.path(), &options));
    let survey = cluster.until("both have their share", |survey| {
        let new = survey.nodes.iter().filter(|node| node.node > 3);
        survey.is_whole() && new.filter(|node| node.copies > 2).count() == 2
    });
    for shard in &survey.shards {
        let together = shard.members.iter().filter(|member| member.node > 3);
        assert!(together.count() < 2, "{shard:?}");
    }
    let mut client = cluster.client();
    assert!(client.until_answered("k", &["SET", "k", "v"]).is_ok());
    let log = two.stop();
    assert_eq!(log.matches(" stopped").count(), 2, "{log}");
    cluster.until("the others lead", |survey| {
        survey.is_served() && survey.shards.iter().all(|shard| shard.primary < 4)
    });
    cluster.stop(3);
}

#[test]
fn a_configuration_that_cannot_be_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [
        (vec!["--meta", "zookeeper://x:1"], "expected embedded"),
        (
            vec![
                "--meta",
                "tenure://127.0.0.1:1",
                "--copies",
                "3",
                "--quorum",
                "1",
            ],
            "more than half",
        ),
        (
            vec!["--meta", "tenure://127.0.0.1:1", "--peer", "0.0.0.0:0"],
            "cluster-secret",
        ),
        (
            vec!["--meta", "etcd://127.0.0.1:1", "--meta-cert", "x"],
            "belong together",
        ),
        (
            vec!["--meta", "tenure://127.0.0.1:1", "--node", "0"],
            "whole number",
        ),
    ];
    for (options, why) in wrong {
        let (code, _, error) = fails(&mut tenure(dir.path(), &options));
        assert_eq!(code, 1);
        assert!(error.contains(why) && error.lines().count() == 1, "{error}");
    }
}
