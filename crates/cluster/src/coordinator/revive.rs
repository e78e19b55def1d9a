//! Shards of whose last set that served too few members are left to prove what was acknowledged.
//!
//! *From relics*: the lives of the members are over, but their nodes are there, and have beginnings of the logs that they had. So it is where all
//! machines have lost their power and `sync` is not `always`. What was acknowledged, and synced by as many members as must have a write, is in
//! the longest log of any read quorum of them: positions tell whose log knows of the later epoch, and nothing is written in an epoch before all
//! that was acknowledged in earlier ones is in its primary's log. What was not synced yet may be lost: that is what `sync` promises, and
//! a record of it stays in the map. Members that could still come, with more, are waited for as long as lost copies are.
//!
//! *From the longest*: an operator says so.

use alloc::vec::Vec;

use model::{CopySet, Member, Phase, Position, ServedSet, ShardConfig, ShardId};

use super::{Proposal, behind, operate::Refusal};
use crate::{
    decide::Reason,
    placement::{self, Site},
    record::{LossRecord, ShardRecord},
    situation::{Health, Situation},
    timing::REPAIR_DELAY_MS,
};

/// The epoch that a set stands under from which a shard is revived: whatever a note says of what a copy was synced to, the power may have left
/// an earlier one, so each has to be asked how far its log goes.
const ANY_EPOCH: u32 = 0;

/// What of a shard is left with whom.
struct Remains {
    /// The members of the next configuration that everything is taken from.
    set: CopySet,
    /// The one of them that goes furthest, as far as is known.
    furthest: Member,
    position: Position,
}

/// The recovery of a shard that could not be for `unproved_ms` milliseconds from what the members of the set that served last are or have left.
/// `None` if that is not enough, or somebody is waited for.
pub(super) fn from_relics(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    unproved_ms: u64,
) -> Option<Proposal> {
    let source = Situation::source(record)?;
    let left = source.members().iter();
    let left: Vec<Member> = left
        .filter_map(|member| left_of(situation, shard, *member))
        .collect();
    let needed = source.read_quorum();
    let is_all = left.len() == source.members().len();
    if left.len() < needed || (!is_all && unproved_ms < REPAIR_DELAY_MS) {
        return None;
    }
    let position = |member: &Member| situation.reports.position(shard, *member);
    let furthest = left
        .iter()
        .copied()
        .max_by_key(|member| (position(member), core::cmp::Reverse(*member)))?;
    let remains = Remains {
        // Any so many of them as were needed of the members are needed of these.
        set: CopySet::checked(&left, left.len() + 1 - needed)?,
        furthest,
        position: position(&furthest).unwrap_or(Position::ZERO),
    };
    revive(situation, shard, record, &remains, Reason::Relics)
}

/// Who speaks for a member: itself, or the present life of its node if that has what the member has left.
fn left_of(situation: &Situation<'_>, shard: ShardId, member: Member) -> Option<Member> {
    if situation.is_alive(member) {
        return Some(member);
    }
    let heir = situation.reports.heir(shard, member, situation.now_ms)?;
    situation.is_alive(heir).then_some(heir)
}

/// The recovery of a shard from the longest log that anybody alive has, one without damage if there is any.
pub(super) fn from_longest(situation: &Situation<'_>, shard: ShardId) -> Result<Proposal, Refusal> {
    let shown = situation.map.shards().get(&shard).copied();
    let latest = behind::latest_epoch(situation, shard);
    let is_behind = behind::is_behind(situation, shard);
    if shown.is_none() && !is_behind {
        return Err(Refusal::NoSuchShard);
    }
    if !is_behind && shown.is_some_and(|record| situation.is_provable(&record)) {
        return Err(Refusal::NotNeeded);
    }
    let survivors = situation.reports.survivors(shard, situation.now_ms);
    let alive = survivors.filter(|(member, _)| situation.is_alive(*member));
    let longest = alive.max_by_key(|&(member, has)| (has, core::cmp::Reverse(member)));
    let (survivor, (_, position)) = longest.ok_or(Refusal::NobodyHasIt)?;
    let remains = Remains {
        set: CopySet::new(&[survivor], 1),
        furthest: survivor,
        position,
    };
    // What the map has lost has an epoch of its own: the record stands for that.
    let lost = || {
        let epoch = latest?.checked_add(behind::LEAP - 1)?;
        let phase = Phase::Recovering { from: None };
        let config = ShardConfig::checked(epoch, remains.set, survivor.node, phase)?;
        Some(behind::record(situation, shard, config))
    };
    let record = if is_behind { lost() } else { shown };
    let record = record.ok_or(Refusal::NotNeeded)?;
    revive(situation, shard, &record, &remains, Reason::Forced).ok_or(Refusal::NotNeeded)
}

fn revive(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    remains: &Remains,
    reason: Reason,
) -> Option<Proposal> {
    let config = configuration(situation, shard, record, remains)?;
    let loss = loss(situation, shard, record, remains, config.epoch());
    let record = ShardRecord { config, ..*record };
    Some(Proposal::Revival(shard, record, loss, reason))
}

/// Who goes furthest leads; whoever else is alive of the old set stays, and others fill it up.
fn configuration(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    remains: &Remains,
) -> Option<ShardConfig> {
    let target = usize::from(situation.settings.copies).max(remains.set.members().len());
    let mut members = remains.set.members().to_vec();
    for &old in record.config.copies().members() {
        let is_new = members.iter().all(|m| m.node != old.node);
        if members.len() < target && is_new && situation.is_alive(old) {
            members.push(old);
        }
    }
    while members.len() < target {
        let held: Vec<Site> = members
            .iter()
            .filter_map(|m| situation.site(m.node))
            .collect();
        let steady = placement::choose(shard, &situation.steady_sites(), &held);
        let any = || placement::choose(shard, &situation.last_resorts(), &held);
        let Some(site) = steady.or_else(any) else {
            break;
        };
        members.push(situation.map.nodes()[&site.node].member(site.node));
    }
    let copies = CopySet::checked(&members, situation.settings.quorum_of(members.len()))?;
    let from = ServedSet {
        epoch: ANY_EPOCH,
        copies: remains.set,
    };
    let phase = Phase::Recovering { from: Some(from) };
    let epoch = record.config.epoch() + 1;
    ShardConfig::checked(epoch, copies, remains.furthest.node, phase)
}

/// What may be lost: what members that are not asked, or have lost the end of their logs, had more.
fn loss(
    situation: &Situation<'_>,
    shard: ShardId,
    record: &ShardRecord,
    remains: &Remains,
    epoch: u32,
) -> LossRecord {
    let source = Situation::source(record).unwrap_or(*record.config.copies());
    let missing = source
        .members()
        .iter()
        .filter(|m| !remains.set.contains(**m) && situation.health(**m) != Health::Well);
    let missing = missing
        .map(|&m| (m, situation.reports.position(shard, m)))
        .collect();
    LossRecord {
        shard,
        epoch,
        survivor: remains.furthest,
        position: remains.position,
        missing,
        request: Default::default(),
    }
}

#[cfg(test)]
mod tests;
