//! Which program, and how it is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use crate::arena::Site;

/// The program whose cluster is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Tenure.
    Tenure,
    /// Redis Cluster: each primary with one replica.
    Redis,
}

/// Where the cluster map is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Metadata {
    /// The embedded store, as one process of its own.
    Embedded,
    /// Three processes of etcd.
    Etcd,
}

/// How a cluster is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program.
    pub peer: Peer,
    /// Its file.
    pub program: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// How many nodes have each slot.
    pub copies: usize,
    /// How many shards (Tenure).
    pub shards: u16,
    /// Where the map is kept (Tenure).
    pub metadata: Metadata,
    /// After how long a silent node is suspected (Redis).
    pub node_timeout_ms: u64,
    /// Whether nodes write nothing to disk (Tenure; the others never do).
    pub in_memory: bool,
    /// Each node's disk, if it is a small one.
    pub disk_mib: Option<u64>,
    /// Each node's memory.
    pub memory: String,
    /// The cores that all nodes share.
    pub cores: Option<String>,
}

impl Plan {
    /// The command that runs the program at a site, without arguments.
    #[must_use]
    pub fn command(&self, site: &Site) -> Command {
        let Some(cores) = &self.cores else {
            return site.command(&self.program);
        };
        let mut command = site.command(Path::new("taskset"));
        command.args(["--cpu-list", cores]).arg(&self.program);
        command
    }

    /// How many sites the metadata store needs.
    #[must_use]
    pub fn metadata_sites(&self) -> usize {
        match (self.peer, self.metadata) {
            (Peer::Redis, _) => 0,
            (Peer::Tenure, Metadata::Embedded) => 1,
            (Peer::Tenure, Metadata::Etcd) => 3,
        }
    }
}
