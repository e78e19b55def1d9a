//! How a copy follows: what it accepts, when it says so, and how it is filled anew.
//!
//! ```text
//!   heard of an epoch ──a message that follows the end of its log──► matched ──all that the epoch began with is persisted──► synced
//!        │                                                                                                        ▲
//!        └──told to join──► discarded ──► joining: chunks and batches ──all there──────────────────────────────────┘
//! ```
//!
//! Only a synced copy counts: its acknowledgements commit, and only with them goes a lease. A copy never takes back single batches:
//! what does not fit is written over (`mend`), or given up whole, as told by a primary that has all of it that matters.

mod leap;
mod mend;

use model::{Member, Now, Position};

use crate::wire::{Ack, Append, BatchRef, Body, Chunk, Testimony};
use crate::{Effect, How, Outbox, Replica, Role};
use mend::Mending;

/// What this copy knows of the epoch that it follows.
#[derive(Debug, Default)]
pub(crate) struct Following {
    epoch: u32,
    source: Option<Member>,
    /// The latest `sent_us` heard, and when that was, by this node's clock.
    echo_us: u64,
    heard_us: u64,
    /// Acknowledgements so far.
    number: u64,
    /// What the epoch began with, and up to where it is committed, as last heard.
    base: Position,
    commit: Position,
    /// Its log was seen to be the beginning of the primary's.
    matched: bool,
    joining: Option<Joining>,
    mending: Mending,
    owes_ack: bool,
    gap: bool,
    owes_testimony: bool,
}

#[derive(Debug)]
struct Joining {
    /// Chunks that are installed.
    step: u32,
    /// The one that is being installed.
    installing: Option<(Position, bool)>,
    /// The copy is a state of the shard only from here on: chunks were read while the log went on.
    need: Position,
    installed: bool,
}

impl Following {
    pub(crate) fn owe_ack(&mut self) {
        self.owes_ack |= self.source.is_some()
            && (self.matched || self.joining.is_some() || self.mending.is_begun());
    }
}

impl Replica {
    /// Whether a message of this epoch's primary is for this copy. A later epoch than was promised is promised by it.
    fn admits(&mut self, from: Member, epoch: u32, out: &mut Outbox) -> bool {
        let promised = self.keeper.vows().promised;
        if epoch < promised {
            self.post.send(out, epoch, from, Body::Refused { promised });
            return false;
        }
        if epoch > promised {
            self.step_down(out);
            self.keeper.promise(epoch);
        }
        let leads = matches!(self.role, Role::Leading(_));
        assert!(!leads, "I2 OneWriterPerEpoch: {epoch} has two primaries");
        if self.following.epoch != epoch {
            self.following = Following {
                epoch,
                source: Some(from),
                ..Following::default()
            };
        }
        assert_eq!(
            self.following.source,
            Some(from),
            "I2 OneWriterPerEpoch: {epoch} has two primaries"
        );
        true
    }

    pub(crate) fn on_append(
        &mut self,
        now: Now,
        from: Member,
        epoch: u32,
        append: Append<'_>,
        out: &mut Outbox,
    ) {
        if !self.admits(from, epoch, out) {
            return;
        }
        self.hear(now, append.sent_us, append.base, append.commit);
        let after = self.log.last();
        self.following.gap = !self.take_batches(append);
        let last = self.log.last();
        if last > after {
            out.effects.push(Effect::Accepted { after, last });
        }
        // Otherwise the acknowledgement goes when they are persisted.
        self.following.owes_ack |= last == after || self.following.gap;
    }

    /// What the primary says of itself with whatever it sends.
    fn hear(&mut self, now: Now, sent_us: u64, base: Position, commit: Position) {
        let following = &mut self.following;
        if sent_us >= following.echo_us {
            (following.echo_us, following.heard_us) = (sent_us, now.mono_us);
        }
        following.base = following.base.max(base);
        following.commit = following.commit.max(commit);
    }

    /// Takes what follows the log. Returns whether everything did.
    fn take_batches(&mut self, append: Append<'_>) -> bool {
        let vows = self.keeper.vows();
        let is_made_whole = self.following.joining.is_some() || self.following.mending.is_begun();
        if vows.discarded.is_some() && !is_made_whole {
            return false;
        }
        // Until its log has met the primary's at its end, only what follows that end may be taken.
        let knows_prefix =
            self.following.matched || self.following.joining.is_some() || self.counts();
        if !knows_prefix && append.prev != self.log.last() {
            return false;
        }
        self.following.matched = true;
        let mut prev = append.prev;
        for batch in append.batches.iter() {
            if prev == self.log.last() {
                self.accept(batch);
            }
            prev = batch.last;
        }
        prev <= self.log.last()
    }

