//! A cluster under test: a process for its map, one for each node, all with folders of their own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use server::survey::Survey;

use crate::running::{PATIENCE, Running, between, tenure};
use crate::wire::{Client, Reply};

/// The map's process. Killed when dropped.
pub struct Map {
    child: Child,
    /// Where nodes reach it.
    pub address: String,
}

impl Map {
    /// Keeps the map in `dir`, at this address. Whoever asks it has to show the secret, if it is not empty.
    pub fn start(dir: &Path, listen: &str, secret: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .env_clear()
            .env("TENURE_CLUSTER_SECRET", secret)
            .args(["meta", "--listen", listen, "--file"])
            .arg(dir.join("metadata.redb"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut ready = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut ready).unwrap();
        let address = between(&ready, "tenure://", "\n").to_owned();
        Self { child, address }
    }

    /// Kills it, as a fault would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// See the module.
pub struct Cluster {
    folder: tempfile::TempDir,
    /// The map, while its process runs.
    pub map: Option<Map>,
    meta: String,
    more: Vec<String>,
    /// The running nodes, by number.
    pub nodes: BTreeMap<u32, Running>,
}

impl Cluster {
    /// So many nodes, and all shards served with all copies complete.
    pub fn start(nodes: u32, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let map = Map::start(folder.path(), "127.0.0.1:0", "");
        let meta = format!("tenure://{}", map.address);
        Self::with(folder, Some(map), &meta, nodes, more)
    }

    /// The same, with the map somewhere else.
    pub fn with(
        folder: tempfile::TempDir,
        map: Option<Map>,
        meta: &str,
        nodes: u32,
        more: &[&str],
    ) -> Self {
        let mut cluster = Self {
            folder,
            map,
            meta: meta.to_owned(),
            more: more.iter().map(ToString::to_string).collect(),
            nodes: BTreeMap::new(),
        };
        for node in 1..=nodes {
            cluster.start_node(node);
        }
        cluster.until("the cluster is whole", Survey::is_whole);
        cluster
    }

    /// The same, with the map in node 1, at this address.
    pub fn with_map_in_node_1(folder: tempfile::TempDir, address: &str, nodes: u32) -> Self {
        Self::with(
            folder,
            None,
            &format!("tenure://{address}"),
            nodes,
            &["--meta-listen", address],
        )
    }

    /// Where a node keeps what it has.
    pub fn dir(&self, node: u32) -> PathBuf {
        self.folder.path().join(format!("node-{node}"))
    }

    /// Starts a node, or starts it again.
    pub fn start_node(&mut self, node: u32) {
        let dir = self.dir(node);
        let keeps_map = node == 1 && self.more.iter().any(|word| word == "--meta-listen");
        let meta = if keeps_map {
            "embedded"
        } else {
            self.meta.as_str()
        };
        let mut command = tenure(&dir, &["--meta", meta, "--peer", "127.0.0.1:0"]);
        command
            .args(["--shards", "8", "--node", &node.to_string()])
            .args(&self.more);
        let running = Running::spawn(&mut command);
        self.nodes.insert(node, running);
    }

    /// Starts the map again, where it was.
    pub fn restart_map(&mut self) {
        let address = self
            .meta
            .strip_prefix("tenure://")
            .expect("it is ours")
            .to_owned();
        self.map = Some(Map::start(self.folder.path(), &address, ""));
    }

    /// Kills a node, as a fault would.
    pub fn kill(&mut self, node: u32) {
        self.nodes.remove(&node).expect("it runs").kill();
    }

    /// Stops a node as an operator does. Returns its log.
    pub fn stop(&mut self, node: u32) -> String {
        self.nodes.remove(&node).expect("it runs").stop()
    }

    /// The cluster as any node knows it whom the others do not hold to be dead: the coordinator first.
    pub fn survey(&self) -> Survey {
        let first = self.nodes.values().next().expect("some node runs");
        let survey = of(first).unwrap_or_default();
        let coordinator = survey.coordinator.and_then(|node| self.nodes.get(&node));
        coordinator.and_then(of).unwrap_or(survey)
    }

    /// Waits until this is so.
    pub fn until(&self, what: &str, is_so: impl Fn(&Survey) -> bool) -> Survey {
        let began = Instant::now();
        loop {
            let survey = self.survey();
            if is_so(&survey) {
                return survey;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {survey:?}");
        }
    }

    /// Waits until a node that runs says so in its log.
    pub fn until_logged(&self, words: &str) {
        let began = Instant::now();
        while !self.nodes.values().any(|node| node.log().contains(words)) {
            assert!(began.elapsed() < PATIENCE, "nobody says: {words}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until no shard changes hands any more: one that does while the store is down is served again only when that is back.
    pub fn settle(&self) {
        let even = self.command(&["rebalance"]);
        assert!(even.status.success(), "{even:?}");
    }

    /// Runs `tenure cluster` against any node.
    pub fn command(&self, words: &[&str]) -> Output {
        self.commander(words).output().expect("the binary runs")
    }

    /// What that runs.
    pub fn commander(&self, words: &[&str]) -> Command {
        let admin = &self.nodes.values().next().expect("some node runs").admin;
        // The first of them is nobody's: whoever answers is asked.
        let admin = &format!("127.0.0.1:1,{admin}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command
            .env_clear()
            .args(["cluster", "--admin", admin])
            .args(words);
        command
    }

    /// A client that follows redirections.
    pub fn client(&self) -> ClusterClient {
        ClusterClient {
            seeds: self
                .nodes
                .values()
                .map(|node| node.address.clone())
                .collect(),
            connections: BTreeMap::new(),
            homes: BTreeMap::new(),
            refusal: String::new(),
        }
    }
}

fn of(node: &Running) -> Option<Survey> {
    let (_, body) = node.http("/cluster");
    serde_json::from_str(&body).ok()
}

/// A client that remembers where each key is, follows `-MOVED`, and tries elsewhere when a connection breaks.
pub struct ClusterClient {
    /// Where to begin.
    pub seeds: Vec<String>,
    connections: BTreeMap<String, Client>,
    homes: BTreeMap<String, String>,
    /// Why a command was last not done.
    refusal: String,
}

/// More than one for each node that could have been handed a shard meanwhile are a circle.
const MOST_REDIRECTIONS: usize = 5;

impl ClusterClient {
    /// Sends a command about `key` once, to where the key seems to be. `None`: it was redirected, or told to wait, and did not happen. An
    /// error: nobody knows.
    pub fn once(&mut self, key: &str, words: &[&str]) -> std::io::Result<Option<Reply>> {
        let home = self.homes.get(key).unwrap_or(&self.seeds[0]).clone();
        if !self.connections.contains_key(&home) {
            match Client::try_connect(&home) {
                Ok(client) => _ = self.connections.insert(home.clone(), client),
                Err(_) => {
                    self.elsewhere(key, &home);
                    return Ok(None);
                }
            }
        }
        let client = self.connections.get_mut(&home).expect("made just now");
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        match client.call(&words) {
            Ok(reply) => Ok(self.understand(key, reply)),
            Err(error) => {
                self.elsewhere(key, &home);
                Err(error)
            }
        }
    }

    /// As [`ClusterClient::once`], and follows redirections: there may be several where leading is handed over and over again. `None`: it was told to
    /// wait.
    pub fn redirected(&mut self, key: &str, words: &[&str]) -> std::io::Result<Option<Reply>> {
        for _ in 0..MOST_REDIRECTIONS {
            self.refusal.clear();
            let reply = self.once(key, words)?;
            if reply.is_some() || !self.refusal.is_empty() {
                return Ok(reply);
            }
        }
        Ok(None)
    }

    /// What it was told last when it was told to wait.
    pub fn refusal(&self) -> &str {
        &self.refusal
    }

    fn understand(&mut self, key: &str, reply: Reply) -> Option<Reply> {
        let error = reply.error().unwrap_or_default();
        if let Some(moved) = error.strip_prefix("MOVED ") {
            let home = moved.rsplit(' ').next().unwrap_or_default();
            self.homes.insert(key.to_owned(), home.to_owned());
            return None;
        }
        let again = ["TRYAGAIN", "CLUSTERDOWN", "NOQUORUM", "LOADING"];
        if again.iter().any(|word| error.starts_with(word)) {
            self.refusal = error.to_owned();
            return None;
        }
        Some(reply)
    }

    fn elsewhere(&mut self, key: &str, home: &str) {
        self.connections.remove(home);
        let at = self.seeds.iter().position(|seed| seed == home);
        let next = at.map_or(0, |at| (at + 1) % self.seeds.len());
        self.homes.insert(key.to_owned(), self.seeds[next].clone());
    }

    /// Sends a command that may safely be repeated until it is answered.
    pub fn until_answered(&mut self, key: &str, words: &[&str]) -> Reply {
        let began = Instant::now();
        loop {
            if let Ok(Some(reply)) = self.once(key, words) {
                return reply;
            }
            let waited = began.elapsed();
            assert!(waited < PATIENCE, "{words:?}: {}", self.refusal);
        }
    }

    /// Where a key was found last.
    pub fn home(&self, key: &str) -> &str {
        self.homes.get(key).unwrap_or(&self.seeds[0])
    }
}
