//! What is done to a cluster, and how it is undone.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use bench::random::Random;
use clap::ValueEnum;

use crate::cluster::{Cluster, Peer};
use crate::switch::Link;

/// A message to or from a slow standby takes so long.
const SLOW_MS: u64 = 10;
/// What fills a disk.
const FILLER: &str = "filler";

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// SIGKILL of a node; it is started again.
    Kill,
    /// SIGSTOP of a node; it goes on.
    Pause,
    /// SIGKILL of all nodes at once; they are started again.
    KillAll,
    /// A node is cut off from everybody, clients too.
    Isolate,
    /// The link between two nodes is cut.
    Pair,
    /// A node is cut off from the other nodes; clients and metadata store reach it.
    Peers,
    /// A node is cut off from the metadata store only.
    MetaCut,
    /// SIGKILL of a process of the metadata store; it is started again.
    MetaKill,
    /// SIGKILL of all of the metadata store; it is started again with nothing of what it had.
    MetaLose,
    /// SIGSTOP of all of the metadata store; it goes on.
    MetaPause,
    /// Everything to and from a node takes 10 ms longer.
    Slow,
    /// A node's disk is full for a while.
    DiskFull,
}

/// A fault that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    fault: Fault,
    node: usize,
}

impl Fault {
    /// Whether it can be done to this cluster here; else, why not.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn is_possible(self, cluster: &Cluster) -> Result<(), &'static str> {
        let has_network = cluster.arena.has_network();
        match self {
            Self::Kill | Self::Pause => Ok(()),
            Self::KillAll
            | Self::MetaKill
            | Self::MetaLose
            | Self::MetaPause
            | Self::MetaCut
            | Self::DiskFull
                if cluster.peer() == Peer::Redis =>
            {
                Err("it has no metadata store, and its data is in memory only")
            }
            Self::KillAll | Self::MetaKill | Self::MetaLose | Self::MetaPause => Ok(()),
            Self::Isolate | Self::Pair | Self::Peers | Self::MetaCut | Self::Slow
                if has_network =>
            {
                Ok(())
            }
            Self::DiskFull if cluster.has_small_disks() => Ok(()),
            Self::Isolate | Self::Pair | Self::Peers | Self::MetaCut | Self::Slow => {
                Err("links cannot be cut on the loopback device")
            }
            Self::DiskFull => Err("the nodes have no small disks"),
        }
    }

    /// Strikes a node, or whatever it is for.
    ///
    /// # Errors
    /// Those of the system.
    pub fn strike(self, cluster: &mut Cluster, random: &mut Random) -> Result<(Struck, String)> {
        let nodes = cluster.nodes.len();
        let node = random.below(nodes as u64) as usize;
        let other = (node + 1 + random.below(nodes as u64 - 1) as usize) % nodes;
        let addr = cluster.nodes[node].addr;
        let what = match self {
            Self::Kill => {
                cluster.nodes[node].kill();
                format!("{addr} is killed")
            }
            Self::Pause => {
                cluster.nodes[node].stop();
                format!("{addr} is stopped")
            }
            Self::KillAll => {
                cluster
                    .nodes
                    .iter_mut()
                    .for_each(crate::cluster::Node::kill);
                "all nodes are killed".into()
            }
            Self::Isolate => {
                cluster
                    .arena
                    .isolate(cluster.nodes[node].site.port, Link::Cut);
                format!("{addr} is cut off from everybody")
            }
            Self::Slow => {
                let late = Link::Late(SLOW_MS);
                cluster.arena.isolate(cluster.nodes[node].site.port, late);
                format!("{addr} is {SLOW_MS} ms away")
            }
            Self::Pair => {
                cut(cluster, node, [other]);
                format!(
                    "{addr} and {} are cut off from each other",
                    cluster.nodes[other].addr
                )
            }
            Self::Peers => {
                cut(cluster, node, (0..nodes).filter(|other| *other != node));
                format!("{addr} is cut off from its peers")
            }
            Self::MetaCut => {
                let site = cluster.nodes[node].site.port;
                for meta in 0..cluster.metadata_len() {
                    let store = cluster.metadata_node(meta).site.port;
                    cluster.arena.link(site, store, Link::Cut);
                }
                format!("{addr} is cut off from the metadata store")
            }
            Self::MetaKill => {
                let number = node % cluster.metadata_len();
                cluster.metadata_node(number).kill();
                format!("process {number} of the metadata store is killed")
            }
            Self::MetaLose => {
                (0..cluster.metadata_len()).for_each(|n| cluster.metadata_node(n).kill());
                "the metadata store has lost all that it had".into()
            }
            Self::MetaPause => {
                (0..cluster.metadata_len()).for_each(|n| cluster.metadata_node(n).stop());
                "the metadata store is stopped".into()
            }
            Self::DiskFull => {
                fill(cluster, node)?;
                format!("the disk of {addr} is full")
            }
        };
        Ok((Struck { fault: self, node }, what))
    }
}

impl Struck {
    /// Undoes it.
    ///
    /// # Errors
    /// A process cannot be started again.
    pub fn heal(self, cluster: &mut Cluster) -> Result<()> {
        match self.fault {
            Fault::Kill => cluster.start_node(self.node)?,
            Fault::Pause => cluster.nodes[self.node].go_on(),
            Fault::KillAll => {
                for node in 0..cluster.nodes.len() {
                    cluster.start_node(node)?;
                }
            }
            Fault::Isolate | Fault::Slow | Fault::Pair | Fault::Peers | Fault::MetaCut => {
                cluster.arena.heal();
            }
            Fault::MetaKill => cluster.start_metadata(self.node % cluster.metadata_len())?,
            Fault::MetaLose => {
                for number in 0..cluster.metadata_len() {
                    empty(cluster.metadata_node(number).directory())?;
                }
                for number in 0..cluster.metadata_len() {
                    cluster.start_metadata(number)?;
                }
            }
            Fault::MetaPause => {
                (0..cluster.metadata_len()).for_each(|n| cluster.metadata_node(n).go_on());
            }
            Fault::DiskFull => {
                let path = cluster.nodes[self.node].directory().join(FILLER);
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn cut(cluster: &Cluster, node: usize, others: impl IntoIterator<Item = usize>) {
    for other in others {
        let [one, other] = [node, other].map(|number| cluster.nodes[number].site.port);
        cluster.arena.link(one, other, Link::Cut);
    }
}

/// Removes all that a process has kept but its log.
fn empty(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else if !path.ends_with("log") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes until nothing fits any more.
fn fill(cluster: &Cluster, node: usize) -> Result<()> {
    let mut file = File::create(cluster.nodes[node].directory().join(FILLER))?;
    for piece in [1 << 20, 1 << 12, 1] {
        let zeros = vec![0; piece];
        while file.write_all(&zeros).is_ok() {}
    }
    Ok(())
}
