//! What follows from a change: the one place at which plain commands meet sessions.
//!
//! A `DEL` that destroys a held session also ends the hold; a `SET` of a lock key also takes one; an id under
//! guard that is deleted leaves a mark. No command has to know of this: every batch passes through
//! [`Shard::apply`], and what follows from it is added to it here, so that both happen or neither.
//!
//! | in the batch | what follows in the log | what follows in memory |
//! | --- | --- | --- |
//! | a record is deleted | its hold is deleted; under guard a GONE mark is made | waiters are told; the user forgets it |
//! | a record gets a deadline before that of its hold | the hold gets it too | its timer too |
//! | a session is put | | its user knows it |
//! | a lock key is made, or taken over | a hold on its session is put | it is taken |
//! | a lock key gets another deadline | the hold gets it too | its timer too |
//! | a lock key is deleted | the hold is deleted | it ends |
//! | a database is flushed or swapped | | holds and users go or move with it |
//!
//! Because of the second line, and because a hold is never granted for longer than its session lives, a
//! hold of `SESSION.*` never outlives its session: when a session has expired, so has its hold, in memory and in
//! the log.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{ConnectionId, Db, Fence, Now, Position, Version};
use store::{Op, Refused, Space};

use crate::Shard;
use crate::guards::{Guarded, guarded};
use crate::holds::{End, HeldBy, Hold, Standing};
use crate::marks::{self, Leads};
use crate::record::{HOLD, Meta, Record, has_meta};
use crate::session_key::{Named, SessionKey};

/// Why a key may not be written by this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// Another holds it, for this much longer.
    Held {
        /// What is left of the hold, in milliseconds; `None` if it has no end.
        remaining_ms: Option<u64>,
    },
    /// This connection had a lock on it, which has passed on.
    Lapsed,
    /// The id was destroyed, was rotated or has expired, and may not come back for a while.
    Gone,
}

/// Something to be done in memory once the batch is in the log.
enum After {
    Cancel(SessionKey),
    Release(SessionKey),
    Renew(SessionKey, Deadline),
    TakeLock(SessionKey),
    UserGains(Db, Vec<u8>, Vec<u8>),
    UserLoses(Db, Vec<u8>, Vec<u8>),
    Mark(Deadline),
    Flush(Option<Db>),
    Swap(Db, Db),
}

/// What a batch brings about.
struct Effects<'a> {
    ops: Vec<Op<'a>>,
    after: Vec<After>,
    /// The value of a hold that a lock takes.
    lock_hold: &'a [&'a [u8]],
}

/// What else is in a batch. Most batches have no mark and no hold, and of those that delete many keys most put none:
/// then nobody searches them.
struct Others<'o, 'a> {
    ops: &'o [Op<'a>],
    puts_data: bool,
    puts_marks: bool,
    removes_holds: bool,
}

impl<'o, 'a> Others<'o, 'a> {
    fn of(ops: &'o [Op<'a>]) -> Self {
        let puts = |space| {
            ops.iter()
                .any(|op| matches!(op, Op::Put { key, .. } if key.space() == space))
        };
        Self {
            ops,
            puts_data: puts(Space::Data),
            puts_marks: puts(Space::Mark),
            removes_holds: ops
                .iter()
                .any(|op| matches!(op, Op::Delete { key } if key.space() == Space::Hold)),
        }
    }

    /// Whether the batch puts an entry of the same key into this space.
    fn put(&self, space: Space, key: &store::Key<'_>) -> bool {
        let any = match space {
            Space::Data => self.puts_data,
            Space::Mark => self.puts_marks,
            Space::Hold | Space::Chunk => true,
        };
        any && self.ops.iter().any(|op| {
            matches!(op, Op::Put { key: other, .. } if other.space() == space && named(other) == named(key))
        })
    }

    /// Whether the batch deletes an entry of the same key in this space.
    fn removed(&self, space: Space, key: &store::Key<'_>) -> bool {
        self.removes_holds
            && self.ops.iter().any(|op| {
                matches!(op, Op::Delete { key: other } if other.space() == space && named(other) == named(key))
            })
    }
}

