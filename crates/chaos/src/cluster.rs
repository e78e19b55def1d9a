//! The cluster under examination: its processes, and what can be done to them.
//!
//! ```text
//!            start                 kill
//!   (not there) ───► Running ───────────────► Dead ── start ──► Running
//!                     │   ▲                    ▲
//!                stop │   │ go on              │ kill
//!                     ▼   │                    │
//!                    Stopped ──────────────────┘
//! ```

mod peer;
mod redis;
mod survey;
mod tenure;
mod topology;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bench::clock::{Clock, MILLISECOND_NS};
use rustix::process::Signal;

use crate::arena::{Arena, Site};
use crate::process::Process;
use crate::stop::Stop;

pub use peer::{Metadata, Peer, Plan};
pub use topology::{Range, Topology, keys_of};

/// How long a node, or a cluster, may take until it is well.
const START: Duration = Duration::from_secs(90);
/// For a question to a node that is asked for its state.
const ANSWER: Duration = Duration::from_millis(500);
/// Between two looks at a cluster that is not well yet.
const LOOK: Duration = Duration::from_millis(50);

/// What a node's process does.
#[derive(Debug)]
enum Life {
    Running(Process),
    Stopped(Process),
    Dead,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Where it is.
    pub site: Site,
    /// Where its clients go.
    pub addr: SocketAddr,
    /// A second port, for its peers.
    bus: SocketAddr,
    /// A third one, for its operators.
    admin: SocketAddr,
    directory: PathBuf,
    life: Life,
}

/// A cluster of one program.
#[derive(Debug)]
pub struct Cluster {
    /// Where its nodes are.
    pub arena: Arena,
    /// They.
    pub nodes: Vec<Node>,
    plan: Plan,
    // What the nodes need beside them: a metadata store.
    metadata: Vec<Node>,
    clock: Clock,
    stop: Stop,
}

impl Cluster {
    /// Starts a cluster and waits until it is well.
    ///
    /// # Errors
    /// It does not start, or does not become well.
    pub fn start(arena: Arena, plan: Plan, clock: Clock, stop: Stop) -> Result<Self> {
        let mut cluster = Self {
            arena,
            nodes: Vec::new(),
            plan,
            metadata: Vec::new(),
            clock,
            stop,
        };
        for number in 0..cluster.plan.metadata_sites() {
            let node = cluster.place(&format!("meta{number}"), 2_379)?;
            cluster.metadata.push(node);
        }
        for number in 0..cluster.metadata.len() {
            cluster.start_metadata(number)?;
        }
        for _ in 0..cluster.plan.nodes {
            cluster.add_site()?;
        }
        for number in 0..cluster.nodes.len() {
            cluster.start_node(number)?;
        }
        match cluster.plan.peer {
            Peer::Redis => redis::create(&cluster)?,
            Peer::Tenure => {}
        }
        cluster.wait_until_well()?;
        Ok(cluster)
    }

    /// A site with a node that does not run yet. Its number.
    ///
    /// # Errors
    /// Those of the system.
    pub fn add_site(&mut self) -> Result<usize> {
        let number = self.nodes.len();
        let node = self.place(&format!("node{number}"), 7_000)?;
        self.nodes.push(node);
        Ok(number)
    }

    fn place(&mut self, name: &str, port: u16) -> Result<Node> {
        let site = self.arena.site()?;
        let directory = match self.plan.disk_mib {
            Some(mib) if self.arena.has_network() => self.arena.small_disk(name, mib)?,
            Some(_) | None => self.arena.directory(name)?,
        };
        Ok(Node {
            addr: site.free_port(port)?,
            bus: site.free_port(port + 1)?,
            admin: site.free_port(port + 2)?,
            site,
            directory,
            life: Life::Dead,
        })
    }