    pub(crate) fn accept(&mut self, batch: BatchRef<'_>) {
        self.log.push(batch.to_batch());
    }

    pub(crate) fn on_seal(
        &mut self,
        from: Member,
        epoch: u32,
        resigned: Option<Member>,
        out: &mut Outbox,
    ) {
        if !self.admits(from, epoch, out) {
            return;
        }
        if let Some(by) = resigned {
            self.granted.release(by);
        }
        self.following.owes_testimony = true;
    }

    pub(crate) fn on_fetch(&mut self, from: Member, epoch: u32, after: Position, out: &mut Outbox) {
        if !self.admits(from, epoch, out) || !self.keeper.settled() {
            return;
        }
        let tail = self.log.after(after);
        let reachable = tail.is_some();
        let bytes = tail.map_or_else(Default::default, |tail| {
            crate::peer::written_up_to(tail, self.settings.message_bytes).0
        });
        let body = Body::Tail {
            prev: after,
            reachable,
            batches: crate::wire::written(&bytes),
        };
        self.post.send(out, epoch, from, body);
    }

    pub(crate) fn on_join(
        &mut self,
        from: Member,
        epoch: u32,
        (base, time_ms): (Position, u64),
        (attempt, needed): (u32, Option<Position>),
        out: &mut Outbox,
    ) {
        if !self.admits(from, epoch, out) {
            return;
        }
        self.following.owes_ack = true;
        let vows = self.keeper.vows();
        let known = self.following.joining.is_some() || vows.discarded.is_none();
        if attempt < vows.attempt || (attempt == vows.attempt && known) {
            return;
        }
        let keeps = self.settings.sets_aside && needed.is_none();
        if keeps && vows.discarded.is_none() && self.persisted < self.log.last() {
            // What is set aside is what is persisted: it is asked again.
            return;
        }
        let last = self.log.last();
        self.keeper.discard(last, attempt, needed, keeps);
        self.following.joining = None;
        self.following.mending = Mending::default();
        if !self.keeper.settled() {
            // Asked again, the vow is saved, and what is here may go.
            return;
        }
        assert!(
            base >= self.committed,
            "I12 CommittedPrefix: told to go on from before what is committed"
        );
        self.log = crate::log::Log::new(base, time_ms);
        (self.persisted, self.found) = (base, Position::ZERO);
        self.following.matched = false;
        self.following.joining = Some(Joining {
            step: 0,
            installing: None,
            need: base,
            installed: false,
        });
        out.effects.push(Effect::Reset { base, time_ms });
    }

    pub(crate) fn on_chunk(
        &mut self,
        from: Member,
        epoch: u32,
        chunk: Chunk<'_>,
        out: &mut Outbox,
    ) {
        if !self.admits(from, epoch, out) {
            return;
        }
        let (last, attempt) = (self.log.last(), self.keeper.vows().attempt);
        let Some(joining) = &mut self.following.joining else {
            return;
        };
        let next = attempt == chunk.attempt && joining.step == chunk.step;
        // What the log has since removed, an older chunk would bring back.
        let in_time = last <= chunk.at;
        if next && in_time && joining.installing.is_none() && !joining.installed {
            joining.installing = Some((chunk.at, chunk.is_last));
            out.effects.push(Effect::Install {
                attempt: chunk.attempt,
                step: chunk.step,
                bytes: chunk.bytes.to_vec(),
            });
        } else {
            self.following.owes_ack = true;
        }
    }

    pub(crate) fn on_installed(&mut self, attempt: u32, step: u32) {
        let begun = self.keeper.vows().attempt;
        let joining = self.following.joining.as_mut();
        let Some(joining) = joining.filter(|j| begun == attempt && j.step == step) else {
            return;
        };
        if let Some((at, is_last)) = joining.installing.take() {
            joining.step += 1;
            joining.need = joining.need.max(at);
            joining.installed = is_last;
            self.following.owes_ack = true;
        }
    }

