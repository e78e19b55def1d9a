//! What is told to those who have subscribed: the differences of two states of the cluster.

use model::Topology;
use model::topology::ClusterNode;

use super::master;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its channel.
    pub channel: &'static str,
    /// What it says.
    pub text: String,
}

/// Everything that has happened between two states, in order.
pub fn between(before: &Topology, after: &Topology, name: &str) -> Vec<Event> {
    let mut events: Vec<Event> = after
        .nodes
        .iter()
        .filter_map(|node| standing(before, node, name))
        .collect();
    events.extend(switch(before, after, name));
    events
}

/// `+sdown` and `-sdown`: a forwarding port is believed to be dead, or to live again.
fn standing(before: &Topology, node: &ClusterNode, name: &str) -> Option<Event> {
    let was_well = before.node(node.id)?.is_well();
    let at = node.forwarding.as_ref()?;
    let channel = match (was_well, node.is_well()) {
        (true, false) => "+sdown",
        (false, true) => "-sdown",
        (true, true) | (false, false) => return None,
    };
    let is_master = master(before).is_some_and(|m| m.id == node.id);
    let text = if is_master {
        format!("master {name} {} {}", at.host, at.port)
    } else {
        let of = master(before).and_then(|m| m.forwarding.as_ref())?;
        let id = format!("{}:{}", at.host, at.port);
        format!(
            "slave {id} {} {} @ {name} {} {}",
            at.host, at.port, of.host, of.port
        )
    };
    Some(Event { channel, text })
}

/// `+switch-master`: another forwarding port is the master. The one message that most clients read.
fn switch(before: &Topology, after: &Topology, name: &str) -> Option<Event> {
    let old = master(before).and_then(|node| node.forwarding.as_ref())?;
    let new = master(after).and_then(|node| node.forwarding.as_ref())?;
    (old != new).then(|| Event {
        channel: "+switch-master",
        text: format!("{name} {} {} {} {}", old.host, old.port, new.host, new.port),
    })
}
