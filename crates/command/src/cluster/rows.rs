//! `CLUSTER SLOTS` and `CLUSTER SHARDS`.

use alloc::collections::BTreeSet;

use model::topology::{ClusterNode, SlotRange, node_name};
use model::{NodeId, Topology};
use resp::Reply;

use super::topology;
use crate::{Call, Flow, Ran};

/// `CLUSTER SLOTS`: a range whose new primary is still recovering is told too, as he will serve it in a moment.
pub fn slots(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    let leaders = leaders(&topology);
    call.reply.array(topology.ranges.len());
    for range in &topology.ranges {
        let holders = holders(&topology, &leaders, range);
        call.reply.array(2 + holders.clone().count());
        call.reply.integer(i64::from(range.first));
        call.reply.integer(i64::from(range.last));
        for node in holders {
            peer(&mut call.reply, node);
        }
    }
    Ok(Flow::Done)
}

fn leaders(topology: &Topology) -> BTreeSet<NodeId> {
    topology.ranges.iter().map(|range| range.primary).collect()
}

/// The nodes of a range: the primary first, then those that stand by for it and lead nothing. A node that leads anything is a master to
/// clients, who take it for one or the other: redis-py forgets that a node is a master when it meets it again as a replica.
fn holders<'t>(
    topology: &'t Topology,
    leaders: &'t BTreeSet<NodeId>,
    range: &'t SlotRange,
) -> impl Iterator<Item = &'t ClusterNode> + Clone {
    let standbys = range.standbys.iter().copied();
    let standbys = standbys.filter(|id| !leaders.contains(id));
    let all = core::iter::once(range.primary).chain(standbys);
    all.filter_map(|id| topology.node(id))
}

/// Host, port, number and an empty map of further names; go-redis takes no fifth element.
fn peer(reply: &mut Reply<'_>, node: &ClusterNode) {
    reply.array(4);
    reply.bulk_str(&node.client.host);
    reply.integer(i64::from(node.client.port));
    reply.bulk_str(&node_name(node.id));
    reply.map(0);
}

/// `CLUSTER SHARDS`
pub fn shards(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    let leaders = leaders(&topology);
    call.reply.array(topology.ranges.len());
    for range in &topology.ranges {
        let holders = holders(&topology, &leaders, range);
        call.reply.map(2);
        call.reply.bulk_str("slots");
        call.reply.array(2);
        call.reply.integer(i64::from(range.first));
        call.reply.integer(i64::from(range.last));
        call.reply.bulk_str("nodes");
        call.reply.array(holders.clone().count());
        for node in holders {
            holder(&mut call.reply, range, node);
        }
    }
    Ok(Flow::Done)
}

/// Redis tells how far each copy is; here only the primary of a range knows, and 0 says so.
fn holder(reply: &mut Reply<'_>, range: &SlotRange, node: &ClusterNode) {
    let leads = range.primary == node.id;
    let health = match (node.alive, leads && !range.serving) {
        (false, _) => "fail",
        (true, true) => "loading",
        (true, false) => "online",
    };
    reply.map(7);
    for (name, value) in [
        ("id", node_name(node.id).as_str()),
        ("ip", &node.client.host),
        ("endpoint", &node.client.host),
        ("role", if leads { "master" } else { "replica" }),
        ("health", health),
    ] {
        reply.bulk_str(name);
        reply.bulk_str(value);
    }
    reply.bulk_str("port");
    reply.integer(i64::from(node.client.port));
    reply.bulk_str("replication-offset");
    reply.integer(0);
}