    /// What follows from what has happened, for a copy that follows.
    pub(crate) fn follow(&mut self, now: Now, out: &mut Outbox) {
        let Role::Standby = self.role else { return };
        let vows = self.keeper.vows();
        if self.following.source.is_none() || self.following.epoch != vows.promised {
            return;
        }
        self.become_synced(out);
        if self.counts() && self.following.commit.min(self.log.last()) > self.committed {
            self.committed = self.following.commit.min(self.log.last());
            out.effects.push(Effect::Committed(self.committed));
        }
        // No word leaves that rests on a vow which is not saved.
        if self.keeper.settled() {
            self.begin_mending(out);
            self.testify(now, out);
            self.acknowledge(out);
            self.tell_touched(out);
        }
    }

    /// Whether it has all that the epoch which it follows began with: only then its word counts.
    fn counts(&self) -> bool {
        let vows = self.keeper.vows();
        vows.synced == self.following.epoch && vows.discarded.is_none()
    }

    fn become_synced(&mut self, out: &mut Outbox) {
        if self.counts() {
            return;
        }
        let Some((need, how)) = self.need() else {
            return;
        };
        let following = &mut self.following;
        if self.persisted.min(self.log.last()) >= need.max(following.base) {
            following.joining = None;
            following.mending = Mending::default();
            following.matched = true;
            following.owes_ack = true;
            self.keeper.sync(following.epoch);
            out.effects.extend(how.map(Effect::Whole));
        }
    }

    /// What it must have to be a state of the shard, if that is known, and what makes it one if it was none.
    fn need(&self) -> Option<(Position, Option<How>)> {
        let following = &self.following;
        let whole = self.keeper.vows().discarded.is_none();
        match &following.joining {
            Some(joining) if joining.installed => Some((joining.need, Some(How::Filled))),
            None if whole && following.matched => Some((Position::ZERO, None)),
            None => following.mending.need().map(|at| (at, Some(How::Mended))),
            Some(_) => None,
        }
    }

    /// What this copy has to say about what it has.
    pub(crate) fn testimony(&self) -> Testimony {
        let vows = self.keeper.vows();
        Testimony {
            last: vows.discarded.unwrap_or(self.log.last()),
            synced: vows.synced,
            whole: vows.discarded.is_none(),
            kept: vows.kept,
        }
    }

    /// Whether it may say so to this successor: its lease to another is over, and what it says will still be so after a restart.
    pub(crate) fn may_testify(&self, now: Now, to: Member) -> bool {
        let persisted = self.persisted >= self.log.last();
        persisted && self.keeper.settled() && now.mono_us >= self.granted.ends_for_us(to)
    }

    fn testify(&mut self, now: Now, out: &mut Outbox) {
        let Some(to) = self.following.source else {
            return;
        };
        if self.following.owes_testimony && self.may_testify(now, to) {
            self.following.owes_testimony = false;
            let body = Body::Testimony(self.testimony());
            self.post.send(out, self.following.epoch, to, body);
        }
    }

    fn acknowledge(&mut self, out: &mut Outbox) {
        let Some(to) = self.following.source.filter(|_| self.following.owes_ack) else {
            return;
        };
        let vows = self.keeper.vows();
        let joining = self.following.joining.as_ref();
        let is_mending = self.following.mending.is_begun();
        let knows = joining.is_some() || is_mending || vows.discarded.is_none();
        self.following.number += 1;
        let ack = Ack {
            echo_us: self.following.echo_us,
            number: self.following.number,
            have: self.log.last(),
            persisted: self.own_ack(),
            attempt: if knows { vows.attempt } else { 0 },
            step: joining.map_or(0, |j| j.step),
            synced: self.counts(),
            whole: vows.discarded.is_none(),
            gap: self.following.gap,
            installed: joining.is_some_and(|j| j.installed),
            leaps: self.may_leap(),
        };
        (self.following.owes_ack, self.following.gap) = (false, false);
        if ack.synced {
            // With this word the primary may read: also where what it answers was heard before this copy counted.
            let lease_us = self.settings.lease_us;
            self.granted.grant(to, self.following.heard_us, lease_us);
        }
        self.post
            .send(out, self.following.epoch, to, Body::Ack(ack));
    }

    pub(crate) fn following_next_us(&self) -> Option<u64> {
        let to = self
            .following
            .source
            .filter(|_| self.following.owes_testimony)?;
        // A lease that has ended waits for something else than time.
        Some(self.granted.ends_for_us(to)).filter(|us| *us > self.clock_us)
    }
}
