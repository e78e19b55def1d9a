//! What has arrived of many connections is looked through before any of it runs, so that the memory that it will touch comes meanwhile.
//!
//! A command waits for three things that lie in no cache, each of which says where the next one is: its index bucket, the beginning of its
//! entry, its value. Each is asked for a distance before the command that needs it, in order of running:
//!
//! ```text
//!   ran │ running │ values asked for │ beginnings asked for │ buckets asked for │ not yet
//!                  └── VALUES ────────┴── ENTRIES ───────────┴── CELLS
//! ```
//!
//! so waiting for memory overlaps with running what came before, not only with waiting for other memory. All that is found here is a hint:
//! it is taken from bytes that nobody has checked, and a wrong one costs only time.

use alloc::vec::Vec;

use model::{ConnectionId, Db};
use store::{Hint, Store};

use crate::Node;
use crate::execute::BATCH;

/// How many commands ahead of the one that runs values are asked for,
const VALUES: usize = 4;
/// beginnings of entries,
const ENTRIES: usize = 8;
/// and buckets.
const CELLS: usize = 12;
/// More commands than this are not looked at at once.
const MOST: usize = 4096;

/// The first key of a command.
#[derive(Clone, Copy)]
struct Wanted {
    /// The place of its copy, of a member.
    place: usize,
    hint: Hint,
    /// Its value will be read, or written over.
    value: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ahead {
    wanted: Vec<Wanted>,
    /// For each piece how many commands it and those before it have.
    ends: Vec<usize>,
    /// Pieces that were begun.
    begun: usize,
    /// The command that runs next.
    next: usize,
    /// Of how many buckets, beginnings and values were asked for.
    cells: usize,
    entries: usize,
    values: usize,
}

impl Ahead {
    fn clear(&mut self) {
        self.wanted.clear();
        self.ends.clear();
        (self.begun, self.next) = (0, 0);
        (self.cells, self.entries, self.values) = (0, 0, 0);
    }

    /// How many commands the pieces before this one have.
    fn before(&self, piece: usize) -> usize {
        piece.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Whether so many commands that run next were looked at.
    pub(crate) fn covers(&self, commands: usize) -> bool {
        self.begun > 0 && self.next + commands <= self.ends[self.begun - 1]
    }

    /// A command is about to run: asks for what those behind it will want.
    #[inline]
    pub(crate) fn step<'s>(&mut self, store: impl Fn(usize) -> Option<&'s Store>) {
        if !self.covers(1) {
            return;
        }
        self.next += 1;
        let until = |ahead: usize| (self.next + ahead).min(self.wanted.len());
        let (cells, entries, values) = (until(CELLS), until(ENTRIES), until(VALUES));
        for wanted in &self.wanted[self.cells..cells] {
            if let Some(store) = store(wanted.place) {
                store.prefetch_cell(wanted.hint);
            }
        }
        for wanted in &self.wanted[self.entries..entries] {
            if let Some(store) = store(wanted.place) {
                store.prefetch_entry(wanted.hint);
            }
        }
        for wanted in &self.wanted[self.values..values] {
            if let Some(store) = store(wanted.place).filter(|_| wanted.value) {
                store.prefetch_value(wanted.hint);
            }
        }
        (self.cells, self.entries, self.values) = (cells, entries, values);
    }
}

impl Node {
    /// Looks at what has arrived of several connections, before it is handed in, piece by piece in this order.
    pub fn look_ahead<'b>(&mut self, pieces: impl Iterator<Item = (ConnectionId, &'b [u8])>) {
        let mut ahead = core::mem::take(&mut self.ahead);
        ahead.clear();
        for (connection, bytes) in pieces {
            if let Some(client) = self.clients.get(connection) {
                let db = client.db;
                // Of two arguments: most likely it reads.
                let wanted =
                    resp::glance(bytes).filter_map(|(count, key)| self.wanted(db, key, count == 2));
                let room = MOST - ahead.wanted.len();
                ahead.wanted.extend(wanted.take(room));
            }
            ahead.ends.push(ahead.wanted.len());
        }
        self.ahead = ahead;
    }

    /// The next piece that was looked at is about to be handed in.
    pub fn begin_piece(&mut self) {
        self.ahead.next = self.ahead.before(self.ahead.begun);
        self.ahead.begun = (self.ahead.begun + 1).min(self.ahead.ends.len());
    }

    /// What was looked at has run.
    pub fn end_ahead(&mut self) {
        self.ahead.clear();
    }

    /// Asks for what commands that run at once will touch: the first key of each, and whether it only reads.
    pub(crate) fn fetch_now<'b>(
        &self,
        db: Db,
        keys: impl Iterator<Item = Option<(&'b [u8], bool)>>,
    ) {
        let mut all = [None; BATCH];
        for (slot, key) in all.iter_mut().zip(keys) {
            *slot = key.and_then(|(key, reads)| self.wanted(db, key, reads));
        }
        let known = || {
            all.iter()
                .flatten()
                .filter_map(|wanted| Some((wanted, self.store_at(wanted.place)?)))
        };
        for (wanted, store) in known() {
            store.prefetch_cell(wanted.hint);
        }
        for (wanted, store) in known() {
            store.prefetch_entry(wanted.hint);
        }
        for (wanted, store) in known().filter(|(wanted, _)| wanted.value) {
            store.prefetch_value(wanted.hint);
        }
    }

    #[inline]
    fn wanted(&self, db: Db, key: &[u8], reads: bool) -> Option<Wanted> {
        let (place, shard) = match &self.cluster {
            None => (0, &self.shard),
            Some(cluster) => cluster.shard_of_key(key)?,
        };
        let store = shard.store();
        let hint = store.hint(&shard.data_key(db, key));
        let value = reads || store.overwrites();
        Some(Wanted { place, hint, value })
    }

    #[inline]
    fn store_at(&self, place: usize) -> Option<&Store> {
        match &self.cluster {
            None => Some(self.shard.store()),
            Some(cluster) => Some(cluster.shard_at(place)?.store()),
        }
    }
}
