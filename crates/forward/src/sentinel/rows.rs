//! Masters and Sentinels as maps, with the keys of Redis in its order. All values are strings.

use model::Topology;
use model::topology::{ClusterNode, node_name};
use resp::Reply;

use super::master;

/// How long a node may be silent before it is believed to be dead, in milliseconds.
const DOWN_AFTER_MS: &str = "250";

type Row = Vec<(&'static str, String)>;

/// Writes a row.
pub fn write(reply: &mut Reply<'_>, row: &Row) {
    reply.map(row.len());
    for (name, value) in row {
        reply.bulk_str(name);
        reply.bulk_str(value);
    }
}

fn of_port(name: String, host: &str, port: u16, id: &ClusterNode, flags: String) -> Row {
    let told = |text: &str| text.to_owned();
    vec![
        ("name", name),
        ("ip", told(host)),
        ("port", port.to_string()),
        ("runid", node_name(id.id)),
        ("flags", flags),
        ("link-pending-commands", told("0")),
        ("link-refcount", told("1")),
        ("last-ping-sent", told("0")),
        ("last-ok-ping-reply", told("0")),
        ("last-ping-reply", told("0")),
        ("down-after-milliseconds", told(DOWN_AFTER_MS)),
    ]
}

/// The master, if there is one.
pub fn of_master(topology: &Topology, name: &str) -> Option<Row> {
    let node = master(topology)?;
    let at = node.forwarding.as_ref()?;
    let mut row = of_port(
        name.to_owned(),
        &at.host,
        at.port,
        node,
        "master".to_owned(),
    );
    let epochs = topology.ranges.iter().map(|range| range.epoch);
    let others = sentinels(topology).count();
    row.extend([
        ("info-refresh", "0".to_owned()),
        ("role-reported", "master".to_owned()),
        ("role-reported-time", "0".to_owned()),
        ("config-epoch", epochs.max().unwrap_or(0).to_string()),
        ("num-slaves", "0".to_owned()),
        ("num-other-sentinels", others.to_string()),
        ("quorum", quorum(topology).to_string()),
        ("failover-timeout", "1000".to_owned()),
        ("parallel-syncs", "1".to_owned()),
    ]);
    Some(row)
}

/// The other nodes that have a Sentinel port.
pub fn sentinels(topology: &Topology) -> impl Iterator<Item = &ClusterNode> {
    let nodes = topology.nodes.iter();
    nodes.filter(|node| node.id != topology.me && node.sentinel.is_some())
}

/// One of them.
pub fn of_sentinel(node: &ClusterNode) -> Option<Row> {
    let at = node.sentinel.as_ref()?;
    let down = if node.is_well() { "" } else { "s_down," };
    let flags = format!("{down}sentinel");
    let mut row = of_port(node_name(node.id), &at.host, at.port, node, flags);
    row.extend([
        ("last-hello-message", "0".to_owned()),
        ("voted-leader", "?".to_owned()),
        ("voted-leader-epoch", "0".to_owned()),
    ]);
    Some(row)
}

/// How many nodes have to agree that one is dead: two witnesses, where there are two others.
pub fn quorum(topology: &Topology) -> usize {
    topology.nodes.len().saturating_sub(1).clamp(1, 2)
}
