//! A shard that is one of several copies: the one place where the store and the replica meet.
//!
//! ```text
//!   primary   apply ──► store (which tells what changed) ──► replica::propose ──► other copies
//!   standby   Accepted ──► store.follow          a part of a snapshot ──► store.fill
//!   both      what the store has persisted ──► News ──► replica: Persisted, Installed
//!             Committed ──► gates open
//! ```
//!
//! A standby knows no connections, but holds, users and marks, as it learns them from what it follows (`learn`): beginning to serve
//! takes no longer the more it has. What was said by an earlier time is not taken back: a copy's time never goes back, and what is answered by a
//! later time than the replica vouches for depends on a batch that tells it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use model::{ConnectionId, Now, Position};
use replica::{Batch, ReadRight, Replica};
use store::{Applied, LogPoint, Op, Refused, Store, Told, Usage};

use crate::commit::Commits;
use crate::learn::Learner;
use crate::marks::Marks;
use crate::users::Users;
use crate::{Shard, ShardSettings};

/// By how much a standby looks for expired entries later than the primary: what follows from an expiry is written by the primary, and
/// must not be lost if it dies before.
const SWEEP_LATER_MS: u64 = 5_000;

/// For so long it is waited for another copy to lead, once the disk of the one that does takes nothing more: as a command waits for no longer than two
/// seconds, it is told what is wrong with the disk.
const RELIEF_US: u64 = 1_500_000;

/// What has waited for its quorum for so long is not about to get it.
const STALLED_MS: u64 = 1_000;

/// What has become of what a replica has asked for, to be handed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// [`replica::Input::Persisted`].
    Persisted(Position),
    /// [`replica::Input::Installed`].
    Installed {
        /// As asked.
        attempt: u32,
        /// As asked.
        step: u32,
    },
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where the log was when it was read.
    pub at: Position,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// What a standby's log is still to take, in this order.
pub(crate) enum Pending {
    Batch(Batch),
    /// What it has missed, as one batch.
    Leap(Batch),
    Part(Asked, Vec<u8>),
    /// The log is taken back to there; what it has touched behind it.
    Mend(Position, Vec<u8>),
}

/// Names a part of a snapshot.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    attempt: u32,
    step: u32,
}

/// What a copy has besides what any shard has.
pub(crate) struct Replicated {
    pub(crate) replica: Replica,
    /// Room for what a batch tells.
    told: Vec<u8>,
    /// What the log could not take yet.
    pub(crate) pending: VecDeque<Pending>,
    /// The log was ended: it takes nothing more, or it would not be known how it ended.
    ended: bool,
    /// A part of a snapshot that is in the log, up to there.
    filled: Option<(Asked, LogPoint)>,
    /// Up to where the replica knows what is persisted.
    known: Position,
    /// A right to read that was worked out since the replica was handed anything: it holds as long as it says.
    right: Option<ReadRight>,
    /// The latest time that anything here may depend on.
    pub(crate) time_ms: u64,
    /// The time of the last batch.
    told_ms: u64,
    /// A command has asked for the time since it was last told.
    asked: bool,
    /// Something was proposed since [`Shard::take_proposed`].
    proposed: bool,
    /// Since when, at the latest, something has waited for its quorum and nothing got it.
    waiting_since_ms: Option<u64>,
    /// When the log, as the disk fails, has first refused what a command was to write since it has taken anything, by the monotonic clock.
    refused_us: Option<u64>,
}

