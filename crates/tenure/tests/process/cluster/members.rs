//! Nodes that come and go.

use super::rig::Cluster;
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
