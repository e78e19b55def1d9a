//! Writing to a session: under a hold, or against a version.
//!
//! A commit leaves its fence and the version that it made in the session's meta, so that a client that has lost the
//! reply can ask again and is told the same, across restarts too. Whether a second commit under a fence is the
//! first one asked for again is decided so:
//!
//! | the last commit under this fence | the hold | the same |
//! | --- | --- | --- |
//! | ended the hold | | always: there can be no other |
//! | kept it (`KEEP`) | is still there | if it changes the same, and nothing else was written since |
//! | kept it (`KEEP`) | has expired, was broken or released | if it changes the same |

use model::time::Deadline;
use model::{Fence, Now};
use store::Space;

use super::change::{NewState, ValueChange};
use super::{Caller, Denied, Fenced, hold_deadline, slid};
use crate::batch::Batch;
use crate::holds::{End, Hold, Standing};
use crate::session_key::Named;
use crate::writes::Place;
use crate::{Meta, Record, Shard, Unwritable};

/// What a commit changes. Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The value.
    pub change: ValueChange<'a>,
    /// A new idle time.
    pub idle_ms: Option<u64>,
    /// The hold goes on for this long; `None` ends it.
    pub keep_ms: Option<u64>,
}

impl Shard {
    /// Changes a session under the hold that the fence proves. Returns its new version.
    ///
    /// # Errors
    /// [`Denied`], and nothing has changed.
    pub fn commit_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        fence: Fence,
        commit: &Commit<'_>,
    ) -> Result<u64, Denied> {
        let holding = self.check_fence(caller, id, fence);
        let record = self.peek(caller.now, caller.db, id);
        let Some(record) = record else {
            return Err(Denied::Fenced(Fenced::NoSession));
        };
        let digest = commit.change.digest(commit.idle_ms);
        let last = record
            .meta
            .filter(|meta| meta.fence == fence && fence.0 != 0);
        let same = last.filter(|last| last.fence_digest == 0 || last.fence_digest == digest);
        let same = same.map(|last| last.fence_version);
        let now_at = record.version.counter();
        match holding {
            Ok(hold) if same == Some(now_at) => {
                self.finish_hold(caller, id, &hold, commit, Batch::default())?;
                Ok(now_at)
            }
            Ok(hold) => self.commit_under(caller, id, &hold, commit, digest),
            Err(denied) => same.ok_or(denied),
        }
    }

    fn commit_under(
        &mut self,
        caller: Caller,
        id: &[u8],
        hold: &Hold,
        commit: &Commit<'_>,
        digest: u64,
    ) -> Result<u64, Denied> {
        let Some(record) = self.peek(caller.now, caller.db, id) else {
            return Err(Denied::Fenced(Fenced::NoSession));
        };
        let version = record.version.next();
        let mut meta = record.meta_or_new(caller.now);
        meta.fence = hold.fence;
        meta.fence_version = version.counter();
        meta.fence_digest = commit.keep_ms.map_or(0, |_| digest);
        meta.idle_ms = commit.idle_ms.or(meta.idle_ms);
        let state = NewState {
            version,
            deadline: committed_deadline(caller.now, &record, &meta, commit),
            meta: Some(meta),
        };
        let place = Place {
            db: caller.db,
            key: id,
        };
        let mut batch = Batch::default();
        self.plan_rewrite(caller.now, place, commit.change, state, &mut batch)?;
        self.finish_hold(caller, id, hold, commit, batch)?;
        Ok(version.counter())
    }

    /// Adds the end of the hold, or its new deadline, and applies everything.
    fn finish_hold(
        &mut self,
        caller: Caller,
        id: &[u8],
        hold: &Hold,
        commit: &Commit<'_>,
        mut batch: Batch,
    ) -> Result<(), Denied> {
        let session = Named { db: caller.db, id };
        match commit.keep_ms {
            None => {
                batch.delete(caller.db, Space::Hold, id);
                self.apply_batch(caller.now, &batch)?;
                self.holds.end(session, End::Released(None));
            }
            Some(keep_ms) => {
                let record = self.peek(caller.now, caller.db, id);
                let meta = record.and_then(|record| record.meta);
                let deadline = hold_deadline(caller.now, meta.as_ref(), keep_ms);
                // A repeated commit brings nothing else that would let the session live as long.
                if batch.is_empty() && record.is_some_and(|record| record.deadline < deadline) {
                    let place = Place {
                        db: caller.db,
                        key: id,
                    };
                    self.plan_touch(caller.now, place, deadline, &mut batch);
                }
                if deadline != hold.deadline {
                    batch.touch(caller.db, Space::Hold, id, deadline);
                }
                if !batch.is_empty() {
                    let position = self.apply_batch(caller.now, &batch)?;
                    self.holds.renew(session, deadline, position);
                }
            }
        }
        Ok(())
    }

    /// Changes a session that nobody holds, if it has this version. Returns its new version.
    ///
    /// # Errors
    /// [`Denied`], and nothing has changed.
    pub fn write_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        version: u64,
        change: ValueChange<'_>,
    ) -> Result<u64, Denied> {
        let standing = self.standing(caller.now, Named { db: caller.db, id });
        let _ = self.record(caller.now, caller.db, id);
        let Some(record) = self.peek(caller.now, caller.db, id) else {
            return Err(Denied::Version(0));
        };
        match standing {
            Standing::Held(hold) => {
                let remaining_ms = hold.deadline.remaining_ms(caller.now.unix_ms);
                return Err(Unwritable::Held { remaining_ms }.into());
            }
            // Whoever has the turn has not read yet.
            Standing::Free | Standing::Turn(_) => {}
        }
        if record.version.counter() != version {
            return Err(Denied::Version(record.version.counter()));
        }
        let state = NewState {
            version: record.version.next(),
            deadline: record.deadline,
            meta: record.meta,
        };
        let place = Place {
            db: caller.db,
            key: id,
        };
        let mut batch = Batch::default();
        self.plan_rewrite(caller.now, place, change, state, &mut batch)?;
        let version = state.version.counter();
        self.apply_batch(caller.now, &batch)?;
        Ok(version)
    }
}

/// The session's deadline after a commit: its present one, or a new idle one, but not before that of the hold.
fn committed_deadline(
    now: Now,
    record: &Record<'_>,
    meta: &Meta<'_>,
    commit: &Commit<'_>,
) -> Deadline {
    let deadline = if commit.idle_ms.is_some() {
        slid(now, meta, record.deadline)
    } else {
        record.deadline
    };
    let hold = commit
        .keep_ms
        .map(|keep_ms| hold_deadline(now, Some(meta), keep_ms));
    hold.map_or(deadline, |hold| deadline.max(hold))
}
