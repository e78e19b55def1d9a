//! Another id for a session: what a login must do so that an id that was planted before it is worthless.
//!
//! Value, meta, user and hold move to the new id in one batch, and the old id becomes an alias for the grace
//! period, then gone. Without a grace period those who wait for the old id are told that it is gone;
//! with one, the line moves too.

use model::time::Deadline;
use model::{Fence, Version};
use store::Space;

use super::{Caller, Denied};
use crate::Shard;
use crate::batch::{Batch, Header};
use crate::effects::hold_value;
use crate::holds::{HeldBy, Standing};
use crate::marks::alias_value;
use crate::record::ALIAS;
use crate::record::HOLD;
use crate::session_key::{Named, SessionKey};
use crate::writes::Place;

impl Shard {
    /// Gives a session another id, which no session has. With a fence, only under the hold that it proves.
    /// Returns whether there was a session.
    ///
    /// # Errors
    /// [`Denied`], and nothing has changed.
    pub fn rotate_session(
        &mut self,
        caller: Caller,
        id: &[u8],
        new: &[u8],
        fence: Option<Fence>,
        grace_ms: u64,
    ) -> Result<bool, Denied> {
        if self.record(caller.now, caller.db, id).is_none() {
            return Ok(false);
        }
        match fence {
            Some(fence) => drop(self.check_fence(caller, id, fence)?),
            None => self.check_free(caller, id)?,
        }
        if self.record(caller.now, caller.db, new).is_some() {
            return Err(Denied::Exists);
        }
        let moves_hold = self.holds.is_of_session(Named { db: caller.db, id });
        let mut batch = Batch::default();
        self.plan_move(caller, id, new, &mut batch);
        self.plan_alias(caller, id, new, grace_ms, &mut batch);
        self.plan_moved_hold(caller, id, new, &mut batch);
        let position = self.apply_batch(caller.now, &batch)?;
        // A lock's hold stays with the old id, which its lock key names.
        if moves_hold {
            let (old, new) = (Named { db: caller.db, id }, SessionKey::new(caller.db, new));
            self.holds.rename(old, &new, position);
            if grace_ms == 0 {
                self.holds.cancel_line(new.borrowed());
            }
        }
        Ok(true)
    }

    fn plan_move(&self, caller: Caller, id: &[u8], new: &[u8], batch: &mut Batch) {
        let [from, to] = [id, new].map(|key| Place { db: caller.db, key });
        let Some(record) = self.peek(caller.now, caller.db, id) else {
            return;
        };
        let as_it_is = crate::writes::Copied {
            deadline: record.deadline,
            meta: record.meta,
            version: record.version,
        };
        self.plan_copy_as(caller.now, from, to, as_it_is, batch);
        self.plan_delete(caller.now, from, batch);
    }

    fn plan_alias(&self, caller: Caller, id: &[u8], new: &[u8], grace_ms: u64, batch: &mut Batch) {
        let until = Deadline::after(caller.now.unix_ms, grace_ms);
        let header = Header {
            kind: ALIAS,
            version: Version::FIRST,
            deadline: Deadline::after(until.raw(), self.settings.gone_ms),
        };
        let value: &[&[u8]] = &[&alias_value(until), new];
        batch.put(caller.db, Space::Mark, id, header, value);
    }

    /// The hold moves with its fence.
    fn plan_moved_hold(&mut self, caller: Caller, id: &[u8], new: &[u8], batch: &mut Batch) {
        let session = Named { db: caller.db, id };
        let Standing::Held(hold) = self.standing(caller.now, session) else {
            return;
        };
        if hold.by == HeldBy::Lock {
            return;
        }
        batch.delete(caller.db, Space::Hold, id);
        let header = Header {
            kind: HOLD,
            version: Version::FIRST,
            deadline: hold.deadline,
        };
        let value = hold_value(hold.by, hold.fence);
        batch.put(caller.db, Space::Hold, new, header, &[&value]);
    }
}
