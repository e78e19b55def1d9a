//! Sessions: what the `SESSION.*` commands do.
//!
//! A session is a record with [`Meta`] before its value; a plain key becomes one when a command has
//! something to keep there. Each function here is one command: it looks at the record and at the hold, puts
//! everything that changes into one batch, applies it, and then moves the table of holds along. The
//! promises, the states of a hold and the decisions behind them are in `docs/sessions.md`.
//!
//! Deadlines. A record's one deadline is the sooner of its idle and its absolute one. Using a session (opening,
//! touching, reading with `TOUCH`) moves the idle deadline to `now + idle`; nothing moves the absolute one.
//! While it is held a session does not become idle: its deadline is at least that of the hold.

mod change;
mod commit;
mod of_user;
mod open;
mod rotate;
mod view;

use alloc::borrow::Cow;

use model::time::Deadline;
use model::{ConnectionId, Db, Fence, Now};
use store::{Refused, Space};

use crate::batch::Batch;
use crate::effects::Unwritable;
use crate::hash::WrongType;
use crate::holds::{End, HeldBy, Hold, Standing};
use crate::marks::Leads;
use crate::session_key::Named;
use crate::writes::Place;
use crate::{Meta, Record, Shard};

pub use change::ValueChange;
pub use commit::Commit;
pub use of_user::{CapPolicy, ListedUser, UserCap};
pub use open::{Open, Opened, Terms};
pub use view::{Value, View};

/// Who asks, when, and in which database.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The time.
    pub now: Now,
    /// The connection.
    pub connection: ConnectionId,
    /// Its database.
    pub db: Db,
}

/// Why a fence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// There is no such session (any more).
    NoSession,
    /// Nobody holds it: the hold has expired, was released or was broken.
    NotHeld,
    /// It is held under another fence.
    HeldByAnother,
}

/// Why a command on a session was refused. Nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is a session with this id.
    Exists,
    /// It is held, or may not come back.
    Unwritable(Unwritable),
    /// The fence does not prove a hold.
    Fenced(Fenced),
    /// The session has another version: this one, zero if it is absent.
    Version(u64),
    /// Fields of a string.
    WrongType,
    /// The user has as many sessions as allowed: so many.
    UserCap(usize),
    /// Too many connections wait for the session.
    LineFull,
    /// The store refused the batch.
    Refused(Refused),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<WrongType> for Denied {
    fn from(WrongType: WrongType) -> Self {
        Self::WrongType
    }
}

impl From<Unwritable> for Denied {
    fn from(unwritable: Unwritable) -> Self {
        Self::Unwritable(unwritable)
    }
}

/// What `SESSION.INFO` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its current hold, of whoever.
    pub hold: Option<Hold>,
    /// How many wait for it.
    pub waiters: usize,
    /// Bytes of memory and log that it takes.
    pub bytes: usize,
}

impl Record<'_> {
    /// When the session was last used, in wall-clock milliseconds, if it can be told: the idle deadline says so, as
    /// a use moves it. Where the deadline is cut to the absolute one, or stretched by a hold, the answer lies
    /// within the bounds that are certain.
    #[must_use]
    pub fn accessed_ms(&self, now: Now) -> Option<u64> {
        let meta = self.meta?;
        let deadline = self.deadline.remaining_ms(0)?;
        let accessed = deadline.saturating_sub(meta.idle_ms?);
        Some(accessed.clamp(meta.created_ms.min(now.unix_ms), now.unix_ms))
    }

    /// What is left until the idle deadline, `None` for none.
    #[must_use]
    pub fn idle_left_ms(&self, now: Now) -> Option<u64> {
        if self
            .meta
            .is_some_and(|meta| meta.idle_ms.is_none() && meta.max == self.deadline)
        {
            return None;
        }
        self.deadline.remaining_ms(now.unix_ms)
    }

    /// What is left until the absolute deadline, `None` for none.
    #[must_use]
    pub fn max_left_ms(&self, now: Now) -> Option<u64> {
        self.meta?.max.remaining_ms(now.unix_ms)
    }

    /// The meta, or that of a session that is made of this record now.
    pub(crate) fn meta_or_new(&self, now: Now) -> Meta<'_> {
        self.meta.unwrap_or_else(|| Meta::new(now.unix_ms))
    }
}

