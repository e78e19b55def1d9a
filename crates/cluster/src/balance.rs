//! Moves that only even out what nodes carry. One at a time, and only while nothing is wrong.

use alloc::vec::Vec;

use model::{NodeId, ShardId};

use crate::{
    decide::{self, Decision},
    placement::{self, Site},
    record::ShardRecord,
    situation::Situation,
};

/// The next step toward even burdens, if there is one worth its cost.
#[must_use]
pub fn next(situation: &Situation<'_>) -> Option<Decision> {
    let sites = situation.steady_sites();
    // A primary costs its node more than a standby, and handing it over costs nothing.
    hand_over(situation, &sites).or_else(|| move_copy(situation, &sites))
}

fn hand_over(situation: &Situation<'_>, sites: &[Site]) -> Option<Decision> {
    let primaries = |node: NodeId| situation.burden(node).primaries;
    let mut givers: Vec<NodeId> = sites.iter().map(|site| site.node).collect();
    givers.sort_by_key(|&node| (core::cmp::Reverse(primaries(node)), node));
    givers.into_iter().find_map(|giver| {
        let mut led = led_by(situation, giver);
        led.find_map(|(shard, record)| {
            let members = record.config.copies().members().iter().map(|m| m.node);
            let takers = members.filter(|node| sites.iter().any(|site| site.node == *node));
            let taker = takers.min_by_key(|&node| (primaries(node), node))?;
            let worth = primaries(giver) >= primaries(taker) + 2;
            worth
                .then(|| decide::hand_over_to(situation, shard, record, taker))
                .flatten()
        })
    })
}

fn led_by<'a>(
    situation: &Situation<'a>,
    node: NodeId,
) -> impl Iterator<Item = (ShardId, &'a ShardRecord)> {
    let shards = situation.map.shards().iter();
    let led = shards.filter(move |(_, record)| record.config.primary().node == node);
    led.map(|(&shard, record)| (shard, record))
}

/// From the most burdened node that has something to give to the least burdened that may take it.
fn move_copy(situation: &Situation<'_>, sites: &[Site]) -> Option<Decision> {
    let mut by_burden: Vec<Site> = sites.to_vec();
    by_burden.sort_by_key(|site| (site.burden, site.node));
    let mean =
        by_burden.iter().map(|site| site.burden).sum::<u64>() / by_burden.len().max(1) as u64;
    let takers = situation.free_sites();
    by_burden.iter().rev().find_map(|from| {
        let to = by_burden.iter().find_map(|to| {
            let fit = takers.iter().any(|taker| taker.node == to.node);
            let gap = from.burden.saturating_sub(to.burden);
            // A tenth of the mean is not worth a copy.
            (fit && gap > mean / 10).then_some((to, gap))
        });
        let (to, gap) = to?;
        best_to_move(situation, from, to, gap)
    })
}

/// The heaviest shard whose move leaves `from` no less burdened than `to`: more would turn the gap round, and what is weighed
/// a little differently next time would come back.
fn best_to_move(situation: &Situation<'_>, from: &Site, to: &Site, gap: u64) -> Option<Decision> {
    let shards = situation.map.shards().iter();
    let movable = shards.filter(|(shard, record)| {
        2 * situation.weight(**shard) <= gap && may_move(situation, record, from, to)
    });
    let best = movable.max_by_key(|(shard, _)| situation.weight(**shard));
    best.and_then(|(&shard, record)| decide::grow_to(situation, shard, record, to.node))
}

fn may_move(situation: &Situation<'_>, record: &ShardRecord, from: &Site, to: &Site) -> bool {
    let members = record.config.copies().members();
    let others = members.iter().filter(|m| m.node != from.node);
    let others: Vec<Site> = others.filter_map(|m| situation.site(m.node)).collect();
    let holds = members.iter().any(|m| m.node == from.node);
    holds && placement::may_move(from, to, &others)
}

#[cfg(test)]
mod tests;
