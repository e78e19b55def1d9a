//! What clients have asked and been told, and whether there is one order that explains it.
//!
//! The order of writes is known: it is that of the positions that were committed. So linearizability is checked in one pass (`history::sweep`).

use std::collections::BTreeMap;

use history::sweep::{Span, sweep};
use model::Position;

use crate::ledger::Ledger;
use crate::state::{Change, Entry, Key};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What is there?
    Get,
    /// Write this.
    Put(u64),
    /// Remove it.
    Delete,
    /// Write this, if what is there is of that version (none: if nothing is there).
    CompareAndSet(Option<Position>, u64),
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is done, at this position.
    Done(Position),
    /// This version is there, or none. For a compare-and-set: so it was not done.
    Found(Option<Position>),
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The shard.
    pub shard: usize,
    /// The key.
    pub key: Key,
    /// What is asked.
    pub ask: Ask,
    /// When it was sent.
    pub sent_us: u64,
    /// When it was answered, what was said, and by which wall-clock time.
    pub answer: Option<(u64, Told, u64)>,
}

/// One key's line of changes.
type Line = Vec<(Position, Change)>;

/// Looks for a contradiction.
///
/// # Errors
/// The first one found.
pub fn check(requests: &[Request], ledgers: &[Ledger]) -> Result<(), String> {
    let lines: Vec<BTreeMap<Key, Line>> = ledgers.iter().map(lines_of).collect();
    every_ack_is_committed(requests, ledgers)?;
    sweep(
        &spans(requests, |request| (request.shard, request.key)),
        |number, floor| {
            let request = &requests[number];
            let empty = Line::new();
            let line = lines[request.shard].get(&request.key).unwrap_or(&empty);
            let told = request
                .answer
                .and_then(|(_, told, _)| takes_effect(told, line, floor));
            told.ok_or_else(|| {
                format!("not linearizable: request {number} {request:?}, after {floor} was told")
            })
        },
    )?;
    time_never_goes_back(requests)
}

/// When each request was asked and answered, in the order that its `key` has.
fn spans<K>(requests: &[Request], key: impl Fn(&Request) -> K) -> Vec<Span<K>> {
    let span = |request: &Request| Span {
        of: key(request),
        sent: request.sent_us,
        told: request.answer.map(|(told_us, ..)| told_us),
    };
    requests.iter().map(span).collect()
}

/// No shard answers by an earlier time than one it had answered by before.
fn time_never_goes_back(requests: &[Request]) -> Result<(), String> {
    sweep(
        &spans(requests, |request| request.shard),
        |number, floor_ms| {
            let request = &requests[number];
            match request.answer {
                Some((_, _, time_ms)) if time_ms >= floor_ms => Ok(time_ms),
                Some(_) | None => Err(format!(
                    "time went back: request {number} {request:?}, after {floor_ms} was told"
                )),
            }
        },
    )?;
    Ok(())
}

fn lines_of(ledger: &Ledger) -> BTreeMap<Key, Line> {
    let mut lines: BTreeMap<Key, Line> = BTreeMap::new();
    for (at, entry) in ledger.committed() {
        match entry.change {
            Change::Put(_) | Change::Delete => {
                let line = lines.entry(entry.key).or_default();
                line.push((*at, entry.change));
            }
            Change::Again(_) | Change::Nothing => {}
        }
    }
    lines
}

/// Nothing acknowledged is lost, and nothing is done twice.
fn every_ack_is_committed(requests: &[Request], ledgers: &[Ledger]) -> Result<(), String> {
    let done: Vec<BTreeMap<u64, Position>> = ledgers
        .iter()
        .map(|l| {
            let entries = l.committed().iter();
            entries
                .map(|(at, Entry { request, .. })| (*request, *at))
                .collect()
        })
        .collect();
    for (number, request) in requests.iter().enumerate() {
        if let Some((_, Told::Done(at), _)) = request.answer
            && done[request.shard].get(&(number as u64)) != Some(&at)
        {
            return Err(format!(
                "acknowledged and lost: request {number} {request:?}"
            ));
        }
    }
    Ok(())
}

/// The earliest point, not before `floor`, at which that could be said of a key with this line of changes.
fn takes_effect(told: Told, line: &Line, floor: Position) -> Option<Position> {
    match told {
        Told::Done(at) => (at > floor).then_some(at),
        Told::Found(Some(at)) => {
            let index = line.binary_search_by_key(&at, |(p, _)| *p).ok()?;
            let (_, Change::Put(_)) = line[index] else {
                return None;
            };
            is_last(line, index, floor).then(|| at.max(floor))
        }
        Told::Found(None) => {
            let deletes = (0..line.len()).filter(|i| line[*i].1 == Change::Delete);
            // Before the first change there is nothing either.
            let first = line.first().is_none_or(|(p, _)| *p > floor);
            let found = deletes
                .map(|i| (i, line[i].0))
                .find(|(i, _)| is_last(line, *i, floor));
            if first {
                Some(floor)
            } else {
                found.map(|(_, at)| at.max(floor))
            }
        }
    }
}

/// Whether the change with this index is still the last one at `floor` or later.
fn is_last(line: &Line, index: usize, floor: Position) -> bool {
    line.get(index + 1).is_none_or(|(next, _)| *next > floor)
}
