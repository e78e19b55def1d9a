//! Clients that increment one counter of each shard, all the while something else happens.

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::clock::Clock;
use bench::random::Random;

use crate::client::{Client, Patience};
use crate::cluster::{Cluster, Topology, keys_of};
use crate::record::{History, Operation};
use crate::stop::Stop;
use crate::workload::{Keys, Records, Worker};

/// Clients, so many of each shard.
#[derive(Debug)]
pub struct Probes {
    keys: Vec<(String, u16)>,
    records: Records,
    stop: Stop,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Probes {
    /// Starts `each` clients of every shard of `map`; each pauses for `gap` between two requests.
    #[must_use]
    pub fn start(
        cluster: &Cluster,
        map: &Topology,
        each: usize,
        gap: Duration,
        patience: Patience,
        clock: Clock,
    ) -> Self {
        let keys = keys_of(&map.ranges, "probe:", each);
        let firsts = map.ranges.iter().map(|range| range.first);
        let keys: Vec<(String, u16)> = firsts
            .zip(keys)
            .flat_map(|(first, keys)| keys.into_iter().map(move |key| (key, first)))
            .collect();
        let records = Records::default();
        let own = Stop::default();
        let threads = keys
            .iter()
            .enumerate()
            .map(|(number, (key, _))| {
                let mut worker = probe(cluster, number, key, patience, &records, clock, &own);
                std::thread::spawn(move || worker.increment_for_ever(gap))
            })
            .collect();
        Self {
            keys,
            records,
            stop: own,
            threads,
        }
    }

    /// For each shard of these, when the first request that was sent after `at` was acknowledged by another node than `victim`.
    #[must_use]
    pub fn first_after(
        &self,
        at: u64,
        victim: SocketAddr,
        first_slots: &[u16],
    ) -> Vec<Option<u64>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let victim = victim.to_string();
        let is_after = |operation: &&Operation| {
            operation.sent > at && operation.is_acknowledged() && operation.by != victim
        };
        let recent = records.iter().rev().take_while(|o| o.ended > at);
        let mut first: Vec<Option<u64>> = vec![None; first_slots.len()];
        for operation in recent.filter(is_after) {
            let of_key = self.keys.iter().find(|(key, _)| *key == operation.key);
            let place = of_key.and_then(|(_, slot)| first_slots.iter().position(|s| s == slot));
            if let Some(place) = place {
                let ended = operation.ended;
                first[place] = Some(first[place].map_or(ended, |known| known.min(ended)));
            }
        }
        first
    }

    /// Ends them; what they did.
    ///
    /// # Panics
    /// When one of them did.
    #[must_use]
    pub fn end(mut self) -> Vec<Operation> {
        self.stop.set();
        for thread in std::mem::take(&mut self.threads) {
            thread.join().expect("a probe does not panic");
        }
        std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Probes {
    /// Also where what they accompany has failed.
    fn drop(&mut self) {
        self.stop.set();
    }
}

fn probe(
    cluster: &Cluster,
    number: usize,
    key: &str,
    patience: Patience,
    records: &Records,
    clock: Clock,
    stop: &Stop,
) -> Worker {
    let client = Client::new(cluster.seeds(), patience, clock, stop.clone());
    let keys = Keys {
        counters: vec![key.to_owned()],
        ..Keys::default()
    };
    Worker::new(
        format!("probe{number}"),
        client,
        keys,
        Random::new(number as u64),
        records.clone(),
        clock,
        stop.clone(),
    )
}

/// Reads every counter of a history once more, when everything is over.
///
/// # Errors
/// One cannot be read.
pub fn last_reads(cluster: &Cluster, history: &History, clock: Clock) -> Result<Vec<Operation>> {
    let records = Records::default();
    let mut keys: Vec<String> = history.operations.iter().map(|o| o.key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    let patience = Patience {
        reply: Duration::from_secs(2),
        taken: Duration::from_secs(10),
    };
    let stop = Stop::default();
    let client = Client::new(cluster.seeds(), patience, clock, stop.clone());
    let keys = Keys {
        counters: keys,
        ..Keys::default()
    };
    let random = Random::new(0);
    let mut worker = Worker::new(
        "last".into(),
        client,
        keys,
        random,
        records.clone(),
        clock,
        stop,
    );
    let unread = worker.read_all();
    ensure!(unread.is_empty(), "not readable at the end: {unread:?}");
    Ok(std::mem::take(
        &mut *records.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}
