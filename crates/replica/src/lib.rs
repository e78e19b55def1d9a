//! One copy of a shard, and how the copies stay one.
//!
//! This is vertical Paxos in the form of PacificA (Lin, Yang, Zhang, Zhou: *PacificA: Replication in Log-Based Distributed Storage
//! Systems*, 2008), with SSM's "send to many, wait for few". Who the copies are and which of them is primary is decided elsewhere (a
//! configuration per epoch, changed by compare-and-set); within an epoch the primary orders batches, and a batch is committed when WQ
//! copies have persisted it and all before it. `docs/replication.md` has the rules, each with what goes wrong without it.
//!
//! A [`Replica`] is a function of its inputs: it orders opaque bytes, knows no clock, disk or network, and never calls back. Its
//! owner hands in what has happened ([`Input`]), then does what came out ([`Outbox`]).
//!
//! ```text
//!                      told a configuration whose primary it is
//!            Standby ───────────────────────────────────────────► Leading: Sealing ─► Bringing ─► Publishing ─► Serving
//!               ▲                                                     │
//!               └──────── a later epoch was heard of; resigned ◄──────┘
//! ```
//!
//! [`standby`](self) is how a copy follows, `recovery` how it becomes primary, `serving` how it is one, `peer` how a primary brings one
//! standby to where it is itself.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod invariants;
mod lead;
mod lease;
mod log;
mod peer;
mod recovery;
mod serving;
mod settings;
mod standby;
mod vows;
pub mod wire;

use alloc::vec::Vec;

use model::{Member, Now, Phase, Position, ShardConfig, ShardId};

pub use lease::ReadRight;
pub use log::Batch;
pub use serving::{Refusal, Standing};
pub use settings::Settings;
pub use vows::Vows;

use crate::invariants::Seen;
use crate::lead::{Lead, Stage};
use crate::lease::Granted;
use crate::log::Log;
use crate::peer::Peer;
use crate::standby::Following;
use crate::vows::Keeper;
use crate::wire::{Body, Message};

/// Names one [`Effect::Save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(crate) u64);

/// What has happened.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "it is lent for one call")]
pub enum Input<'a> {
    /// Time has passed, or batches were proposed: to be given at the end of a turn, and when [`Replica::next_us`] has come.
    Tick,
    /// A message for this shard has arrived.
    Message(Message<'a>),
    /// The metadata store has, or had, this configuration.
    Config(ShardConfig),
    /// Everything up to here that was proposed or [`Effect::Accepted`] is persisted, as the owner's sync mode asks.
    Persisted(Position),
    /// An [`Effect::Save`] is done.
    Saved(Ticket),
    /// An [`Effect::Install`] is done, and persisted.
    Installed {
        /// As asked.
        attempt: u32,
        /// As asked.
        step: u32,
    },
    /// What an [`Effect::Read`] has found.
    Read {
        /// What was asked.
        want: Want,
        /// The owner's last position at that moment.
        at: Position,
        /// What was found.
        bytes: &'a [u8],
        /// Where to go on; `None` at the end.
        next: Option<u64>,
    },
    /// What an [`Effect::Trace`] has found.
    Traced {
        /// As asked.
        attempt: u32,
        /// The keys, in the owner's own form; `None` if it cannot say.
        keys: Option<&'a [u8]>,
    },
    /// What has become of an [`Effect::Rewrite`].
    Rewritten(Rewritten),
    /// What an [`Effect::Gather`] has found.
    Gathered {
        /// As asked.
        to: Member,
        /// As asked.
        from: Position,
        /// What has changed behind it; `None` if the owner cannot say.
        found: Option<Gathered<'a>>,
    },
    /// This member shall be primary soon: let it catch up, and keep writes waiting until it has.
    HandOver(Member),
}

/// See [`Input::Rewritten`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// As asked.
    pub to: Member,
    /// As asked.
    pub attempt: u32,
    /// Bytes of the keys that are done with.
    pub used: usize,
    /// If that is all of them: the end of the log, where a batch stands that was proposed behind them.
    pub end: Option<Position>,
}

