//! The first layout: which nodes have which shards, and who leads them.

use alloc::{collections::BTreeMap, vec::Vec};

use model::{CopySet, NodeId, ShardConfig, ShardId};

use super::Proposal;
use crate::{
    decide::Reason,
    placement::{self, Site},
    record::ShardRecord,
    situation::Situation,
};

/// All shards, once there are as many nodes as were to be waited for, and each has said that it has nothing of them: a map that is empty may have lost them.
pub(super) fn shards(situation: &Situation<'_>) -> Vec<Proposal> {
    let mut sites = situation.steady_sites();
    let settings = situation.settings;
    if sites.len() < usize::from(settings.initial_nodes) {
        return Vec::new();
    }
    let members = sites
        .iter()
        .map(|site| situation.map.nodes()[&site.node].member(site.node));
    let mut unheard = members.filter(|member| !situation.reports.has_reported(*member));
    if unheard.next().is_some() {
        return Vec::new();
    }
    let shards = (0..settings.shards).map(ShardId);
    let placed = shards.filter_map(|shard| {
        let held = place(shard, &mut sites, usize::from(settings.copies));
        let nodes = held.iter().map(|site| site.node);
        let members: Vec<_> = nodes.map(|n| situation.map.nodes()[&n].member(n)).collect();
        let copies = CopySet::checked(&members, settings.quorum_of(members.len()))?;
        Some((shard, copies))
    });
    let placed: Vec<(ShardId, CopySet)> = placed.collect();
    let primaries = spread(placed.iter().map(|(_, copies)| copies));
    let created = placed.into_iter().zip(primaries);
    let created = created.map(|((shard, copies), primary)| {
        let (first_slot, last_slot) = settings.slots_of(shard);
        let record = ShardRecord {
            first_slot,
            last_slot,
            config: ShardConfig::create(copies, primary),
            request: Default::default(),
        };
        Proposal::Shard(shard, record, Reason::Grow)
    });
    created.collect()
}

/// A primary for each of these sets, so that each node leads as many as the others and none needs to move once they serve.
fn spread<'c>(sets: impl Iterator<Item = &'c CopySet>) -> Vec<NodeId> {
    let sets: Vec<&CopySet> = sets.collect();
    let first = |set: &&CopySet| set.members()[0].node;
    let mut primaries: Vec<NodeId> = sets.iter().map(first).collect();
    let mut led: BTreeMap<NodeId, usize> = BTreeMap::new();
    for primary in &primaries {
        *led.entry(*primary).or_default() += 1;
    }
    // Each step brings two nodes nearer to each other, so there is a last one.
    let count = |led: &BTreeMap<NodeId, usize>, node| led.get(&node).copied().unwrap_or(0);
    let mut is_even = false;
    while !is_even {
        is_even = true;
        for (primary, set) in primaries.iter_mut().zip(&sets) {
            let nodes = set.members().iter().map(|member| member.node);
            let Some(least) = nodes.min_by_key(|node| count(&led, *node)) else {
                continue;
            };
            if count(&led, least) + 1 < count(&led, *primary) {
                *led.entry(*primary).or_default() -= 1;
                *led.entry(least).or_default() += 1;
                (*primary, is_even) = (least, false);
            }
        }
    }
    primaries
}

fn place(shard: ShardId, sites: &mut [Site], copies: usize) -> Vec<Site> {
    let mut held: Vec<Site> = Vec::new();
    while held.len() < copies {
        let Some(site) = placement::choose(shard, sites, &held) else {
            break;
        };
        let chosen = sites
            .iter_mut()
            .find(|s| s.node == site.node)
            .expect("it was chosen from them");
        chosen.burden += crate::situation::UNIT;
        held.push(site);
    }
    held
}

#[cfg(test)]
mod tests;
