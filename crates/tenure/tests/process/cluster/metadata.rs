//! The metadata store is down, and comes back.

use super::rig::{Cluster, ClusterClient};
use crate::wire::Reply;

fn write_and_read(client: &mut ClusterClient, value: &str) {
    for n in 0..100 {
        let key = format!("key-{n}");
        assert!(client.until_answered(&key, &["SET", &key, value]).is_ok());
        let reply = client.until_answered(&key, &["GET", &key]);
        assert_eq!(reply, Reply::Bulk(Some(value.into())));
    }
}

#[test]
fn without_its_map_a_cluster_serves_on_and_with_it_again_fails_over() {
    let mut cluster = Cluster::start(3, &[]);
    let mut client = cluster.client();
    write_and_read(&mut client, "before");
    cluster.map.take().unwrap().kill();
    cluster.until("it is noticed", |survey| !survey.store_answers);
    write_and_read(&mut client, "without");
    let survey = cluster.survey();
    let victim = survey.shards[0].primary;
    cluster.kill(victim);
    cluster.restart_map();
    // The successor can be named only now.
    write_and_read(&mut client, "again");
    cluster.start_node(victim);
    cluster.until("the node is filled again", |survey| {
        survey.is_whole() && survey.store_answers
    });
    write_and_read(&mut client, "healed");
}
