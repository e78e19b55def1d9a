//! The metrics of a member of a cluster.

use std::sync::atomic::{AtomicU64, Ordering};

use forward::metrics::Metrics;

use super::Text;
use crate::admin::figures::Figures;

/// All of them.
pub fn figures(out: &mut Text, figures: &Figures) {
    map(out, figures);
    copies(out, figures);
    agent(out, figures);
    links(out, figures);
    forward(out, &figures.forward);
}

fn map(out: &mut Text, figures: &Figures) {
    out.one(
        "tenure_cluster_active",
        "gauge",
        "1 if the cluster map has this node in its present life and it has been heard.",
        u8::from(figures.is_active),
    );
    out.one(
        "tenure_cluster_store_answers",
        "gauge",
        "1 if the metadata store answers this node.",
        u8::from(figures.store_answers),
    );
    out.one(
        "tenure_cluster_coordinates",
        "gauge",
        "1 if this node coordinates.",
        u8::from(figures.coordinator == Some(figures.node)),
    );
    out.one(
        "tenure_cluster_term",
        "gauge",
        "How many times the coordinator's role has been taken.",
        figures.term,
    );
    out.one(
        "tenure_cluster_nodes",
        "gauge",
        "Nodes of the map that are not gone.",
        figures.nodes,
    );
    out.one(
        "tenure_cluster_suspects",
        "gauge",
        "Nodes that this one listens to and cannot hear.",
        figures.suspects,
    );
    out.one(
        "tenure_cluster_shards",
        "gauge",
        "Shards of the map.",
        figures.shards,
    );
    out.one(
        "tenure_cluster_shards_unserved",
        "gauge",
        "Shards of the map that nobody serves.",
        figures.unserved,
    );
    out.one(
        "tenure_cluster_shards_behind",
        "gauge",
        "Shards of which copies know later epochs than the map, where this node coordinates.",
        figures.behind,
    );
}

fn copies(out: &mut Text, figures: &Figures) {
    let led = figures.copies.iter().filter(|copy| copy.leads).count();
    out.family(
        "tenure_copies",
        "gauge",
        "Copies of shards on this node, by role.",
    );
    out.sample("tenure_copies", &[("role", "primary")], led);
    let others = figures.copies.len() - led;
    out.sample("tenure_copies", &[("role", "standby")], others);
    out.family(
        "tenure_shard_epoch",
        "gauge",
        "Epoch of each shard that this node has a copy of.",
    );
    for copy in &figures.copies {
        let shard = copy.shard.0.to_string();
        out.sample("tenure_shard_epoch", &[("shard", &shard)], copy.epoch);
    }
    out.family(
        "tenure_standby_lag_entries",
        "gauge",
        "Entries that a standby has not acknowledged, of each shard that this node leads.",
    );
    for copy in &figures.copies {
        let shard = copy.shard.0.to_string();
        for (node, lag) in &copy.lags {
            let labels = [("shard", shard.as_str()), ("node", &node.0.to_string())];
            out.sample("tenure_standby_lag_entries", &labels, lag);
        }
    }
}

fn agent(out: &mut Text, figures: &Figures) {
    let stats = &figures.stats;
    for (name, help, value) in [
        (
            "tenure_cluster_convictions_total",
            "Times that this node held another to be dead.",
            stats.convictions,
        ),
        (
            "tenure_cluster_decisions_total",
            "Configurations that this node proposed as coordinator.",
            stats.decisions,
        ),
        (
            "tenure_cluster_terms_total",
            "Times that this node became coordinator.",
            stats.terms,
        ),
        (
            "tenure_copies_filled_total",
            "Copies on this node that were filled from a snapshot.",
            stats.filled,
        ),
        (
            "tenure_copies_mended_total",
            "Copies on this node that were mended, as their logs had gone on where the primary's had not.",
            stats.mended,
        ),
        (
            "tenure_copies_leapt_total",
            "Times that a copy on this node was told in one batch what it had missed, as the primary's backlog no longer had it.",
            stats.leapt,
        ),
        (
            "tenure_copies_taken_back_total",
            "Copies on this node that took back what they had set aside, as nobody else had it any more.",
            stats.taken_back,
        ),
        (
            "tenure_loop_stalls_total",
            "Times that the node's loop stood still for longer than a heartbeat allows.",
            stats.stalls,
        ),
    ] {
        out.one(name, "counter", help, value);
    }
}

