//! What should become of one shard: a pure function of the situation.
//!
//! One step at a time, and only from where the last one has led to: whatever is interrupted is decided anew.
//!
//! ```text
//!   primary lost, or cut off,
//!   or it has resigned ─────────► failover      the set stays, another member leads
//!   primary about to end, or
//!   its disk takes no writes ───► hand over     to a complete member, whatever else is to be done
//!   too few left to acknowledge ► re-form       the lost are replaced before anything is served
//!   member lost ────────────────► replace       at once if its life is over, else after a delay
//!   too few members ────────────► grow          by one
//!   too many, all complete ─────► shrink        by one
//!   primary on a draining node ─► hand over     to a complete member
//!   member on a draining node ──► grow          the shrinking takes that member
//! ```
//!
//! A node that is being drained is given nothing, unless a shard would have fewer copies than it should otherwise: a drain moves copies, it
//! does not go without them.
//!
//! Every one of them waits unless enough members of the set that last served are alive to prove what was acknowledged. Where their lives are
//! over, as after a loss of power, and too few are left: `coordinator::revive`.

use alloc::vec::Vec;

use model::{CopySet, Member, NodeId, Phase, ShardConfig, ShardId, limits};

use crate::{
    message::Resigned,
    placement::{self, Site},
    record::ShardRecord,
    situation::{Health, Situation},
    timing::{CUT_OFF_MS, REPAIR_DELAY_MS, UNREACHABLE_MS},
};

/// Why a shard's configuration changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its primary is lost.
    Failover,
    /// Too few members were left to acknowledge anything.
    Reform,
    /// A lost member is replaced.
    Replace,
    /// It has fewer members than it should, or one of them is to be moved.
    Grow,
    /// It has more members than it should.
    Shrink,
    /// Another member leads, by plan.
    HandOver,
    /// An operator said so.
    Forced,
    /// Too few lives of the set that last served go on; it is recovered from what they have left.
    Relics,
    /// The map had lost what its copies know.
    Behind,
}

/// A shard's next configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which shard.
    pub shard: ShardId,
    /// What it shall be.
    pub config: ShardConfig,
    /// Why.
    pub reason: Reason,
}

/// What this shard needs, if anything can be done about it now.
#[must_use]
pub fn decide(situation: &Situation<'_>, shard: ShardId, record: &ShardRecord) -> Option<Decision> {
    let case = Case {
        situation,
        shard,
        record,
    };
    if !situation.is_provable(record) {
        return None;
    }
    let lost = !situation.is_alive(record.config.primary());
    if lost || case.is_cut_off() || case.resigned() != Resigned::No {
        return case.fail_over();
    }
    match record.config.phase() {
        Phase::Recovering { .. } => case.reform_if_stuck(),
        Phase::Serving => case.improve(),
    }
}

struct Case<'a> {
    situation: &'a Situation<'a>,
    shard: ShardId,
    record: &'a ShardRecord,
}

