//! The metrics, as Prometheus reads them (text format 0.0.4). Each is explained in `docs/operations.md`.

use std::fmt::{Display, Write as _};

use command::table::TABLE;

use super::Snapshot;
use crate::disk::Durations;
use crate::phase::Phase;

/// The whole text. While restoring there is no node to ask.
pub fn text(phase: Phase, snapshot: Option<&Snapshot>) -> String {
    let mut out = Text::default();
    out.family("tenure_build_info", "gauge", "The version, as a label.");
    out.sample(
        "tenure_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
    out.family(
        "tenure_phase",
        "gauge",
        "1 for what the server is doing: restoring, serving or draining.",
    );
    for each in [Phase::Restoring, Phase::Serving, Phase::Draining] {
        out.sample(
            "tenure_phase",
            &[("phase", each.name())],
            u8::from(each == phase),
        );
    }
    out.one(
        "tenure_up",
        "gauge",
        "1 if the node's thread answered.",
        u8::from(snapshot.is_some()),
    );
    if let Some(snapshot) = snapshot {
        node(&mut out, snapshot);
        commands(&mut out, snapshot);
        memory(&mut out, snapshot);
        log(&mut out, snapshot);
    }
    out.0
}

fn node(out: &mut Text, snapshot: &Snapshot) {
    let stats = &snapshot.stats;
    out.one(
        "tenure_uptime_seconds",
        "gauge",
        "Time since the start.",
        snapshot.uptime_s,
    );
    out.one(
        "tenure_loop_turns_total",
        "counter",
        "Turns of the node's loop.",
        snapshot.turns,
    );
    out.one(
        "tenure_connections",
        "gauge",
        "Open connections.",
        snapshot.connections,
    );
    out.one(
        "tenure_connections_accepted_total",
        "counter",
        "Connections accepted.",
        stats.connections,
    );
    out.one(
        "tenure_connections_refused_total",
        "counter",
        "Connections refused because of max-clients.",
        stats.rejected_connections,
    );
    out.one(
        "tenure_received_bytes_total",
        "counter",
        "Bytes received from clients.",
        stats.received_bytes,
    );
    out.one(
        "tenure_sent_bytes_total",
        "counter",
        "Bytes sent to clients.",
        stats.sent_bytes,
    );
    out.one(
        "tenure_reads_found_total",
        "counter",
        "Reads that found a record.",
        stats.hits,
    );
    out.one(
        "tenure_reads_missed_total",
        "counter",
        "Reads that found none.",
        stats.misses,
    );
}

fn commands(out: &mut Text, snapshot: &Snapshot) {
    let called = || {
        let stats = TABLE.iter().zip(&snapshot.stats.commands);
        stats.filter(|(_, stats)| stats.calls > 0)
    };
    out.family("tenure_commands_total", "counter", "Commands run.");
    for (spec, stats) in called() {
        out.sample(
            "tenure_commands_total",
            &[("command", spec.name)],
            stats.calls,
        );
    }
    out.family(
        "tenure_commands_failed_total",
        "counter",
        "Commands that answered with an error.",
    );
    for (spec, stats) in called() {
        out.sample(
            "tenure_commands_failed_total",
            &[("command", spec.name)],
            stats.failures,
        );
    }
}

fn memory(out: &mut Text, snapshot: &Snapshot) {
    let usage = &snapshot.usage;
    out.one(
        "tenure_memory_limit_bytes",
        "gauge",
        "What the store may use.",
        usage.limit,
    );
    out.one(
        "tenure_memory_used_bytes",
        "gauge",
        "What the store uses: segments, index, its buffers.",
        usage.used,
    );
    out.one(
        "tenure_memory_live_bytes",
        "gauge",
        "Current entries, whole.",
        usage.live,
    );
    out.one(
        "tenure_memory_live_payload_bytes",
        "gauge",
        "Key and value bytes of current entries.",
        usage.live_payload,
    );
    out.one(
        "tenure_memory_segment_bytes",
        "gauge",
        "Resident bytes of segments.",
        usage.segment_bytes,
    );
    out.one(
        "tenure_memory_index_bytes",
        "gauge",
        "The index.",
        usage.index_bytes,
    );
    out.one(
        "tenure_segments",
        "gauge",
        "Segments in memory.",
        usage.segments,
    );
    out.one(
        "tenure_expired_entries_total",
        "counter",
        "Entries removed because their deadline had passed.",
        usage.expired_entries,
    );
    out.one(
        "tenure_expired_segments_total",
        "counter",
        "Segments freed whole because all their entries had expired.",
        usage.segments_expired_whole,
    );
    out.one(
        "tenure_cleaner_moved_entries_total",
        "counter",
        "Entries that the cleaner has moved.",
        usage.cleaner_moved_entries,
    );
    out.one(
        "tenure_cleaner_moved_bytes_total",
        "counter",
        "Bytes that the cleaner has moved.",
        usage.cleaner_moved_bytes,
    );
    out.one(
        "tenure_cleaner_compactions_total",
        "counter",
        "Segments that memory compaction has freed or shrunk.",
        usage.cleaner_compactions,
    );
    out.one(
        "tenure_cleaner_disk_passes_total",
        "counter",
        "Segments that disk cleaning has freed.",
        usage.cleaner_disk_passes,
    );
}

fn log(out: &mut Text, snapshot: &Snapshot) {
    let disk = &snapshot.disk;
    out.one(
        "tenure_log_files",
        "gauge",
        "Segment files.",
        snapshot.usage.files,
    );
    out.one(
        "tenure_log_bytes",
        "gauge",
        "Bytes of all segment files.",
        snapshot.usage.disk_bytes,
    );
    out.one(
        "tenure_log_writes_total",
        "counter",
        "Writes to segment files.",
        disk.writes,
    );
    out.one(
        "tenure_log_written_bytes_total",
        "counter",
        "Bytes written to segment files.",
        disk.written_bytes,
    );
    out.one(
        "tenure_log_creates_total",
        "counter",
        "Segment files created.",
        disk.creates,
    );
    out.one(
        "tenure_log_deletes_total",
        "counter",
        "Segment files deleted.",
        disk.deletes,
    );
    out.one(
        "tenure_log_errors_total",
        "counter",
        "Disk operations that failed.",
        disk.errors,
    );
    out.durations(
        "tenure_log_sync_seconds",
        "Syncs of segment files.",
        &disk.syncs,
    );
}

/// The text being written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("writing to a string works");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(self.0, "{before}{label}=\"{text}\"").expect("writing to a string works");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{after} {value}").expect("writing to a string works");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        self.family(name, "histogram", help);
        let mut count = 0;
        let bounds = Durations::BOUNDS_US
            .iter()
            .map(|&us| seconds(us))
            .chain(["+Inf".to_owned()]);
        for (bound, in_bucket) in bounds.zip(durations.buckets) {
            count += in_bucket;
            self.sample(&format!("{name}_bucket"), &[("le", &bound)], count);
        }
        self.sample(&format!("{name}_sum"), &[], seconds(durations.total_us));
        self.sample(&format!("{name}_count"), &[], count);
    }
}

fn seconds(us: u64) -> String {
    (us as f64 / 1e6).to_string()
}
