//! How a copy becomes primary: nothing that the old set has acknowledged, or let anybody see, may be missing.
//!
//! 1. *Seal.* Each member of the set that served last is asked to accept nothing older than the new epoch, and to testify to what it has. RQ of
//!    them are enough: any RQ members include one of any WQ. A member answers only when its lease to the old primary is over, so then
//!    nobody reads there any more either.
//! 2. *Choose.* Members that were synced to the served epoch all have beginnings of one log, its primary's; the longest has all that was
//!    acknowledged. What it lacks itself the new primary fetches; if it cannot go on from its own end, it resigns in favour of who has it.
//! 3. *Bring.* WQ members of the new set persist that log under the new epoch, before anyone is served from it: or it could be shown, and lost
//!    with the next failure. And RQ of them have answered: a set of which too few are there could not be recovered from.
//! 4. *Publish.* The metadata store says "serving", if the epoch is still this one. Only then may clients be served.
//!
//! A member that answers late, with a longer log, is listened to until publication is asked for: what it has more was never acknowledged, but
//! keeping it means that the member need not be emptied. A primary writes nothing of its own before it serves, so that if it fails before,
//! the next one recovers from the same set as if it had not been.
//!
//! A member that has testified to a longer log and then sends nothing is not waited for either, once enough others have testified: any WQ
//! members include one of those, so what none of them has was never acknowledged.

use alloc::vec::Vec;

use model::{Member, Now, Phase, Position, ServedSet, ShardConfig};

use crate::lead::{Lead, OldSet, Stage};
use crate::log::Log;
use crate::peer::Peer;
use crate::wire::{Batches, Body, Testimony};
use crate::{Effect, Outbox, Replica, Role};

/// For so many leases it is waited for a member that has what another has set aside.
const HOLDER_LEASES: u64 = 4;

/// What the testimonies say.
enum Finding {
    /// Not enough of them, or too few that still have what they testify to.
    Open,
    /// The longest log ends here, and this member has it.
    Longest(Position, Member),
    /// Nobody that has testified has the longest log; this member was told to give it up, and has set it aside.
    SetAside(Member),
}

impl Replica {
    pub(crate) fn begin_recovery(&mut self, config: ShardConfig, from: Option<ServedSet>) {
        self.keeper.promise(config.epoch());
        self.role = Role::Leading(Lead {
            config,
            stage: Stage::Sealing,
            base: Position::ZERO,
            peers: Vec::new(),
            old: from.map(OldSet::new),
            publish_us: 0,
            hand_over: None,
            floor_ms: 0,
        });
    }

    pub(crate) fn on_testimony(&mut self, from: Member, epoch: u32, testimony: Testimony) {
        let Some(lead) = self.lead_of(epoch) else {
            return;
        };
        let Some(old) = &mut lead.old else { return };
        let Some(index) = old.index(from) else { return };
        if old.answers[index].is_none() {
            // The others need not wait for leases to it.
            (old.resigned, old.ask_us) = (Some(from), 0);
            self.granted.release(from);
        }
        let Some(old) = self.lead_of(epoch).and_then(|lead| lead.old.as_mut()) else {
            return;
        };
        old.answers[index] = Some(testimony);
    }

    pub(crate) fn on_unknown(&mut self, from: Member, epoch: u32, out: &mut Outbox) {
        let Some(old) = self.lead_of(epoch).and_then(|lead| lead.old.as_mut()) else {
            return;
        };
        let members = old.set.copies.members();
        let gone = members
            .iter()
            .find(|m| m.node == from.node && m.incarnation != from.incarnation);
        // UNKNOWN is no testimony: it counts for nothing.
        out.effects.extend(gone.map(|member| Effect::Gone(*member)));
    }

    pub(crate) fn on_tail(
        &mut self,
        from: Member,
        epoch: u32,
        prev: Position,
        reachable: bool,
        batches: Batches<'_>,
        out: &mut Outbox,
    ) {
        let after = self.log.last();
        let Some(lead) = self.lead_of(epoch) else {
            return;
        };
        let wanted = match lead.stage {
            Stage::Sealing | Stage::Bringing => prev == after,
            Stage::Publishing | Stage::Serving => false,
        };
        if !wanted {
            return;
        }
        if let Some(old) = &mut lead.old {
            old.fetch_us = 0;
        }
        if !reachable {
            self.resign(Some(from), out);
            return;
        }
        for batch in batches.iter() {
            self.accept(batch);
        }
        let last = self.log.last();
        if last > after {
            out.effects.push(Effect::Accepted { after, last });
            if let Some(old) = self.lead_of(epoch).and_then(|lead| lead.old.as_mut()) {
                old.on_fetched(last);
            }
        }
    }

