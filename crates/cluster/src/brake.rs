//! Many deaths at once are not believed at once.
//!
//! When more nodes are convicted within a second than a fifth of them all (but always more than one), the fault is likelier
//! in the network, or in the one who looks, than in all of them. Then nothing is believed for a second, and those who are
//! convicted are asked directly. Whoever is still convicted when the second is over is believed: real catastrophes are
//! acted upon one second late, imagined ones not at all.
//!
//! ```text
//!   convicted ──── few at once ────► believed
//!       │                               ▲
//!       └── too many at once ──► held ──┘  still convicted when the brake is released
//! ```

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{Incarnation, NodeId};

use crate::{
    court::Court,
    timing::{BRAKE_MS, BRAKE_WINDOW_MS},
};

/// Which verdicts are acted upon.
#[derive(Clone, Debug, Default)]
pub struct Brake {
    /// Held until then.
    until_ms: Option<u64>,
    /// The verdicts that are acted upon, with the time since when.
    believed: BTreeMap<(NodeId, Incarnation), u64>,
}

/// What an update of the brake led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Braking {
    /// Nothing is held back.
    Free,
    /// The brake was pulled just now: ask these directly.
    Pulled(Vec<NodeId>),
    /// It holds.
    Held,
}

/// How many convictions within [`BRAKE_WINDOW_MS`] are believed in a cluster of so many nodes.
#[must_use]
pub fn believable(nodes: usize) -> usize {
    (nodes / 5).max(1)
}

impl Brake {
    /// Pulls it, as the one who looks has reason to distrust himself since a moment. What the court, of so many nodes, had found before
    /// that is as good as it was.
    pub fn distrust(&mut self, court: &Court, nodes: usize, since_ms: u64, now_ms: u64) {
        if self.until_ms.is_none() {
            let convicted = court.convicted();
            let before = convicted.filter(|(.., convicted_ms)| *convicted_ms < since_ms);
            let before = before.map(|(node, incarnation, _)| (node, incarnation));
            self.weigh(&before.collect(), nodes, now_ms);
        }
        self.pull(now_ms);
    }

    fn pull(&mut self, now_ms: u64) {
        self.until_ms = Some(now_ms + BRAKE_MS);
    }

    /// Looks at the verdicts of a court among so many nodes.
    pub fn update(&mut self, court: &Court, nodes: usize, now_ms: u64) -> Braking {
        let convicted: BTreeSet<_> = court.convicted().map(|(n, i, _)| (n, i)).collect();
        self.believed
            .retain(|verdict, _| convicted.contains(verdict));
        match self.until_ms {
            Some(until_ms) if now_ms < until_ms => Braking::Held,
            Some(_) => {
                self.until_ms = None;
                self.believe(&convicted, now_ms);
                Braking::Free
            }
            None => self.weigh(&convicted, nodes, now_ms),
        }
    }

    fn weigh(
        &mut self,
        convicted: &BTreeSet<(NodeId, Incarnation)>,
        nodes: usize,
        now_ms: u64,
    ) -> Braking {
        let recent = self.believed.values();
        let recent = recent
            .filter(|at_ms| now_ms < **at_ms + BRAKE_WINDOW_MS)
            .count();
        let new = convicted.iter().filter(|v| !self.believed.contains_key(v));
        let new: Vec<NodeId> = new.map(|v| v.0).collect();
        if !new.is_empty() && recent + new.len() > believable(nodes) {
            self.pull(now_ms);
            return Braking::Pulled(new);
        }
        self.believe(convicted, now_ms);
        Braking::Free
    }

    fn believe(&mut self, convicted: &BTreeSet<(NodeId, Incarnation)>, now_ms: u64) {
        for &verdict in convicted {
            self.believed.entry(verdict).or_insert(now_ms);
        }
    }

    /// Since when this node is dead, as far as anything may follow from it.
    #[must_use]
    pub fn dead_since(&self, node: NodeId, incarnation: Incarnation) -> Option<u64> {
        self.believed.get(&(node, incarnation)).copied()
    }

    /// Whether it holds.
    #[must_use]
    pub const fn is_pulled(&self) -> bool {
        self.until_ms.is_some()
    }
}

#[cfg(test)]
mod tests;
