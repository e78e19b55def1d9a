//! Writes that are followed by `WAIT 1`: how a client of Redis learns that a second server has what it wrote.
//!
//! A closed loop sends `--depth` requests at once and waits for all replies. So with `set-wait` and a depth of 2, each connection sends one
//! SET with its WAIT, and goes on when both are answered; with a depth of 32 it sends sixteen such pairs. With `set-wait:batch` only the last
//! request of the batch is a WAIT, which covers all before it.

use super::Traffic;
use super::keyed::Keyed;
use crate::args::{BenchArgs, Confirm, Operation};
use crate::latency::Kind;
use crate::reply::Reply;
use crate::request::append_command;

/// `SET key value`.
const SET: Kind = 0;
/// `WAIT 1 1000`.
const WAIT: Kind = 1;
/// Milliseconds after which a WAIT gives up.
const PATIENCE_MS: &[u8] = b"1000";

/// SETs and WAITs.
#[derive(Clone, Debug)]
pub struct Confirmed {
    sets: Keyed,
    wait: Vec<u8>,
    /// A WAIT follows so many SETs.
    group: usize,
    /// SETs of each connection since its last WAIT.
    since: Vec<usize>,
}

impl Confirmed {
    /// The traffic of worker `worker`.
    pub fn new(args: &BenchArgs, confirm: Confirm, worker: usize) -> Self {
        let mut wait = Vec::new();
        append_command(&[b"WAIT", b"1", PATIENCE_MS], &mut wait);
        let group = match confirm {
            Confirm::Each => 1,
            Confirm::Batch => args.depth().saturating_sub(1).max(1),
        };
        Self {
            sets: Keyed::new(args, Operation::Set, worker),
            wait,
            group,
            since: vec![0; args.connections()],
        }
    }
}

impl Traffic for Confirmed {
    fn kinds(&self) -> &'static [&'static str] {
        &["set", "wait"]
    }

    fn next_request(&mut self, connection: usize, now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let since = &mut self.since[connection];
        if *since == self.group {
            *since = 0;
            out.extend_from_slice(&self.wait);
            return Some(WAIT);
        }
        *since += 1;
        self.sets.next_request(connection, now, out)?;
        Some(SET)
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}
