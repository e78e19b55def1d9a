//! One shard: what the bytes in the store mean.
//!
//! The store keeps entries and does not know what they are. The shard gives them types (string, hash),
//! deadlines (idle and absolute), holds with fences and waiting lines, users, guards, and the one order:
//! it hands out positions and knows which of them are committed.
//!
//! The shard is *told* everything: the time, its epoch, its settings. It knows no connection beyond its
//! number, no command and no reply.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod batch;
mod commit;
mod effects;
pub mod guards;
pub mod hash;
pub mod holds;
mod leap;
mod learn;
mod marks;
mod mend;
pub mod record;
mod replicated;
mod session_key;
pub mod sessions;
pub mod users;
mod writes;

pub use commit::Commits;
pub use effects::Unwritable;
pub use guards::Guard;
pub use hash::{Changed, FieldChange, Hash, Unchanged, WrongType};
pub use record::{Meta, Record, Type};
pub use replicated::{Chunk, News};
pub use writes::{Change, Place};

use alloc::boxed::Box;
use alloc::vec::Vec;

use model::{ConnectionId, Db, Now, Position};
use store::{Entry, Key, Refused, Space, Store};

use crate::holds::{HoldCounts, Holds};
use crate::marks::Marks;
use crate::replicated::Replicated;
use crate::sessions::UserCap;
use crate::users::Users;

/// What a scan may look at to find what it was asked for, where most of the index is empty or belongs to others.
const LEAST_SCAN_WORK: usize = 10_000;

/// What an operator may set. Defaults: nothing is guarded, no cap.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Longest value of a write, in bytes.
    pub max_value_bytes: usize,
    /// What is done for keys by their prefixes; the first that fits applies.
    pub guards: Vec<Guard>,
    /// How many sessions a user may have; `None` for any number.
    pub user_cap: Option<UserCap>,
    /// For how long the old id of a rotated session cannot be used again after its grace, in milliseconds.
    pub gone_ms: u64,
    /// Secret of the hash tables, so that nobody can choose ids that collide.
    pub seed: u64,
    /// Bytes of a part of a snapshot, about.
    pub part_bytes: usize,
}

/// Default of [`ShardSettings::gone_ms`]: longer than any request that still carries an old id should take.
pub const DEFAULT_GONE_MS: u64 = 60_000;
/// Default of [`ShardSettings::part_bytes`].
const PART_BYTES: usize = 128 << 10;

impl Default for ShardSettings {
    fn default() -> Self {
        Self {
            max_value_bytes: model::limits::DEFAULT_VALUE_BYTES,
            guards: Vec::new(),
            user_cap: None,
            gone_ms: DEFAULT_GONE_MS,
            seed: 0,
            part_bytes: PART_BYTES,
        }
    }
}

/// What has expired for so long is hidden from commands for which time stands still, though it may not be removed.
const HIDDEN_AFTER_MS: u64 = 1_000;

/// Timers of holds and waits that one call of [`Shard::maintain`] runs at most.
const TIMERS_AT_ONCE: usize = 1024;

/// Why a command that had to wait runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It does not: this is its first run.
    First,
    /// What it waited for may be there.
    Woken,
    /// It has waited as long as it wanted to.
    TimedOut,
    /// What it waited for is gone for good.
    Cancelled,
}

/// See the crate.
pub struct Shard {
    /// The entries.
    pub(crate) store: Store,
    /// Position that the next batch starts at.
    next: Position,
    commits: Commits,
    pub(crate) holds: Holds,
    pub(crate) users: Users,
    pub(crate) marks: Marks,
    /// The connection whose command is writing; `None` when the shard writes by itself.
    pub(crate) writer: Option<ConnectionId>,
    pub(crate) settings: ShardSettings,
    /// What makes it one of several copies; `None` where there is only this one.
    copy: Option<Box<Replicated>>,
    /// Bytes that others use of the memory that the store's limit is about.
    beside: usize,
}

impl Shard {
    /// A shard over a store whose entries all stand before `next`. `next` is the start of an epoch that is
    /// on disk already.
    #[must_use]
    pub fn new(store: Store, next: Position, settings: ShardSettings) -> Self {
        let mut commits = Commits::after_restart(next, store.appended());
        commits.advance(store.persisted());
        Self {
            store,
            next,
            commits,
            holds: Holds::new(settings.seed),
            users: Users::default(),
            marks: Marks::default(),
            writer: None,
            settings,
            copy: None,
            beside: 0,
        }
    }

