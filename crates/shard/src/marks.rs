//! Marks: ids that are gone, or lead to another.
//!
//! ```text
//! GONE   (nothing)                 writes are refused until the mark's deadline
//! ALIAS  until:u48 id:...          reads and opens lead to `id` before `until`; from then on as GONE
//! ```
//!
//! Marks are entries in [`store::Space::Mark`] and expire like any other. Where there are none, nobody looks:
//! the shard remembers the latest deadline that any of them ever had.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Now, Version};
use store::{Entry, Op, Space};

use crate::batch::{Batch, Header};
use crate::record::{ALIAS, GONE};
use crate::session_key::{Named, SessionKey};
use crate::{Record, Shard};

/// An alias leads to an id that may be an alias itself: so many times a session can be rotated within one
/// grace period before its oldest id is forgotten.
const MAX_STEPS: usize = 8;

/// What the shard remembers of its marks.
#[derive(Default)]
pub(crate) struct Marks {
    /// No mark lives longer than this, in wall-clock milliseconds.
    until_ms: u64,
    /// Marks of ids that have expired, not yet in the log.
    pending: BTreeMap<SessionKey, Deadline>,
}

/// What an id leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// Nowhere: it is what it is.
    Here,
    /// To this id.
    To(Vec<u8>),
    /// It is gone, and may not come back before this.
    Gone(Deadline),
}

/// The value of an alias: see the module.
pub(crate) fn alias_value(until: Deadline) -> [u8; 6] {
    let bytes = until.raw().to_le_bytes();
    [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]]
}

fn understand(entry: &Entry<'_>, now_ms: u64) -> Leads {
    if entry.kind() == GONE {
        return Leads::Gone(entry.deadline());
    }
    assert!(entry.kind() == ALIAS, "a mark is GONE or ALIAS");
    let (until, id) = entry.value().split_at(6);
    let mut raw = [0; 8];
    raw[..6].copy_from_slice(until);
    if Deadline::from_raw(u64::from_le_bytes(raw)).has_passed(now_ms) {
        Leads::Gone(entry.deadline())
    } else {
        Leads::To(id.to_vec())
    }
}

impl Marks {
    /// Whether there may be any.
    #[inline]
    pub(crate) fn possible(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    /// A mark with this deadline was or will be made.
    pub(crate) fn note(&mut self, deadline: Deadline) {
        self.until_ms = self.until_ms.max(deadline.raw());
    }

    /// No mark lives longer than this.
    #[cfg(test)]
    pub(crate) fn until_ms(&self) -> u64 {
        self.until_ms
    }

    /// What is not in the log yet is left to whoever serves next.
    pub(crate) fn let_go(&mut self) {
        self.pending.clear();
    }

    /// An id has expired that is to be marked as soon as the log takes it.
    pub(crate) fn later(&mut self, key: SessionKey, deadline: Deadline) {
        self.note(deadline);
        self.pending.insert(key, deadline);
    }

    fn pending(&self, session: Named<'_>, now_ms: u64) -> Option<Deadline> {
        if self.pending.is_empty() {
            return None;
        }
        let deadline = self.pending.get(&session.to_owned())?;
        (!deadline.has_passed(now_ms)).then_some(*deadline)
    }
}

impl Shard {
    /// What the id leads to now, by its mark alone.
    pub(crate) fn leads(&self, now: Now, session: Named<'_>) -> Leads {
        if !self.marks.possible(now.unix_ms) {
            return Leads::Here;
        }
        let key = self.store.key(session.db, Space::Mark, session.id);
        match self.store.get(&key, now.unix_ms) {
            Some(entry) => understand(&entry, now.unix_ms),
            None => self
                .marks
                .pending(session, now.unix_ms)
                .map_or(Leads::Here, Leads::Gone),
        }
    }

    /// As [`Shard::leads`]; what was read is noted. An id that is gone and not yet marked was in an entry that is there
    /// no more.
    pub(crate) fn leads_noted(&mut self, now: Now, session: Named<'_>) -> Leads {
        if self.marks.possible(now.unix_ms) {
            let key = self.store.key(session.db, Space::Mark, session.id);
            match self.store.get(&key, now.unix_ms) {
                Some(mark) => self.commits.observe(Some(mark.position())),
                None => self.observe_all(),
            }
        }
        self.leads(now, session)
    }

    /// The id that reads and opens of this one are answered with, if it is another.
    pub(crate) fn alias(&self, now: Now, db: Db, id: &[u8]) -> Option<Vec<u8>> {
        let mut at = match self.leads(now, Named { db, id }) {
            Leads::To(next) => next,
            Leads::Here | Leads::Gone(_) => return None,
        };
        for _ in 1..MAX_STEPS {
            match self.leads(now, Named { db, id: &at }) {
                Leads::To(next) => at = next,
                Leads::Here | Leads::Gone(_) => break,
            }
        }
        Some(at)
    }

    /// The record of the session that this id, which has none of its own, leads to.
    pub(crate) fn record_by_alias(&mut self, now: Now, db: Db, id: &[u8]) -> Option<Record<'_>> {
        let target = self.alias(now, db, id);
        let key = self.data_key(db, target.as_deref().unwrap_or(id));
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

    /// As [`Shard::record`], without noting that it was read.
    pub(crate) fn current(&self, now: Now, db: Db, id: &[u8]) -> Option<Record<'_>> {
        let here = self.peek(now, db, id);
        if here.is_some() || !self.marks.possible(now.unix_ms) {
            return here;
        }
        self.peek(now, db, &self.alias(now, db, id)?)
    }

    /// Puts marks of expired ids into the log, as many as it takes now.
    pub(crate) fn write_pending_marks(&mut self, now: Now) {
        while !self.marks.pending.is_empty() {
            let (mut batch, mut keys) = (Batch::default(), Vec::new());
            for (key, deadline) in self.marks.pending.iter().take(MARKS_AT_ONCE) {
                if !deadline.has_passed(now.unix_ms) {
                    let header = Header {
                        kind: GONE,
                        version: Version::FIRST,
                        deadline: *deadline,
                    };
                    batch.put(key.db, Space::Mark, &key.id, header, &[]);
                }
                keys.push(key.clone());
            }
            if !batch.is_empty() && self.apply_batch(now, &batch).is_err() {
                return;
            }
            for key in keys {
                self.marks.pending.remove(&key);
            }
        }
    }
}

/// Marks of one batch.
const MARKS_AT_ONCE: usize = 256;

/// The op that makes an id gone.
pub(crate) fn gone(key: store::Key<'_>, deadline: Deadline) -> Op<'_> {
    Op::Put {
        key,
        kind: GONE,
        version: Version::FIRST,
        deadline,
        value: &[],
    }
}
