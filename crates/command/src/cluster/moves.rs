//! Telling clients that slots have left this node, before they find out by a `MOVED`.

use alloc::format;
use alloc::vec::Vec;

use model::Topology;
use model::topology::Address;
use resp::{Protocol, Reply};

/// Nodes whose pushes cannot have the same number.
const NODES: u64 = 1 << 16;

/// What connections that asked for it are pushed when the cluster changes: `SMIGRATED`, a number, and for each range that this node led
/// and does not any more from where, to where and which slots. `None` if there is none.
///
/// Clients leave out what has a number that they know, from whichever node: so it is made of the map's revision and the node.
#[must_use]
pub fn push_of_moves(before: &Topology, after: &Topology) -> Option<Vec<u8>> {
    let lost: Vec<_> = before.lost_until(after).collect();
    let me = &before.node(before.me)?.client;
    if lost.is_empty() {
        return None;
    }
    let number = after.revision * NODES + u64::from(after.me.0) % NODES;
    let mut bytes = Vec::new();
    let mut reply = Reply::new(&mut bytes, Protocol::V3);
    reply.push(3);
    reply.bulk_str("SMIGRATED");
    reply.integer(number as i64);
    reply.array(lost.len());
    for (range, primary) in lost {
        reply.array(3);
        reply.bulk_str(&text(me));
        reply.bulk_str(&text(&primary.client));
        reply.bulk_str(&format!("{}-{}", range.first, range.last));
    }
    Some(bytes)
}

fn text(address: &Address) -> alloc::string::String {
    format!("{}:{}", address.host, address.port)
}