    /// Starts a node that does not run; does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_node(&mut self, number: usize) -> Result<()> {
        let node = &self.nodes[number];
        let command = match self.plan.peer {
            Peer::Redis => redis::command(&self.plan, node),
            Peer::Tenure => tenure::command(&self.plan, node, &self.metadata, number),
        };
        let process = Process::start(command, &node.directory.join("log"))?;
        self.nodes[number].life = Life::Running(process);
        Ok(())
    }

    /// Starts a process of the metadata store that does not run; does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_metadata(&mut self, number: usize) -> Result<()> {
        let command = tenure::metadata_command(&self.plan, &self.metadata, number);
        let log = self.metadata[number].directory.join("log");
        self.metadata[number].life = Life::Running(Process::start(command, &log)?);
        Ok(())
    }

    /// How many processes the metadata store has.
    #[must_use]
    pub fn metadata_len(&self) -> usize {
        self.metadata.len()
    }

    /// A process of the metadata store.
    pub fn metadata_node(&mut self, number: usize) -> &mut Node {
        &mut self.metadata[number]
    }

    /// Whether the disk of a node can be filled without harm to others.
    #[must_use]
    pub fn has_small_disks(&self) -> bool {
        self.plan.disk_mib.is_some() && self.arena.has_network()
    }

    /// Copies what all processes have said into a directory.
    ///
    /// # Errors
    /// Those of the system.
    pub fn keep_logs(&self, into: &Path) -> Result<()> {
        std::fs::create_dir_all(into)?;
        for node in self.nodes.iter().chain(&self.metadata) {
            let name = node.addr.to_string().replace(':', "-");
            std::fs::copy(node.directory.join("log"), into.join(name))?;
        }
        Ok(())
    }

    /// The program of the nodes.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.plan.peer
    }

    /// Who has what, as the first node that answers says.
    #[must_use]
    pub fn topology(&self) -> Option<Topology> {
        let mut running = self.nodes.iter().filter(|node| node.is_running());
        running.find_map(|node| self.topology_of(node))
    }

    /// Who has what, as this node says.
    fn topology_of(&self, node: &Node) -> Option<Topology> {
        let map = Topology::ask(node.addr, ANSWER)?;
        match self.plan.peer {
            Peer::Redis => Some(map),
            Peer::Tenure => tenure::with_copies(map, &self.nodes, node.admin, ANSWER),
        }
    }

    /// Whether every shard has all its copies, and each of them everything, as the coordinator says (Tenure).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let mut running = self.nodes.iter().filter(|node| node.is_running());
        running.any(|node| {
            let survey = survey::Survey::ask(node.admin, ANSWER);
            survey.is_some_and(|survey| survey.is_complete(self.plan.copies))
        })
    }

    /// MiB of current entries that each running node has in all of its copies (Tenure).
    #[must_use]
    pub fn live_mib(&self) -> Vec<f64> {
        let running = self.nodes.iter().filter(|node| node.is_running());
        let bytes = running.map(|node| survey::live_bytes(node.admin, ANSWER).unwrap_or(0));
        bytes
            .map(|bytes| bytes as f64 / f64::from(1 << 20))
            .collect()
    }

    /// A node that does not run forgets all that it had.
    ///
    /// # Errors
    /// Those of the system.
    pub fn wipe(&mut self, number: usize) -> Result<()> {
        let node = &self.nodes[number];
        assert!(!node.is_there(), "a node that runs is not wiped");
        let data = node.directory.join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data).context("cannot wipe a node")?;
        }
        Ok(())
    }

    /// Where clients may begin.
    #[must_use]
    pub fn seeds(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.addr).collect()
    }

    /// The node with this address.
    #[must_use]
    pub fn number_of(&self, addr: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.addr == addr)
    }

    /// Waits until every slot has a primary and all its copies, as every node sees it.
    ///
    /// # Errors
    /// It does not become so in time, or a process has ended.
    pub fn wait_until_well(&mut self) -> Result<()> {
        self.wait_for(START, "all copies", Self::trouble)
    }

    /// Waits until every slot has a primary that one node knows.
    ///
    /// # Errors
    /// It does not become so in time, or a process has ended.
    pub fn wait_until_served(&mut self) -> Result<()> {
        self.wait_for(START, "an owner of every slot", |cluster| {
            let is_whole = cluster.topology().is_some_and(|map| map.is_whole());
            (!is_whole).then(|| "slots without an owner".to_owned())
        })
    }

    /// Waits until besides that all copies have everything, as far as the program tells.
    ///
    /// # Errors
    /// As above.
    pub fn wait_until_complete(&mut self) -> Result<()> {
        self.wait_until_well()?;
        if self.plan.peer == Peer::Redis {
            return Ok(());
        }
        self.wait_for(START, "complete copies", |cluster| {
            (!cluster.is_complete()).then(|| "some copies lack something".to_owned())
        })
    }

    fn wait_for(
        &mut self,
        time: Duration,
        what: &str,
        trouble: impl Fn(&Self) -> Option<String>,
    ) -> Result<()> {
        let deadline = self.clock.now_ns() + time.as_millis() as u64 * MILLISECOND_NS;
        loop {
            self.nobody_has_ended()?;
            let Some(trouble) = trouble(self) else {
                return Ok(());
            };
            if self.clock.now_ns() > deadline {
                bail!("no {what} after {} s: {trouble}", time.as_secs());
            }
            if self.stop.pause(LOOK) {
                bail!("interrupted");
            }
        }
    }

    /// What is not as it should be.
    fn trouble(&self) -> Option<String> {
        let mut views = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            let Some(map) = self.topology_of(node) else {
                return Some(format!("{} says nothing", node.addr));
            };
            if !map.is_whole() {
                return Some(format!("{} knows slots without an owner", node.addr));
            }
            if let Some(range) = map.ranges.iter().find(|r| r.nodes.len() < self.plan.copies) {
                return Some(format!("{} says of its copies: {range:?}", node.addr));
            }
            views.insert(map.owners());
        }
        if views.len() != 1 {
            return Some("nodes see different owners".into());
        }
        match self.plan.peer {
            Peer::Redis => redis::trouble(self),
            Peer::Tenure => None,
        }
    }

    /// A process that ends by itself is a finding, whatever else happens.
    ///
    /// # Errors
    /// One has.
    pub fn nobody_has_ended(&mut self) -> Result<()> {
        for node in self.nodes.iter_mut().chain(&mut self.metadata) {
            if let Life::Running(process) = &mut node.life
                && process.has_ended()
            {
                bail!(
                    "{} ended by itself. The end of its log:\n    {}",
                    node.addr,
                    process.last_words()
                );
            }
        }
        Ok(())
    }
}

