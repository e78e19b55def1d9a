//! A real Redis Cluster: processes of `redis-server` on ports that the system chooses.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::topology::Address;
use tempfile::TempDir;

use super::wire::Connection;

/// How long a node may be silent before its replica takes over.
const NODE_TIMEOUT_MS: u64 = 1_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One process.
pub struct RedisNode {
    process: Child,
    /// Where it listens.
    pub port: u16,
    bus_port: u16,
    _folder: TempDir,
}

/// See the module. Dropping it ends all processes.
pub struct RedisCluster {
    /// The primaries, then a replica of each, if there are replicas.
    pub nodes: Vec<RedisNode>,
}

impl RedisNode {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, bus_port) = (ports::reserve(), ports::reserve());
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args([
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus_port.to_string(),
            ])
            .args(["--cluster-node-timeout", &NODE_TIMEOUT_MS.to_string()])
            .args(["--repl-diskless-sync-delay", "0", "--save", ""])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: scripts/test says how");
        Self {
            process,
            port,
            bus_port,
            _folder: folder,
        }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        Address {
            host: "127.0.0.1".into(),
            port: self.port,
        }
    }

    /// A connection, as soon as it listens.
    pub async fn connect(&self) -> Connection {
        let connecting = async {
            loop {
                if let Some(connection) = Connection::open(self.port).await {
                    return connection;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, connecting)
            .await
            .expect("redis-server listens")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

impl Drop for RedisNode {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RedisCluster {
    /// Starts three primaries, and a replica of each if asked for, and waits until all agree.
    pub async fn start(replicas: bool) -> Self {
        let count = if replicas { 6 } else { 3 };
        let nodes: Vec<RedisNode> = (0..count).map(|_| RedisNode::start()).collect();
        let cluster = Self { nodes };
        let (port, bus_port) = (cluster.nodes[0].port, cluster.nodes[0].bus_port);
        for (index, range) in ["0 5460", "5461 10922", "10923 16383"].iter().enumerate() {
            let mut node = cluster.nodes[index].connect().await;
            node.ok(&format!("CLUSTER ADDSLOTSRANGE {range}")).await;
            node.ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))
                .await;
        }
        for node in &cluster.nodes[1..] {
            let meet = format!("CLUSTER MEET 127.0.0.1 {port} {bus_port}");
            node.connect().await.ok(&meet).await;
        }
        for index in 3..count {
            let id = cluster.nodes[index - 3]
                .connect()
                .await
                .ask("CLUSTER MYID")
                .await;
            let id = id.split('|').nth(1).expect("a bulk string").to_owned();
            let mut replica = cluster.nodes[index].connect().await;
            replica
                .until(&format!("CLUSTER REPLICATE {id}"), |r| r == "+OK|")
                .await;
        }
        for node in &cluster.nodes {
            let whole = |info: &str| {
                info.contains("cluster_state:ok") && info.contains(&format!("known_nodes:{count}"))
            };
            node.connect().await.until("CLUSTER INFO", whole).await;
        }
        for replica in &cluster.nodes[3..] {
            let synced = |info: &str| info.contains("master_link_status:up");
            replica
                .connect()
                .await
                .until("INFO replication", synced)
                .await;
        }
        for node in &cluster.nodes[..3] {
            let rows = |slots: &str| {
                slots.matches("127.0.0.1").count() == count && slots.starts_with("*3|")
            };
            node.connect().await.until("CLUSTER SLOTS", rows).await;
        }
        cluster
    }
}