/// The value of a hold's entry: what made it, and its fence.
///
/// ```text
/// by:u8 fence:u64
/// ```
pub(crate) fn hold_value(by: HeldBy, fence: Fence) -> [u8; 9] {
    let mut value = [0; 9];
    value[0] = match by {
        HeldBy::Session => 0,
        HeldBy::Lock => 1,
    };
    value[1..].copy_from_slice(&fence.0.to_le_bytes());
    value
}

/// The hold that an entry tells of.
pub(crate) fn hold_of(entry: &store::Entry<'_>, owner: Option<ConnectionId>) -> Hold {
    let (by, fence) = entry.value().split_at(1);
    let mut raw = [0; 8];
    raw.copy_from_slice(fence);
    Hold {
        fence: Fence(u64::from_le_bytes(raw)),
        position: entry.position(),
        deadline: entry.deadline(),
        owner,
        by: if by == [0] {
            HeldBy::Session
        } else {
            HeldBy::Lock
        },
    }
}

impl Shard {
    /// Whether `connection` may write the key now, with a command that may make a key or, if not `makes`,
    /// only change or remove one. The dispatcher asks this for every key of every plain command that writes,
    /// so no command can forget to.
    ///
    /// # Errors
    /// [`Unwritable`].
    #[inline]
    pub fn check_write(
        &mut self,
        now: Now,
        connection: ConnectionId,
        db: Db,
        key: &[u8],
        makes: bool,
    ) -> Result<(), Unwritable> {
        if self.holds.is_empty()
            && self.settings.guards.is_empty()
            && !self.marks.possible(now.unix_ms)
        {
            return Ok(());
        }
        self.check_guarded_write(now, connection, Named { db, id: key }, makes)
    }

    fn check_guarded_write(
        &mut self,
        now: Now,
        connection: ConnectionId,
        key: Named<'_>,
        makes: bool,
    ) -> Result<(), Unwritable> {
        if let Some(Guarded::LockOf(session)) = guarded(&self.settings.guards, key.id) {
            let session = Named { id: session, ..key };
            match self.standing(now, session) {
                Standing::Held(hold) if hold.by == HeldBy::Session => {
                    may_write(&hold, connection, now)?;
                }
                Standing::Turn(_) => return Err(HELD_BRIEFLY),
                Standing::Held(_) | Standing::Free => {}
            }
        }
        let standing = self.standing(now, key);
        let is_owner = matches!(standing, Standing::Held(hold) if hold.owner == Some(connection));
        if !is_owner && self.holds.has_lapsed(connection, key) {
            return Err(Unwritable::Lapsed);
        }
        if let Standing::Held(hold) = standing {
            may_write(&hold, connection, now)?;
        }
        match self.leads_noted(now, key) {
            Leads::To(_) => Err(Unwritable::Gone),
            Leads::Gone(_) if makes => Err(Unwritable::Gone),
            Leads::Here if makes && self.has_just_expired(now, key) => Err(Unwritable::Gone),
            Leads::Gone(_) | Leads::Here => Ok(()),
        }
    }

    /// How things stand with a session. What a reply says of a hold depends on the hold's entry; that there is none,
    /// on whatever ended it.
    pub(crate) fn standing(&mut self, now: Now, session: Named<'_>) -> Standing {
        let standing = self.holds.standing(now.unix_ms, session);
        match &standing {
            Standing::Held(hold) => self.commits.observe(Some(hold.position)),
            Standing::Free | Standing::Turn(_) => self.observe_all(),
        }
        standing
    }

    /// Whether the key is under a guard against resurrection and has expired within its grace, although
    /// maintenance has not come by yet to mark it.
    pub(crate) fn has_just_expired(&mut self, now: Now, key: Named<'_>) -> bool {
        let Some(Guarded::Session {
            no_resurrection_ms: Some(grace_ms),
        }) = guarded(&self.settings.guards, key.id)
        else {
            return false;
        };
        // Before the beginning of time nothing had expired, so this finds what has expired since.
        let stored = self.store.get_expired(&self.data_key(key.db, key.id));
        stored.is_some_and(|entry| {
            self.commits.observe(Some(entry.position()));
            let deadline = entry.deadline();
            deadline.has_passed(now.unix_ms)
                && !Deadline::after(deadline.raw(), grace_ms).has_passed(now.unix_ms)
        })
    }

