//! How long to wait for a node that is silent.

use std::time::Duration;

use model::topology::Address;
use tokio::time::Instant;

use crate::plan::{Part, To};
use crate::routes::Cluster;

/// How often a silent node is doubted.
const TICK: Duration = Duration::from_millis(250);
/// How often in a row the others must say that the slot is not its any more: the first to answer may be behind.
const DOUBTS: u32 = 2;

/// For one reply.
pub struct Patience<'a> {
    cluster: &'a Cluster,
    part: &'a Part,
    address: &'a Address,
    /// Until when. A command that may wait for others is waited for twice as long besides: before its turn and after it. A node that is believed
    /// to live need not be the one that was asked any more, and of a machine that is gone nothing may be heard, ever.
    deadline: Instant,
    doubts: u32,
}

impl<'a> Patience<'a> {
    /// For the reply of this node to this part.
    pub fn new(cluster: &'a Cluster, part: &'a Part, address: &'a Address, most: Duration) -> Self {
        let longest = part.waits.map_or(most, |wait| 2 * most + wait);
        Self {
            cluster,
            part,
            address,
            deadline: Instant::now() + longest,
            doubts: 0,
        }
    }

    /// How long to wait before [`Patience::is_left`] is asked.
    pub fn tick(&self) -> Duration {
        TICK
    }

    /// Whether to go on waiting.
    pub async fn is_left(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        self.cluster.refresh().await;
        self.doubts = if self.is_believed() {
            0
        } else {
            self.doubts + 1
        };
        self.doubts < DOUBTS
    }

    /// Whether the node still has what it was asked about, as far as is known.
    fn is_believed(&self) -> bool {
        let routes = self.cluster.routes();
        match &self.part.to {
            To::Slot(slot) => routes.owner(*slot).is_none_or(|o| **o == *self.address),
            To::Home | To::Node(_) | To::Everybody => {
                routes.primaries().iter().any(|p| **p == *self.address)
            }
        }
    }
}

#[cfg(test)]
mod tests;
