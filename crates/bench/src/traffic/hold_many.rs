//! Many sessions held at the same time.

use std::collections::VecDeque;

use super::Traffic;
use super::fill::Part;
use crate::args::BenchArgs;
use crate::keys::KeyNames;
use crate::latency::Kind;
use crate::reply::Reply;
use crate::request::{Template, append_number};

/// The only kind of either step.
const ONLY: Kind = 0;

/// Opens each session of its part with a hold, and keeps the fences.
#[derive(Clone, Debug)]
pub struct HoldAll {
    names: KeyNames,
    open: Template,
    part: Part,
    opening: Vec<VecDeque<u64>>,
    held: Vec<(u64, i64)>,
}

impl HoldAll {
    /// Will hold the sessions of `part`.
    pub fn new(args: &BenchArgs, part: Part) -> Self {
        let names = args.key_names();
        let hold = args.hold.to_string();
        Self {
            open: Template::new(&names, &["SESSION.OPEN"], 0, &["HOLD", &hold, "CREATE"]),
            opening: vec![VecDeque::new(); args.connections()],
            held: Vec::new(),
            names,
            part,
        }
    }

    /// The sessions that were granted, with their fences.
    pub fn held(&self) -> &[(u64, i64)] {
        &self.held
    }
}

impl Traffic for HoldAll {
    fn kinds(&self) -> &'static [&'static str] {
        &["open"]
    }

    fn next_request(&mut self, connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let key = self.part.take()?;
        self.opening[connection].push_back(key);
        self.open.append(&self.names, key, out);
        Some(ONLY)
    }

    fn take_reply(&mut self, connection: usize, _kind: Kind, _now: u64, reply: &Reply<'_>) {
        let key = self.opening[connection].pop_front();
        self.held.extend(key.zip(reply.number));
    }
}

/// Tries, from another connection, to open sessions that are held: each must answer `-HELD`.
#[derive(Clone, Debug)]
pub struct Intrude {
    names: KeyNames,
    open: Template,
    keys: Vec<u64>,
}

impl Intrude {
    /// Will try these sessions.
    pub fn new(args: &BenchArgs, keys: Vec<u64>) -> Self {
        let names = args.key_names();
        Self {
            open: Template::new(&names, &["SESSION.OPEN"], 0, &["HOLD", "1000"]),
            names,
            keys,
        }
    }
}

impl Traffic for Intrude {
    fn kinds(&self) -> &'static [&'static str] {
        &["intrude"]
    }

    fn next_request(&mut self, _connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let key = self.keys.pop()?;
        self.open.append(&self.names, key, out);
        Some(ONLY)
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}

/// Releases what [`HoldAll`] was granted.
#[derive(Clone, Debug)]
pub struct ReleaseAll {
    names: KeyNames,
    release: Template,
    held: Vec<(u64, i64)>,
}

impl ReleaseAll {
    /// Will release these sessions with these fences.
    pub fn new(args: &BenchArgs, held: Vec<(u64, i64)>) -> Self {
        let names = args.key_names();
        Self {
            release: Template::new(&names, &["SESSION.RELEASE"], 1, &[]),
            names,
            held,
        }
    }
}

impl Traffic for ReleaseAll {
    fn kinds(&self) -> &'static [&'static str] {
        &["release"]
    }

    fn next_request(&mut self, _connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let (key, fence) = self.held.pop()?;
        self.release.begin(&self.names, key, out);
        append_number(fence, out);
        self.release.end(out);
        Some(ONLY)
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}
