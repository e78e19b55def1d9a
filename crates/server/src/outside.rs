//! What clients are told of the cluster: the map together with who is believed to live.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::agent::Agent;
use cluster::court::Standing;
use cluster::map::ClusterMap;
use cluster::view;
use forward::metrics::Metrics;
use model::topology::Outlook;
use model::{Member, NodeId, Topology};
use tokio::sync::watch;

use crate::ports::ServedPorts;

/// See the module.
pub struct Outside {
    /// Tells the Sentinel port.
    tell: watch::Sender<Arc<Topology>>,
    ports: ServedPorts,
    /// What was last told.
    told: Option<Seen>,
}

/// What clients are told follows from this.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    /// [`ClusterMap::digest`]
    map: u64,
    /// Who is not believed to be alive.
    dead: BTreeSet<NodeId>,
    /// Who has been told to end.
    leaving: BTreeSet<NodeId>,
}

impl Seen {
    fn by(agent: &Agent, is_leaving: bool) -> Self {
        let me = agent.me().node;
        let nodes = agent.map().nodes().keys().copied();
        let leaves = |node: &NodeId| match *node == me {
            true => is_leaving,
            false => agent.is_leaving(*node),
        };
        Self {
            map: agent.map().digest(),
            dead: nodes
                .clone()
                .filter(|node| *node != me && is_convicted(agent.standing(*node)))
                .collect(),
            leaving: nodes.filter(leaves).collect(),
        }
    }
}

/// The cluster of somebody who knows none yet.
pub fn nobody(me: Member) -> Topology {
    view::topology(&ClusterMap::default(), me.node, &|_| true)
}

impl Outside {
    /// Nothing was told yet.
    pub const fn new(tell: watch::Sender<Arc<Topology>>, ports: ServedPorts) -> Self {
        Self {
            tell,
            ports,
            told: None,
        }
    }

    /// What is to be told now, if it is another than before. Whoever is about to end is said to leave, so that clients go elsewhere in time.
    pub fn take_change(&mut self, agent: &Agent, leaving: bool) -> Option<Arc<Topology>> {
        let seen = Seen::by(agent, leaving);
        if self.told.as_ref() == Some(&seen) {
            return None;
        }
        let is_alive = |member: Member| !seen.dead.contains(&member.node);
        let mut topology = view::topology(agent.map(), agent.me().node, &is_alive);
        let nodes = topology.nodes.iter_mut();
        for node in nodes.filter(|node| seen.leaving.contains(&node.id)) {
            node.outlook = Outlook::Leaves;
        }
        for range in &mut topology.ranges {
            range.standbys.retain(|node| !seen.leaving.contains(node));
        }
        self.told = Some(seen);
        let topology = Arc::new(topology);
        self.tell.send_replace(Arc::clone(&topology));
        Some(topology)
    }

    /// What the forwarding port counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.ports.metrics)
    }

    /// Ends the ports.
    pub fn end(self) {
        self.ports.end();
    }
}

fn is_convicted(standing: Standing) -> bool {
    match standing {
        Standing::Convicted { .. } | Standing::Returning { .. } => true,
        Standing::Well | Standing::Accused => false,
    }
}
