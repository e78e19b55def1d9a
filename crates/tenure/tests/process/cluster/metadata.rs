//! The metadata store is down, and comes back.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use server::survey::Survey;

use super::rig::{Cluster, ClusterClient};
use crate::running::PATIENCE;
use crate::wire::Reply;

pub(super) fn write_and_read(client: &mut ClusterClient, value: &str) {
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
    cluster.settle();
    cluster.map.take().unwrap().kill();
    without_the_store(&mut cluster, &mut client, |cluster| cluster.restart_map());
}

/// The store has just gone: everything is served on; then it comes back, and a primary that died meanwhile is followed.
pub(super) fn without_the_store(
    cluster: &mut Cluster,
    client: &mut ClusterClient,
    bring_back: impl FnOnce(&mut Cluster),
) {
    cluster.until("it is noticed", |survey| !survey.store_answers);
    write_and_read(client, "without");
    let victim = cluster.survey().shards[0].primary;
    cluster.kill(victim);
    bring_back(cluster);
    // The successor can be named only now.
    write_and_read(client, "again");
    cluster.start_node(victim);
    cluster.until("the node is filled again", |survey| {
        survey.is_whole() && survey.store_answers
    });
    write_and_read(client, "healed");
}

/// etcd, as Debian has it. Killed when dropped.
pub(super) struct Etcd {
    child: Child,
    pub(super) address: String,
    peer: String,
}

impl Etcd {
    pub(super) fn start(dir: &Path) -> Self {
        let [address, peer] = [(); 2].map(|()| format!("127.0.0.1:{}", ports::reserve()));
        let child = Self::spawn(&dir.join("etcd"), &address, &peer).expect("etcd starts");
        Self {
            child,
            address,
            peer,
        }
    }

    /// It has lost what it had, and starts again where it was.
    pub(super) fn lose_all(&mut self, dir: &Path) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let began = Instant::now();
        self.child = loop {
            let again = Self::spawn(&dir.join("etcd-again"), &self.address, &self.peer);
            if let Some(child) = again {
                break child;
            }
            assert!(began.elapsed() < PATIENCE, "etcd does not start again");
        };
    }

    /// `None` if it ends before it listens.
    fn spawn(dir: &Path, client: &str, peer: &str) -> Option<Child> {
        let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
        let mut child = Command::new("etcd")
            .args(["--name", "a", "--data-dir"])
            .arg(dir)
            .args(["--listen-client-urls", &client_url])
            .args(["--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url])
            .args(["--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("a={peer_url}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is installed");
        while child.try_wait().unwrap().is_none() {
            if std::net::TcpStream::connect(client).is_ok() {
                return Some(child);
            }
        }
        None
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn etcd_that_stands_still_holds_up_nothing_but_failover() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path());
    let meta = format!("etcd://{}", etcd.address);
    let mut cluster = Cluster::with(folder, None, &meta, 3, &[]);
    let mut client = cluster.client();
    write_and_read(&mut client, "before");
    cluster.settle();
    etcd.signal("-STOP");
    without_the_store(&mut cluster, &mut client, |_| etcd.signal("-CONT"));
    cluster.until("it stays well", Survey::is_whole);
}

#[test]
fn a_node_keeps_the_map_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", ports::reserve());
    let mut cluster = Cluster::with_map_in_node_1(folder, &address, 3);
    let mut client = cluster.client();
    write_and_read(&mut client, "before");
    cluster.kill(1);
    // What node 1 led waits for it, as nobody else can be named; the rest is served.
    cluster.start_node(1);
    write_and_read(&mut client, "again");
    cluster.until("it is whole again", Survey::is_whole);
}
