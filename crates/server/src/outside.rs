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
    /// Of what was last told: the map's digest, and who was not shown as alive.
    told: Option<(u64, BTreeSet<NodeId>)>,
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

    /// What is to be told now, if it is another than before. Whoever is about to end is shown as if he had ended, so that clients
    /// go elsewhere in time.
    pub fn take_change(&mut self, agent: &Agent, leaving: bool) -> Option<Arc<Topology>> {
        let me = agent.me().node;
        let nodes = agent.map().nodes().keys().copied();
        let away = |node: &NodeId| {
            if *node == me {
                leaving
            } else {
                agent.is_leaving(*node) || is_convicted(agent.standing(*node))
            }
        };
        let away: BTreeSet<NodeId> = nodes.filter(away).collect();
        let now = Some((agent.map().digest(), away));
        if self.told == now {
            return None;
        }
        self.told = now;
        let away = self.told.iter().map(|(_, away)| away).next()?;
        let is_well = |member: Member| !away.contains(&member.node);
        let mut topology = view::topology(agent.map(), me, &is_well);
        for node in &mut topology.nodes {
            node.well &= !away.contains(&node.id);
            let leaves = if node.id == me {
                leaving
            } else {
                agent.is_leaving(node.id)
            };
            if leaves {
                node.outlook = Outlook::Leaves;
            }
        }
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
