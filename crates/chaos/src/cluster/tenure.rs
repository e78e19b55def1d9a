//! A cluster of Tenure: `tenure serve` for each node, and the metadata store beside them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::peer::Metadata;
use super::survey::Survey;
use super::{Node, Plan, Topology};

/// What all processes of a cluster know.
const SECRET: &str = "chaos";

/// The command that runs a node.
pub fn command(plan: &Plan, node: &Node, metadata: &[Node], number: usize) -> Command {
    let mut command = plan.command(&node.site);
    let addresses: Vec<String> = metadata.iter().map(|m| m.addr.to_string()).collect();
    let store = match plan.metadata {
        Metadata::Embedded => format!("tenure://{}", addresses.join(",")),
        Metadata::Etcd => format!("etcd://{}", addresses.join(",")),
    };
    let data = match plan.in_memory {
        true => "off".into(),
        false => node.directory.join("data").to_string_lossy().into_owned(),
    };
    let all = [
        ("listen", node.addr.to_string()),
        ("peer", node.bus.to_string()),
        ("admin", node.admin.to_string()),
        ("meta", store),
        ("dir", data),
        ("memory", plan.memory.clone()),
        ("copies", plan.copies.to_string()),
        ("shards", plan.shards.to_string()),
        ("initial-nodes", plan.nodes.to_string()),
        ("node", (number + 1).to_string()),
        ("allow-unauthenticated", "true".into()),
    ];
    command.arg("serve").env("TENURE_CLUSTER_SECRET", SECRET);
    for (name, value) in &all {
        command.arg(format!("--{name}")).arg(value);
    }
    command
}

/// The command that runs one process of the metadata store.
pub fn metadata_command(plan: &Plan, metadata: &[Node], number: usize) -> Command {
    match plan.metadata {
        Metadata::Embedded => embedded(plan, &metadata[number]),
        Metadata::Etcd => etcd(metadata, number),
    }
}

fn embedded(plan: &Plan, node: &Node) -> Command {
    let mut command = node.site.command(&plan.program);
    command.env("TENURE_CLUSTER_SECRET", SECRET);
    command.args(["meta", "--listen", &node.addr.to_string(), "--file"]);
    command.arg(node.directory.join("metadata.redb"));
    command
}

fn etcd(metadata: &[Node], number: usize) -> Command {
    let node = &metadata[number];
    let mut command = node.site.command(Path::new("etcd"));
    let name = |number: usize| format!("meta{number}");
    let members: Vec<String> = metadata
        .iter()
        .enumerate()
        .map(|(number, node)| format!("{}=http://{}", name(number), node.bus))
        .collect();
    let clients = format!("http://{}", node.addr);
    let peers = format!("http://{}", node.bus);
    let all = [
        ("name", name(number)),
        (
            "data-dir",
            node.directory.join("data").to_string_lossy().into_owned(),
        ),
        ("listen-client-urls", clients.clone()),
        ("advertise-client-urls", clients),
        ("listen-peer-urls", peers.clone()),
        ("initial-advertise-peer-urls", peers),
        ("initial-cluster", members.join(",")),
        ("initial-cluster-state", "new".into()),
        ("heartbeat-interval", "100".into()),
        ("election-timeout", "1000".into()),
    ];
    for (name, value) in all {
        command.arg(format!("--{name}")).arg(value);
    }
    command
}

/// Adds the other copies to a map of primaries, as the node with this admin port knows them.
pub fn with_copies(
    mut map: Topology,
    nodes: &[Node],
    admin: SocketAddr,
    timeout: Duration,
) -> Option<Topology> {
    let survey = Survey::ask(admin, timeout)?;
    let addr = |number: u32| nodes.get(number as usize - 1).map(|node| node.addr);
    for range in &mut map.ranges {
        let copies = survey.copies(range.first).into_iter().filter_map(addr);
        let others: Vec<SocketAddr> = copies.filter(|a| !range.nodes.contains(a)).collect();
        range.nodes.extend(others);
    }
    Some(map)
}