/// See [`Input::Gathered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathered<'a> {
    /// The first position behind.
    pub first: Position,
    /// The end of the log.
    pub last: Position,
    /// Nothing that was answered from this copy, or that its log may have come to, depends on a later time.
    pub floor_ms: u64,
    /// What has changed, in the owner's own form.
    pub bytes: &'a [u8],
}

/// How a copy that lacked something the primary's backlog has not has everything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was filled anew, from a snapshot.
    Filled,
    /// It was mended: what it had too much was written over.
    Mended,
    /// It has leapt: what had changed since came in one batch.
    Leapt,
    /// What it had given up was set aside, and is taken back.
    TakenBack,
}

/// A part of a snapshot, for a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// For whom.
    pub to: Member,
    /// Which of its attempts to join.
    pub attempt: u32,
    /// Which chunk.
    pub step: u32,
    /// Where to begin: the owner's own number, 0 at first.
    pub cursor: u64,
}

/// What the owner shall do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "the largest is also the rarest, and none is kept"
)]
pub enum Effect {
    /// Persist these vows, then say [`Input::Saved`]. Where the memory of the process is all that a copy claims to have, at once.
    Save(Vows, Ticket),
    /// The batches in ([`Replica::batches_after`]) `after` up to `last` are part of the copy: apply and persist them.
    Accepted {
        /// What they follow.
        after: Position,
        /// The last of them.
        last: Position,
    },
    /// Everything up to here is committed.
    Committed(Position),
    /// Forget the whole copy, also what waits to be persisted: it is filled anew. What it had and nobody acknowledged is lost, unless it is to be
    /// set aside ([`Vows::kept`]): what was set aside before stays.
    Reset {
        /// Batches will follow this.
        base: Position,
        /// The time of that.
        time_ms: u64,
    },
    /// Add this part of a snapshot. What is there at a newer position stays.
    Install {
        /// To be said when it is done.
        attempt: u32,
        /// To be said when it is done.
        step: u32,
        /// What [`Input::Read`] had.
        bytes: Vec<u8>,
    },
    /// Say which keys the batches behind `parting` have touched, all that this copy's log has there: [`Input::Traced`].
    Trace {
        /// To be said when it is done.
        attempt: u32,
        /// The last position that counts.
        parting: Position,
    },
    /// The log goes on behind `parting`: what stands there now, and has touched these keys, does not count any more, nor does it after a
    /// restart that finds a batch of a later epoch in its place. What the keys were before it is not needed. What it had said to
    /// nobody yet, nobody will hear.
    Mend {
        /// Batches will follow this.
        parting: Position,
        /// The time of that.
        time_ms: u64,
        /// What [`Input::Traced`] had.
        keys: Vec<u8>,
    },
    /// Propose these keys once more as they are, as far as they are there, and behind them a batch that may say nothing: as many as may be
    /// proposed now, then say [`Input::Rewritten`].
    Rewrite {
        /// For whom.
        to: Member,
        /// To be said when it is done.
        attempt: u32,
        /// What is left of what [`Input::Traced`] had there.
        keys: Vec<u8>,
    },
    /// Say what has changed behind `from`, where the log of a standby ends, up to the end of the log here: [`Input::Gathered`].
    Gather {
        /// For whom.
        to: Member,
        /// To be said when it is done.
        from: Position,
    },
    /// The batches from `first` to `last` are part of the copy, as this one batch: apply and persist it. No reply may depend on an earlier
    /// time than `floor_ms` when this copy serves.
    Leap {
        /// Position of its first entry.
        first: Position,
        /// Position of its last entry.
        last: Position,
        /// No later than the time of the last of them.
        time_ms: u64,
        /// See above.
        floor_ms: u64,
        /// What [`Input::Gathered`] had.
        bytes: Vec<u8>,
    },
    /// Take back what was set aside ([`Vows::kept`]), as the copy of a node that starts again in the same life ([`Replica::restored`]): nobody else has
    /// what it had. What has been filled in since goes.
    TakeBack,
    /// This copy has everything again.
    Whole(How),
    /// Read a part of a snapshot, between two batches.
    Read(Want),
    /// Replace this epoch's recovering configuration by this one in the metadata store, if it is still there, and say what it
    /// has then. Asked again until that is known.
    Publish(ShardConfig),
    /// This copy is primary. Time is at least `floor_ms`.
    Serve {
        /// The epoch; positions begin behind the last one.
        epoch: u32,
        /// No reply may depend on an earlier time, in milliseconds.
        floor_ms: u64,
    },
    /// This copy is no longer primary. What it had accepted may still be committed.
    StepDown,
    /// This copy cannot become primary; a later epoch is needed, best with the other one.
    Resign {
        /// Who has the longest log.
        in_favour_of: Option<Member>,
    },
    /// A member of a set is no more.
    Gone(Member),
    /// The member that was to be handed over to has everything: now is the time for the next epoch.
    HandOverReady(Member),
    /// A set without this copy serves: it is not needed any more.
    Retire,
}