    /// Whether anything could follow from a batch.
    #[inline]
    pub(crate) fn has_effects(&self, ops: &[Op<'_>]) -> bool {
        !self.holds.is_empty()
            || !self.users.is_empty()
            || !self.settings.guards.is_empty()
            || ops.iter().any(|op| match op {
                Op::Put { key, kind, .. } => key.space() != Space::Data || has_meta(*kind),
                Op::Delete { .. } | Op::Touch { .. } | Op::Flush { .. } | Op::Swap { .. } => false,
            })
    }

    /// Applies a batch and everything that follows from it.
    pub(crate) fn apply_with_effects(
        &mut self,
        now: Now,
        ops: &[Op<'_>],
    ) -> Result<Position, Refused> {
        let lock_hold = hold_value(HeldBy::Lock, self.next_fence());
        let lock_hold: [&[u8]; 1] = [&lock_hold];
        let mut effects = Effects {
            ops: Vec::new(),
            after: Vec::new(),
            lock_hold: &lock_hold,
        };
        let others = Others::of(ops);
        for op in ops {
            self.plan_effects(now, op, &others, &mut effects);
        }
        let last = if effects.ops.is_empty() {
            self.apply_bare(now, ops)?
        } else {
            let all: Vec<Op<'_>> = ops.iter().chain(&effects.ops).copied().collect();
            self.apply_bare(now, &all)?
        };
        for after in effects.after {
            self.follow(after, last);
        }
        Ok(last)
    }

    fn plan_effects<'a>(
        &self,
        now: Now,
        op: &Op<'a>,
        others: &Others<'_, 'a>,
        effects: &mut Effects<'a>,
    ) {
        match *op {
            Op::Put {
                key,
                kind,
                deadline,
                value,
                ..
            } => match key.space() {
                Space::Data => {
                    let user = has_meta(kind).then(|| Meta::split(value[0]).0.user);
                    self.plan_user(&key, user.unwrap_or_default(), effects);
                    self.plan_shortened(now, &key, deadline, effects);
                    self.plan_lock_put(now, &key, deadline, effects);
                }
                Space::Mark => effects.after.push(After::Mark(deadline)),
                Space::Chunk | Space::Hold => {}
            },
            Op::Delete { key } if key.space() == Space::Data => {
                self.plan_user(&key, &[], effects);
                self.plan_removed(now, &key, others, effects);
            }
            Op::Touch { key, deadline } if key.space() == Space::Data => {
                self.plan_shortened(now, &key, deadline, effects);
                self.plan_lock_touched(now, &key, deadline, effects);
            }
            Op::Delete { .. } | Op::Touch { .. } => {}
            Op::Flush { db } => effects.after.push(After::Flush(db)),
            Op::Swap { a, b } => effects.after.push(After::Swap(a, b)),
        }
    }

    /// The record's user becomes `user`, empty for nobody.
    fn plan_user(&self, key: &store::Key<'_>, user: &[u8], effects: &mut Effects<'_>) {
        let (db, id) = (key.db(), key.bytes());
        let old = if self.users.is_empty() {
            None
        } else {
            // Also of a session that has expired: its place in the index is still there.
            let entry = self.store.get(key, 0).map(Record::of);
            entry.and_then(|record| record.meta).map(|meta| meta.user)
        };
        if let Some(old) = old.filter(|old| !old.is_empty() && *old != user) {
            effects
                .after
                .push(After::UserLoses(db, old.to_vec(), id.to_vec()));
        }
        // What the batch has done before may have taken it away.
        let is_known = effects.after.is_empty() && self.users.contains(db, user, id);
        if !user.is_empty() && !is_known {
            effects
                .after
                .push(After::UserGains(db, user.to_vec(), id.to_vec()));
        }
    }

    /// The record will be gone at `deadline`: so will its hold.
    fn plan_shortened<'a>(
        &self,
        now: Now,
        key: &store::Key<'a>,
        deadline: Deadline,
        effects: &mut Effects<'a>,
    ) {
        let session = named(key);
        if let Some(hold) = self.holds.peek(now.unix_ms, session)
            && hold.by == HeldBy::Session
            && deadline < hold.deadline
        {
            let key = self.store.key(key.db(), Space::Hold, key.bytes());
            effects.ops.push(Op::Touch { key, deadline });
            effects
                .after
                .push(After::Renew(session.to_owned(), deadline));
        }
    }