    fn resign(&mut self, in_favour_of: Option<Member>, out: &mut Outbox) {
        self.role = Role::Standby;
        out.effects.push(Effect::Resign { in_favour_of });
    }

    /// Does what is due on the way to serving.
    pub(crate) fn recover(&mut self, now: Now, out: &mut Outbox) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        let stage = lead.stage;
        match stage {
            Stage::Serving => return,
            Stage::Sealing | Stage::Bringing => {
                self.testify_for_self(now);
                self.ask_old_set(now, out);
            }
            Stage::Publishing => {}
        }
        if !self.keeper.settled() {
            return;
        }
        match (stage, self.finding()) {
            (Stage::Publishing, _) => self.ask_to_publish(now, out),
            (Stage::Sealing | Stage::Bringing | Stage::Serving, Finding::Open) => {}
            (_, Finding::Longest(last, holder)) => self.reach(now, last, holder, out),
            (_, Finding::SetAside(member)) => self.wait_for_holder(now, member, out),
        }
        self.pump(now, out);
    }

    /// This copy is a member of the old set like any other, bound by its lease like any other.
    fn testify_for_self(&mut self, now: Now) {
        let me = self.post.me;
        let testimony = self.may_testify(now, me).then(|| self.testimony());
        let Role::Leading(Lead { old: Some(old), .. }) = &mut self.role else {
            return;
        };
        if let Some(index) = old.index(me)
            && old.answers[index].is_none()
        {
            old.answers[index] = testimony;
        }
    }

    fn ask_old_set(&mut self, now: Now, out: &mut Outbox) {
        let (post, resend_us) = (self.post, self.settings.resend_us);
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let epoch = lead.config.epoch();
        let Some(old) = lead.old.as_mut().filter(|old| now.mono_us >= old.ask_us) else {
            return;
        };
        old.ask_us = now.mono_us + resend_us;
        let resigned = old.resigned;
        let members = old.set.copies.members().iter().zip(&old.answers);
        for (member, answer) in members {
            if answer.is_none() && *member != post.me {
                post.send(out, epoch, *member, Body::Seal { resigned });
            }
        }
    }

    fn finding(&self) -> Finding {
        let Role::Leading(lead) = &self.role else {
            return Finding::Open;
        };
        match &lead.old {
            // A shard that was never served begins empty.
            None => Finding::Longest(Position::ZERO, self.post.me),
            Some(old) => choose(old, self.post.me),
        }
    }

    /// Goes on towards a log that ends at `last`.
    fn reach(&mut self, now: Now, last: Position, holder: Member, out: &mut Outbox) {
        let here = self.log.last();
        let whole = self.keeper.vows().discarded.is_none();
        let Role::Leading(lead) = &self.role else {
            return;
        };
        match lead.stage {
            Stage::Sealing | Stage::Bringing if whole && here < last => {
                self.fetch(now, holder, out);
            }
            Stage::Sealing if whole && here == last => self.begin_bringing(),
            // What is here is none of the served epoch's log, or is not all there.
            Stage::Sealing => self.resign(Some(holder), out),
            Stage::Bringing => self.publish_when_brought(now, out),
            Stage::Publishing | Stage::Serving => {}
        }
    }

    /// Whoever was to fill the copy of this member has what it had, and may come back. If not, the copy is taken back.
    fn wait_for_holder(&mut self, now: Now, member: Member, out: &mut Outbox) {
        let patience_us = HOLDER_LEASES * self.settings.lease_us;
        let me = self.post.me;
        let Role::Leading(Lead { old: Some(old), .. }) = &mut self.role else {
            return;
        };
        let until_us = *old.holder_us.get_or_insert(now.mono_us + patience_us);
        if now.mono_us < until_us || old.takes_back {
            return;
        }
        if member == me {
            old.takes_back = true;
            self.log = Log::new(Position::ZERO, 0);
            (self.persisted, self.found) = (Position::ZERO, Position::ZERO);
            out.effects.push(Effect::TakeBack);
        } else {
            self.resign(Some(member), out);
        }
    }

    fn fetch(&mut self, now: Now, holder: Member, out: &mut Outbox) {
        let (post, from, resend_us) = (self.post, self.log.last(), self.settings.resend_us);
        let patience_us = self.settings.lease_us;
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        let epoch = lead.config.epoch();
        if let Some(old) = lead.old.as_mut().filter(|old| now.mono_us >= old.fetch_us) {
            old.fetch_us = now.mono_us + resend_us;
            old.ask_holder(holder, now.mono_us, patience_us);
            post.send(out, epoch, holder, Body::Fetch { from });
        }
    }

    fn begin_bringing(&mut self) {
        let (last, me) = (self.log.last(), self.post.me);
        if self.persisted < last {
            return;
        }
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        lead.stage = Stage::Bringing;
        let others = lead.config.copies().members().iter().filter(|m| **m != me);
        lead.peers = others.map(|member| Peer::new(*member)).collect();
        self.keeper.sync(lead.config.epoch());
    }

    fn publish_when_brought(&mut self, now: Now, out: &mut Outbox) {
        let (base, own) = (self.log.last(), self.own_ack());
        let committed = self.committed;
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        lead.base = base;
        let others = lead.peers.iter().filter(|peer| peer.acked() >= Some(base));
        let have = others.count() + usize::from(own >= base);
        // A set that serves is what the next epoch is recovered from: enough of it must be there to testify.
        let heard = 1 + lead.peers.iter().filter(|peer| peer.is_heard()).count();
        let copies = lead.config.copies();
        // Clients are answered from what is in the store here.
        let here = own >= base;
        if here && have >= copies.write_quorum() && heard >= copies.read_quorum() {
            assert!(
                base >= committed,
                "I8 PublishSuperset: the log of the new epoch lacks what was committed"
            );
            lead.stage = Stage::Publishing;
            lead.publish_us = 0;
            self.ask_to_publish(now, out);
        }
    }

    fn ask_to_publish(&mut self, now: Now, out: &mut Outbox) {
        let lease_us = self.settings.lease_us;
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        if now.mono_us >= lead.publish_us {
            lead.publish_us = now.mono_us + lease_us;
            out.effects.push(Effect::Publish(lead.config.published()));
        }
    }

    /// The metadata store says that this epoch serves.
    pub(crate) fn on_published(&mut self, config: ShardConfig, out: &mut Outbox) {
        let Some(lead) = self
            .lead_of(config.epoch())
            .filter(|lead| lead.stage == Stage::Publishing)
        else {
            return;
        };
        let base = lead.base;
        // The old primary may have answered by a time so much later than that of its last batch.
        let floor_ms = self.log.time_at(base) + self.settings.time_step_ms;
        let Role::Leading(lead) = &mut self.role else {
            return;
        };
        lead.stage = Stage::Serving;
        lead.config = config;
        lead.old = None;
        lead.floor_ms = floor_ms;
        self.commit_to(base, out);
        out.effects.push(Effect::Serve {
            epoch: config.epoch(),
            floor_ms,
        });
    }

    /// The phase of the configuration that it leads in.
    pub(crate) fn served(&self) -> bool {
        match &self.role {
            Role::Leading(lead) => lead.config.phase() == Phase::Serving,
            Role::Standby => false,
        }
    }
}

