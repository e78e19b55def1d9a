//! What clients of Redis Cluster are told of the map: pure functions; `command` renders them.
//!
//! A node here leads some shards and stands by for others, which Redis Cluster has no words for. `CLUSTER SLOTS` and `SHARDS` speak of ranges and
//! tell it as it is. `CLUSTER NODES` speaks of nodes: whoever leads anything is a master with those slots, whoever only stands by is
//! a slave of the primary of its first shard.
//!
//! Hosts are always concrete, as ioredis skips a node whose host is empty.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use model::{Member, NodeId, Phase, ShardId, slot::SLOTS};

use crate::{map::ClusterMap, record::ShardRecord};

/// A node as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    /// 40 hexadecimal digits.
    pub id: String,
    /// Host, without brackets.
    pub host: &'a str,
    /// Port.
    pub port: u16,
}

/// A row of `CLUSTER SLOTS`, or an element of `CLUSTER SHARDS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange<'a> {
    /// First slot.
    pub first: u16,
    /// Last slot, included.
    pub last: u16,
    /// Who leads.
    pub primary: Peer<'a>,
    /// Who stands by and is well.
    pub replicas: Vec<Peer<'a>>,
}

/// A node's number as clients see it.
#[must_use]
pub fn id_of(node: NodeId) -> String {
    format!("{:040x}", u64::from(node.0) + 1)
}

/// Splits `host:port` at the last colon; brackets of IPv6 go.
fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    let port = port.parse().ok()?;
    (!host.is_empty()).then_some((host, port))
}

fn peer(map: &ClusterMap, node: NodeId) -> Option<Peer<'_>> {
    let (host, port) = split(&map.nodes().get(&node)?.addresses.client)?;
    Some(Peer {
        id: id_of(node),
        host,
        port,
    })
}

/// The ranges that are served, ascending. `is_well` says which standbys may be shown.
#[must_use]
pub fn slots<'a>(map: &'a ClusterMap, is_well: &dyn Fn(Member) -> bool) -> Vec<SlotRange<'a>> {
    let shards = map.shards().values();
    let ranges = shards.filter_map(|record| {
        let leads = record.config.primary();
        let standbys = record.config.copies().members().iter();
        let standbys = standbys.filter(|m| **m != leads && map.is_present(**m) && is_well(**m));
        Some(SlotRange {
            first: record.first_slot,
            last: record.last_slot,
            primary: peer(map, leads.node)?,
            replicas: standbys.filter_map(|m| peer(map, m.node)).collect(),
        })
    });
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_by_key(|range| range.first);
    ranges
}

fn led_by(map: &ClusterMap, node: NodeId) -> impl Iterator<Item = &ShardRecord> {
    let shards = map.shards().values();
    shards.filter(move |record| record.config.primary().node == node)
}

/// The text of `CLUSTER NODES`, as `me` sees it.
#[must_use]
pub fn nodes(map: &ClusterMap, me: NodeId, is_well: &dyn Fn(Member) -> bool) -> String {
    let lines = map.nodes().iter().filter_map(|(&node, record)| {
        let Peer { id, host, port } = peer(map, node)?;
        let bus = split(&record.addresses.peer).map_or(0, |(_, port)| port);
        let well = node == me || is_well(record.member(node));
        let (role, master) = role(map, node);
        let myself = if node == me { "myself," } else { "" };
        let failed = if well { "" } else { ",fail" };
        let link = if well { "connected" } else { "disconnected" };
        let epoch = led_by(map, node)
            .map(|r| r.config.epoch())
            .max()
            .unwrap_or(0);
        let mut line =
            format!("{id} {host}:{port}@{bus} {myself}{role}{failed} {master} 0 0 {epoch} {link}");
        for (first, last) in led_ranges(map, node) {
            line += &if first == last {
                format!(" {first}")
            } else {
                format!(" {first}-{last}")
            };
        }
        Some(line + "\n")
    });
    lines.collect()
}

/// `master` and `-`, or `slave` and whose.
fn role(map: &ClusterMap, node: NodeId) -> (&'static str, String) {
    let stands_by = |record: &&ShardRecord| {
        record
            .config
            .copies()
            .members()
            .iter()
            .any(|m| m.node == node)
    };
    let first = map.shards().values().find(stands_by);
    match first {
        Some(record) if led_by(map, node).next().is_none() => {
            ("slave", id_of(record.config.primary().node))
        }
        Some(_) | None => ("master", "-".into()),
    }
}

/// The slots that a node leads, adjacent ranges joined.
fn led_ranges(map: &ClusterMap, node: NodeId) -> Vec<(u16, u16)> {
    let mut led: Vec<(u16, u16)> = led_by(map, node)
        .map(|r| (r.first_slot, r.last_slot))
        .collect();
    led.sort_unstable();
    led.dedup_by(|next, before| {
        let joined = before.1 + 1 == next.0;
        if joined {
            before.1 = next.1;
        }
        joined
    });
    led
}

/// The text of `CLUSTER INFO`, as `me` sees it.
#[must_use]
pub fn info(map: &ClusterMap, me: NodeId) -> String {
    let slots = |records: &mut dyn Iterator<Item = &ShardRecord>| -> u32 {
        records
            .map(|r| u32::from(r.last_slot - r.first_slot) + 1)
            .sum()
    };
    let serving = |record: &&ShardRecord| record.config.phase() == Phase::Serving;
    let assigned = slots(&mut map.shards().values());
    let ok = slots(&mut map.shards().values().filter(serving));
    let state = if ok == u32::from(SLOTS) { "ok" } else { "fail" };
    let leaders: BTreeSet<NodeId> = map
        .shards()
        .values()
        .map(|r| r.config.primary().node)
        .collect();
    let epoch = map
        .shards()
        .values()
        .map(|r| r.config.epoch())
        .max()
        .unwrap_or(0);
    let mine = led_by(map, me).map(|r| r.config.epoch()).max().unwrap_or(0);
    let rows = [
        ("cluster_state", state.into()),
        ("cluster_slots_assigned", format!("{assigned}")),
        ("cluster_slots_ok", format!("{ok}")),
        ("cluster_slots_pfail", "0".into()),
        ("cluster_slots_fail", format!("{}", assigned - ok)),
        ("cluster_known_nodes", format!("{}", map.nodes().len())),
        ("cluster_size", format!("{}", leaders.len())),
        ("cluster_current_epoch", format!("{epoch}")),
        ("cluster_my_epoch", format!("{mine}")),
    ];
    rows.iter()
        .map(|(key, value): &(&str, String)| format!("{key}:{value}\r\n"))
        .collect()
}

/// Where a slot is: what `-MOVED slot host:port` says. `None` for a shard that was not created.
#[must_use]
pub fn home(map: &ClusterMap, shard: ShardId) -> Option<Peer<'_>> {
    let record = map.shards().get(&shard)?;
    peer(map, record.config.primary().node)
}

#[cfg(test)]
mod tests;
