//! Filling a cluster with data before something is measured.

use std::collections::BTreeMap;
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
    count: usize,
}

impl Pipe {
    fn flush(&mut self) -> Result<()> {
        self.connection.send(&self.requests)?;
        self.requests.clear();
        for _ in 0..std::mem::take(&mut self.count) {
            if let Reply::Error(text) = self.connection.receive()? {
                bail!("a write was refused: {text}");
            }
        }
        Ok(())
    }
}

/// Writes so many bytes of values, of 1,000 bytes each, over all slots.
///
/// # Errors
/// A write is refused.
pub fn fill(cluster: &Cluster, bytes: u64) -> Result<()> {
    let map = cluster.topology().context("nobody says who has what")?;
    let value = "v".repeat(VALUE);
    let mut pipes: BTreeMap<SocketAddr, Pipe> = BTreeMap::new();
    let bar = Progress::new("MiB of data", (bytes / STEP) as usize);
    for number in 0..bytes / VALUE as u64 {
        let key = format!("data:{number}");
        let addr = owner(&map, &key).context("a slot without an owner")?;
        if !pipes.contains_key(&addr) {
            let pipe = Pipe {
                connection: Connection::open(addr, PATIENCE)?,
                requests: Vec::new(),
                count: 0,
            };
            pipes.insert(addr, pipe);
        }
        let pipe = pipes.get_mut(&addr).context("it was just put there")?;
        pipe.requests.extend(encode(&["SET", &key, &value]));
        pipe.count += 1;
        if pipe.count == BATCH {
            pipe.flush()?;
        }
        if (number * VALUE as u64) % STEP < VALUE as u64 {
            bar.show("");
        }
    }
    pipes.values_mut().try_for_each(Pipe::flush)?;
    bar.clear();
    Ok(())
}

fn owner(map: &Topology, key: &str) -> Option<SocketAddr> {
    let slot = Slot::of(key.as_bytes()).number();
    let of_slot = |range: &&crate::cluster::Range| (range.first..=range.last).contains(&slot);
    map.ranges.iter().find(of_slot)?.primary()
}
