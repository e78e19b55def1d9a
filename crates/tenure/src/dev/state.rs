//! Who runs where: what `tenure dev status` shows, and `dev.json` for scripts.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file.
pub const FILE: &str = "dev.json";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The process that started all others.
    pub pid: u32,
    /// Who keeps the cluster map.
    pub meta: Process,
    /// The nodes, by number.
    pub nodes: Vec<Process>,
}

/// One process. Its addresses stay when it has ended: it comes back to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The node's number; 0 for the cluster map.
    pub node: u32,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// Whether it was paused.
    pub is_paused: bool,
    /// Where clients, or for the cluster map nodes, connect.
    pub address: String,
    /// Its admin port.
    pub admin: String,
    /// Where other nodes connect.
    pub peer: String,
    /// Where its log lines go.
    pub log: String,
}

impl State {
    /// Writes it for scripts: the old or the new one is there, never a part.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        let new = dir.join(format!("{FILE}.new"));
        std::fs::write(&new, text + "\n")?;
        std::fs::rename(new, dir.join(FILE))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "meta    tenure://{:<21} {}",
            self.meta.address,
            self.meta.condition()
        )?;
        for node in &self.nodes {
            writeln!(f)?;
            let (number, condition) = (node.node, node.condition());
            write!(
                f,
                "node {number:<2} {:<21} admin http://{:<21} {condition}",
                node.address, node.admin
            )?;
        }
        Ok(())
    }
}

impl Process {
    fn condition(&self) -> String {
        match (self.pid, self.is_paused) {
            (Some(pid), false) => format!("process {pid}"),
            (Some(pid), true) => format!("process {pid}, paused"),
            (None, _) => "not running".into(),
        }
    }
}