/// What comes out: bytes for other members, and what the owner shall do. Messages leave after effects are begun; what rests on something
/// persisted waits for its input.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Messages.
    pub messages: Vec<(Member, Vec<u8>)>,
    /// What to do, in order.
    pub effects: Vec<Effect>,
}

/// Who this copy is, for the letterhead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post {
    pub(crate) shard: ShardId,
    pub(crate) me: Member,
}

impl Post {
    pub(crate) fn send(self, out: &mut Outbox, epoch: u32, to: Member, body: Body<'_>) {
        let message = Message {
            shard: self.shard,
            epoch,
            from: self.me,
            to,
            body,
        };
        out.messages.push((to, message.encode()));
    }
}

/// What a node that has no copy of a shard answers to a message for it: that a member is no more, where it is an earlier life of its own
/// that is asked to testify.
#[must_use]
pub fn answer_without_copy(message: &Message<'_>, me: Member) -> Option<(Member, Vec<u8>)> {
    let asked = matches!(message.body, Body::Seal { .. });
    if !asked || message.to == me || message.to.node != me.node {
        return None;
    }
    let mut out = Outbox::default();
    let shard = message.shard;
    Post { shard, me }.send(&mut out, message.epoch, message.from, Body::Unknown);
    out.messages.pop()
}

/// Orders, or follows. See the crate.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each copy")]
pub(crate) enum Role {
    Standby,
    Leading(Lead),
}

/// See the crate.
#[derive(Debug)]
pub struct Replica {
    pub(crate) post: Post,
    pub(crate) settings: Settings,
    /// The latest configuration that it was told of.
    pub(crate) config: Option<ShardConfig>,
    pub(crate) keeper: Keeper,
    pub(crate) log: Log,
    pub(crate) persisted: Position,
    /// See [`Restored::found`].
    pub(crate) found: Position,
    pub(crate) committed: Position,
    pub(crate) granted: Granted,
    pub(crate) following: Following,
    pub(crate) role: Role,
    /// The monotonic clock at the last input.
    pub(crate) clock_us: u64,
    seen: Seen,
}

/// What a copy that starts again has found.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The vows that were saved last.
    pub vows: Vows,
    /// The end of what is persisted.
    pub last: Position,
    /// The newest position that stands in the owner's files, be it behind a hole and not part of the log.
    pub found: Position,
    /// The time of its last batch, or, where that is not known, any earlier one: then the owner sees to it that what it answers, and
    /// what it proposes, is not earlier than what may have been answered before.
    pub time_ms: u64,
}

impl Replica {
    /// An empty copy that was never a member of a set before `epoch`.
    #[must_use]
    pub fn fresh(shard: ShardId, me: Member, epoch: u32, settings: Settings) -> Self {
        let vows = Vows {
            promised: epoch.saturating_sub(1),
            ..Vows::default()
        };
        let restored = Restored {
            vows,
            last: Position::ZERO,
            found: Position::ZERO,
            time_ms: 0,
        };
        Self::new(shard, me, restored, Granted::NONE, settings)
    }

    /// A copy that starts again in the same life: everything that it ever acknowledged was persisted first. (One that cannot say so
    /// begins a new life as [`Replica::fresh`].)
    #[must_use]
    pub fn restored(
        shard: ShardId,
        me: Member,
        found: Restored,
        now: Now,
        settings: Settings,
    ) -> Self {
        let granted = Granted::unknown(now.mono_us, settings.lease_us);
        Self::new(shard, me, found, granted, settings)
    }

