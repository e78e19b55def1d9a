//! Filling a cluster with data before something is measured.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use model::slot::Slot;

use crate::cluster::{Cluster, Topology};
use crate::progress::Progress;
use crate::wire::{Connection, Reply, encode};

/// Bytes of a value.
const VALUE: usize = 1_000;
/// Requests that are under way to one node at once.
const BATCH: usize = 256;
/// For a reply: a node that is full of other work may take long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Steps of the progress bar.
const STEP: u64 = 1 << 20;

/// What is under way to one node.
struct Pipe {
    connection: Connection,
    requests: Vec<u8>,
    numbers: Vec<u64>,
}

impl Pipe {
    fn open(addr: SocketAddr) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(addr, PATIENCE)?,
            requests: Vec::new(),
            numbers: Vec::new(),
        })
    }

    /// Sends what has been gathered; what was not taken goes to `again`.
    fn flush(&mut self, again: &mut Vec<u64>) -> Result<()> {
        self.connection.send(&self.requests)?;
        self.requests.clear();
        for number in self.numbers.drain(..) {
            match self.connection.receive()? {
                Reply::Error(text) if is_elsewhere(&text) => again.push(number),
                Reply::Error(text) => bail!("a write was refused: {text}"),
                Reply::Status(_) | Reply::Integer(_) | Reply::Bulk(_) | Reply::Array(_) => {}
            }
        }
        Ok(())
    }
}

/// Shards move, also while they are filled.
fn is_elsewhere(error: &str) -> bool {
    let word = error.split(' ').next().unwrap_or_default();
    matches!(word, "MOVED" | "TRYAGAIN" | "CLUSTERDOWN")
}

/// Writes so many bytes of values, of 1,000 bytes each, over all slots.
///
/// # Errors
/// A write is refused.
pub fn fill(cluster: &Cluster, bytes: u64) -> Result<()> {
    let bar = Progress::new("MiB of data", (bytes / STEP) as usize);
    let all = 0..bytes / VALUE as u64;
    let mut again = write(cluster, all, Some(&bar))?;
    while !again.is_empty() {
        again = write(cluster, again.into_iter(), None)?;
    }
    bar.clear();
    Ok(())
}

/// Writes the values with these numbers; those that were not taken.
fn write(
    cluster: &Cluster,
    numbers: impl Iterator<Item = u64>,
    bar: Option<&Progress>,
) -> Result<Vec<u64>> {
    let map = cluster.topology().context("nobody says who has what")?;
    let value = "v".repeat(VALUE);
    let mut pipes: BTreeMap<SocketAddr, Pipe> = BTreeMap::new();
    let mut again = Vec::new();
    for number in numbers {
        let key = format!("data:{number}");
        let addr = owner(&map, &key).context("a slot without an owner")?;
        let pipe = match pipes.entry(addr) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Pipe::open(addr)?),
        };
        pipe.requests.extend(encode(&["SET", &key, &value]));
        pipe.numbers.push(number);
        if pipe.numbers.len() == BATCH {
            pipe.flush(&mut again)?;
        }
        if let Some(bar) = bar
            && (number * VALUE as u64) % STEP < VALUE as u64
        {
            bar.show("");
        }
    }
    for pipe in pipes.values_mut() {
        pipe.flush(&mut again)?;
    }
    Ok(again)
}

fn owner(map: &Topology, key: &str) -> Option<SocketAddr> {
    let slot = Slot::of(key.as_bytes()).number();
    let of_slot = |range: &&crate::cluster::Range| (range.first..=range.last).contains(&slot);
    map.ranges.iter().find(of_slot)?.primary()
}
