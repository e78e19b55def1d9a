//! What a member of a cluster counts, copied at one instant.

use std::sync::Arc;

use forward::metrics::Metrics;
use model::{NodeId, ShardId};
use node::Node;
use shard::Shard;

use crate::links::LinkStats;
use crate::plane::{Plane, PlaneStats};

/// See the module.
#[derive(Debug)]
pub struct Figures {
    /// This node's number.
    pub node: NodeId,
    /// Whether the map has this node in its present life, and the coordinator has heard it.
    pub is_active: bool,
    /// Who coordinates.
    pub coordinator: Option<NodeId>,
    /// How many times the role has been taken.
    pub term: u64,
    /// Whether the metadata store answers.
    pub store_answers: bool,
    /// Nodes of the map that are not gone.
    pub nodes: usize,
    /// Of those that it listens to, whom this node cannot hear.
    pub suspects: usize,
    /// Shards of the map, and of these such as nobody serves.
    pub shards: usize,
    pub unserved: usize,
    /// Of these such as copies know later epochs of than the map; 0 unless this node coordinates.
    pub behind: usize,
    /// This node's copies.
    pub copies: Vec<CopyFigures>,
    /// Links that are up.
    pub links: usize,
    /// Bytes of the buffers of all links.
    pub link_bytes: usize,
    /// Counters of links, and of the agent.
    pub link_stats: LinkStats,
    pub stats: PlaneStats,
    /// Counters of the forwarding port, still counting.
    pub forward: Arc<Metrics>,
}

/// One copy.
#[derive(Debug)]
pub struct CopyFigures {
    pub shard: ShardId,
    /// The epoch that the map names.
    pub epoch: u32,
    /// Whether this node serves it.
    pub leads: bool,
    /// Of each standby, if this node leads: entries that it has not acknowledged.
    pub lags: Vec<(NodeId, u64)>,
}

impl Figures {
    /// How things are now.
    pub fn of(plane: &Plane, node: &Node) -> Self {
        let (agent, map) = (&plane.agent, plane.agent.map());
        let shards = map.shards().values();
        let me = agent.me();
        let state = map.nodes().get(&me.node).map(|record| record.state);
        Self {
            node: me.node,
            is_active: map.is_present(me) && state != Some(cluster::record::NodeState::Joining),
            coordinator: map.role().map(|role| role.holder.node),
            term: map.role().map_or(0, |role| role.term),
            store_answers: agent.store_answers(),
            nodes: map.present().len(),
            suspects: agent.suspects().len(),
            shards: map.shards().len(),
            behind: agent.behind().count(),
            unserved: shards
                .filter(|r| r.config.phase() != model::Phase::Serving)
                .count(),
            copies: node
                .shards()
                .map(|(shard, data)| copy(plane, shard, data))
                .collect(),
            links: plane.links.up().count(),
            link_bytes: plane.links.buffered_bytes(),
            link_stats: plane.links.stats,
            stats: plane.stats,
            forward: plane.outside.metrics(),
        }
    }
}

fn copy(plane: &Plane, shard: ShardId, data: &Shard) -> CopyFigures {
    let replica = data.replica();
    let last = replica.last();
    let lags = replica.heard().map(|(member, acked, _)| {
        let acked = acked.filter(|acked| acked.epoch() == last.epoch());
        // Who has acknowledged nothing of this epoch lacks all of it, and perhaps more.
        let lag = last.sequence() - acked.map_or(0, |acked| acked.sequence().min(last.sequence()));
        (member.node, lag)
    });
    let record = plane.agent.map().shards().get(&shard);
    CopyFigures {
        shard,
        epoch: record.map_or(0, |record| record.config.epoch()),
        leads: replica.is_serving(),
        lags: lags.collect(),
    }
}