    fn new(
        shard: ShardId,
        me: Member,
        found: Restored,
        granted: Granted,
        settings: Settings,
    ) -> Self {
        settings.check();
        Self {
            post: Post { shard, me },
            settings,
            config: None,
            keeper: Keeper::new(found.vows),
            log: Log::new(found.last, found.time_ms),
            persisted: found.last,
            found: found.found,
            committed: Position::ZERO,
            granted,
            following: Following::default(),
            role: Role::Standby,
            clock_us: 0,
            seen: Seen::default(),
        }
    }

    /// Bytes of memory that it takes: batches and parts of snapshots that are kept to be sent again.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let kept: usize = match &self.role {
            Role::Standby => 0,
            Role::Leading(lead) => lead.peers.iter().map(Peer::kept_bytes).sum(),
        };
        self.log.memory_bytes() + kept
    }

    /// Takes in what has happened. `now` was read after the inputs of this turn had arrived, so that a right to read that holds at `now`
    /// held after the question was asked.
    pub fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.clock_us = now.mono_us;
        // Here and not at the end: what is accepted in this call is there for the owner until the next.
        self.log.trim(self.settings.backlog_bytes, self.committed);
        match input {
            Input::Tick => {}
            Input::Message(message) => self.on_message(now, message, out),
            Input::Config(config) => self.on_config(config, out),
            Input::Persisted(position) => self.on_persisted(position),
            Input::Saved(ticket) => self.keeper.on_saved(ticket),
            Input::Installed { attempt, step } => self.on_installed(attempt, step),
            Input::Read {
                want,
                at,
                bytes,
                next,
            } => self.on_read(now, want, at, bytes, next, out),
            Input::Traced { attempt, keys } => self.on_traced(attempt, keys),
            Input::Rewritten(rewritten) => self.on_rewritten(now, rewritten),
            Input::Gathered { to, from, found } => self.on_gathered(now, to, from, found),
            Input::HandOver(to) => self.on_hand_over(now, to),
        }
        self.follow(now, out);
        self.recover(now, out);
        self.serve(now, out);
        if let Some((vows, ticket)) = self.keeper.take_change() {
            out.effects.push(Effect::Save(vows, ticket));
        }
        self.check();
    }

    fn on_message(&mut self, now: Now, message: Message<'_>, out: &mut Outbox) {
        assert_eq!(
            message.shard, self.post.shard,
            "the owner routes by shard and node"
        );
        let (from, epoch) = (message.from, message.epoch);
        if message.to != self.post.me {
            // I15 IncarnationFresh: what was meant for an earlier life is not for this one.
            if matches!(message.body, Body::Seal { .. }) {
                self.post.send(out, epoch, from, Body::Unknown);
            }
            return;
        }
        match message.body {
            Body::Append(append) => self.on_append(now, from, epoch, append, out),
            Body::Leap(leap) => self.on_leap(now, from, epoch, leap, out),
            Body::Seal { resigned } => self.on_seal(from, epoch, resigned, out),
            Body::Fetch { from: after } => self.on_fetch(from, epoch, after, out),
            Body::Join {
                base,
                time_ms,
                needed,
                attempt,
            } => self.on_join(from, epoch, (base, time_ms), (attempt, needed), out),
            Body::Chunk(chunk) => self.on_chunk(from, epoch, chunk, out),
            Body::Mend(mend) => self.on_mend(from, epoch, mend, out),
            Body::Touched { attempt, keys } => self.on_touched(now, from, epoch, attempt, keys),
            Body::Ack(ack) => self.on_ack(now, from, epoch, ack),
            Body::Refused { promised } => self.on_refused(epoch, promised, out),
            Body::Testimony(testimony) => self.on_testimony(from, epoch, testimony),
            Body::Unknown => self.on_unknown(from, epoch, out),
            Body::Tail {
                prev,
                reachable,
                batches,
            } => self.on_tail(from, epoch, prev, reachable, batches, out),
        }
    }

    fn on_config(&mut self, config: ShardConfig, out: &mut Outbox) {
        let known = self.config.map_or(0, |c| c.epoch());
        if config.epoch() < known {
            return;
        }
        if config.epoch() > known {
            self.config = Some(config);
            self.begin_epoch(config, out);
        } else if config.phase() == Phase::Serving {
            self.on_published(config, out);
        }
        if config.phase() == Phase::Serving && !config.copies().contains(self.post.me) {
            out.effects.push(Effect::Retire);
        }
    }

    /// A configuration that is new to this copy.
    fn begin_epoch(&mut self, config: ShardConfig, out: &mut Outbox) {
        if config.epoch() > self.keeper.vows().promised {
            self.step_down(out);
        }
        if config.primary() != self.post.me {
            return;
        }
        match config.phase() {
            Phase::Recovering { from } if config.epoch() > self.keeper.vows().promised => {
                self.begin_recovery(config, from);
            }
            // It was this epoch's primary before it started again, or this epoch is over: what it had served is not known here.
            Phase::Recovering { .. } | Phase::Serving => {
                out.effects.push(Effect::Resign { in_favour_of: None });
            }
        }
    }

    fn on_refused(&mut self, epoch: u32, promised: u32, out: &mut Outbox) {
        if promised > epoch && self.lead_of(epoch).is_some() {
            self.step_down(out);
        }
    }

    fn on_persisted(&mut self, position: Position) {
        self.persisted = self.persisted.max(position);
        self.following.owe_ack();
    }

    pub(crate) fn step_down(&mut self, out: &mut Outbox) {
        if let Role::Leading(_) = self.role {
            self.role = Role::Standby;
            out.effects.push(Effect::StepDown);
        }
    }

    /// What leads in this epoch, if this copy does.
    pub(crate) fn lead_of(&mut self, epoch: u32) -> Option<&mut Lead> {
        match &mut self.role {
            Role::Leading(lead) if lead.config.epoch() == epoch => Some(lead),
            Role::Leading(_) | Role::Standby => None,
        }
    }

    /// Up to where this copy's own log is persisted, and so counts.
    #[must_use]
    pub fn own_ack(&self) -> Position {
        self.persisted.min(self.log.last())
    }

    /// The batches behind a position, up to the last; `None` if that is not the end of a batch that is still here.
    pub fn batches_after(&self, position: Position) -> Option<impl Iterator<Item = &Batch>> {
        self.log.after(position)
    }

    /// Until when this copy helps no successor of that primary, as it has acknowledged what that sent, by this node's monotonic clock.
    #[must_use]
    pub fn granted_us(&self, to: Member) -> u64 {
        self.granted.until_us(to)
    }

    /// Which member this is.
    #[must_use]
    pub fn me(&self) -> Member {
        self.post.me
    }

    /// The end of this copy's log.
    #[must_use]
    pub fn last(&self) -> Position {
        self.log.last()
    }

    /// Everything up to here is known to be committed.
    #[must_use]
    pub fn committed(&self) -> Position {
        self.committed
    }

    /// A time that no later batch is before, on whatever copy: that of what is known to be committed. A log that is recovered has that.
    #[must_use]
    pub fn settled_ms(&self) -> u64 {
        let is_here = self.committed >= self.log.start();
        let time_ms = is_here.then(|| self.log.time_at(self.committed));
        // Whoever leads next begins so much later than that.
        let step_ms = u64::from(self.is_serving()) * self.settings.time_step_ms;
        time_ms.map_or(0, |time_ms| time_ms + step_ms)
    }

    /// What it has promised.
    #[must_use]
    pub fn vows(&self) -> Vows {
        self.keeper.vows()
    }

    /// Whether it has everything that its epoch began with, and nothing else.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let vows = self.keeper.vows();
        vows.synced == vows.promised && vows.discarded.is_none()
    }

    /// When [`Input::Tick`] has something to do, by the monotonic clock.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        match &self.role {
            Role::Standby => self.following_next_us(),
            Role::Leading(lead) => Some(match lead.stage {
                Stage::Serving => lead.next_us(&self.settings),
                Stage::Sealing | Stage::Bringing | Stage::Publishing => {
                    let me = self.post.me;
                    let is_settled = self.keeper.settled();
                    lead.recovery_next_us(
                        &self.settings,
                        &self.granted,
                        me,
                        self.clock_us,
                        is_settled,
                    )
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests;
