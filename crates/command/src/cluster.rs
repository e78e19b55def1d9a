//! `CLUSTER`, `READONLY`, `READWRITE`, `ASKING`: what clients of Redis Cluster ask. All of it comes from [`model::Topology`],
//! which the node is told; a node that stands alone says that it is no cluster.

mod moves;
mod rows;
mod text;

use alloc::sync::Arc;
use alloc::vec::Vec;

use model::Topology;
use model::slot::{SLOTS, Slot};
use model::topology::{ClusterNode, node_name};

use crate::failure::shown;
use crate::{Call, Failure, Flow, Ran, connection};

pub use moves::{push_number, push_number_after, push_slots, pushes};
pub use rows::{shards, slots};

/// Keys that one step of a search through a shard looks at.
const SCAN_STEP: usize = 1024;

/// The cluster that this node is a member of.
fn topology(call: &Call<'_>) -> Result<Arc<Topology>, Failure> {
    let topology = call.server.topology.clone();
    topology.ok_or(Failure::text(
        "ERR This instance has cluster support disabled",
    ))
}

/// `READONLY`, `READWRITE`, `ASKING`: nothing depends on them.
pub fn acknowledge(call: &mut Call<'_>) -> Ran {
    topology(call)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLUSTER HELP`
pub fn help(call: &mut Call<'_>) -> Ran {
    topology(call)?;
    connection::help(call)
}

/// `CLUSTER INFO`
pub fn info(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    call.reply.verbatim(text::info(&topology).as_bytes());
    Ok(Flow::Done)
}

/// `CLUSTER NODES`
pub fn nodes(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    call.reply.verbatim(text::nodes(&topology).as_bytes());
    Ok(Flow::Done)
}

/// `CLUSTER MYID`, `CLUSTER MYSHARDID`
pub fn myid(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    call.reply.bulk_str(&node_name(topology.me));
    Ok(Flow::Done)
}

/// `CLUSTER KEYSLOT key`
pub fn keyslot(call: &mut Call<'_>) -> Ran {
    topology(call)?;
    let slot = Slot::of(call.arguments.at(2));
    call.reply.integer(i64::from(slot.number()));
    Ok(Flow::Done)
}

/// `CLUSTER REPLICAS node-id`
pub fn replicas(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    let node = named(call, &topology)?;
    if topology.master_of(node.id).is_some() {
        return Err(Failure::text("ERR The specified node is not a master"));
    }
    let replicas: Vec<_> = topology.replicas_of(node.id).collect();
    call.reply.array(replicas.len());
    for replica in replicas {
        call.reply.bulk_str(&text::node(&topology, replica));
    }
    Ok(Flow::Done)
}

/// `CLUSTER COUNT-FAILURE-REPORTS node-id`
pub fn count_failure_reports(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    let alive = named(call, &topology)?.alive;
    call.reply.integer(i64::from(!alive));
    Ok(Flow::Done)
}

/// The node whose number is the first argument.
fn named<'t>(call: &Call<'_>, topology: &'t Topology) -> Result<&'t ClusterNode, Failure> {
    let asked = call.arguments.at(2);
    let mut nodes = topology.nodes.iter();
    let named = nodes.find(|node| node_name(node.id).as_bytes() == asked);
    named.ok_or_else(|| Failure::Text(alloc::format!("ERR Unknown node {}", shown(asked)).into()))
}

/// `CLUSTER LINKS`: one connection for both directions with each node that is well.
pub fn links(call: &mut Call<'_>) -> Ran {
    let topology = topology(call)?;
    let others = topology.nodes.iter();
    let others: Vec<_> = others
        .filter(|n| n.id != topology.me && n.is_well())
        .collect();
    call.reply.array(others.len());
    for node in others {
        call.reply.map(6);
        call.reply.bulk_str("direction");
        call.reply.bulk_str("to");
        call.reply.bulk_str("node");
        call.reply.bulk_str(&node_name(node.id));
        call.reply.bulk_str("create-time");
        call.reply.integer(call.server.started.unix_ms as i64);
        call.reply.bulk_str("events");
        call.reply.bulk_str("rw");
        for name in ["send-buffer-allocated", "send-buffer-used"] {
            call.reply.bulk_str(name);
            call.reply.integer(0);
        }
    }
    Ok(Flow::Done)
}

/// `CLUSTER COUNTKEYSINSLOT slot`
pub fn count_keys_in_slot(call: &mut Call<'_>) -> Ran {
    topology(call)?;
    let slot = call.arguments.integer(2)?;
    let slot = in_range(slot).ok_or(Failure::text("ERR Invalid slot"))?;
    let mut count = 0;
    visit_slot(call, slot, &mut |_| {
        count += 1;
        true
    });
    call.reply.integer(count);
    Ok(Flow::Done)
}

/// `CLUSTER GETKEYSINSLOT slot count`
pub fn get_keys_in_slot(call: &mut Call<'_>) -> Ran {
    topology(call)?;
    let (slot, most) = (call.arguments.integer(2)?, call.arguments.integer(3)?);
    let (Some(slot), Ok(most)) = (in_range(slot), usize::try_from(most)) else {
        return Err(Failure::text("ERR Invalid slot or number of keys"));
    };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    visit_slot(call, slot, &mut |key| {
        if keys.len() < most {
            keys.push(key.to_vec());
        }
        keys.len() < most
    });
    call.reply.array(keys.len());
    for key in &keys {
        call.reply.bulk(key);
    }
    Ok(Flow::Done)
}

fn in_range(slot: i64) -> Option<u16> {
    u16::try_from(slot).ok().filter(|slot| *slot < SLOTS)
}

/// Visits the keys of a slot until `visit` has enough. There is no index by slot: all keys of the node are looked at.
fn visit_slot(call: &mut Call<'_>, slot: u16, visit: &mut dyn FnMut(&[u8]) -> bool) {
    let (now, db) = (call.now, call.db);
    let mut wanted = true;
    for shard in call.shards() {
        let mut cursor = 0;
        loop {
            let mut look = |key: &[u8], _: shard::Record<'_>| {
                if wanted && Slot::of(key).number() == slot {
                    wanted = visit(key);
                }
            };
            cursor = shard.scan(now, db, cursor, SCAN_STEP, &mut look);
            if cursor == 0 || !wanted {
                break;
            }
        }
    }
}

/// What shapes a Redis Cluster by hand: here the coordinator does, and operators tell it what they want.
pub fn by_hand(call: &mut Call<'_>) -> Ran {
    topology(call)?;
    let instead = match call.spec.own_name() {
        "meet" | "replicate" => {
            "start a node with the same --meta and --cluster: it joins, and is given copies"
        }
        "forget" | "reset" => {
            "`tenure cluster drain NODE` moves everything away from a node, `tenure cluster forget NODE` removes it"
        }
        "failover" => {
            "`tenure cluster drain NODE` hands its shards over; a node that dies is failed over by itself"
        }
        "bumpepoch" | "set-config-epoch" | "saveconfig" => {
            "epochs and configurations are kept in the metadata store; `tenure cluster status` shows them"
        }
        _ => {
            "slots are placed by the coordinator; `tenure cluster shards` shows where, `tenure cluster rebalance` evens them out"
        }
    };
    let name = call.spec.name.replace('|', " ").to_ascii_uppercase();
    Err(Failure::Text(
        alloc::format!("ERR {name} is not available: {instead}").into(),
    ))
}

#[cfg(test)]
mod tests;
