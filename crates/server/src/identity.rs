//! Who this node is: its number in the cluster, and which life of its data this is.
//!
//! ```text
//!   NODE   node 3                                   the number, once it has one
//!          life 5f0c...                             128 random bits
//!          boot 6d8b...                             which start of the machine it was last used in
//!          sync always                              all that it has acknowledged was synced before: else there is no such line
//! ```
//!
//! A life goes on as long as everything that the node ever acknowledged is still there: after a clean end, with `sync = always` since the
//! life began or the last clean end, and when only the process died, since what it had written is then the operating system's. In any
//! other case, a loss of power above all, a new life begins, and what the old one was a member of the new one is not (`docs/replication.md`, "Who one is"). What it had may still be
//! needed ("Relics").

use std::fs;
use std::io;
use std::time::Duration;

use cluster::format::Record as _;
use cluster::keys::Place;
use cluster::map::ClusterMap;
use cluster::metadata::{Outcome, RequestId, Transaction};
use cluster::record::{Addresses, NodeRecord, NodeState};
use meta::MetaStore;
use model::{Incarnation, Member, NodeId, Zone};
use store::SyncMode;
use tracing::{info, warn};

use crate::directory::{Directory, replace};

/// The file.
const FILE: &str = "NODE";
/// Between two tries to get a number from a metadata store that does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// Tries between two log lines about it.
const TRIES_PER_LINE: u32 = 25;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number, once there is one.
    pub node: Option<NodeId>,
    /// The life.
    pub life: Incarnation,
    /// Whether all that it has acknowledged in this life was synced before. What is configured now says nothing of what was.
    is_synced: bool,
}

impl Identity {
    /// Whose data the directory holds, in which life. A new directory, or none, is a new life.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not what was written.
    pub fn take(directory: Option<&Directory>, sync: SyncMode) -> io::Result<Self> {
        let Some(directory) = directory else {
            return Self::new_life(None);
        };
        let boot = boot_id();
        let known = match read(directory)? {
            Some((known, _)) if directory.was_clean => Self {
                is_synced: true,
                ..known
            },
            Some((known, last_boot)) if known.is_synced || is_same_boot(&last_boot, &boot) => known,
            Some((known, _)) => {
                warn!(
                    "the machine stopped before everything was on disk: this node begins a new life; what it has serves the others if too few of them have more"
                );
                Self::new_life(known.node)?
            }
            None => Self::new_life(None)?,
        };
        let identity = Self {
            is_synced: known.is_synced && sync == SyncMode::Always,
            ..known
        };
        identity.keep(Some(directory))?;
        directory.begin()?;
        Ok(identity)
    }

    /// The same node in another life: something of the old one is lost.
    ///
    /// # Errors
    /// The system gives no random numbers, or it cannot be written down.
    pub fn renewed(&self, directory: &Directory) -> io::Result<Self> {
        let identity = Self {
            is_synced: self.is_synced,
            ..Self::new_life(self.node)?
        };
        identity.keep(Some(directory))?;
        Ok(identity)
    }

    fn new_life(node: Option<NodeId>) -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self {
            node,
            life: Incarnation(u128::from_le_bytes(bytes)),
            is_synced: true,
        })
    }

    /// Writes it down.
    fn keep(&self, directory: Option<&Directory>) -> io::Result<()> {
        let Some(directory) = directory else {
            return Ok(());
        };
        let number = self
            .node
            .map_or_else(String::new, |node| format!("node {}\n", node.0));
        let sync = if self.is_synced { "sync always\n" } else { "" };
        let text = format!(
            "{number}life {:032x}\nboot {}\n{sync}",
            self.life.0,
            boot_id()
        );
        replace(directory.path(), FILE, &text)
    }

    /// Gets a number: the one that is configured, the one that it has, or the next that is free.
    ///
    /// # Errors
    /// The directory is another node's, or cannot be written.
    pub async fn settle(
        mut self,
        configured: Option<u32>,
        directory: Option<&Directory>,
        store: &impl MetaStore,
        record: &NodeRecord,
    ) -> io::Result<Member> {
        let configured = configured.map(NodeId);
        let node = match (self.node, configured) {
            (Some(node), Some(configured)) if node != configured => {
                return Err(io::Error::other(format!(
                    "the data directory is that of node {}, and node = {}: give another --dir, or leave --node out",
                    node.0, configured.0
                )));
            }
            (Some(node), _) | (None, Some(node)) => node,
            (None, None) => claim(store, record).await,
        };
        if self.node != Some(node) {
            self.node = Some(node);
            self.keep(directory)?;
        }
        Ok(Member {
            node,
            incarnation: self.life,
        })
    }
}

/// The next free number, made ours by a record in the map. Whoever dies before it is written down finds it again by its life.
async fn claim(store: &impl MetaStore, record: &NodeRecord) -> NodeId {
    for tries in 1.. {
        if let Some(node) = try_claim(store, record).await {
            info!(node = node.0, "this node has a number");
            return node;
        }
        if tries % TRIES_PER_LINE == 1 {
            let why = store.trouble().unwrap_or_default();
            warn!(
                why,
                "waiting for the metadata store, which gives this node its number"
            );
        }
        tokio::time::sleep(RETRY).await;
    }
    unreachable!("it tries until it succeeds")
}

async fn try_claim(store: &impl MetaStore, record: &NodeRecord) -> Option<NodeId> {
    let map = ClusterMap::from_listing(&store.list().await?);
    let mut nodes = map.nodes().iter();
    if let Some((&node, _)) = nodes.find(|(_, known)| known.incarnation == record.incarnation) {
        return Some(node);
    }
    let last = map.nodes().keys().next_back();
    let node = NodeId(last.map_or(1, |last| last.0 + 1));
    let key = Place::Node(node).key();
    let transaction = Transaction::default()
        .when(key.clone(), None)
        .put(key, record.encode());
    match store.transact(&transaction).await {
        Outcome::Committed(_) => Some(node),
        // Somebody was faster, or nobody knows: the next list tells.
        Outcome::Conflict | Outcome::Unknown => None,
    }
}

/// What the map shall say of this node.
#[must_use]
pub fn record(life: Incarnation, process: u64, zone: u16, addresses: Addresses) -> NodeRecord {
    NodeRecord {
        incarnation: life,
        state: NodeState::Joining,
        process,
        zone: Zone(zone),
        addresses,
        request: RequestId(life.0),
    }
}

fn read(directory: &Directory) -> io::Result<Option<(Identity, String)>> {
    match fs::read_to_string(directory.path().join(FILE)) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| {
            let text = text.trim().replace('\n', ", ");
            io::Error::other(format!(
                "{FILE} is damaged ({text}); remove it, and this node begins anew"
            ))
        }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<(Identity, String)> {
    let find = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    let node = match find("node") {
        Some(number) => Some(NodeId(number.parse().ok()?)),
        None => None,
    };
    let life = Incarnation(u128::from_str_radix(find("life")?, 16).ok()?);
    let is_synced = find("sync") == Some("always");
    let identity = Identity {
        node,
        life,
        is_synced,
    };
    Some((identity, find("boot")?.to_owned()))
}

/// Whether the machine was not started anew in between, as far as that is known.
fn is_same_boot(last: &str, now: &str) -> bool {
    last == now && !now.is_empty()
}

/// Tells one start of the machine from the next; empty where the system does not say.
fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests;
