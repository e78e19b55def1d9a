//! Shards of which copies know later epochs than the cluster map: the metadata store has lost what it had, and is empty, or was restored from a backup.
//!
//! ```text
//!   map: epoch 3, or no record          copies: promised 9, told epoch 9 (set, primary, serving)
//!     nothing else is decided for the shard; it is served on as the copies know it
//!     2 s later, if enough of them are there: epoch 9 + 1,000, recovered from the set of epoch 9
//! ```
//!
//! The map may have lost even later configurations, of which nobody tells. So it has to be certain that none of them ever served:
//!
//! - Whoever leads a later epoch than C, the latest that is known, has testimonies of a read quorum of the set that C served with, or was to be recovered from. Each of these members has
//!   promised the later epoch, and has that on disk. So if a write quorum of that set is there, in the lives that the set names, and none has promised anything later
//!   than C, there is no such epoch: a read quorum and a write quorum have a member in common.
//! - If C is known as recovering, it may serve by now; its primary would know. So that has to be there, or the set be the same, which then has everything either way.
//! - A later configuration that nobody has heard of yet may stand under the next number. The epochs left free are more than may have been lost so, and
//!   its primary reports it as soon as it hears of it.
//!
//! Where that cannot be shown it is left to an operator (`recover --longest`).

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{CopySet, Member, Phase, Position, ServedSet, ShardConfig, ShardId};

use super::Proposal;
use crate::{decide::Reason, record::ShardRecord, situation::Situation, timing::BEHIND_WAIT_MS};

/// Epochs left free for what the map has lost without anybody's having heard of it.
pub(super) const LEAP: u32 = 1_000;

/// The shards that the map is behind of, each since when.
pub(super) fn shards(
    situation: &Situation<'_>,
    before: &BTreeMap<ShardId, u64>,
) -> BTreeMap<ShardId, u64> {
    let told: BTreeSet<ShardId> = situation.reports.shards(situation.now_ms).collect();
    let behind = told
        .into_iter()
        .filter(|shard| shard.0 < situation.settings.shards && is_behind(situation, *shard));
    let since = |shard: &ShardId| before.get(shard).copied().unwrap_or(situation.now_ms);
    behind.map(|shard| (shard, since(&shard))).collect()
}

/// Whether any copy knows of a later epoch than the map, or that the one which it shows serves.
pub(super) fn is_behind(situation: &Situation<'_>, shard: ShardId) -> bool {
    let shown = situation.map.shards().get(&shard);
    let shown = shown.map(|record| order(&record.config));
    let fresh = situation.reports.fresh(shard, situation.now_ms);
    let told = fresh.filter_map(|(_, status)| status.ahead?.config);
    let later_epoch = latest_epoch(situation, shard) > shown.map(|(epoch, _)| epoch);
    later_epoch || told.map(|config| order(&config)).max() > shown
}

/// The latest epoch that any copy knows of.
pub(super) fn latest_epoch(situation: &Situation<'_>, shard: ShardId) -> Option<u32> {
    let fresh = situation.reports.fresh(shard, situation.now_ms);
    let epochs = fresh.map(|(_, status)| {
        let ahead = status.ahead.map_or(0, |ahead| ahead.epoch());
        status.epoch.max(ahead)
    });
    epochs.max()
}

/// The record of a shard as the map should have it, but for its configuration.
pub(super) fn record(
    situation: &Situation<'_>,
    shard: ShardId,
    config: ShardConfig,
) -> ShardRecord {
    let (first_slot, last_slot) = situation.settings.slots_of(shard);
    let shown = situation.map.shards().get(&shard);
    let slots = shown.map_or((first_slot, last_slot), |r| (r.first_slot, r.last_slot));
    ShardRecord {
        first_slot: slots.0,
        last_slot: slots.1,
        config,
        request: Default::default(),
    }
}

/// Configurations that go on from what the copies know, where that is certain.
pub(super) fn go_on(situation: &Situation<'_>, behind: &BTreeMap<ShardId, u64>) -> Vec<Proposal> {
    let due = behind
        .iter()
        .filter(|(_, since_ms)| situation.now_ms >= *since_ms + BEHIND_WAIT_MS);
    let next = due.filter_map(|(&shard, _)| {
        let record = record(situation, shard, next(situation, shard)?);
        Some(Proposal::Shard(shard, record, Reason::Behind))
    });
    next.collect()
}

fn next(situation: &Situation<'_>, shard: ShardId) -> Option<ShardConfig> {
    let reported = situation.reports.fresh(shard, situation.now_ms);
    let own =
        reported.filter(|(member, status)| status.relic.is_none() && situation.is_alive(*member));
    let known = own
        .clone()
        .filter_map(|(member, status)| Some((member, status.ahead?.config?)));
    let (_, latest) = known.clone().max_by_key(|(_, config)| order(config))?;
    if latest_epoch(situation, shard) > Some(latest.epoch()) {
        return None;
    }
    let here = |set: &CopySet| {
        own.clone()
            .filter(|(member, _)| set.contains(*member))
            .count()
    };
    let is_there = |set: &CopySet| here(set) >= set.read_quorum().max(set.write_quorum());
    let copies = *latest.copies();
    let from = match latest.phase() {
        Phase::Serving => Some(ServedSet {
            epoch: latest.epoch(),
            copies,
        }),
        Phase::Recovering { from } => {
            let says_so = |(member, config)| member == latest.primary() && config == latest;
            let is_same = from.is_some_and(|from| from.copies == copies);
            if !is_same && !known.clone().any(says_so) {
                return None;
            }
            from
        }
    };
    if !is_there(&copies) || from.is_some_and(|from| !is_there(&from.copies)) {
        return None;
    }
    let furthest = |member: Member| {
        let status = own.clone().find(|(other, _)| *other == member);
        status.map_or(Position::ZERO, |(_, status)| status.position)
    };
    let members = copies.members().iter().copied();
    let mut here = members.filter(|member| own.clone().any(|(other, _)| other == *member));
    let primary = if here.clone().any(|member| member == latest.primary()) {
        latest.primary()
    } else {
        here.by_ref()
            .max_by_key(|member| (furthest(*member), core::cmp::Reverse(*member)))?
    };
    let epoch = latest.epoch() + LEAP;
    ShardConfig::checked(epoch, copies, primary.node, Phase::Recovering { from })
}

/// Of two configurations the later is greater: within an epoch it begins to serve.
fn order(config: &ShardConfig) -> (u32, bool) {
    (config.epoch(), config.phase() == Phase::Serving)
}

#[cfg(test)]
mod tests;