    fn plan_removed<'a>(
        &self,
        now: Now,
        key: &store::Key<'a>,
        others: &Others<'_, 'a>,
        effects: &mut Effects<'a>,
    ) {
        if others.put(Space::Data, key) {
            return;
        }
        match guarded(&self.settings.guards, key.bytes()) {
            Some(Guarded::Session {
                no_resurrection_ms: Some(ms),
            }) if !others.put(Space::Mark, key) && self.store.get(key, now.unix_ms).is_some() => {
                let deadline = Deadline::after(now.unix_ms, ms);
                let key = self.store.key(key.db(), Space::Mark, key.bytes());
                effects.ops.push(marks::gone(key, deadline));
                effects.after.push(After::Mark(deadline));
            }
            Some(Guarded::LockOf(session)) => {
                self.plan_lock_removed(
                    now,
                    Named {
                        db: key.db(),
                        id: session,
                    },
                    effects,
                );
            }
            Some(Guarded::Session { .. }) | None => {}
        }
        // A batch that says itself what becomes of the hold has moved it.
        if self.holds.is_of_session(named(key)) && !others.removed(Space::Hold, key) {
            let hold = self.store.key(key.db(), Space::Hold, key.bytes());
            effects.ops.push(Op::Delete { key: hold });
            effects.after.push(After::Cancel(named(key).to_owned()));
        }
    }

    /// A lock key is made, or overwritten.
    fn plan_lock_put<'a>(
        &self,
        now: Now,
        key: &store::Key<'a>,
        deadline: Deadline,
        effects: &mut Effects<'a>,
    ) {
        let Some(Guarded::LockOf(session)) = guarded(&self.settings.guards, key.bytes()) else {
            return;
        };
        let session = Named {
            db: key.db(),
            id: session,
        };
        let was_locked = self.store.get(key, now.unix_ms).is_some();
        let hold = self.holds.peek(now.unix_ms, session);
        let takes = match hold {
            None => !was_locked && self.holds.is_free(now.unix_ms, session),
            Some(hold) if hold.by == HeldBy::Session => false,
            Some(hold) if was_locked && hold.owner == self.writer => {
                return self.plan_lock_renewed(session, deadline, effects);
            }
            Some(_) => true,
        };
        if takes {
            effects.ops.push(Op::Put {
                key: self.store.key(session.db, Space::Hold, session.id),
                kind: HOLD,
                version: Version::FIRST,
                deadline,
                value: effects.lock_hold,
            });
            effects.after.push(After::TakeLock(session.to_owned()));
        }
    }

    fn plan_lock_touched<'a>(
        &self,
        now: Now,
        key: &store::Key<'a>,
        deadline: Deadline,
        effects: &mut Effects<'a>,
    ) {
        if let Some(Guarded::LockOf(session)) = guarded(&self.settings.guards, key.bytes()) {
            let session = Named {
                db: key.db(),
                id: session,
            };
            let hold = self.holds.peek(now.unix_ms, session);
            if hold.is_some_and(|hold| hold.by == HeldBy::Lock) {
                self.plan_lock_renewed(session, deadline, effects);
            }
        }
    }

    fn plan_lock_renewed<'a>(
        &self,
        session: Named<'a>,
        deadline: Deadline,
        effects: &mut Effects<'a>,
    ) {
        let key = self.store.key(session.db, Space::Hold, session.id);
        effects.ops.push(Op::Touch { key, deadline });
        effects
            .after
            .push(After::Renew(session.to_owned(), deadline));
    }

    fn plan_lock_removed<'a>(&self, now: Now, session: Named<'a>, effects: &mut Effects<'a>) {
        let hold = self.holds.peek(now.unix_ms, session);
        if hold.is_some_and(|hold| hold.by == HeldBy::Lock) {
            let key = self.store.key(session.db, Space::Hold, session.id);
            effects.ops.push(Op::Delete { key });
            effects.after.push(After::Release(session.to_owned()));
        }
    }

    /// Does in memory what follows from a batch, whose last entry stands at `last`.
    fn follow(&mut self, after: After, last: Position) {
        match after {
            After::Cancel(key) => self.holds.cancel(key.borrowed()),
            After::Release(key) => {
                // By itself the shard deletes a lock key only to break its hold.
                let how = self
                    .writer
                    .map_or(End::Broken, |by| End::Released(Some(by)));
                self.holds.end(key.borrowed(), how);
            }
            After::Renew(key, deadline) => self.holds.renew(key.borrowed(), deadline, last),
            After::TakeLock(key) => {
                let hold = self.stored_hold(key.borrowed());
                self.holds.take_over(key.borrowed(), hold);
            }
            After::UserGains(db, user, id) => self.users.insert(db, &user, &id),
            After::UserLoses(db, user, id) => self.users.remove(db, &user, &id),
            After::Mark(deadline) => self.marks.note(deadline),
            After::Flush(db) => {
                self.holds.flush(db);
                self.users.flush(db);
            }
            After::Swap(a, b) => {
                self.holds.swap(a, b, last);
                self.users.swap(a, b);
            }
        }
    }

    /// The fence of a hold that the next batch grants: the batch's first position. So it is larger than that of
    /// every hold of the shard before it, whatever became of them and of their sessions.
    pub(crate) fn next_fence(&self) -> Fence {
        Fence::from(self.next)
    }

    /// The hold that was just put into the log for the connection that is writing.
    pub(crate) fn stored_hold(&self, session: Named<'_>) -> Hold {
        let key = self.store.key(session.db, Space::Hold, session.id);
        // At time zero: a hold may be granted that is over by now.
        let entry = self.store.get_expired(&key);
        hold_of(&entry.expect("the hold was just put"), self.writer)
    }

    /// A bounded step of the store's maintenance, and what follows from what has expired.
    pub(crate) fn maintain_store(&mut self, now: Now, budget_bytes: usize) -> bool {
        let mut expired: Vec<(SessionKey, Deadline, Vec<u8>)> = Vec::new();
        let guards = &self.settings.guards;
        let more = self
            .store
            .maintain(now.unix_ms, budget_bytes, &mut |entry| {
                if entry.space() != Space::Data {
                    return;
                }
                let is_guarded = !guards.is_empty() && guarded(guards, entry.key()).is_some();
                let user = if has_meta(entry.kind()) {
                    Meta::split(entry.value()).0.user
                } else {
                    &[]
                };
                if is_guarded || !user.is_empty() {
                    let key = SessionKey::new(entry.db(), entry.key());
                    expired.push((key, entry.deadline(), user.to_vec()));
                }
            });
        for (key, deadline, user) in expired {
            self.session_expired(now, key, deadline, &user);
        }
        more
    }

    fn session_expired(&mut self, now: Now, key: SessionKey, deadline: Deadline, user: &[u8]) {
        // It may have come back since.
        let back = self.peek(now, key.db, &key.id);
        let has_user = back.and_then(|record| record.meta).map(|meta| meta.user) == Some(user);
        let is_back = back.is_some();
        if !user.is_empty() && !has_user {
            self.users.remove(key.db, user, &key.id);
        }
        if let Some(Guarded::Session {
            no_resurrection_ms: Some(grace_ms),
        }) = guarded(&self.settings.guards, &key.id)
        {
            let until = Deadline::after(deadline.raw(), grace_ms);
            if !is_back && !until.has_passed(now.unix_ms) {
                self.marks.later(key, until);
            }
        }
    }
}

/// Someone who waited is about to take it.
const HELD_BRIEFLY: Unwritable = Unwritable::Held {
    remaining_ms: Some(0),
};

fn may_write(hold: &Hold, connection: ConnectionId, now: Now) -> Result<(), Unwritable> {
    if hold.owner == Some(connection) {
        return Ok(());
    }
    Err(Unwritable::Held {
        remaining_ms: hold.deadline.remaining_ms(now.unix_ms),
    })
}

fn named<'a>(key: &store::Key<'a>) -> Named<'a> {
    Named {
        db: key.db(),
        id: key.bytes(),
    }
}