fn links(out: &mut Text, figures: &Figures) {
    out.one(
        "tenure_links",
        "gauge",
        "Links with other nodes that are up.",
        figures.links,
    );
    out.one(
        "tenure_link_buffered_bytes",
        "gauge",
        "Memory for what waits to be sent to other nodes, or has come in part.",
        figures.link_bytes,
    );
    let stats = &figures.link_stats;
    for (name, help, value) in [
        (
            "tenure_links_established_total",
            "Links that came up.",
            stats.established,
        ),
        (
            "tenure_link_resets_total",
            "Links that ended from the other side.",
            stats.resets,
        ),
        (
            "tenure_link_overfull_total",
            "Links that were dropped because the other node did not read.",
            stats.overfull,
        ),
        (
            "tenure_link_left_out_total",
            "Messages of copies for which a link had no room; they are sent again.",
            stats.left_out,
        ),
        (
            "tenure_link_refused_total",
            "Connections of others that were refused.",
            stats.refused,
        ),
        (
            "tenure_link_received_frames_total",
            "Messages of other nodes.",
            stats.frames_in,
        ),
        (
            "tenure_link_sent_frames_total",
            "Messages to other nodes.",
            stats.frames_out,
        ),
        (
            "tenure_link_received_bytes_total",
            "Bytes of other nodes.",
            stats.bytes_in,
        ),
        (
            "tenure_link_sent_bytes_total",
            "Bytes to other nodes.",
            stats.bytes_out,
        ),
    ] {
        out.one(name, "counter", help, value);
    }
}

fn forward(out: &mut Text, counters: &Metrics) {
    let now: [(&str, &str, &str, &AtomicU64); 11] = [
        (
            "tenure_forward_clients",
            "gauge",
            "Clients of the forwarding port.",
            &counters.clients,
        ),
        (
            "tenure_forward_buffered_bytes",
            "gauge",
            "Memory for their requests and for replies that they have not read.",
            &counters.buffered_bytes,
        ),
        (
            "tenure_forward_cut_off_total",
            "counter",
            "Clients that were cut off: they did not read, or asked for more at once than there is memory for.",
            &counters.cut_off,
        ),
        (
            "tenure_forward_accepted_total",
            "counter",
            "Clients of the forwarding port that were accepted.",
            &counters.accepted,
        ),
        (
            "tenure_forward_turned_away_total",
            "counter",
            "Clients that were one too many.",
            &counters.turned_away,
        ),
        (
            "tenure_forward_commands_total",
            "counter",
            "Commands that were forwarded.",
            &counters.commands,
        ),
        (
            "tenure_forward_retries_total",
            "counter",
            "Times that something had to be sent again.",
            &counters.retries,
        ),
        (
            "tenure_forward_gave_up_total",
            "counter",
            "Commands that no node took in time.",
            &counters.gave_up,
        ),
        (
            "tenure_forward_unknown_total",
            "counter",
            "Commands whose outcome is not known: the node was lost after they were sent.",
            &counters.unknown,
        ),
        (
            "tenure_forward_opened_total",
            "counter",
            "Connections to nodes that were opened.",
            &counters.opened,
        ),
        (
            "tenure_forward_broken_total",
            "counter",
            "Connections to nodes that broke while they were used.",
            &counters.broken,
        ),
    ];
    for (name, kind, help, counter) in now {
        out.one(name, kind, help, counter.load(Ordering::Relaxed));
    }
}
