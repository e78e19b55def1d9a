//! How a copy is primary: it orders batches, commits what WQ copies have, and knows when it may answer reads alone.

use alloc::boxed::Box;

use model::{Member, Now, Phase, Position};

use crate::lead::{HandOver, Lead, Stage};
use crate::log::Batch;
use crate::peer::{Peer, View};
use crate::wire::Ack;
use crate::{Effect, Gathered, Outbox, ReadRight, Replica, Rewritten, Role, Want};

/// Why a batch is not taken. Nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This copy is not primary, or not yet.
    NotServing,
    /// Too much waits for its quorum: it may be long in coming.
    Full,
    /// Another copy is about to become primary: in milliseconds.
    HandingOver,
}

/// What a copy is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It follows, if anyone leads.
    Standby,
    /// It is on its way to be primary.
    Recovering,
    /// It is primary.
    Serving {
        /// WQ copies have been heard of within a lease: without them writes wait, and end as `-NOQUORUM`.
        quorum: bool,
    },
}

impl Replica {
    /// Puts a batch behind the log, at positions that the owner gives: of this epoch, ascending. It is sent with the next
    /// [`Replica::handle`], and counts here as soon as it is said to be persisted.
    ///
    /// # Errors
    /// When it is not taken.
    ///
    /// # Panics
    /// If the positions or the time go back.
    pub fn propose(
        &mut self,
        first: Position,
        last: Position,
        time_ms: u64,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        self.may_propose(bytes.len())?;
        let Role::Leading(Lead {
            config, floor_ms, ..
        }) = &mut self.role
        else {
            return Err(Refusal::NotServing);
        };
        let epoch = config.epoch();
        assert!(
            first.epoch() == epoch && last.epoch() == epoch,
            "I2 OneWriterPerEpoch: a batch at a position of another epoch"
        );
        assert!(
            time_ms >= *floor_ms,
            "TimeNeverBack: a batch is older than what may have been shown"
        );
        *floor_ms = time_ms;
        self.log.push(Batch {
            first,
            last,
            time_ms,
            bytes: Box::from(bytes),
        });
        Ok(())
    }

    /// Whether a batch of so many bytes would be taken now: for an owner that cannot take back what it has applied.
    ///
    /// # Errors
    /// When it would not.
    pub fn may_propose(&self, bytes: usize) -> Result<(), Refusal> {
        let Role::Leading(Lead {
            stage: Stage::Serving,
            hand_over,
            peers,
            ..
        }) = &self.role
        else {
            return Err(Refusal::NotServing);
        };
        if hand_over.is_some() {
            return Err(Refusal::HandingOver);
        }
        let waiting = self.log.bytes_beyond(self.committed);
        let most = self.settings.uncommitted_bytes as u64;
        let fits = |most| waiting == 0 || waiting + bytes as u64 <= most;
        if fits(most) || peers.iter().any(Peer::has_priority) && fits(2 * most) {
            Ok(())
        } else {
            Err(Refusal::Full)
        }
    }

    /// Until when, and up to which time, reads may be answered from this copy: of what is committed.
    #[must_use]
    pub fn read_right(&self, now: Now) -> Option<ReadRight> {
        let Role::Leading(lead) = &self.role else {
            return None;
        };
        if lead.stage != Stage::Serving {
            return None;
        }
        // I9 NoServeBeforePublish
        assert!(self.served(), "I9 NoServeBeforePublish");
        let right = self.right(lead);
        (right.until_us > now.mono_us).then_some(right)
    }

    /// What the leases of WQ - 1 standbys give; this copy itself is the WQth.
    fn right(&self, lead: &Lead) -> ReadRight {
        let mut sent = [None; model::membership::MAX_COPIES];
        for (sent_us, peer) in sent.iter_mut().zip(&lead.peers) {
            *sent_us = peer.lease_us();
        }
        sent.sort_unstable_by(|a, b| b.cmp(a));
        let least = match lead.config.copies().write_quorum() {
            1 => Some(u64::MAX),
            more => sent[more - 2],
        };
        let counted_us = self.settings.counted_lease_us();
        ReadRight {
            until_us: least.map_or(0, |sent_us| sent_us.saturating_add(counted_us)),
            time_ceiling_ms: self.log.time_at(self.committed) + self.settings.time_step_ms,
        }
    }

    /// What this copy is.
    #[must_use]
    pub fn standing(&self, now: Now) -> Standing {
        match &self.role {
            Role::Standby => Standing::Standby,
            Role::Leading(lead) => match lead.stage {
                Stage::Sealing | Stage::Bringing | Stage::Publishing => Standing::Recovering,
                Stage::Serving => Standing::Serving {
                    quorum: self.read_right(now).is_some(),
                },
            },
        }
    }

    /// Standbys that count at this moment, and how far each of them is behind in bytes: for placement, and for choosing whom to hand over to.
    pub fn standbys(&self) -> impl Iterator<Item = (Member, Option<u64>)> {
        let (peers, base) = match &self.role {
            Role::Leading(lead) => (&lead.peers[..], lead.base),
            Role::Standby => (&[][..], Position::ZERO),
        };
        peers.iter().map(move |peer| {
            let counts = !peer.is_made_whole() && peer.acked() >= Some(base);
            let acked = peer.acked().filter(|_| counts);
            let behind = acked.map(|acked| self.log.bytes_beyond(acked));
            (peer.member(), behind)
        })
    }