impl Replicated {
    /// Applies a batch of the primary's own, and proposes it.
    pub(crate) fn apply(
        &mut self,
        store: &mut Store,
        now_ms: u64,
        first: Position,
        ops: &[Op<'_>],
    ) -> Result<Applied, Refused> {
        let most = ops.iter().map(Op::told_bytes).sum();
        self.check_room(most)?;
        let now_ms = self.time_ms.max(now_ms);
        self.told.clear();
        let applied = store.apply_and_tell(now_ms, first, ops, &mut self.told)?;
        self.refused_us = None;
        self.propose(now_ms, first, applied);
        Ok(applied)
    }

    /// What the replica does not take now is tried again when something has happened, as where the log is busy.
    fn check_room(&self, bytes: usize) -> Result<(), Refused> {
        self.replica
            .may_propose(bytes)
            .map_err(|_| Refused::LogBusy)
    }

    fn propose(&mut self, now_ms: u64, first: Position, applied: Applied) {
        if applied.last < first {
            return;
        }
        (self.time_ms, self.told_ms) = (now_ms, now_ms);
        (self.asked, self.proposed) = (false, true);
        self.waiting_since_ms.get_or_insert(now_ms);
        self.replica
            .propose(first, applied.last, now_ms, &self.told)
            .expect("it has said that it would take it");
    }

    /// Bytes of memory that it takes: above all batches that are kept to be sent again.
    fn memory_bytes(&self) -> usize {
        let pending = self.pending.iter().map(|pending| match pending {
            Pending::Batch(batch) | Pending::Leap(batch) => batch.bytes.len(),
            Pending::Part(_, bytes) | Pending::Mend(_, bytes) => bytes.len(),
        });
        self.replica.memory_bytes() + pending.sum::<usize>()
    }

    /// Applies what waits, until the log takes no more for now.
    fn catch_up(&mut self, known: &mut Learner<'_>, commits: &mut Commits) {
        if self.ended {
            return;
        }
        while let Some(front) = self.pending.front() {
            match front {
                Pending::Batch(batch) => {
                    let Ok(applied) = follow(known, batch) else {
                        return;
                    };
                    commits.applied(applied, true);
                    self.told_ms = batch.time_ms;
                }
                Pending::Leap(batch) => {
                    let Ok(applied) = crate::leap::leap(known, batch) else {
                        return;
                    };
                    commits.applied(applied, true);
                    self.told_ms = self.told_ms.max(batch.time_ms);
                }
                Pending::Part(asked, bytes) => {
                    let told = Told::trusted(bytes);
                    let fill = |store: &mut Store| store.fill(self.told_ms, told);
                    let Ok(log) = known.follow(told, fill) else {
                        return;
                    };
                    self.filled = Some((*asked, log));
                }
                Pending::Mend(parting, keys) => {
                    if crate::mend::mend(known, *parting, keys).is_err() {
                        return;
                    }
                }
            }
            self.pending.pop_front();
        }
    }
}

impl Replicated {
    /// What comes next follows this, and nothing that was to come before is persisted any more.
    pub(crate) fn begin_behind(&mut self, position: Position) {
        (self.filled, self.known) = (None, position);
        self.waiting_since_ms = None;
    }
}

fn follow(known: &mut Learner<'_>, batch: &Batch) -> Result<Applied, Refused> {
    let told = Told::trusted(&batch.bytes);
    let positions = (batch.first, batch.last);
    known.follow(told, |store| store.follow(batch.time_ms, positions, told))
}

impl Shard {
    /// A copy of a shard over a store that has come to where the replica is. It serves when [`Shard::begin_to_serve`] says so.
    /// `time_ms` is no earlier than anything that it may have said.
    #[must_use]
    pub fn as_copy(store: Store, replica: Replica, time_ms: u64, settings: ShardSettings) -> Self {
        let last = replica.last();
        let mut shard = Self::new(store, last.plus(1), settings);
        shard.commits = Commits::after_restart(last.plus(1), shard.store.appended());
        shard.copy = Some(Box::new(Replicated {
            replica,
            told: Vec::new(),
            pending: VecDeque::new(),
            ended: false,
            filled: None,
            known: last,
            right: None,
            time_ms,
            told_ms: time_ms,
            asked: false,
            proposed: false,
            waiting_since_ms: None,
            refused_us: None,
        }));
        shard.learn_all(0);
        shard.store.set_expiry_limit(0);
        shard
    }

    /// A command was to write what the log has refused, as the disk fails. Whether it may wait a moment, since another copy is likely to lead soon: the
    /// cluster is told of a disk that fails before its log is full.
    pub fn may_be_relieved(&mut self, now: Now) -> bool {
        let Some(copy) = &mut self.copy else {
            return false;
        };
        let since_us = *copy.refused_us.get_or_insert(now.mono_us);
        let has_others = copy.replica.standbys().next().is_some();
        has_others && now.mono_us < since_us + RELIEF_US
    }

    pub(crate) fn replicated(&mut self) -> &mut Replicated {
        self.copy.as_mut().expect("it is one of several copies")
    }

    /// The replica.
    ///
    /// # Panics
    /// If it is no copy.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self
            .copy
            .as_ref()
            .expect("it is one of several copies")
            .replica
    }

    /// The replica, to be handed inputs. What it wants done is done by the functions below.
    ///
    /// # Panics
    /// As all of them: if it is no copy.
    pub fn replica_mut(&mut self) -> &mut Replica {
        let copy = self.replicated();
        copy.right = None;
        &mut copy.replica
    }