/// The deadline of a session that is used now, or its present one if it has no idle time.
pub(crate) fn slid(now: Now, meta: &Meta<'_>, present: Deadline) -> Deadline {
    meta.idle_ms.map_or(present, |idle_ms| {
        Deadline::after(now.unix_ms, idle_ms).min(meta.max)
    })
}

/// The deadline of a hold that is granted for so long now.
pub(crate) fn hold_deadline(now: Now, meta: Option<&Meta<'_>>, hold_ms: u64) -> Deadline {
    let max = meta.map_or(Deadline::NEVER, |meta| meta.max);
    Deadline::after(now.unix_ms, hold_ms).min(max)
}

impl Shard {
    /// The id that a command on this one is about: during the grace of a rotation that of the new session. What was
    /// read is noted.
    pub fn session_id<'a>(&mut self, now: Now, db: Db, id: &'a [u8]) -> Cow<'a, [u8]> {
        self.leads_noted(now, Named { db, id });
        match self.alias(now, db, id) {
            None => Cow::Borrowed(id),
            Some(new) => Cow::Owned(new),
        }
    }

    /// Whether the id may be given to a new session.
    fn check_new(&mut self, caller: Caller, id: &[u8]) -> Result<(), Unwritable> {
        let session = Named { db: caller.db, id };
        match self.leads_noted(caller.now, session) {
            Leads::Here if !self.has_just_expired(caller.now, session) => Ok(()),
            Leads::Here | Leads::To(_) | Leads::Gone(_) => Err(Unwritable::Gone),
        }
    }

    /// The hold that this fence proves, on a session that is there.
    fn check_fence(&mut self, caller: Caller, id: &[u8], fence: Fence) -> Result<Hold, Denied> {
        let session = Named { db: caller.db, id };
        if self.record(caller.now, caller.db, id).is_none() {
            return Err(Denied::Fenced(Fenced::NoSession));
        }
        match self.standing(caller.now, session) {
            Standing::Held(hold) if hold.fence == fence && hold.by == HeldBy::Session => Ok(hold),
            Standing::Held(_) => Err(Denied::Fenced(Fenced::HeldByAnother)),
            Standing::Free | Standing::Turn(_) => Err(Denied::Fenced(Fenced::NotHeld)),
        }
    }

    /// That nobody else holds the session, or is about to.
    fn check_free(&mut self, caller: Caller, id: &[u8]) -> Result<(), Unwritable> {
        let session = Named { db: caller.db, id };
        match self.standing(caller.now, session) {
            Standing::Free => Ok(()),
            Standing::Held(hold) if hold.owner == Some(caller.connection) => Ok(()),
            Standing::Held(hold) => Err(Unwritable::Held {
                remaining_ms: hold.deadline.remaining_ms(caller.now.unix_ms),
            }),
            Standing::Turn(_) => Err(Unwritable::Held {
                remaining_ms: Some(0),
            }),
        }
    }

    /// Uses a session: its idle deadline moves. Returns whether there is one.
    ///
    /// # Errors
    /// [`Denied::Refused`], and nothing has changed.
    pub fn touch_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        idle_ms: Option<u64>,
    ) -> Result<bool, Denied> {
        if self.record(caller.now, caller.db, id).is_none() {
            return Ok(false);
        }
        let terms = Terms {
            idle_ms,
            ..Terms::default()
        };
        let mut batch = Batch::default();
        self.plan_use(caller, id, &terms, None, &mut batch)?;
        if !batch.is_empty() {
            self.apply_batch(caller.now, &batch)?;
        }
        Ok(true)
    }

    /// Gives a hold another deadline, `hold_ms` from now. Its fence stays.
    ///
    /// # Errors
    /// [`Denied::Fenced`], [`Denied::Refused`]; nothing has changed.
    pub fn renew_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        fence: Fence,
        hold_ms: u64,
    ) -> Result<(), Denied> {
        let hold = self.check_fence(caller, id, fence)?;
        let place = Place {
            db: caller.db,
            key: id,
        };
        let record = self.peek(caller.now, caller.db, id);
        let Some(record) = record else {
            return Err(Denied::Fenced(Fenced::NoSession));
        };
        let deadline = hold_deadline(caller.now, record.meta.as_ref(), hold_ms);
        let mut batch = Batch::default();
        if record.deadline < deadline {
            self.plan_touch(caller.now, place, deadline, &mut batch);
        }
        if deadline != hold.deadline {
            batch.touch(caller.db, Space::Hold, id, deadline);
            let position = self.apply_batch(caller.now, &batch)?;
            let session = Named { db: caller.db, id };
            self.holds.renew(session, deadline, position);
        }
        Ok(())
    }

    /// Gives a hold back, and changes nothing else.
    ///
    /// # Errors
    /// [`Denied::Fenced`], [`Denied::Refused`]; nothing has changed.
    pub fn release_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        fence: Fence,
    ) -> Result<(), Denied> {
        self.check_fence(caller, id, fence)?;
        self.end_hold(caller, id, End::Released(None))?;
        Ok(())
    }

    /// Ends a hold, whoever has it. Returns whether there was one. The lock key of a hold that a lock made
    /// is deleted with it.
    ///
    /// # Errors
    /// [`Denied::Refused`], and nothing has changed.
    pub fn break_session(&mut self, caller: Caller, id: &[u8]) -> Result<bool, Denied> {
        match self.standing(caller.now, Named { db: caller.db, id }) {
            Standing::Held(_) => self.end_hold(caller, id, End::Broken).map(|()| true),
            Standing::Free | Standing::Turn(_) => Ok(false),
        }
    }

    fn end_hold(&mut self, caller: Caller, id: &[u8], how: End) -> Result<(), Denied> {
        let session = Named { db: caller.db, id };
        let mut batch = Batch::default();
        batch.delete(caller.db, Space::Hold, id);
        if let Some(hold) = self.holds.peek(caller.now.unix_ms, session)
            && hold.by == HeldBy::Lock
            && let Some(lock) = crate::guards::lock_of(&self.settings.guards, id)
        {
            let place = Place {
                db: caller.db,
                key: &lock,
            };
            self.plan_delete(caller.now, place, &mut batch);
        }
        // What follows from the lock's end must not count as the holder's own doing.
        self.writer = None;
        self.apply_batch(caller.now, &batch)?;
        self.holds.end(session, how);
        Ok(())
    }

    /// Destroys a session, whoever holds it; with a fence, only if that is the current one. Returns whether there
    /// was one.
    ///
    /// # Errors
    /// [`Denied::Fenced`], [`Denied::Refused`]; nothing has changed.
    pub fn destroy_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        fence: Option<Fence>,
    ) -> Result<bool, Denied> {
        if self.record(caller.now, caller.db, id).is_none() {
            return Ok(false);
        }
        if let Some(fence) = fence {
            self.check_fence(caller, id, fence)?;
        }
        Ok(self.delete(caller.now, caller.db, id)?)
    }

    /// What there is to know of a session besides its record; `None` if there is none.
    pub fn session_info(&mut self, caller: Caller, id: &[u8]) -> Option<Info> {
        let session = Named { db: caller.db, id };
        self.record(caller.now, caller.db, id)?;
        let hold = match self.standing(caller.now, session) {
            Standing::Held(hold) => Some(hold),
            Standing::Free | Standing::Turn(_) => None,
        };
        let key = self.data_key(caller.db, id);
        let entry = self.store.get(&key, caller.now.unix_ms)?;
        let record = Record::of(entry);
        let chunks = crate::Hash::of(self, caller.now, caller.db, id, record);
        Some(Info {
            hold,
            waiters: self.holds.waiters(session),
            bytes: store::Store::footprint(&entry)
                + chunks.map_or(0, |hash| hash.chunk_footprint()),
        })
    }
}

#[cfg(test)]
mod tests;
