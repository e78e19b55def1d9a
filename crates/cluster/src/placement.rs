//! Where a copy should go: a pure function of who is there and what they carry.
//!
//! Rules, the first one that decides wins:
//!
//! 1. never two copies on one node, nor on nodes of one process;
//! 2. as few copies in one zone as can be;
//! 3. the least burden;
//! 4. scattered: a number mixed from shard and node, so that the copies of one node's shards lie all over the
//!    cluster and everybody takes part when they must be made anew.
//!
//! Scattering makes it likelier that *some* shard loses all copies when many machines lose power at once; zones are the
//! answer to that here, copysets are not done.

use model::{NodeId, ShardId, Zone};

/// A node as placement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The node.
    pub node: NodeId,
    /// Nodes with the same number die together.
    pub process: u64,
    /// What else it shares a fate with.
    pub zone: Zone,
    /// What it carries, in any unit that all sites share.
    pub burden: u64,
}

/// The best of `sites` for one more copy of a shard of which the copies at `held` remain; `None` if none may have it.
#[must_use]
pub fn choose(shard: ShardId, sites: &[Site], held: &[Site]) -> Option<Site> {
    let allowed = sites
        .iter()
        .filter(|site| held.iter().all(|h| may_share(site, h)));
    allowed.min_by_key(|site| rank(shard, site, held)).copied()
}

fn may_share(a: &Site, b: &Site) -> bool {
    a.node != b.node && a.process != b.process
}

fn rank(shard: ShardId, site: &Site, held: &[Site]) -> (usize, u64, u64, NodeId) {
    (
        crowd(site, held),
        site.burden,
        scatter(shard, site.node),
        site.node,
    )
}

/// How many of `held` share the site's zone.
fn crowd(site: &Site, held: &[Site]) -> usize {
    held.iter().filter(|h| h.zone == site.zone).count()
}

/// Whether `to` may take the place of `from` beside `others` without crowding a zone more than before.
#[must_use]
pub fn may_move(from: &Site, to: &Site, others: &[Site]) -> bool {
    // While a copy moves, the one that leaves is still there.
    let allowed = may_share(to, from) && others.iter().all(|other| may_share(to, other));
    allowed && crowd(to, others) <= crowd(from, others)
}

fn scatter(shard: ShardId, node: NodeId) -> u64 {
    let mixed = (u64::from(shard.0) << 32 | u64::from(node.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}

#[cfg(test)]
mod tests;