    /// Of each standby of this primary: up to where it counts, and when what it has answered last was sent to it, by this node's monotonic
    /// clock; 0 if it has answered nothing in this epoch.
    pub fn heard(&self) -> impl Iterator<Item = (Member, Option<Position>, u64)> {
        let peers = match &self.role {
            Role::Leading(lead) => &lead.peers[..],
            Role::Standby => &[][..],
        };
        peers.iter().map(|peer| {
            let acked = peer.acked().filter(|_| !peer.is_made_whole());
            (peer.member(), acked, peer.heard_us())
        })
    }

    /// What may still be asked of this copy in this epoch: whether it serves.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        match &self.role {
            Role::Leading(lead) => lead.stage == Stage::Serving,
            Role::Standby => false,
        }
    }

    pub(crate) fn on_ack(&mut self, now: Now, from: Member, epoch: u32, ack: Ack) {
        self.with_peer(now, from, epoch, |peer, view| peer.on_ack(ack, view));
    }

    pub(crate) fn on_read(
        &mut self,
        now: Now,
        want: Want,
        at: Position,
        bytes: &[u8],
        next: Option<u64>,
        out: &mut Outbox,
    ) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        let epoch = lead.config.epoch();
        self.with_peer(now, want.to, epoch, |peer, view| {
            peer.on_read(want, at, (bytes, next), view, out);
        });
    }

    pub(crate) fn on_touched(
        &mut self,
        now: Now,
        from: Member,
        epoch: u32,
        attempt: u32,
        keys: Option<&[u8]>,
    ) {
        self.with_peer(now, from, epoch, |peer, view| {
            peer.on_touched(attempt, keys, view);
        });
    }

    pub(crate) fn on_rewritten(&mut self, now: Now, rewritten: Rewritten) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        let epoch = lead.config.epoch();
        self.with_peer(now, rewritten.to, epoch, |peer, view| {
            peer.on_rewritten(rewritten, view);
        });
    }

    pub(crate) fn on_gathered(
        &mut self,
        now: Now,
        to: Member,
        from: Position,
        found: Option<Gathered<'_>>,
    ) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        let epoch = lead.config.epoch();
        self.with_peer(now, to, epoch, |peer, view| {
            peer.on_gathered(from, found, view);
        });
    }

    fn with_peer(
        &mut self,
        now: Now,
        member: Member,
        epoch: u32,
        turn_to: impl FnOnce(&mut crate::peer::Peer, &View<'_>),
    ) {
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let index = lead.peers.iter().position(|p| p.member() == member);
        let Some(index) = index.filter(|_| lead.config.epoch() == epoch) else {
            return;
        };
        let (last, own) = (self.log.last(), self.persisted.min(self.log.last()));
        let view = View {
            now,
            post: self.post,
            epoch,
            settings: &self.settings,
            log: &self.log,
            base: lead.base,
            commit: self.committed,
            may_reset: lead.may_reset(member, last, own, self.committed),
            serves: lead.stage == Stage::Serving,
        };
        turn_to(&mut lead.peers[index], &view);
    }

    /// Sends every standby what is due.
    pub(crate) fn pump(&mut self, now: Now, out: &mut Outbox) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        let (epoch, peers) = (lead.config.epoch(), lead.peers.len());
        for index in 0..peers {
            let Role::Leading(lead) = &self.role else {
                return;
            };
            let member = lead.peers[index].member();
            self.with_peer(now, member, epoch, |peer, view| peer.pump(view, out));
        }
    }

    /// Does what is due for a primary.
    pub(crate) fn serve(&mut self, now: Now, out: &mut Outbox) {
        if !self.is_serving() {
            return;
        }
        let quorum = self.quorum_ack();
        self.commit_to(quorum, out);
        self.hand_over(now, out);
        self.pump(now, out);
    }

    /// The position that WQ copies have persisted.
    fn quorum_ack(&self) -> Position {
        let Role::Leading(lead) = &self.role else {
            return Position::ZERO;
        };
        let mut acks = [Position::ZERO; model::membership::MAX_COPIES];
        acks[0] = self.own_ack();
        for (ack, peer) in acks[1..].iter_mut().zip(&lead.peers) {
            *ack = peer.acked().unwrap_or_default();
        }
        acks.sort_unstable_by(|a, b| b.cmp(a));
        acks[lead.config.copies().write_quorum() - 1]
    }

    pub(crate) fn commit_to(&mut self, position: Position, out: &mut Outbox) {
        if position > self.committed {
            self.committed = position;
            out.effects.push(Effect::Committed(position));
        }
    }

    /// Whether WQ copies have what is committed.
    pub(crate) fn quorum_has_committed(&self) -> bool {
        !self.is_serving() || self.quorum_ack() >= self.committed
    }

    pub(crate) fn on_hand_over(&mut self, now: Now, to: Member) {
        let until_us = now.mono_us + self.settings.hand_over_us;
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let known = lead.peers.iter().any(|p| p.member() == to);
        if lead.config.phase() == Phase::Serving && known && lead.hand_over.is_none() {
            lead.hand_over = Some(HandOver {
                to,
                until_us,
                told: false,
            });
        }
    }

    /// Says when the successor has everything; goes on as primary if no epoch of its comes in time.
    fn hand_over(&mut self, now: Now, out: &mut Outbox) {
        let (last, committed) = (self.log.last(), self.committed);
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let Some(hand_over) = &mut lead.hand_over else {
            return;
        };
        let to = hand_over.to;
        let has_all = lead
            .peers
            .iter()
            .any(|p| p.member() == to && p.acked() == Some(last));
        if now.mono_us >= hand_over.until_us {
            lead.hand_over = None;
        } else if has_all && committed == last && !hand_over.told {
            hand_over.told = true;
            out.effects.push(Effect::HandOverReady(to));
        }
    }
}
