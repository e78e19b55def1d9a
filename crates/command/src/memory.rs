//! `MEMORY`: what memory is used for, in the terms of a log.

use alloc::string::String;

use shard::Shard;
use store::Usage;

use crate::{Call, Failure, Flow, Ran};

/// `MEMORY USAGE key [SAMPLES count]`. Nothing is sampled: the bytes of all chunks are known.
pub fn usage(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    for at in (3..arguments.len()).step_by(2) {
        let is_option = arguments.is(at, "SAMPLES") && at + 1 < arguments.len();
        if !is_option || arguments.integer(at + 1)? < 0 {
            return Err(Failure::Syntax);
        }
    }
    match call.shard.footprint(call.now, call.db, arguments.at(2)) {
        None => call.reply.null(),
        Some(bytes) => call.reply.integer(bytes as i64),
    }
    Ok(Flow::Done)
}

/// `MEMORY PURGE`
pub fn purge(call: &mut Call<'_>) -> Ran {
    call.reply.ok();
    Ok(Flow::Done)
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

/// `MEMORY STATS`: the names that Redis has too, then our own.
pub fn stats(call: &mut Call<'_>) -> Ran {
    let usage = call.usage();
    let of = |shard: &mut Shard| {
        model::Db::all()
            .map(|db| shard.store().len(db))
            .sum::<u64>()
    };
    let keys: u64 = call.shards().map(of).sum();
    let overhead = usage.used.saturating_sub(usage.live_payload);
    let whole = [
        (
            "peak.allocated",
            call.server.stats.peak_memory.max(usage.used),
        ),
        ("total.allocated", usage.used),
        ("startup.allocated", 0),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        (
            "clients.normal",
            call.clients
                .iter()
                .map(|c| c.query_bytes + c.output_bytes)
                .sum(),
        ),
        ("aof.buffer", 0),
        ("overhead.total", overhead),
        ("keys.count", keys as usize),
        ("keys.bytes-per-key", usage.used / (keys as usize).max(1)),
        ("dataset.bytes", usage.live_payload),
        ("allocator.resident", call.server.process.rss_bytes as usize),
        ("log.live", usage.live),
        ("log.segments", usage.segments),
        ("log.segment-bytes", usage.segment_bytes),
        ("index.bytes", usage.index_bytes),
    ];
    let shares = [
        (
            "dataset.percentage",
            percent(usage.live_payload, usage.used),
        ),
        ("log.utilisation", percent(usage.live, usage.segment_bytes)),
    ];
    call.reply.map(whole.len() + shares.len());
    for (name, bytes) in whole {
        call.reply.bulk_str(name);
        call.reply.integer(bytes as i64);
    }
    for (name, share) in shares {
        call.reply.bulk_str(name);
        call.reply.double(&alloc::format!("{share:.2}"));
    }
    Ok(Flow::Done)
}

/// `MEMORY DOCTOR`
pub fn doctor(call: &mut Call<'_>) -> Ran {
    let usage = call.usage();
    call.reply.verbatim(advice(&usage).as_bytes());
    Ok(Flow::Done)
}

fn advice(usage: &Usage) -> String {
    let filled = percent(usage.live, usage.limit);
    let share = percent(usage.live, usage.used);
    let state = if filled > 90.0 {
        "Writes are close to being refused: delete sessions, let them expire sooner, or raise --memory."
    } else if filled > 75.0 {
        "The cleaner has to work harder as memory fills; plan for more before it is full."
    } else {
        "There is nothing to do."
    };
    alloc::format!(
        "Live data takes {} of {} bytes ({filled:.1} % of the limit) and {share:.1} % of the memory in use. {state}\n",
        usage.live,
        usage.limit
    )
}

/// `MEMORY MALLOC-STATS`
pub fn malloc_stats(call: &mut Call<'_>) -> Ran {
    let usage = call.usage();
    let text = alloc::format!(
        "limit {}\nused {}\nlive {}\nlive key and value bytes {}\nsegments {} of {} bytes\nindex {}\nsegment files {} of {} bytes\ncleaner moved {} entries of {} bytes, compacted {} segments, cleaned {} on disk\nexpired {} entries, {} segments whole\n",
        usage.limit,
        usage.used,
        usage.live,
        usage.live_payload,
        usage.segments,
        usage.segment_bytes,
        usage.index_bytes,
        usage.files,
        usage.disk_bytes,
        usage.cleaner_moved_entries,
        usage.cleaner_moved_bytes,
        usage.cleaner_compactions,
        usage.cleaner_disk_passes,
        usage.expired_entries,
        usage.segments_expired_whole,
    );
    call.reply.verbatim(text.as_bytes());
    Ok(Flow::Done)
}
