//! Creating, opening and using sessions; taking a hold, or waiting for it.

use model::time::Deadline;
use model::{Fence, Now, Version};
use store::Space;

use super::change::{NewState, ValueChange};
use super::{Caller, Denied, hold_deadline, slid};
use crate::batch::{Batch, Header};
use crate::effects::{Unwritable, hold_value};
use crate::hash::FieldChange;
use crate::holds::{HeldBy, LineFull, Standing};
use crate::record::HOLD;
use crate::session_key::Named;
use crate::writes::Place;
use crate::{Attempt, Meta, Shard};

/// What a session is given when it is made. Times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Whose it is.
    pub user: Option<&'a [u8]>,
    /// How long it lives unused.
    pub idle_ms: Option<u64>,
    /// How long it lives at most.
    pub max_ms: Option<u64>,
}

/// How a session is opened. Times in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open<'a> {
    /// For how long it is held; `None` to open it without a hold.
    pub hold_ms: Option<u64>,
    /// How long to wait for someone else's hold to end.
    pub wait_ms: u64,
    /// Whether it is made if it is not there.
    pub create: bool,
    /// What it has from then on.
    pub terms: Terms<'a>,
}

/// What became of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open; with the fence if it is held, else zero.
    Open(Fence),
    /// There is no such session.
    Absent,
    /// The connection stands in the line.
    Waits,
}

impl<'a> Terms<'a> {
    /// The meta of a session that is made on these terms.
    fn meta(&self, now: Now) -> Meta<'a> {
        let mut meta = Meta::new(now.unix_ms);
        meta.idle_ms = self.idle_ms;
        meta.max = self
            .max_ms
            .map_or(Deadline::NEVER, |ms| Deadline::after(now.unix_ms, ms));
        meta.user = self.user.unwrap_or_default();
        meta
    }

    /// The meta that a session has after it was opened on these terms: its user and its idle time become what
    /// they say; its absolute deadline stays, unless it had none.
    fn applied<'m>(&self, now: Now, mut meta: Meta<'m>) -> Meta<'m>
    where
        'a: 'm,
    {
        meta.user = self.user.unwrap_or(meta.user);
        meta.idle_ms = self.idle_ms.or(meta.idle_ms);
        if meta.max.is_never()
            && let Some(max_ms) = self.max_ms
        {
            meta.max = Deadline::after(now.unix_ms, max_ms);
        }
        meta
    }

    fn is_empty(&self) -> bool {
        self.user.is_none() && self.idle_ms.is_none() && self.max_ms.is_none()
    }
}

impl Shard {
    /// Makes a session with these fields. Returns the fence if it is held, else zero.
    ///
    /// # Errors
    /// [`Denied`], and nothing has changed.
    pub fn create_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        terms: &Terms<'_>,
        hold_ms: Option<u64>,
        fields: &[FieldChange<'_>],
    ) -> Result<Fence, Denied> {
        if self.record(caller.now, caller.db, id).is_some() {
            return Err(Denied::Exists);
        }
        self.check_new(caller, id)?;
        let remaining_ms = match self.standing(caller.now, Named { db: caller.db, id }) {
            Standing::Free => None,
            Standing::Turn(connection) if connection == caller.connection => None,
            Standing::Turn(_) => Some(Some(0)),
            // A lock may be held on what is not there yet.
            Standing::Held(hold) if hold.owner == Some(caller.connection) && hold_ms.is_none() => {
                None
            }
            Standing::Held(hold) => Some(hold.deadline.remaining_ms(caller.now.unix_ms)),
        };
        if let Some(remaining_ms) = remaining_ms {
            return Err(Unwritable::Held { remaining_ms }.into());
        }
        let mut batch = Batch::default();
        if let Some(user) = terms.user {
            let planned = self.plan_room_for_user(caller, user, id, &mut batch);
            self.noting_refusal(planned)?;
        }
        let meta = terms.meta(caller.now);
        let hold = hold_ms.map(|ms| hold_deadline(caller.now, Some(&meta), ms));
        let state = NewState {
            version: Version::FIRST,
            deadline: stretched(slid(caller.now, &meta, meta.max), hold),
            meta: Some(meta),
        };
        let place = Place {
            db: caller.db,
            key: id,
        };
        self.plan_rewrite(
            caller.now,
            place,
            ValueChange::Fields(fields),
            state,
            &mut batch,
        )?;
        self.finish_opening(caller, id, hold, batch)
    }

