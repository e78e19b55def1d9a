//! A leap: all batches that a copy has missed, told as one. In production this is `shard` and its store, which know what has become of each key.

use model::{Member, Position};
use replica::{Batch, Gathered, Input};

use crate::node::Write;
use crate::rare::Rare;

use super::World;
use super::owner::Done;

/// Bytes before the entry of a batch: what it follows, its own position, and the entry's length.
const HEADER_BYTES: usize = 24;

/// A batch, and what it follows.
type Missed = (Position, Batch);

impl World {
    pub(super) fn gather(&mut self, node: usize, shard: usize, to: Member, from: Position) {
        let missed = self.missed_behind(node, shard, from);
        if missed.is_none() {
            self.note_rare(Rare::LeapRefused);
        } else if self.nodes[node].process > 0 {
            self.note_rare(Rare::LeptFromFiles);
        }
        let missed = missed.unwrap_or_default();
        let bytes: Vec<u8> = missed.iter().flat_map(encode).collect();
        let copy = self.nodes[node].copies.get(&shard);
        let floor_ms = copy.map_or(0, |copy| copy.time_ms);
        let ends = missed.first().zip(missed.last());
        let found = ends.map(|((_, first), (_, last))| Gathered {
            first: first.last,
            last: last.last,
            floor_ms,
            bytes: &bytes,
        });
        self.input(node, shard, Input::Gathered { to, from, found });
    }

    /// The batches behind `from`, where the log still has them all, as far as it knows.
    fn missed_behind(&mut self, node: usize, shard: usize, from: Position) -> Option<Vec<Missed>> {
        let is_cleaned = self.time_us < self.leapless_until_us;
        let is_there = !self.chance.disk.chance(2_500) && !is_cleaned;
        let copy = self.nodes[node].copies.get(&shard).filter(|_| is_there)?;
        let line = self.ledgers[shard].placed_up_to(copy.replica.last());
        let index = line.iter().position(|(at, _)| *at == from)?;
        let missed = line[index..].windows(2).map(|pair| {
            let batch = Batch {
                first: pair[1].0,
                last: pair[1].0,
                time_ms: 0,
                bytes: pair[1].1.encode().into(),
            };
            (pair[0].0, batch)
        });
        (from >= copy.base).then(|| missed.collect())
    }

    /// All of it becomes part of the content at once. When each batch was made the log did not know.
    pub(super) fn on_leap(
        &mut self,
        node: usize,
        shard: usize,
        (time_ms, floor_ms): (u64, u64),
        bytes: &[u8],
        done: &mut Vec<Done>,
    ) {
        let missed = decode(bytes, time_ms);
        for (prev, batch) in &missed {
            self.add(node, shard, *prev, batch);
        }
        if let Some(copy) = self.nodes[node].copies.get_mut(&shard) {
            copy.time_ms = copy.time_ms.max(floor_ms);
        }
        let batches = missed.into_iter().map(|(_, batch)| batch).collect();
        self.write(node, shard, Write::Leap(batches), done);
    }
}

fn encode((prev, batch): &Missed) -> Vec<u8> {
    let mut bytes = Vec::from(prev.raw().to_le_bytes());
    bytes.extend(batch.last.raw().to_le_bytes());
    bytes.extend((batch.bytes.len() as u64).to_le_bytes());
    bytes.extend(&batch.bytes[..]);
    bytes
}

fn decode(mut bytes: &[u8], time_ms: u64) -> Vec<Missed> {
    let mut missed = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let [prev, last, len] = [0, 8, 16].map(|at| {
            let number = header[at..].first_chunk().expect("there are three numbers");
            u64::from_le_bytes(*number)
        });
        let (entry, rest) = rest.split_at(len as usize);
        let last = Position::from_raw(last);
        let batch = Batch {
            first: last,
            last,
            time_ms,
            bytes: entry.into(),
        };
        missed.push((Position::from_raw(prev), batch));
        bytes = rest;
    }
    missed
}
