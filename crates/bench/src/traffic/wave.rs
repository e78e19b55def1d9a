//! Reads that go on while a wave of keys expires, told apart by when they were due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Traffic;
use crate::args::BenchArgs;
use crate::keys::KeyNames;
use crate::latency::Kind;
use crate::random::Random;
use crate::reply::Reply;
use crate::request::Template;

/// Reads before the first deadline.
pub const BEFORE: Kind = 0;
/// Reads from the first deadline until all is gone.
pub const DURING: Kind = 1;
/// Reads after that.
pub const AFTER: Kind = 2;

/// The kind that reads have now, set by whoever watches the wave.
pub type Stage = Arc<AtomicU8>;

/// `GET` of the keys from 0 up to but excluding `keys`.
#[derive(Clone, Debug)]
pub struct Background {
    names: KeyNames,
    get: Template,
    keys: u64,
    random: Random,
    stage: Stage,
}

impl Background {
    /// The reads of worker `worker`.
    pub fn new(args: &BenchArgs, worker: usize, stage: Stage) -> Self {
        let names = args.key_names();
        Self {
            get: Template::new(&names, &["GET"], 0, &[]),
            keys: args.background_keys.max(1),
            random: Random::stream(args.seed, worker as u64),
            names,
            stage,
        }
    }
}

impl Traffic for Background {
    fn kinds(&self) -> &'static [&'static str] {
        &["before", "during", "after"]
    }

    fn next_request(&mut self, _connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let key = self.random.below(self.keys);
        self.get.append(&self.names, key, out);
        Some(self.stage.load(Ordering::Relaxed))
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}