/// The end of the longest log among RQ members or more, and a member that has it.
fn choose(old: &OldSet, me: Member) -> Finding {
    let answers = || {
        let members = old.set.copies.members().iter().zip(&old.answers);
        members.filter_map(|(member, answer)| answer.map(|testimony| (*member, testimony)))
    };
    if answers().count() < old.set.copies.read_quorum() {
        return Finding::Open;
    }
    // Only who was synced to the epoch that served can have acknowledged anything in it; all of those have beginnings of one log.
    let knowing = || answers().filter(|(_, t)| t.synced >= old.set.epoch);
    let Some(last) = knowing().map(|(_, t)| t.last).max() else {
        return Finding::Open;
    };
    if old.fetched > last {
        // From one that has fallen silent since.
        return Finding::Longest(old.fetched, me);
    }
    // A copy that was given up testifies to what it had, so that its absence is noticed.
    let holders = || knowing().filter(|(_, t)| t.whole && t.last == last);
    let holder = holders().min_by_key(|(member, _)| (*member != me, old.silent == Some(*member)));
    if let Some((member, _)) = holder {
        return Finding::Longest(last, member);
    }
    let keepers = knowing().filter(|(_, t)| t.kept && t.last == last);
    let keeper = keepers.min_by_key(|(member, _)| *member != me);
    keeper.map_or(Finding::Open, |(member, _)| Finding::SetAside(member))
}

#[cfg(test)]
mod tests;
