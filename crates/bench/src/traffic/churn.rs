//! Objects written and deleted at a constant number of live bytes.
//!
//! The workloads of "Log-structured Memory for DRAM-based Storage" (Rumble, Kejriwal, Ousterhout, FAST
//! 2014, Table 1): each write is a new object; when the live bytes would pass the limit, random live
//! objects are deleted first. The objects are dealt out to the connections, each with its part of the
//! limit, so that a delete can never overtake the write that it follows.

use super::Traffic;
use crate::keys::{KeyNames, ValuePool};
use crate::latency::Kind;
use crate::random::Random;
use crate::reply::Reply;
use crate::request::{Template, append_bulk};
use crate::size::SizeRange;

/// `SET` of a new object.
const WRITE: Kind = 0;
/// `DEL` of a live one.
const DELETE: Kind = 1;

/// What a phase does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// Writes so many bytes of objects with sizes drawn from the range.
    Write {
        /// Sizes of the values, in bytes.
        sizes: SizeRange,
        /// Bytes of keys and values to write.
        bytes: u64,
    },
    /// The same, the sizes growing from the range's lower end to its upper one.
    Grow {
        /// First and last size, in bytes.
        sizes: SizeRange,
        /// Bytes of keys and values to write.
        bytes: u64,
    },
    /// Deletes this percentage of the live objects.
    Delete {
        /// 0 to 100.
        percentage: u8,
    },
}

/// A live object.
#[derive(Clone, Copy, Debug)]
struct Object {
    key: u64,
    bytes: u32,
}

/// One connection's objects.
#[derive(Clone, Debug, Default)]
struct Share {
    live: Vec<Object>,
    live_bytes: u64,
    next_key: u64,
    /// Of the phase: bytes written so far, or deletes that are left.
    written: u64,
    to_delete: usize,
    /// The size that was drawn and waits for room.
    pending: Option<u64>,
}

/// The churn of all connections of a run's only worker.
#[derive(Clone, Debug)]
pub struct Churning {
    names: KeyNames,
    pool: ValuePool,
    set: Template,
    del: Template,
    random: Random,
    phase: Phase,
    shares: Vec<Share>,
    limit_bytes: u64,
}

impl Churning {
    /// No objects yet; at most `limit_bytes` of keys and values will be alive.
    pub fn new(
        names: KeyNames,
        largest: u64,
        limit_bytes: u64,
        connections: usize,
        seed: u64,
    ) -> Self {
        let share = |connection: usize| Share {
            next_key: connection as u64,
            ..Share::default()
        };
        Self {
            pool: ValuePool::new(largest, seed),
            set: Template::new(&names, &["SET"], 1, &[]),
            del: Template::new(&names, &["DEL"], 0, &[]),
            random: Random::new(seed),
            phase: Phase::Delete { percentage: 0 },
            shares: (0..connections).map(share).collect(),
            limit_bytes: limit_bytes / connections as u64,
            names,
        }
    }

    /// Begins a phase.
    pub fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        for share in &mut self.shares {
            share.written = 0;
            share.to_delete = match phase {
                Phase::Delete { percentage } => share.live.len() * usize::from(percentage) / 100,
                Phase::Write { .. } | Phase::Grow { .. } => 0,
            };
        }
    }

    /// Live objects, and the bytes of their keys and values.
    pub fn live(&self) -> (u64, u64) {
        let objects = self.shares.iter().map(|share| share.live.len() as u64);
        let bytes = self.shares.iter().map(|share| share.live_bytes);
        (objects.sum(), bytes.sum())
    }

    fn next_write(
        &mut self,
        connection: usize,
        sizes: SizeRange,
        bytes: u64,
        out: &mut Vec<u8>,
    ) -> Option<Kind> {
        let target = bytes / self.shares.len() as u64;
        let grows = matches!(self.phase, Phase::Grow { .. });
        let share = &mut self.shares[connection];
        if share.written >= target {
            return None;
        }
        let draw = || match grows {
            true => sizes.low + (sizes.high - sizes.low) * share.written / target,
            false => sizes.draw(&mut self.random),
        };
        let size = share.pending.take().unwrap_or_else(draw);
        let object_bytes = size + self.names.length() as u64;
        if share.live_bytes + object_bytes > self.limit_bytes && !share.live.is_empty() {
            share.pending = Some(size);
            self.delete_one(connection, out);
            return Some(DELETE);
        }
        self.write_one(connection, size, object_bytes, out);
        Some(WRITE)
    }

    fn write_one(&mut self, connection: usize, size: u64, object_bytes: u64, out: &mut Vec<u8>) {
        let step = self.shares.len() as u64;
        let share = &mut self.shares[connection];
        let key = share.next_key;
        share.next_key += step;
        share.written += object_bytes;
        share.live_bytes += object_bytes;
        share.live.push(Object {
            key,
            bytes: u32::try_from(object_bytes).expect("sizes of the workloads are far below 4 GiB"),
        });
        self.set.begin(&self.names, key, out);
        append_bulk(self.pool.value(key, size), out);
        self.set.end(out);
    }

    fn delete_one(&mut self, connection: usize, out: &mut Vec<u8>) {
        let share = &mut self.shares[connection];
        let chosen = self.random.below(share.live.len() as u64) as usize;
        let object = share.live.swap_remove(chosen);
        share.live_bytes -= u64::from(object.bytes);
        self.del.append(&self.names, object.key, out);
    }
}

impl Traffic for Churning {
    fn kinds(&self) -> &'static [&'static str] {
        &["write", "delete"]
    }

    fn next_request(&mut self, connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        match self.phase {
            Phase::Write { sizes, bytes } | Phase::Grow { sizes, bytes } => {
                self.next_write(connection, sizes, bytes, out)
            }
            Phase::Delete { .. } => {
                let left = &mut self.shares[connection].to_delete;
                *left = left.checked_sub(1)?;
                self.delete_one(connection, out);
                Some(DELETE)
            }
        }
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}