    /// The right to answer from this copy at this moment: see [`Replica::read_right`].
    #[inline]
    pub fn read_right(&mut self, now: Now) -> Option<ReadRight> {
        let copy = self.copy.as_mut()?;
        if copy.right.is_none() {
            copy.right = copy.replica.read_right(now);
        }
        copy.right.filter(|right| right.until_us > now.mono_us)
    }

    /// A copy, what it knows of its entries, and what it knows of their order, each by itself.
    fn parts(&mut self) -> (&mut Replicated, Learner<'_>, &mut Commits) {
        let copy = self.copy.as_mut().expect("it is one of several copies");
        let known = Learner {
            store: &mut self.store,
            holds: &mut self.holds,
            users: &mut self.users,
            marks: &mut self.marks,
        };
        (copy, known, &mut self.commits)
    }

    /// [`replica::Effect::Accepted`].
    pub fn on_accepted(&mut self, after: Position) {
        let (copy, mut known, commits) = self.parts();
        let batches = copy.replica.batches_after(after);
        let batches = batches.expect("what was just accepted is still there");
        for batch in batches {
            let now = copy.pending.is_empty().then(|| follow(&mut known, batch));
            if let Some(Ok(applied)) = now {
                commits.applied(applied, true);
                copy.told_ms = batch.time_ms;
            } else {
                copy.pending.push_back(Pending::Batch(batch.clone()));
            }
        }
    }

    /// [`replica::Effect::Committed`].
    pub fn on_committed(&mut self, position: Position) {
        self.commits.commit_to(position);
        let copy = self.replicated();
        copy.waiting_since_ms = (position < copy.replica.last()).then_some(copy.told_ms);
    }

    /// [`replica::Effect::Install`]. The bytes have passed [`Told::check`].
    pub fn on_install(&mut self, attempt: u32, step: u32, bytes: Vec<u8>) {
        let asked = Asked { attempt, step };
        self.replicated()
            .pending
            .push_back(Pending::Part(asked, bytes));
    }

    /// [`replica::Effect::Read`]: a part of a snapshot from `cursor` on.
    #[must_use]
    pub fn read_chunk(&self, cursor: u64) -> Chunk {
        let mut bytes = Vec::new();
        let part_bytes = self.settings.part_bytes;
        let next = self.store.tell_all(cursor, part_bytes, &mut bytes);
        let at = self.replica().last();
        Chunk { at, bytes, next }
    }

    /// [`replica::Effect::Reset`]: the copy goes on behind `base`, which is of this time, with an empty store.
    pub fn on_reset(&mut self, mut store: Store, base: Position, time_ms: u64) {
        store.begin_behind(base, time_ms);
        store.set_expiry_limit(0);
        self.store = store;
        self.commits = Commits::behind(base);
        self.holds.forget_holds(self.settings.seed);
        self.users = Users::default();
        self.marks = Marks::default();
        let copy = self.replicated();
        copy.pending.clear();
        copy.begin_behind(base);
        copy.told_ms = time_ms;
        self.set_beside(self.beside);
    }

    /// [`replica::Effect::Serve`]: from now on it orders writes.
    pub fn begin_to_serve(&mut self, now: Now, epoch: u32, floor_ms: u64) {
        let copy = self.replicated();
        assert!(copy.pending.is_empty(), "what it serves is in its store");
        copy.time_ms = copy.time_ms.max(floor_ms).max(now.unix_ms);
        // A batch that tells so brings standbys to what is committed, and they let go what waits for it.
        (copy.told_ms, copy.asked) = (0, true);
        copy.waiting_since_ms = None;
        let last = copy.replica.last();
        self.next = Position::new(epoch, 1);
        self.commits.begin_to_serve(last);
        self.holds.know_again();
    }

    /// [`replica::Effect::StepDown`], or it is to be emptied: whoever waits in a line is to ask elsewhere.
    pub fn stop_serving(&mut self) -> Vec<ConnectionId> {
        self.marks.let_go();
        self.writer = None;
        self.store.set_hidden(0);
        self.holds.let_go()
    }

    /// Connections whose late writes this copy refuses, as they have or had locks: who forgets the copy has to close them.
    #[must_use]
    pub fn remembered(&self) -> Vec<ConnectionId> {
        self.holds.of_locks()
    }

    /// Ends the log of a copy: see [`Store::seal`]. What waits to be applied does so for ever, as if it had not arrived.
    pub fn end_log(&mut self) {
        if let Some(copy) = &mut self.copy {
            copy.ended = true;
        }
        self.store.seal();
    }