    /// Opens a session. `attempt` says whether the command runs again after it has waited.
    ///
    /// # Errors
    /// [`Denied`], and nothing has changed, but that the connection has lost its turn.
    pub fn open_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        open: &Open<'_>,
        attempt: Attempt,
    ) -> Result<Opened, Denied> {
        let opened = match attempt {
            Attempt::First | Attempt::Woken => self.try_open(caller, id, open, attempt),
            Attempt::TimedOut => self.timed_out(caller, id),
            Attempt::Cancelled => {
                self.observe_all();
                Ok(Opened::Absent)
            }
        };
        let tries_again = opened == Err(Denied::Refused(store::Refused::LogBusy));
        if attempt == Attempt::Woken && !tries_again && opened != Ok(Opened::Waits) {
            // Nothing if it was taken; else it is the next one's.
            self.holds.leave(caller.connection);
        }
        opened
    }

    fn timed_out(&mut self, caller: Caller, id: &[u8]) -> Result<Opened, Denied> {
        let remaining_ms = match self.standing(caller.now, Named { db: caller.db, id }) {
            Standing::Held(hold) => hold.deadline.remaining_ms(caller.now.unix_ms),
            Standing::Free | Standing::Turn(_) => Some(0),
        };
        Err(Unwritable::Held { remaining_ms }.into())
    }

    fn try_open(
        &mut self,
        caller: Caller,
        id: &[u8],
        open: &Open<'_>,
        attempt: Attempt,
    ) -> Result<Opened, Denied> {
        let session = Named { db: caller.db, id };
        let standing = self.standing(caller.now, session);
        let is_my_turn = standing == Standing::Turn(caller.connection);
        if self.record(caller.now, caller.db, id).is_none() {
            // Whoever was woken for a session that was destroyed since is told that it is gone.
            let was_destroyed = attempt == Attempt::Woken && !is_my_turn;
            if !open.create || was_destroyed {
                return Ok(Opened::Absent);
            }
            return self
                .create_session(caller, id, &open.terms, open.hold_ms, &[])
                .map(Opened::Open);
        }
        let Some(hold_ms) = open.hold_ms else {
            return self.use_session(caller, id, &open.terms).map(Opened::Open);
        };
        let remaining_ms = match standing {
            Standing::Free => None,
            Standing::Turn(_) if is_my_turn => None,
            Standing::Turn(_) => Some(Some(0)),
            Standing::Held(hold) => Some(hold.deadline.remaining_ms(caller.now.unix_ms)),
        };
        match remaining_ms {
            None => self
                .take_hold(caller, id, &open.terms, hold_ms)
                .map(Opened::Open),
            Some(remaining_ms) if open.wait_ms == 0 => {
                Err(Unwritable::Held { remaining_ms }.into())
            }
            Some(_) => {
                let until = Deadline::after(caller.now.unix_ms, open.wait_ms);
                match self.holds.wait(session, caller.connection, until) {
                    Ok(()) => Ok(Opened::Waits),
                    Err(LineFull) => Err(Denied::LineFull),
                }
            }
        }
    }

    /// What was planned; if it was refused, that is because of sessions that may be in no file yet.
    fn noting_refusal<T>(&mut self, planned: Result<T, Denied>) -> Result<T, Denied> {
        if planned.is_err() {
            self.observe_all();
        }
        planned
    }

    /// Opens a session without a hold.
    fn use_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        terms: &Terms<'_>,
    ) -> Result<Fence, Denied> {
        let mut batch = Batch::default();
        let planned = self.plan_use(caller, id, terms, None, &mut batch);
        let rewrites = self.noting_refusal(planned)?;
        if rewrites {
            self.check_free(caller, id)?;
        }
        if !batch.is_empty() {
            self.apply_batch(caller.now, &batch)?;
        }
        Ok(Fence(0))
    }

    /// Opens a session that is free, or whose hold it is this connection's turn to take.
    fn take_hold(
        &mut self,
        caller: Caller,
        id: &[u8],
        terms: &Terms<'_>,
        hold_ms: u64,
    ) -> Result<Fence, Denied> {
        let record = self.peek(caller.now, caller.db, id);
        let meta = record.and_then(|record| record.meta);
        let meta = meta.map(|meta| terms.applied(caller.now, meta));
        let deadline = hold_deadline(caller.now, meta.as_ref(), hold_ms);
        let mut batch = Batch::default();
        let planned = self.plan_use(caller, id, terms, Some(deadline), &mut batch);
        self.noting_refusal(planned)?;
        self.finish_opening(caller, id, Some(deadline), batch)
    }

    fn finish_opening(
        &mut self,
        caller: Caller,
        id: &[u8],
        hold: Option<Deadline>,
        mut batch: Batch,
    ) -> Result<Fence, Denied> {
        let Some(deadline) = hold else {
            self.apply_batch(caller.now, &batch)?;
            return Ok(Fence(0));
        };
        let header = Header {
            kind: HOLD,
            version: Version::FIRST,
            deadline,
        };
        let value = hold_value(HeldBy::Session, self.next_fence());
        batch.put(caller.db, Space::Hold, id, header, &[&value]);
        self.apply_batch(caller.now, &batch)?;
        let session = Named { db: caller.db, id };
        self.writer = Some(caller.connection);
        let hold = self.stored_hold(session);
        self.holds.take(session, hold);
        Ok(hold.fence)
    }

    /// Adds what it takes to use a session that is there: its idle deadline moves; it becomes what the terms say; it
    /// lives as long as its hold. Returns whether more than a deadline changes.
    pub(super) fn plan_use(
        &self,
        caller: Caller,
        id: &[u8],
        terms: &Terms<'_>,
        hold: Option<Deadline>,
        batch: &mut Batch,
    ) -> Result<bool, Denied> {
        let Some(record) = self.peek(caller.now, caller.db, id) else {
            return Ok(false);
        };
        let place = Place {
            db: caller.db,
            key: id,
        };
        let old = record.meta_or_new(caller.now);
        let meta = terms.applied(caller.now, old);
        let held = self
            .holds
            .peek(caller.now.unix_ms, Named { db: caller.db, id });
        let hold = hold.or(held
            .filter(|held| held.by == HeldBy::Session)
            .map(|held| held.deadline));
        let deadline = slid(caller.now, &meta, record.deadline.min(meta.max));
        let deadline = stretched(deadline, hold.map(|hold| hold.min(meta.max)));
        let rewrites = !terms.is_empty() && (meta != old || record.meta.is_none());
        if rewrites {
            if meta.user != old.user {
                self.plan_room_for_user(caller, meta.user, id, batch)?;
            }
            let state = NewState {
                version: record.version,
                deadline,
                meta: Some(meta),
            };
            self.plan_rewrite(caller.now, place, ValueChange::Fields(&[]), state, batch)?;
        } else if deadline != record.deadline {
            self.plan_touch(caller.now, place, deadline, batch);
        }
        Ok(rewrites)
    }
}

/// A deadline, but not before that of the hold.
fn stretched(deadline: Deadline, hold: Option<Deadline>) -> Deadline {
    hold.map_or(deadline, |hold| deadline.max(hold))
}
