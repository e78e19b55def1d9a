//! The metrics, as Prometheus reads them (text format 0.0.4). Each is explained in `docs/operations.md`.

mod cluster;

use std::fmt::{Display, Write as _};

use command::CommandStats;
use command::histogram::Histogram;
use command::table::TABLE;

use super::Snapshot;
use crate::disk::Durations;
use crate::phase::Phase;

/// Bounds of the buckets of command latencies: powers of two of nanoseconds, from a quarter of a microsecond to
/// a second.
const LATENCY_BITS: [u32; 12] = [8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];

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
        holds(&mut out, snapshot);
        memory(&mut out, snapshot);
        log(&mut out, snapshot);
        if let Some(figures) = &snapshot.figures {
            cluster::figures(&mut out, figures);
        }
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
    let process = &snapshot.process;
    out.one(
        "tenure_process_resident_bytes",
        "gauge",
        "Resident memory of the process, at most a second old.",
        process.rss_bytes,
    );
    out.one(
        "tenure_process_cpu_user_seconds_total",
        "counter",
        "Processor time in user mode.",
        seconds(process.cpu_user_us),
    );
    out.one(
        "tenure_process_cpu_system_seconds_total",
        "counter",
        "Processor time in kernel mode.",
        seconds(process.cpu_system_us),
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
        "tenure_connections_closed_for_memory_total",
        "counter",
        "Connections closed because all buffers together took too much memory.",
        stats.closed_for_memory,
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

/// Name, help, and what it counts of a command.
type CommandFamily = (&'static str, &'static str, fn(&CommandStats) -> u64);

fn commands(out: &mut Text, snapshot: &Snapshot) {
    let called: Vec<_> = TABLE
        .iter()
        .map(|spec| spec.name)
        .zip(&snapshot.stats.commands)
        .filter(|(_, stats)| stats.calls + stats.rejections > 0)
        .collect();
    let families: [CommandFamily; 3] = [
        ("tenure_commands_total", "Commands run.", |stats| {
            stats.calls
        }),
        (
            "tenure_commands_failed_total",
            "Commands that ran and answered with an error.",
            |stats| stats.failures,
        ),
        (
            "tenure_commands_rejected_total",
            "Commands that were not run: arity, authentication, a key not writable.",
            |stats| stats.rejections,
        ),
    ];
    for (family, help, count) in families {
        out.family(family, "counter", help);
        for (name, stats) in &called {
            out.sample(family, &[("command", name)], count(stats));
        }
    }
    let family = "tenure_command_seconds";
    out.family(
        family,
        "histogram",
        "Time that commands took inside the node; of cheap commands, of a sample of calls.",
    );
    for (name, stats) in &called {
        out.latency(family, name, &stats.latency);
    }
    let family = "tenure_refusals_total";
    out.family(family, "counter", "Error replies, by their code.");
    for (code, count) in &snapshot.stats.errors {
        out.sample(family, &[("reason", code)], count);
    }
}

fn holds(out: &mut Text, snapshot: &Snapshot) {
    let holds = &snapshot.holds;
    out.one(
        "tenure_holds",
        "gauge",
        "Sessions that are held.",
        holds.held,
    );
    out.one(
        "tenure_hold_waiters",
        "gauge",
        "Connections that wait for a hold.",
        holds.waiting,
    );
    out.one(
        "tenure_holds_taken_total",
        "counter",
        "Holds taken.",
        holds.taken,
    );
    out.one(
        "tenure_holds_handed_over_total",
        "counter",
        "Holds handed over to someone who waited.",
        holds.handed_over,
    );
    out.one(
        "tenure_holds_expired_total",
        "counter",
        "Holds that expired before they were released.",
        holds.expired,
    );
    out.one(
        "tenure_holds_broken_total",
        "counter",
        "Holds that were broken.",
        holds.broken,
    );
    out.one(
        "tenure_hold_waits_timed_out_total",
        "counter",
        "Waits that were over before there was a turn.",
        holds.timed_out,
    );
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
        "tenure_log_writable",
        "gauge",
        "0 while the disk does not take the log, and writes are refused.",
        u8::from(snapshot.trouble.is_none()),
    );
    out.one(
        "tenure_log_quarantines_total",
        "counter",
        "Damaged files that were moved aside.",
        disk.quarantines,
    );
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

    fn latency(&mut self, name: &str, command: &str, latency: &Histogram) {
        let counts: Vec<_> = latency.cumulative().collect();
        for bits in LATENCY_BITS {
            let bound_ns = 1u64 << bits;
            let count = counts
                .iter()
                .rfind(|(upper, _)| *upper <= bound_ns)
                .map_or(0, |(_, count)| *count);
            let bound = (bound_ns as f64 / 1e9).to_string();
            self.sample(
                &format!("{name}_bucket"),
                &[("command", command), ("le", &bound)],
                count,
            );
        }
        let labels = [("command", command)];
        self.sample(
            &format!("{name}_bucket"),
            &[("command", command), ("le", "+Inf")],
            latency.count(),
        );
        self.sample(
            &format!("{name}_sum"),
            &labels,
            latency.total_ns() as f64 / 1e9,
        );
        self.sample(&format!("{name}_count"), &labels, latency.count());
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
