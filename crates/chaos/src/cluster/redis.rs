//! Redis Cluster, with the defaults of its authors except where [`Plan`] says otherwise.

use std::process::Command;

use anyhow::{Result, bail};

use super::{ANSWER, Cluster, Node, Plan, START};
use crate::wire::ask;

/// The command that runs a node.
pub fn command(plan: &Plan, node: &Node) -> Command {
    let mut command = plan.command(&node.site);
    let all = [
        ("bind", node.addr.ip().to_string()),
        ("protected-mode", "no".into()),
        ("port", node.addr.port().to_string()),
        ("cluster-port", node.bus.port().to_string()),
        ("cluster-enabled", "yes".into()),
        ("cluster-node-timeout", plan.node_timeout_ms.to_string()),
        ("dir", node.directory.to_string_lossy().into_owned()),
        ("save", String::new()),
        ("appendonly", "no".into()),
    ];
    for (name, value) in &all {
        command.arg(format!("--{name}")).arg(value);
    }
    command
}

/// Makes a cluster of the nodes, with one replica of each primary.
pub fn create(cluster: &Cluster) -> Result<()> {
    for node in &cluster.nodes {
        let deadline = cluster.clock.now_ns() + START.as_nanos() as u64;
        while ask(node.addr, ANSWER, &["PING"]).is_err() {
            if cluster.clock.now_ns() > deadline || cluster.stop.pause(super::LOOK) {
                bail!("{} does not answer", node.addr);
            }
        }
    }
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "create"]);
    command.args(cluster.nodes.iter().map(|node| node.addr.to_string()));
    let replicas = (cluster.plan.copies - 1).to_string();
    command.args(["--cluster-replicas", &replicas, "--cluster-yes"]);
    let output = command.output()?;
    if !output.status.success() {
        bail!(
            "redis-cli --cluster create: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Every node must find the cluster well, and every replica must follow its primary.
pub fn trouble(cluster: &Cluster) -> Option<String> {
    for node in cluster.nodes.iter().filter(|node| node.is_running()) {
        let text = |command: &[&str]| {
            let reply = ask(node.addr, ANSWER, command).ok()?;
            reply.text()
        };
        let (Some(state), Some(role)) =
            (text(&["CLUSTER", "INFO"]), text(&["INFO", "replication"]))
        else {
            return Some(format!("{} says nothing", node.addr));
        };
        if !state.contains("cluster_state:ok") || !state.contains("cluster_slots_pfail:0") {
            return Some(format!("{}: {state}", node.addr));
        }
        if role.contains("role:slave") && !role.contains("master_link_status:up") {
            return Some(format!("{} does not follow its primary", node.addr));
        }
    }
    None
}
