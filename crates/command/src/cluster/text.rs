//! The texts of `CLUSTER NODES` and `CLUSTER INFO`.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::slot::SLOTS;
use model::topology::{ClusterNode, SlotRange, node_name};
use model::{NodeId, Topology};

/// The text of `CLUSTER NODES`.
pub(super) fn nodes(topology: &Topology) -> String {
    let lines = topology.nodes.iter();
    lines.map(|n| node(topology, n) + "\n").collect()
}

/// One line of it, without its end.
pub(super) fn node(topology: &Topology, node: &ClusterNode) -> String {
    let ClusterNode {
        id,
        client,
        peer_port,
        alive,
        ..
    } = node;
    let (role, master) = match topology.master_of(*id) {
        Some(master) => ("slave", node_name(master.id)),
        None => ("master", "-".into()),
    };
    let myself = if *id == topology.me { "myself," } else { "" };
    let (failed, link) = if *alive {
        ("", "connected")
    } else {
        (",fail", "disconnected")
    };
    let epoch = highest_epoch(topology.led_by(*id));
    let mut line = format!(
        "{} {}:{}@{peer_port} {myself}{role}{failed} {master} 0 0 {epoch} {link}",
        node_name(*id),
        client.host,
        client.port
    );
    for (first, last) in led_ranges(topology, *id) {
        line += &if first == last {
            format!(" {first}")
        } else {
            format!(" {first}-{last}")
        };
    }
    line
}

fn highest_epoch<'t>(ranges: impl Iterator<Item = &'t SlotRange>) -> u32 {
    ranges.map(|range| range.epoch).max().unwrap_or(0)
}

/// The slots that a node leads, adjacent ranges joined.
fn led_ranges(topology: &Topology, node: NodeId) -> Vec<(u16, u16)> {
    let mut led: Vec<(u16, u16)> = Vec::new();
    for range in topology.led_by(node) {
        match led.last_mut() {
            Some((_, last)) if *last + 1 == range.first => *last = range.last,
            Some(_) | None => led.push((range.first, range.last)),
        }
    }
    led
}

/// The text of `CLUSTER INFO`.
pub(super) fn info(topology: &Topology) -> String {
    let ranges = || topology.ranges.iter();
    let assigned: u32 = ranges().map(SlotRange::len).sum();
    let ok: u32 = ranges().filter(|r| r.serving).map(SlotRange::len).sum();
    let state = if ok == u32::from(SLOTS) { "ok" } else { "fail" };
    let leaders: BTreeSet<NodeId> = ranges().map(|range| range.primary).collect();
    let rows = [
        ("cluster_state", state.into()),
        ("cluster_slots_assigned", format!("{assigned}")),
        ("cluster_slots_ok", format!("{ok}")),
        ("cluster_slots_pfail", "0".into()),
        ("cluster_slots_fail", format!("{}", assigned - ok)),
        ("cluster_known_nodes", format!("{}", topology.nodes.len())),
        ("cluster_size", format!("{}", leaders.len())),
        (
            "cluster_current_epoch",
            format!("{}", highest_epoch(ranges())),
        ),
        (
            "cluster_my_epoch",
            format!("{}", highest_epoch(topology.led_by(topology.me))),
        ),
    ];
    let lines = rows.iter();
    lines
        .map(|(key, value): &(&str, String)| format!("{key}:{value}\r\n"))
        .collect()
}
