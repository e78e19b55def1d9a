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
    /// Until when; a command that may wait is waited for as long as the node is believed to live.
    deadline: Option<Instant>,
    doubts: u32,
}

impl<'a> Patience<'a> {
    /// For the reply of this node to this part.
    pub fn new(cluster: &'a Cluster, part: &'a Part, address: &'a Address, most: Duration) -> Self {
        let deadline = (!part.may_wait).then(|| Instant::now() + most);
        Self {
            cluster,
            part,
            address,
            deadline,
            doubts: 0,
        }
    }

    /// How long to wait before [`Patience::is_left`] is asked.
    pub fn tick(&self) -> Duration {
        TICK
    }

    /// Whether to go on waiting.
    pub async fn is_left(&mut self) -> bool {
        if self.deadline.is_some_and(|at| Instant::now() >= at) {
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
            To::Home | To::Node(_) => routes.primaries().iter().any(|p| **p == *self.address),
        }
    }
}
