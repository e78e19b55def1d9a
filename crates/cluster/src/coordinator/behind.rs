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

use model::{CopySet, Member, Phase, ServedSet, ShardConfig, ShardId, limits};

use super::Proposal;
use crate::{
    decide::Reason, message::CopyStatus, record::ShardRecord, situation::Situation,
    timing::BEHIND_WAIT_MS,
};

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
        .filter(|shard| shard.0 < limits::MAX_SHARDS && is_behind(situation, *shard));
    let since = |shard: &ShardId| before.get(shard).copied().unwrap_or(situation.now_ms);
    behind.map(|shard| (shard, since(&shard))).collect()
}

/// Whether any copy knows of a later epoch than the map, or that the one which it shows serves.
pub(super) fn is_behind(situation: &Situation<'_>, shard: ShardId) -> bool {
    let shown = situation.map.shards().get(&shard);
    if shown.is_some_and(|record| is_served(situation, shard, record)) {
        // Then no later epoch has served. Who tells of one has the directory of another cluster.
        return false;
    }
    let shown = shown.map(|record| record.config.order());
    let fresh = situation.reports.fresh(shard, situation.now_ms);
    let told = fresh.filter_map(|(_, status)| status.ahead?.config);
    let later_epoch = latest_epoch(situation, shard) > shown.map(|(epoch, _)| epoch);
    later_epoch || told.map(|config| config.order()).max() > shown
}

/// Whether its primary, by a map that says it serves, reaches as many complete copies as must have a write.
fn is_served(situation: &Situation<'_>, shard: ShardId, record: &ShardRecord) -> bool {
    let told = situation
        .reports
        .of_primary(shard, record, situation.now_ms);
    let reached = told.map_or(0, |status| status.complete & !status.unreachable);
    let needed = record.config.copies().write_quorum();
    record.config.phase() == Phase::Serving && reached.count_ones() as usize >= needed
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
    let shown = situation.map.shards().get(&shard);
    let shown = shown.map(|record| (record.first_slot, record.last_slot));
    // The settings of a map that was empty may be others than before.
    let mut fresh = situation.reports.fresh(shard, situation.now_ms);
    let told = || fresh.find_map(|(_, status)| status.ahead?.slots);
    let slots = shown.or_else(told);
    let (first_slot, last_slot) = slots.unwrap_or_else(|| situation.settings.slots_of(shard));
    ShardRecord {
        first_slot,
        last_slot,
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
    let known = Known::of(situation, shard)?;
    let phase = Phase::Recovering {
        from: known.source()?,
    };
    let (epoch, copies) = (known.latest.epoch() + LEAP, *known.latest.copies());
    ShardConfig::checked(epoch, copies, known.primary()?.node, phase)
}

/// What the copies of a shard know.
struct Known {
    /// The members that are there, in the lives that have their copies.
    copies: Vec<(Member, CopyStatus)>,
    /// The latest configuration that any of them was told.
    latest: ShardConfig,
}

impl Known {
    /// `None` if there is a later one of which nobody tells.
    fn of(situation: &Situation<'_>, shard: ShardId) -> Option<Self> {
        let reported = situation.reports.fresh(shard, situation.now_ms);
        let is_own = |(member, status): &(Member, CopyStatus)| {
            status.relic.is_none() && situation.is_alive(*member)
        };
        let copies: Vec<(Member, CopyStatus)> = reported.filter(is_own).collect();
        let told = copies.iter().filter_map(|(_, status)| status.ahead?.config);
        let latest = told.max_by_key(ShardConfig::order)?;
        let is_latest = latest_epoch(situation, shard) <= Some(latest.epoch());
        is_latest.then_some(Self { copies, latest })
    }

    /// The set to recover from. `None` if it is not certain that nothing has served since.
    fn source(&self) -> Option<Option<ServedSet>> {
        let (epoch, copies) = (self.latest.epoch(), *self.latest.copies());
        let from = match self.latest.phase() {
            Phase::Serving => Some(ServedSet { epoch, copies }),
            Phase::Recovering { from } => {
                let is_same = from.is_some_and(|from| from.copies == copies);
                if !is_same && !self.recovers() {
                    return None;
                }
                from
            }
        };
        let is_there = |set: &CopySet| {
            let members = self
                .copies
                .iter()
                .filter(|(member, _)| set.contains(*member));
            members.count() >= set.read_quorum().max(set.write_quorum())
        };
        (is_there(&copies) && from.is_none_or(|from| is_there(&from.copies))).then_some(from)
    }

    /// Whether the primary of the latest configuration is there, and says that it does not serve yet.
    fn recovers(&self) -> bool {
        let mut copies = self.copies.iter();
        copies.any(|(member, status)| {
            let told = status.ahead.and_then(|ahead| ahead.config);
            *member == self.latest.primary() && told == Some(self.latest)
        })
    }

    /// Who leads: as before, if it is there, or who goes furthest.
    fn primary(&self) -> Option<Member> {
        let copies = self.copies.iter();
        let members = copies.filter(|(member, _)| self.latest.copies().contains(*member));
        let rank = |(member, status): &&(Member, CopyStatus)| {
            let led = *member == self.latest.primary();
            (led, status.position, core::cmp::Reverse(*member))
        };
        members.max_by_key(rank).map(|(member, _)| *member)
    }
}

#[cfg(test)]
mod tests;
