//! `tenure-chaos run`: faults, one after the other, under clients whose every request is recorded, and what the record proves.
//!
//! ```text
//!   cluster well ──► a fault, for a while ──► healed ──► well again, in time ──► the next one ...
//!   ───────────────── clients ask all the while, and record ──────────────────────────────────►
//!                                                         at the end: every key is read, then judged
//! ```

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::clock::{Clock, MILLISECOND_NS, SECOND_NS};
use bench::random::Random;

use crate::client::{Client, Patience};
use crate::cluster::{Cluster, Peer};
use crate::faults::Fault;
use crate::progress::Progress;
use crate::record::{Event, History};
use crate::stop::Stop;
use crate::workload::{Keys, Records, Worker};

/// What clients of a run wait for.
const PATIENCE: Patience = Patience {
    reply: Duration::from_millis(1_000),
    taken: Duration::from_secs(5),
};
/// After the last fault every key must be read within this time.
const LAST: Patience = Patience {
    reply: Duration::from_secs(5),
    taken: Duration::from_secs(30),
};
/// Between two requests of a client.
const GAP: Duration = Duration::from_millis(1);

/// What a run does.
#[derive(Clone, Debug)]
pub struct Script {
    /// For how long.
    pub seconds: u64,
    /// Chooses faults, nodes and times.
    pub seed: u64,
    /// Which faults.
    pub faults: Vec<Fault>,
    /// How many clients.
    pub clients: usize,
    /// How many keys of each kind.
    pub keys: usize,
}

/// What happened, and how long clients of a key were without an answer.
#[derive(Debug)]
pub struct Ran {
    /// Everything.
    pub history: History,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, usize>,
    /// The longest time in which no request was acknowledged.
    pub silence_ms: u64,
}

/// Runs the script against a cluster that is well.
///
/// # Errors
/// The cluster did not become well again, or a key could not be read at the end. The history until then is in the second part.
pub fn run(cluster: &mut Cluster, script: &Script, clock: Clock, stop: &Stop) -> (Result<()>, Ran) {
    let records = Records::default();
    let clients = Stop::default();
    let keys = keys(cluster.peer(), script.keys);
    let mut ran = Ran {
        history: History::default(),
        struck: BTreeMap::new(),
        silence_ms: 0,
    };
    let worker = |name: String, patience: Patience, number: u64| {
        let seeds = cluster.seeds();
        let client = Client::new(seeds, patience, clock, clients.clone());
        let random = Random::stream(script.seed, number);
        let stop = clients.clone();
        Worker::new(
            name,
            client,
            keys.clone(),
            random,
            records.clone(),
            clock,
            stop,
        )
    };
    let prepared = worker("first".into(), LAST, 0).prepare();
    let workers: Vec<Worker> = (1..=script.clients)
        .map(|number| worker(format!("client{number}"), PATIENCE, number as u64))
        .collect();
    let threads: Vec<_> = workers
        .into_iter()
        .map(|mut worker| std::thread::spawn(move || worker.run(GAP)))
        .collect();
    let result = prepared.and_then(|()| strike(cluster, script, clock, stop, &mut ran));
    clients.set();
    for thread in threads {
        thread.join().expect("a client does not panic");
    }
    let result = result.and_then(|()| {
        let client = Client::new(cluster.seeds(), LAST, clock, stop.clone());
        let random = Random::new(script.seed);
        let records = records.clone();
        let mut last = Worker::new(
            "last".into(),
            client,
            keys,
            random,
            records,
            clock,
            stop.clone(),
        );
        let unread = last.read_all();
        ensure!(unread.is_empty(), "not readable at the end: {unread:?}");
        Ok(())
    });
    let operations = &mut *records.lock().unwrap_or_else(PoisonError::into_inner);
    ran.history.operations = std::mem::take(operations);
    ran.silence_ms = longest_silence_ms(&ran.history);
    (result, ran)
}

/// Sessions are Tenure's; a Redis only counts.
fn keys(peer: Peer, each: usize) -> Keys {
    let names = |kind: &str, each: usize| (0..each).map(|n| format!("{kind}:{n}")).collect();
    match peer {
        Peer::Redis => Keys {
            counters: names("count", each),
            ..Keys::default()
        },
        Peer::Tenure => Keys {
            counters: names("count", each),
            sessions: names("session", each),
            held: names("held", each),
        },
    }
}

fn strike(
    cluster: &mut Cluster,
    script: &Script,
    clock: Clock,
    stop: &Stop,
    ran: &mut Ran,
) -> Result<()> {
    let mut random = Random::new(script.seed);
    let end = clock.now_ns() + script.seconds * SECOND_NS;
    let bar = Progress::new("chaos", script.seconds as usize);
    let mut last = clock.now_ns();
    while clock.now_ns() < end && !stop.is_set() {
        stop.pause(Duration::from_millis(300 + random.below(700)));
        // Every fault comes once, then they are drawn.
        let least = script
            .faults
            .iter()
            .filter(|fault| !ran.struck.contains_key(fault));
        let fault = match least.copied().next() {
            Some(fault) => fault,
            None => script.faults[random.below(script.faults.len() as u64) as usize],
        };
        let (struck, what) = fault.strike(cluster, &mut random)?;
        let at = clock.now_ns();
        ran.history.events.push(Event { at, what });
        *ran.struck.entry(fault).or_default() += 1;
        stop.pause(Duration::from_millis(200 + random.below(3_000)));
        struck.heal(cluster)?;
        let what = "healed".to_owned();
        ran.history.events.push(Event {
            at: clock.now_ns(),
            what,
        });
        cluster.wait_until_well()?;
        let ms = (clock.now_ns() - at) / MILLISECOND_NS;
        let what = format!("well again {ms} ms after the fault");
        ran.history.events.push(Event {
            at: clock.now_ns(),
            what,
        });
        for _ in 0..(clock.now_ns() - last) / SECOND_NS {
            bar.show(&format!("{fault:?}"));
            last += SECOND_NS;
        }
    }
    bar.clear();
    Ok(())
}

fn longest_silence_ms(history: &History) -> u64 {
    let acknowledged = history.operations.iter().filter(|o| o.is_acknowledged());
    let mut times: Vec<u64> = acknowledged.map(|o| o.ended).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(0) / MILLISECOND_NS
}