    /// What has become of what the replica has asked for. To be called after disk events, and after a turn.
    pub fn take_news(&mut self) -> Option<News> {
        let (copy, mut known, commits) = self.parts();
        copy.catch_up(&mut known, commits);
        let copy = self.copy.as_mut().expect("it is one of several copies");
        let log = self.store.persisted();
        let persisted = self.commits.advance_persisted(log);
        if let Some((Asked { attempt, step }, _)) = copy.filled.take_if(|(_, end)| *end <= log) {
            return Some(News::Installed { attempt, step });
        }
        (persisted > copy.known).then(|| {
            copy.known = persisted;
            News::Persisted(persisted)
        })
    }

    /// What a copy takes for expired nobody may have given a later deadline before: by a time that is committed, or by so much less.
    /// What has expired by `hidden_ms` is not to be seen.
    pub(crate) fn limit_expiry(&mut self, less_ms: u64, hidden_ms: u64) {
        if let Some(copy) = &self.copy {
            self.store.set_hidden(hidden_ms);
            let settled_ms = copy.replica.settled_ms();
            self.store
                .set_expiry_limit(settled_ms.saturating_sub(less_ms));
        }
    }

    /// Whether something has expired that cannot be removed before that time is told.
    #[must_use]
    pub fn awaits_time(&self, now: Now) -> bool {
        let settled_ms = self.copy.as_ref().map(|copy| copy.replica.settled_ms());
        let due_ms = self.store.next_sweep_ms();
        due_ms.is_some_and(|due_ms| due_ms <= now.unix_ms && Some(due_ms) > settled_ms)
            && !self.is_stalled(now)
    }

    /// Whether anything was proposed since the last time.
    pub fn take_proposed(&mut self) -> bool {
        core::mem::take(&mut self.replicated().proposed)
    }

    /// By which time a command runs that comes now: a copy's time never goes back.
    pub fn time_of_command(&mut self, now: Now) -> Now {
        self.replicated().asked = true;
        self.time(now)
    }

    /// What time it is here.
    pub fn time(&mut self, now: Now) -> Now {
        let copy = self.replicated();
        copy.time_ms = copy.time_ms.max(now.unix_ms);
        now.not_before(copy.time_ms)
    }

    /// Whether what was told has waited for its quorum for so long that it is no use to tell the time: too many copies persist nothing.
    #[must_use]
    pub fn is_stalled(&self, now: Now) -> bool {
        let since_ms = self.copy.as_ref().and_then(|copy| copy.waiting_since_ms);
        since_ms.is_some_and(|since_ms| now.unix_ms >= since_ms + STALLED_MS)
    }

    /// Whether a command has asked for the time since a batch last told it: who has not been asked need not tell.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.asked)
    }

    /// Tells the time in a batch of its own, unless a batch has told it since `after_ms`.
    ///
    /// # Errors
    /// [`Refused`]: not now.
    pub fn tell_time(&mut self, now: Now, after_ms: u64) -> Result<(), Refused> {
        let first = self.next;
        let copy = self.copy.as_mut().expect("it is one of several copies");
        if copy.told_ms > after_ms {
            return Ok(());
        }
        copy.check_room(Op::TOLD_HEADER_BYTES)?;
        let now_ms = copy.time_ms.max(now.unix_ms);
        copy.told.clear();
        let applied = self.store.tell_nothing(now_ms, first, &mut copy.told)?;
        copy.propose(now_ms, first, applied);
        self.next = applied.last.plus(1);
        self.commits.applied(applied, false);
        Ok(())
    }

    /// A bounded step of a standby's maintenance: what has expired is freed. Returns whether there is more to do at once.
    pub fn maintain_standby(&mut self, budget_bytes: usize) -> bool {
        self.limit_expiry(SWEEP_LATER_MS, 0);
        let now_ms = self.replicated().told_ms.saturating_sub(SWEEP_LATER_MS);
        self.set_beside(self.beside);
        let (_, mut known, _) = self.parts();
        known.maintain(now_ms, budget_bytes)
    }

    /// Bytes that others use of the memory that the store's limit is about: they count towards it.
    pub fn set_beside(&mut self, bytes: usize) {
        self.beside = bytes;
        let copy = self.copy.as_ref().map_or(0, |copy| copy.memory_bytes());
        let own = self.holds.bytes() + self.users.bytes() + copy;
        self.store.set_beside(bytes + own);
    }

    /// What this shard uses, of that memory and otherwise.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            used: self.used_bytes(),
            ..self.store.usage()
        }
    }

    /// Bytes that this shard uses of that memory.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.store.used() - self.beside
    }
}

#[cfg(test)]
mod tests;