    /// The store, to look at.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store, when nothing else is wanted any more.
    #[must_use]
    pub fn into_store(self) -> Store {
        self.store
    }

    /// The store, for its disk ops and events only. Changing entries goes through the shard.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &ShardSettings {
        &self.settings
    }

    /// The settings, to change while running.
    pub fn settings_mut(&mut self) -> &mut ShardSettings {
        &mut self.settings
    }

    /// The longest argument that a command may have: the longest value, or the longest key where that is more.
    #[must_use]
    pub fn max_bulk_bytes(&self) -> usize {
        self.settings
            .max_value_bytes
            .max(model::limits::MAX_KEY_BYTES)
    }

    /// The key of a user's record.
    #[inline]
    #[must_use]
    pub fn data_key<'a>(&self, db: Db, key: &'a [u8]) -> Key<'a> {
        self.store.key(db, Space::Data, key)
    }

    /// The current record of a key, or of the session that it was the id of until a short while ago (see
    /// `marks`). What was read is noted in [`Shard::observed`], also that there is none.
    #[inline]
    pub fn record(&mut self, now: Now, db: Db, key: &[u8]) -> Option<Record<'_>> {
        let key = self.data_key(db, key);
        if self.marks.possible(now.unix_ms) && self.store.get(&key, now.unix_ms).is_none() {
            return self.record_by_alias(now, db, key.bytes());
        }
        match self.store.get(&key, now.unix_ms) {
            Some(entry) => {
                self.commits.observe(Some(entry.position()));
                Some(Record::of(entry))
            }
            None => {
                Self::observe_absent(&self.store, &mut self.commits, &key);
                None
            }
        }
    }

    /// What was looked for is not there: because it was removed, or because what is there has expired.
    fn observe_absent(store: &Store, commits: &mut Commits, key: &Key<'_>) {
        commits.observe(None);
        if commits.any_in_flight()
            && let Some(expired) = store.get_expired(key)
        {
            commits.observe(Some(expired.position()));
        }
    }

    /// What is answered may depend on anything that was applied so far.
    pub fn observe_all(&mut self) {
        self.commits.observe(Some(self.last()));
    }

    /// The position of the last entry that was applied.
    fn last(&self) -> Position {
        Position::from_raw(self.next.raw() - 1)
    }

    /// How many keys a database has. What was counted is noted.
    pub fn count(&mut self, db: Db) -> u64 {
        self.observe_all();
        self.store.len(db)
    }

    /// Visits about `count` records of a database from `cursor` (0 to begin) on, and returns the cursor to go on with, 0
    /// at the end. Every record that is there all the time is visited at least once. The work is bounded, so fewer
    /// may be visited, or none.
    pub fn scan(
        &mut self,
        now: Now,
        db: Db,
        mut cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(&[u8], Record<'_>),
    ) -> u64 {
        let (mut latest, mut visited, mut looked_at) = (None, 0, 0);
        while visited < count && looked_at < count.max(LEAST_SCAN_WORK) {
            cursor = self.store.scan(cursor, count, &mut |entry| {
                if entry.db() != db || entry.space() != Space::Data {
                    return;
                }
                latest = latest.max(Some(entry.position()));
                if !entry.deadline().has_passed(now.unix_ms) {
                    visited += 1;
                    visit(entry.key(), Record::of(entry));
                }
            });
            looked_at += count;
            if cursor == 0 {
                break;
            }
        }
        // A scan depends on what it found, expired or not, and on what it no longer found.
        self.commits.observe_many(latest);
        cursor
    }

    /// Some key of a database, chosen by `random`; `None` if there is none, or if none was found within a bounded
    /// search.
    pub fn random_key(&mut self, now: Now, db: Db, random: u64) -> Option<&[u8]> {
        let entry = self.store.random(db, random, now.unix_ms);
        let last = self.last();
        let found = entry.as_ref().map_or(last, Entry::position);
        self.commits.observe(Some(found));
        entry.map(|entry| entry.key())
    }

    /// Bytes that a key's entries take, headers and index cells included.
    pub fn footprint(&mut self, now: Now, db: Db, key: &[u8]) -> Option<usize> {
        let is_there = self.record(now, db, key).is_some();
        let data_key = self.data_key(db, key);
        let entry = self
            .store
            .get(&data_key, now.unix_ms)
            .filter(|_| is_there)?;
        let chunks = Hash::of(self, now, db, key, Record::of(entry));
        Some(Store::footprint(&entry) + chunks.map_or(0, |hash| hash.chunk_footprint()))
    }

    /// The latest position that anything read or written since [`Shard::begin_command`] depends on: a reply may
    /// leave when it is committed.
    #[must_use]
    pub fn observed(&self) -> Position {
        self.commits.observed()
    }

    /// Forgets what was observed.
    pub fn begin_command(&mut self) {
        self.commits.begin();
    }

    /// Everything up to and including this position is committed.
    #[must_use]
    pub fn committed(&self) -> Position {
        self.commits.committed()
    }

    /// Takes note of what the store has persisted. To be called after disk events.
    pub fn advance_commit(&mut self) {
        assert!(
            self.copy.is_none(),
            "others have a say in what is committed"
        );
        self.commits.advance(self.store.persisted());
    }

    /// Connections whose waiting command shall run again, in the order they became so.
    pub fn take_woken(&mut self) -> Vec<(ConnectionId, Attempt)> {
        self.holds.take_woken()
    }

    /// A connection is gone: its places in lines are given up. Its holds stay until they expire, since a
    /// hold belongs to whoever knows its fence.
    pub fn connection_closed(&mut self, connection: ConnectionId) {
        self.holds.connection_closed(connection);
    }

    /// A connection was woken and does not come back for what it waited for: it is the next one's turn.
    pub fn give_up_turn(&mut self, connection: ConnectionId) {
        self.holds.leave(connection);
    }

    /// Does what is due: holds that have expired, waits that are over, and a bounded step of the store's
    /// maintenance. Returns whether there is more to do at once.
    pub fn maintain(&mut self, now: Now, budget_bytes: usize) -> bool {
        self.writer = None;
        self.limit_expiry(0, now.unix_ms.saturating_sub(HIDDEN_AFTER_MS));
        let more_due = self.holds.run_timers(now.unix_ms, TIMERS_AT_ONCE);
        let more_stored = self.maintain_store(now, budget_bytes);
        self.write_pending_marks(now);
        self.set_beside(self.beside);
        more_due || more_stored
    }

    /// When [`Shard::maintain`] has something to do next, in wall-clock milliseconds.
    #[must_use]
    pub fn next_maintenance_ms(&self) -> Option<u64> {
        let (store, holds) = (self.store.next_maintenance_ms(), self.holds.next_timer_ms());
        store.into_iter().chain(holds).min()
    }

    /// What has happened to holds, and how many there are.
    #[must_use]
    pub fn hold_counts(&self) -> HoldCounts {
        self.holds.counts()
    }

    /// Whose sessions are whose.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Ends the wait of a connection as if its time were over. Returns whether it waited.
    pub fn stop_waiting(&mut self, connection: ConnectionId) -> bool {
        self.holds.stop_waiting(connection)
    }

    /// A command of this connection is about to write.
    #[inline]
    pub fn begin_write(&mut self, connection: ConnectionId) {
        self.writer = Some(connection);
    }

    /// Applies a batch with all that follows from it. Every change of the shard goes through here.
    pub(crate) fn apply(&mut self, now: Now, ops: &[store::Op<'_>]) -> Result<Position, Refused> {
        if self.has_effects(ops) {
            self.apply_with_effects(now, ops)
        } else {
            self.apply_bare(now, ops)
        }
    }

    /// Hands a batch to the store under the next positions.
    pub(crate) fn apply_bare(
        &mut self,
        now: Now,
        ops: &[store::Op<'_>],
    ) -> Result<Position, Refused> {
        let first = self.next;
        let applied = match &mut self.copy {
            None => self.store.apply(now.unix_ms, first, ops)?,
            Some(copy) => copy.apply(&mut self.store, now.unix_ms, first, ops)?,
        };
        assert!(
            applied.last.plus(1) >= first,
            "a batch ends before it begins"
        );
        self.next = applied.last.plus(1);
        let removes = ops.iter().any(|op| !matches!(op, store::Op::Put { .. }));
        self.commits.applied(applied, removes);
        if ops.iter().any(|op| matches!(op, store::Op::Touch { .. })) {
            self.note_touches(ops, applied.last);
        }
        if ops.iter().any(|op| matches!(op, store::Op::Swap { .. })) {
            self.commits.swapped(applied.last);
        }
        Ok(applied.last)
    }

    fn note_touches(&mut self, ops: &[store::Op<'_>], last: Position) {
        if self.copy.is_some() {
            return self.commits.touched(last);
        }
        for op in ops {
            if let store::Op::Touch { key, .. } = op
                && let Some(entry) = self.store.get(key, 0)
            {
                self.commits.touched_entry(entry.position(), last);
            }
        }
    }
}
