//! `INFO`: the state of the server in sections, under the names that clients and exporters read.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Write as _};

use model::{Db, Topology};
use shard::Shard;
use store::Store;

use crate::connection::REDIS_VERSION;
use crate::table::TABLE;
use crate::{Call, Flow, Ran};

/// A section: its name, whether it is shown without being asked for, and what writes it.
type Section = (&'static str, bool, fn(&Call<'_>, &mut Text));

const SECTIONS: &[Section] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("CPU", true, cpu),
    ("Modules", true, |_, _| ()),
    ("Commandstats", false, commandstats),
    ("Errorstats", true, errorstats),
    ("Latencystats", false, latencystats),
    ("Cluster", true, cluster),
    ("Tenure", true, tenure),
    ("Keyspace", true, keyspace),
];

/// Lines of `name:value`.
struct Text(String);

impl Text {
    fn line(&mut self, name: impl Display, value: impl Display) {
        // Writing into a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

/// `INFO [section ...]`
pub fn info(call: &mut Call<'_>) -> Ran {
    let names: Vec<&[u8]> = call.arguments.from(1).collect();
    let asked = |name: &str| {
        names
            .iter()
            .any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    };
    let everything = asked("all") || asked("everything");
    let defaults = names.is_empty() || asked("default");
    let mut text = Text(String::with_capacity(4096));
    for (name, by_default, write) in SECTIONS {
        if everything || defaults && *by_default || asked(name) {
            if !text.0.is_empty() {
                text.0.push_str("\r\n");
            }
            text.0.push_str(&alloc::format!("# {name}\r\n"));
            write(call, &mut text);
        }
    }
    call.reply.verbatim(text.0.as_bytes());
    Ok(Flow::Done)
}

fn server(call: &Call<'_>, text: &mut Text) {
    let (server, now) = (&*call.server, call.now);
    let uptime_s = now.mono_us.saturating_sub(server.started.mono_us) / 1_000_000;
    let port = server.settings.listen.rsplit(':').next().unwrap_or("0");
    text.line("redis_version", REDIS_VERSION);
    text.line("server_name", "tenure");
    text.line("tenure_version", env!("CARGO_PKG_VERSION"));
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    let mode = match server.topology {
        Some(_) => "cluster",
        None => "standalone",
    };
    text.line("redis_mode", mode);
    text.line("os", &server.process.os);
    text.line("arch_bits", usize::BITS);
    text.line("process_id", server.process.id);
    text.line("run_id", &server.run_id);
    text.line("tcp_port", port);
    text.line("server_time_usec", u128::from(now.unix_ms) * 1000);
    text.line("uptime_in_seconds", uptime_s);
    text.line("uptime_in_days", uptime_s / 86_400);
    text.line("hz", 10);
    text.line("executable", &server.process.executable);
    text.line("config_file", &server.process.config_file);
}

fn clients(call: &Call<'_>, text: &mut Text) {
    let most = |of: fn(&crate::Client) -> usize| call.clients.iter().map(of).max().unwrap_or(0);
    text.line("connected_clients", call.clients.len());
    text.line("cluster_connections", 0);
    text.line("maxclients", call.server.settings.max_clients);
    text.line("client_recent_max_input_buffer", most(|c| c.query_bytes));
    text.line("client_recent_max_output_buffer", most(|c| c.output_bytes));
    text.line(
        "blocked_clients",
        call.clients.iter().filter(|c| c.waits).count(),
    );
    text.line("tracking_clients", 0);
    text.line("clients_in_timeout_table", 0);
}

/// Bytes for people, as Redis writes them.
fn human(bytes: usize) -> String {
    let units = ["K", "M", "G", "T"];
    let mut value = bytes as f64;
    if bytes < 1024 {
        return alloc::format!("{bytes}B");
    }
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    alloc::format!("{value:.2}{unit}")
}

fn memory(call: &Call<'_>, text: &mut Text) {
    let usage = call.usage();
    let process = &call.server.process;
    let peak = call.server.stats.peak_memory.max(usage.used);
    let rss = process.rss_bytes as usize;
    let overhead = usage.used.saturating_sub(usage.live_payload);
    for (name, bytes) in [
        ("used_memory", usage.used),
        ("used_memory_rss", rss),
        ("used_memory_peak", peak),
        ("total_system_memory", process.machine_memory_bytes as usize),
        ("used_memory_lua", 0),
        ("used_memory_scripts", 0),
        ("maxmemory", usage.limit),
    ] {
        text.line(name, bytes);
        text.line(alloc::format!("{name}_human"), human(bytes));
    }
    text.line("used_memory_overhead", overhead);
    text.line("used_memory_startup", 0);
    text.line("used_memory_dataset", usage.live_payload);
    text.line("maxmemory_policy", "noeviction");
    text.line("mem_fragmentation_ratio", ratio(rss, usage.used));
    text.line("mem_fragmentation_bytes", rss as i64 - usage.used as i64);
    text.line("allocator_allocated", usage.live);
    text.line("allocator_active", usage.used);
    text.line("allocator_resident", rss);
    text.line(
        "mem_clients_normal",
        call.clients
            .iter()
            .map(|c| c.query_bytes + c.output_bytes)
            .sum::<usize>(),
    );
    text.line("mem_clients_slaves", 0);
    text.line("mem_allocator", "log");
    text.line("active_defrag_running", 0);
    text.line("lazyfree_pending_objects", 0);
}

fn ratio(part: usize, whole: usize) -> String {
    alloc::format!("{:.2}", part as f64 / whole.max(1) as f64)
}

fn persistence(call: &Call<'_>, text: &mut Text) {
    let usage = call.usage();
    for (name, value) in [
        ("loading", "0"),
        ("async_loading", "0"),
        ("rdb_changes_since_last_save", "0"),
        ("rdb_bgsave_in_progress", "0"),
        ("rdb_last_save_time", "0"),
        ("rdb_last_bgsave_status", "ok"),
        (
            "aof_enabled",
            if call.shard.store().sync().is_some() {
                "1"
            } else {
                "0"
            },
        ),
        ("aof_rewrite_in_progress", "0"),
        ("aof_last_bgrewrite_status", "ok"),
        ("aof_last_write_status", "ok"),
    ] {
        text.line(name, value);
    }
    text.line("aof_current_size", usage.disk_bytes);
}

fn stats(call: &Call<'_>, text: &mut Text) {
    let stats = &call.server.stats;
    let usage = call.usage();
    for (name, count) in [
        ("total_connections_received", stats.connections),
        ("total_commands_processed", stats.calls),
        ("total_net_input_bytes", stats.received_bytes),
        ("total_net_output_bytes", stats.sent_bytes),
        ("rejected_connections", stats.rejected_connections),
        ("expired_keys", usage.expired_entries),
        ("evicted_keys", 0),
        ("evicted_clients", 0),
        ("keyspace_hits", stats.hits),
        ("keyspace_misses", stats.misses),
        ("pubsub_channels", 0),
        ("pubsub_patterns", 0),
        ("latest_fork_usec", 0),
        ("total_forks", 0),
        ("sync_full", 0),
        ("sync_partial_ok", 0),
        ("sync_partial_err", 0),
        ("total_error_replies", stats.errors.values().sum()),
    ] {
        text.line(name, count);
    }
}

fn replication(call: &Call<'_>, text: &mut Text) {
    let cluster = call.server.topology.as_deref();
    role(call, cluster, text);
    text.line("master_failover_state", "no-failover");
    text.line("master_replid", &call.server.run_id);
    text.line("master_replid2", "0".repeat(40));
    text.line("master_repl_offset", call.shard.committed().sequence());
    text.line("second_repl_offset", -1);
    for name in [
        "repl_backlog_active",
        "repl_backlog_size",
        "repl_backlog_first_byte_offset",
        "repl_backlog_histlen",
    ] {
        text.line(name, 0);
    }
}

/// As Redis Cluster has it: a node that orders any writes is a master.
fn role(call: &Call<'_>, cluster: Option<&Topology>, text: &mut Text) {
    let offset = call.shard.committed().sequence();
    if let Some(master) = cluster.and_then(|cluster| cluster.master_of(cluster.me)) {
        text.line("role", "slave");
        text.line("master_host", &master.client.host);
        text.line("master_port", master.client.port);
        text.line("master_link_status", "up");
        text.line("slave_repl_offset", offset);
        text.line("slave_read_only", 1);
    } else {
        text.line("role", "master");
    }
    let replicas = cluster
        .iter()
        .flat_map(|cluster| cluster.replicas_of(cluster.me));
    let replicas: Vec<_> = replicas.collect();
    text.line("connected_slaves", replicas.len());
    for (number, replica) in replicas.into_iter().enumerate() {
        let (host, port) = (&replica.client.host, replica.client.port);
        text.line(
            alloc::format!("slave{number}"),
            alloc::format!("ip={host},port={port},state=online,offset={offset},lag=0"),
        );
    }
}

fn cpu(call: &Call<'_>, text: &mut Text) {
    let process = &call.server.process;
    let seconds = |us: u64| alloc::format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.line("used_cpu_sys", seconds(process.cpu_system_us));
    text.line("used_cpu_user", seconds(process.cpu_user_us));
    text.line("used_cpu_sys_children", seconds(0));
    text.line("used_cpu_user_children", seconds(0));
}

fn commandstats(call: &Call<'_>, text: &mut Text) {
    for (spec, stats) in TABLE.iter().zip(&call.server.stats.commands) {
        if stats.calls + stats.rejections == 0 {
            continue;
        }
        // Where only a sample of the calls was timed, the sum is scaled up to all.
        let timed = stats.latency.count().max(1);
        let each_us = stats.latency.total_ns() as f64 / 1000.0 / timed as f64;
        let value = alloc::format!(
            "calls={},usec={:.0},usec_per_call={each_us:.2},rejected_calls={},failed_calls={}",
            stats.calls,
            each_us * stats.calls as f64,
            stats.rejections,
            stats.failures
        );
        text.line(alloc::format!("cmdstat_{}", spec.name), value);
    }
}

fn errorstats(call: &Call<'_>, text: &mut Text) {
    for (code, count) in &call.server.stats.errors {
        text.line(
            alloc::format!("errorstat_{code}"),
            alloc::format!("count={count}"),
        );
    }
}

fn latencystats(call: &Call<'_>, text: &mut Text) {
    for (spec, stats) in TABLE.iter().zip(&call.server.stats.commands) {
        if stats.latency.count() == 0 {
            continue;
        }
        let [p50, p99, p999] =
            [0.5, 0.99, 0.999].map(|share| stats.latency.percentile_ns(share) as f64 / 1000.0);
        let value = alloc::format!("p50={p50:.3},p99={p99:.3},p99.9={p999:.3}");
        text.line(
            alloc::format!("latency_percentiles_usec_{}", spec.name),
            value,
        );
    }
}

fn cluster(call: &Call<'_>, text: &mut Text) {
    text.line("cluster_enabled", u8::from(call.server.topology.is_some()));
}

fn tenure(call: &Call<'_>, text: &mut Text) {
    let usage = call.usage();
    for (name, value) in [
        ("log_segments", usage.segments as u64),
        ("log_segment_bytes", usage.segment_bytes as u64),
        ("log_live_bytes", usage.live as u64),
        ("log_live_payload_bytes", usage.live_payload as u64),
        ("log_files", usage.files as u64),
        ("log_disk_bytes", usage.disk_bytes),
        ("index_bytes", usage.index_bytes as u64),
        ("cleaner_moved_entries", usage.cleaner_moved_entries),
        ("cleaner_moved_bytes", usage.cleaner_moved_bytes),
        ("cleaner_compactions", usage.cleaner_compactions),
        ("cleaner_disk_passes", usage.cleaner_disk_passes),
        ("segments_expired_whole", usage.segments_expired_whole),
    ] {
        text.line(name, value);
    }
    text.line("committed_position", call.shard.committed());
}

fn keyspace(call: &Call<'_>, text: &mut Text) {
    let others = call.others.iter().filter(|other| other.answers);
    let others = others.map(|other| &*other.shard);
    let stores: Vec<&Store> = core::iter::once(&*call.shard)
        .chain(others)
        .map(Shard::store)
        .collect();
    for db in Db::all() {
        let keys: u64 = stores.iter().map(|store| store.len(db)).sum();
        if keys > 0 {
            let expires: u64 = stores.iter().map(|store| store.len_with_deadline(db)).sum();
            let value = alloc::format!("keys={keys},expires={expires},avg_ttl=0");
            text.line(alloc::format!("db{}", db.number()), value);
        }
    }
}
