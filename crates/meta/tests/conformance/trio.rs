//! etcd as it is run in production: three members, one of which may be down.

use std::{sync::Arc, time::Duration};

use meta::{MetaStore as _, etcd};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::rig::{Process, launch_etcd, url};
use crate::suite::{count, increment};

const MEMBERS: usize = 3;
/// Longer than an election and a question that is not answered take together.
const PATIENCE: Duration = Duration::from_secs(20);

struct Trio {
    folders: Vec<TempDir>,
    /// Of each member: for clients, for peers.
    ports: Vec<[u16; 2]>,
    members: Vec<Process>,
    etcd: Arc<etcd::Etcd>,
}

impl Trio {
    async fn start() -> Self {
        let folder = |_| tempfile::tempdir().expect("a folder");
        let folders: Vec<_> = (0..MEMBERS).map(folder).collect();
        let ports: Vec<_> = (0..MEMBERS)
            .map(|_| [ports::reserve(), ports::reserve()])
            .collect();
        let settings = etcd::Settings {
            endpoints: ports.iter().map(|[client, _]| url(*client)).collect(),
            prefix: "/tenure/trio/".into(),
            ..etcd::Settings::default()
        };
        let mut trio = Self {
            folders,
            ports,
            members: Vec::new(),
            etcd: Arc::new(etcd::Etcd::new(settings).expect("addresses")),
        };
        trio.members = (0..MEMBERS).map(|member| trio.launch(member)).collect();
        let asking = async { while trio.etcd.list().await.is_none() {} };
        let asked = timeout(PATIENCE, asking).await;
        assert!(asked.is_ok(), "three members of etcd do not start");
        trio
    }

    fn launch(&self, member: usize) -> Process {
        let peers: Vec<_> = (0..MEMBERS)
            .map(|n| format!("m{n}={}", url(self.ports[n][1])))
            .collect();
        let (folder, ports) = (&self.folders[member], self.ports[member]);
        launch_etcd(&format!("m{member}"), folder, ports, &peers.join(","))
    }

    /// Changes go on.
    async fn still_counts(&self, turn: usize, fault: &str) {
        timeout(PATIENCE, increment(&*self.etcd, 0, turn))
            .await
            .unwrap_or_else(|_| panic!("no change while a member is {fault}"));
    }
}

/// Whichever of the three it is, and whether it led or not.
#[tokio::test]
async fn changes_go_on_while_one_of_three_is_killed_or_stopped() {
    let mut trio = Trio::start().await;
    let mut turn = 0;
    for member in 0..MEMBERS {
        trio.members[member].kill();
        trio.still_counts(turn, "dead").await;
        trio.members[member] = trio.launch(member);
        turn += 1;
        trio.still_counts(turn, "starting").await;
        turn += 1;
    }
    for member in 0..MEMBERS {
        trio.members[member].stop();
        trio.still_counts(turn, "stopped").await;
        trio.members[member].signal(Signal::CONT);
        turn += 1;
    }
    assert_eq!(count(&*trio.etcd).await, turn.to_string());
}
