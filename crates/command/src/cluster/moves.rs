//! Telling clients that slots leave this node, before they find out by a `MOVED`.
//!
//! `SMIGRATING number slots` when this node is about to be emptied, so that clients are patient; `SMIGRATED number [[from, to, slots], ...]`
//! whenever somebody else leads what it led, so that they ask there. Both are RESP3 pushes, for connections that asked for them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use model::Topology;
use model::topology::{Address, Outlook, SlotRange};
use resp::{Protocol, Reply};

/// Nodes whose pushes cannot have the same number.
const NODES: u64 = 1 << 16;

/// What connections that asked for it are pushed when the cluster changes. `None` if there is nothing to say.
#[must_use]
pub fn pushes(before: &Topology, after: &Topology) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    announce(before, after, &mut bytes);
    tell_moves(before, after, &mut bytes);
    (!bytes.is_empty()).then_some(bytes)
}

/// The number of a push that this node sends when the map is at this revision.
///
/// Clients leave out what has a number that they know, from whichever node: so it is made of the map's revision and the node.
#[must_use]
pub fn push_number(topology: &Topology) -> u64 {
    topology.revision * NODES + u64::from(topology.me.0) % NODES
}

/// What comes after `number` at the same node, if the map has not changed meanwhile.
#[must_use]
pub fn push_number_after(number: u64, topology: &Topology) -> u64 {
    (number + NODES).max(push_number(topology))
}

/// All that this node leads is going to move.
fn announce(before: &Topology, after: &Topology, bytes: &mut Vec<u8>) {
    let begins =
        before.outlook(before.me) == Outlook::Stays && after.outlook(after.me) != Outlook::Stays;
    let led = push_slots(after.led_by(after.me));
    if begins && !led.is_empty() {
        let mut reply = Reply::new(bytes, Protocol::V3);
        reply.push(3);
        reply.bulk_str("SMIGRATING");
        reply.integer(push_number(after) as i64);
        reply.bulk_str(&led);
    }
}

/// What this node led, and others lead now.
fn tell_moves(before: &Topology, after: &Topology, bytes: &mut Vec<u8>) {
    let lost: Vec<_> = before.lost_until(after).collect();
    let Some(me) = before.node(before.me).filter(|_| !lost.is_empty()) else {
        return;
    };
    let mut reply = Reply::new(bytes, Protocol::V3);
    reply.push(3);
    reply.bulk_str("SMIGRATED");
    reply.integer(push_number(after) as i64);
    reply.array(lost.len());
    for (range, primary) in lost {
        reply.array(3);
        reply.bulk_str(&text(&me.client));
        reply.bulk_str(&text(&primary.client));
        reply.bulk_str(&slots(range));
    }
}

/// Slots as pushes name them: `0-5461,8192-10922`.
#[must_use]
pub fn push_slots<'a>(ranges: impl Iterator<Item = &'a SlotRange>) -> String {
    ranges.map(slots).collect::<Vec<_>>().join(",")
}

fn slots(range: &SlotRange) -> String {
    format!("{}-{}", range.first, range.last)
}

fn text(address: &Address) -> String {
    format!("{}:{}", address.host, address.port)
}