impl Case<'_> {
    fn members(&self) -> &[Member] {
        self.record.config.copies().members()
    }

    fn decision(&self, copies: CopySet, primary: NodeId, reason: Reason) -> Decision {
        let config = self.record.config.succeed(copies, primary);
        Decision {
            shard: self.shard,
            config,
            reason,
        }
    }

    fn set(&self, members: &[Member]) -> CopySet {
        CopySet::new(members, self.situation.settings.quorum_of(members.len()))
    }

    fn fail_over(&self) -> Option<Decision> {
        let set = self.servable_set()?;
        let primary = self.best_primary(&set).or_else(|| self.same_again(&set))?;
        let same = set == *self.record.config.copies();
        let reason = if same {
            Reason::Failover
        } else {
            Reason::Reform
        };
        Some(self.decision(set, primary.node, reason))
    }

    /// Whether the primary says that it cannot reach enough members to acknowledge anything, while there are enough others.
    fn is_cut_off(&self) -> bool {
        let quorum = self.record.config.copies().write_quorum();
        let since = |m: &&Member| self.situation.reports.unreachable_since(self.shard, **m);
        let long = |since_ms: u64| self.situation.now_ms >= since_ms + CUT_OFF_MS;
        let unreachable = self
            .members()
            .iter()
            .filter(|m| since(m).is_some_and(long))
            .count();
        let primary = self.record.config.primary();
        let others = self
            .members()
            .iter()
            .filter(|m| **m != primary && self.situation.is_alive(**m));
        self.members().len() - unreachable < quorum && others.count() >= quorum
    }

    fn resigned(&self) -> Resigned {
        self.situation
            .reports
            .resigned(self.shard, self.record, self.situation.now_ms)
    }

    /// Whether the primary has resigned in favour of this member.
    fn is_favoured(&self, member: Member) -> bool {
        match self.resigned() {
            Resigned::InFavourOf(node) => node == member.node,
            Resigned::No | Resigned::Yes => false,
        }
    }

    /// The primary that has resigned, where there is no other: it needs only the next epoch to lead.
    fn same_again(&self, set: &CopySet) -> Option<Member> {
        let primary = self.record.config.primary();
        let fit = self.situation.is_alive(primary) && set.contains(primary);
        (fit && self.resigned() != Resigned::No).then_some(primary)
    }

    fn reform_if_stuck(&self) -> Option<Decision> {
        let set = self.servable_set()?;
        if set == *self.record.config.copies() {
            return None;
        }
        let primary = self.record.config.primary();
        let primary = if set.contains(primary) {
            primary
        } else {
            self.best_primary(&set)?
        };
        Some(self.decision(set, primary.node, Reason::Reform))
    }

    /// Of the sets that could serve the first that has the member with the longest log, if one of them does: without it the next primary could
    /// only resign again.
    fn servable_set(&self) -> Option<CopySet> {
        let sought = |m: &Member| self.is_favoured(*m) && self.situation.is_alive(*m);
        let with_longest = |set: &CopySet| set.members().iter().any(sought);
        let named = self.sets_at_hand().iter().any(with_longest);
        let chosen = named
            .then(|| self.servable_sets().find(with_longest))
            .flatten();
        chosen.or_else(|| self.servable_sets().next())
    }

    /// The set as it is, and as it was when it last served.
    fn sets_at_hand(&self) -> [CopySet; 2] {
        let now = *self.record.config.copies();
        [now, Situation::source(self.record).unwrap_or(now)]
    }

    /// Those, then either with the lost ones replaced: as far as they have enough members alive to acknowledge a write.
    fn servable_sets(&self) -> impl Iterator<Item = CopySet> {
        let sites = [Situation::steady_sites, Situation::last_resorts];
        let replaced = sites.into_iter().flat_map(|sites| {
            let sites = sites(self.situation);
            let replace = |set: CopySet| self.with_lost_replaced(&set, &sites);
            self.sets_at_hand().map(replace)
        });
        let sets = self.sets_at_hand().into_iter().chain(replaced.flatten());
        sets.filter(|set| self.situation.alive_of(set) >= set.write_quorum())
    }

    fn with_lost_replaced(&self, set: &CopySet, sites: &[Site]) -> Option<CopySet> {
        let mut members = set.members().to_vec();
        for at in 0..members.len() {
            if self.may_be_replaced(members[at])
                && let Some(new) = self.replacement(&members, at, sites)
            {
                members[at] = new;
            }
        }
        (members != set.members()).then(|| self.set(&members))
    }

    /// Whether this member is lost for so long, or so surely, that another may take its place.
    fn may_be_replaced(&self, member: Member) -> bool {
        match self.situation.health(member) {
            Health::Over => true,
            Health::Dead { since_ms } => self.situation.now_ms >= since_ms + REPAIR_DELAY_MS,
            Health::Well | Health::Doubtful => {
                let unreachable = self.situation.reports.unreachable_since(self.shard, member);
                unreachable
                    .is_some_and(|since_ms| self.situation.now_ms >= since_ms + UNREACHABLE_MS)
            }
        }
    }

    /// Who should take the place of the member at `at`: the same node if it lives again, else the best there is.
    fn replacement(&self, members: &[Member], at: usize, sites: &[Site]) -> Option<Member> {
        let others = members.iter().enumerate().filter(|(n, _)| *n != at);
        let others: Vec<NodeId> = others.map(|(_, m)| m.node).collect();
        let held = self.sites_of(&others);
        let again = sites.iter().find(|site| site.node == members[at].node);
        let again = again
            .filter(|site| self.situation.map.nodes()[&site.node].member(site.node) != members[at]);
        let free: Vec<Site> = sites
            .iter()
            .filter(|site| site.node != members[at].node)
            .copied()
            .collect();
        let again = again.and_then(|site| placement::choose(self.shard, &[*site], &held));
        let site = again.or_else(|| placement::choose(self.shard, &free, &held))?;
        Some(self.present(site.node))
    }

    fn present(&self, node: NodeId) -> Member {
        self.situation.map.nodes()[&node].member(node)
    }

    fn sites_of(&self, nodes: &[NodeId]) -> Vec<Site> {
        nodes
            .iter()
            .filter_map(|&node| self.situation.site(node))
            .collect()
    }

    /// The member that should lead: not the one that does, alive, the one in whose favour that one has resigned, of the set that
    /// last served, steady, staying, complete, with the longest log, and with the fewest primaries to lead already. Among equals
    /// the next in the set's order.
    fn best_primary(&self, set: &CopySet) -> Option<Member> {
        let situation = self.situation;
        let source = Situation::source(self.record);
        let now = set
            .members()
            .iter()
            .position(|m| *m == self.record.config.primary());
        let count = set.members().len();
        let turn = |at: usize| (at + count - now.unwrap_or(0)) % count;
        let alive = set.members().iter().enumerate();
        let alive = alive.filter(|(at, m)| now != Some(*at) && situation.is_alive(**m));
        let best = alive.min_by_key(|&(at, &member)| {
            let knows = source.is_none_or(|source| source.contains(member));
            let well = situation.health(member) == Health::Well;
            let complete = situation.is_complete(self.shard, self.record, member);
            let position = situation.reports.position(self.shard, member);
            let misses = (!knows, !well, situation.should_not_lead(member), !complete);
            (
                !self.is_favoured(member),
                misses,
                core::cmp::Reverse(position),
                situation.burden(member.node).primaries,
                turn(at),
            )
        });
        best.map(|(_, member)| *member)
    }

    /// The shard serves, its primary lives: is there anything to make better?
    fn improve(&self) -> Option<Decision> {
        let primary = self.record.config.primary();
        let must_go = self.situation.is_leaving(primary) || self.is_relieved_of_disk();
        if must_go && let Some(decision) = self.hand_over() {
            return Some(decision);
        }
        if let Some(at) = self.members().iter().position(|m| self.may_be_replaced(*m)) {
            return self.replace(at);
        }
        if !self.members().iter().all(|m| self.is_sound(*m)) {
            return None;
        }
        let target = usize::from(self.situation.settings.copies);
        match self.members().len() {
            len if len > target => self.shrink(),
            len if len < target => self.grow(),
            _ if self.situation.is_draining(self.record.config.primary()) => {
                self.hand_over().or_else(|| self.move_away())
            }
            _ if self
                .members()
                .iter()
                .any(|m| self.situation.is_draining(*m)) =>
            {
                self.move_away()
            }
            _ => None,
        }
    }

    /// Whether the primary's disk takes no writes, and those of enough others do: or a successor could acknowledge no more than it does.
    fn is_relieved_of_disk(&self) -> bool {
        let fit = |m: &&Member| self.situation.is_alive(**m) && !self.situation.is_diskless(**m);
        let quorum = self.record.config.copies().write_quorum();
        self.situation.is_diskless(self.record.config.primary())
            && self.members().iter().filter(fit).count() >= quorum
    }

    /// Alive and complete.
    fn is_sound(&self, member: Member) -> bool {
        self.situation.is_alive(member)
            && self.situation.is_complete(self.shard, self.record, member)
    }

    fn replace(&self, at: usize) -> Option<Decision> {
        let primary = self.record.config.primary();
        let lost = self.members()[at];
        let others = self.members().iter().filter(|m| **m != lost);
        let alive: Vec<Member> = others
            .copied()
            .filter(|m| self.situation.is_alive(*m))
            .collect();
        let enough = alive.len() >= self.record.config.copies().write_quorum();
        // While a copy is being made already the shard serves by the others: it must not wait for two.
        if lost == primary
            || (enough && !alive.iter().all(|m| self.is_sound(*m)))
            || !self.may_send()
        {
            return None;
        }
        let mut members = self.members().to_vec();
        if members.len() > usize::from(self.situation.settings.copies) {
            members.remove(at);
        } else {
            members[at] = self.for_want(|sites| self.replacement(&members, at, sites))?;
        }
        Some(self.decision(self.set(&members), primary.node, Reason::Replace))
    }

    fn may_send(&self) -> bool {
        let primary = self.record.config.primary().node;
        self.situation.burden(primary).sending < limits::MAX_REPAIRS_PER_NODE
    }

    /// What is chosen for a copy that is missing. Draining nodes are asked only if no other may have it: one that receives as many
    /// as it may is waited for.
    fn for_want<T>(&self, choose: impl Fn(&[Site]) -> Option<T>) -> Option<T> {
        let steady = self.situation.steady_sites();
        let sites = match choose(&steady) {
            Some(_) => steady,
            None => self.situation.last_resorts(),
        };
        choose(&self.situation.free_of(sites))
    }

    /// One more copy, as there are too few.
    fn grow(&self) -> Option<Decision> {
        let site = self.for_want(|sites| self.site_beside(sites))?;
        self.grow_to(site.node)
    }

    /// One more copy, in the place of one on a draining node.
    fn move_away(&self) -> Option<Decision> {
        let site = self.site_beside(&self.situation.free_sites())?;
        self.grow_to(site.node)
    }

    /// The best of these for one more copy beside all that there are, though those on draining nodes are to go.
    fn site_beside(&self, sites: &[Site]) -> Option<Site> {
        let nodes: Vec<NodeId> = self.members().iter().map(|m| m.node).collect();
        let staying = self
            .members()
            .iter()
            .filter(|m| !self.situation.is_draining(**m));
        let staying: Vec<NodeId> = staying.map(|m| m.node).collect();
        let (all, staying) = (self.sites_of(&nodes), self.sites_of(&staying));
        // Zones are those of the copies that stay; a process may not hold two even for a while.
        let fit = sites
            .iter()
            .filter(|site| placement::choose(self.shard, &[**site], &all).is_some());
        let fit: Vec<Site> = fit.copied().collect();
        placement::choose(self.shard, &fit, &staying)
    }

    fn grow_to(&self, node: NodeId) -> Option<Decision> {
        if !self.may_send() {
            return None;
        }
        let mut members = self.members().to_vec();
        members.push(self.present(node));
        let primary = self.record.config.primary().node;
        Some(self.decision(self.set(&members), primary, Reason::Grow))
    }

    /// Lets the member go that is draining, or else the one whose zone is most crowded and whose node is most burdened. All
    /// are alive and complete.
    fn shrink(&self) -> Option<Decision> {
        let situation = self.situation;
        let primary = self.record.config.primary();
        let leaver = self.members().iter().max_by_key(|&&member| {
            let others = self.members().iter().filter(|m| **m != member);
            let zone = situation.site(member.node).map(|site| site.zone);
            let crowd = others
                .filter(|m| situation.site(m.node).map(|site| site.zone) == zone)
                .count();
            let draining = situation.is_draining(member);
            (
                draining,
                crowd,
                situation.burden(member.node).weight,
                member != primary,
                member,
            )
        })?;
        let rest: Vec<Member> = self
            .members()
            .iter()
            .filter(|m| *m != leaver)
            .copied()
            .collect();
        let set = self.set(&rest);
        let primary = if *leaver == primary {
            self.best_primary(&set)?
        } else {
            primary
        };
        Some(self.decision(set, primary.node, Reason::Shrink))
    }

    fn hand_over(&self) -> Option<Decision> {
        let set = *self.record.config.copies();
        let best = self.best_primary(&set)?;
        let situation = self.situation;
        let fit = !situation.should_not_lead(best)
            && situation.health(best) == Health::Well
            && self.is_sound(best);
        fit.then(|| self.decision(set, best.node, Reason::HandOver))
    }
}

/// A copy of this shard on one more node, as the first half of a move.
#[must_use]
pub fn grow_to(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    node: NodeId,
) -> Option<Decision> {
    let case = Case {
        situation,
        shard,
        record,
    };
    case.is_settled().then(|| case.grow_to(node)).flatten()
}

/// Another primary for this shard, with nothing else changed.
#[must_use]
pub fn hand_over_to(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    node: NodeId,
) -> Option<Decision> {
    let case = Case {
        situation,
        shard,
        record,
    };
    let set = *record.config.copies();
    case.is_settled()
        .then(|| case.decision(set, node, Reason::HandOver))
}

impl Case<'_> {
    /// Serving, with as many members as it should have, all of them well and complete.
    fn is_settled(&self) -> bool {
        let copies = usize::from(self.situation.settings.copies);
        let serving =
            self.record.config.phase() == Phase::Serving && self.members().len() == copies;
        let well = |m: &Member| self.situation.health(*m) == Health::Well && self.is_sound(*m);
        serving && self.members().iter().all(well)
    }
}

#[cfg(test)]
mod tests;
