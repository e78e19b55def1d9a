//! A user's sessions: listing them, revoking them, keeping their number within a cap.

use alloc::vec::Vec;

use super::{Caller, Denied};
use crate::batch::Batch;
use crate::writes::Place;
use crate::{Record, Shard};

/// How many sessions a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserCap {
    /// So many.
    pub most: usize,
    /// What happens at one more.
    pub policy: CapPolicy,
}

/// What happens when a user who has as many sessions as allowed gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapPolicy {
    /// It is refused.
    Refuse,
    /// The least recently used one is destroyed, whoever holds it.
    Oldest,
}

/// A part of a user's sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedUser {
    /// Their ids, in the order of their bytes.
    pub ids: Vec<Vec<u8>>,
    /// Where to go on, if there is more: after this id.
    pub next: Option<Vec<u8>>,
}

impl ListedUser {
    /// This part and that of another shard, about `count` sessions of both.
    #[must_use]
    pub fn and(mut self, other: Self, count: usize) -> Self {
        // Behind the earlier of two ends it is not known what there is.
        let ends = self.next.into_iter().chain(other.next);
        self.next = ends.min();
        self.ids.extend(other.ids);
        self.ids.sort_unstable();
        if let Some(next) = &self.next {
            self.ids.retain(|id| id <= next);
        }
        if self.ids.len() > count {
            self.ids.truncate(count);
            self.next = self.ids.last().cloned();
        }
        self
    }
}

/// Sessions that one batch of a revocation removes: far more than a user has, and small enough for a batch.
const REVOKED_AT_ONCE: usize = 4096;

impl Shard {
    /// The sessions of a user whose ids come after `after`, about `count` of them. One that is there from the first
    /// call to the last is listed, however the others change meanwhile.
    pub fn list_user(
        &mut self,
        caller: Caller,
        user: &[u8],
        after: Option<&[u8]>,
        count: usize,
    ) -> ListedUser {
        // Also on what keeps a session from being listed.
        self.observe_all();
        let mut seen: Vec<Vec<u8>> = self
            .users
            .after(caller.db, user, after)
            .take(count.saturating_add(1))
            .map(<[u8]>::to_vec)
            .collect();
        let has_more = seen.len() > count;
        seen.truncate(count);
        let next = seen.last().filter(|_| has_more).cloned();
        seen.retain(|id| {
            let record = self.record(caller.now, caller.db, id);
            record.is_some_and(|record| is_of(&record, user))
        });
        ListedUser { ids: seen, next }
    }

    /// Destroys all sessions of a user except one. Returns how many there were. A user with thousands of sessions
    /// loses them in several batches, each whole.
    ///
    /// # Errors
    /// [`Denied::Refused`], and the batch that was refused has not happened.
    pub fn revoke_user(
        &mut self,
        caller: Caller,
        user: &[u8],
        except: Option<&[u8]>,
    ) -> Result<usize, Denied> {
        let all = self.list_user(caller, user, None, usize::MAX).ids;
        let ids: Vec<&[u8]> = all
            .iter()
            .map(|id| &id[..])
            .filter(|id| Some(*id) != except)
            .collect();
        let mut destroyed = 0;
        for some in ids.chunks(REVOKED_AT_ONCE) {
            destroyed += self.delete_many(caller.now, caller.db, some.iter().copied())?;
        }
        Ok(destroyed)
    }

    /// Adds what it takes for the user to have the session `id` too.
    pub(super) fn plan_room_for_user(
        &self,
        caller: Caller,
        user: &[u8],
        id: &[u8],
        batch: &mut Batch,
    ) -> Result<(), Denied> {
        let Some(cap) = self.settings.user_cap.filter(|_| !user.is_empty()) else {
            return Ok(());
        };
        if self.users.count(caller.db, user) < cap.most {
            return Ok(());
        }
        let mut others: Vec<(u64, &[u8])> = self
            .users
            .after(caller.db, user, None)
            .filter(|other| *other != id)
            .filter_map(|other| {
                let record = self.peek(caller.now, caller.db, other)?;
                is_of(&record, user).then(|| (last_used_ms(&record, caller), other))
            })
            .collect();
        if others.len() < cap.most {
            return Ok(());
        }
        if cap.policy == CapPolicy::Refuse || cap.most == 0 {
            return Err(Denied::UserCap(cap.most));
        }
        others.sort_unstable();
        for (_, key) in &others[..others.len() + 1 - cap.most] {
            let db = caller.db;
            self.plan_delete(caller.now, Place { db, key }, batch);
        }
        Ok(())
    }
}

fn is_of(record: &Record<'_>, user: &[u8]) -> bool {
    record.meta.is_some_and(|meta| meta.user == user)
}

fn last_used_ms(record: &Record<'_>, caller: Caller) -> u64 {
    let created = record.meta.map_or(0, |meta| meta.created_ms);
    record.accessed_ms(caller.now).unwrap_or(created)
}