impl Node {
    /// Whether it runs and is not stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.life, Life::Running(_))
    }

    /// Whether it has a process.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self.life, Life::Dead)
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.life {
            Life::Running(process) | Life::Stopped(process) => Some(process.pid()),
            Life::Dead => None,
        }
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        match std::mem::replace(&mut self.life, Life::Dead) {
            Life::Running(mut process) | Life::Stopped(mut process) => process.kill(),
            Life::Dead => {}
        }
    }

    /// SIGTERM; returns when it is gone.
    ///
    /// # Errors
    /// It ended with an error.
    pub fn terminate(&mut self) -> Result<()> {
        let (Life::Running(mut process) | Life::Stopped(mut process)) =
            std::mem::replace(&mut self.life, Life::Dead)
        else {
            return Ok(());
        };
        let status = process.terminate().context("cannot wait for a node")?;
        if !status.success() {
            bail!(
                "{} ended with {status}: {}",
                self.addr,
                process.last_words()
            );
        }
        Ok(())
    }

    /// SIGSTOP.
    pub fn stop(&mut self) {
        self.life = match std::mem::replace(&mut self.life, Life::Dead) {
            Life::Running(process) => {
                process.signal(Signal::STOP);
                Life::Stopped(process)
            }
            other @ (Life::Stopped(_) | Life::Dead) => other,
        };
    }

    /// SIGCONT.
    pub fn go_on(&mut self) {
        self.life = match std::mem::replace(&mut self.life, Life::Dead) {
            Life::Stopped(process) => {
                process.signal(Signal::CONT);
                Life::Running(process)
            }
            other @ (Life::Running(_) | Life::Dead) => other,
        };
    }
}
