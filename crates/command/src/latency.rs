//! `LATENCY`: how long commands take. Histograms are always on; events are not sampled.

use alloc::string::String;
use alloc::vec::Vec;

use crate::failure::shown;
use crate::histogram::Histogram;
use crate::table::{Found, TABLE, find, find_name};
use crate::{Call, Failure, Flow, Ran};

/// `LATENCY HISTOGRAM [command ...]`. Its microseconds are 1,024 nanoseconds, so that each line is a power of two.
pub fn histogram(call: &mut Call<'_>) -> Ran {
    let mut indices: Vec<usize> = Vec::new();
    if call.arguments.len() == 2 {
        indices.extend(0..TABLE.len());
    } else {
        for name in call.arguments.from(2) {
            indices.extend(named(name));
        }
    }
    let stats = &call.server.stats.commands;
    indices.retain(|&index| stats[index].latency.count() > 0);
    call.reply.map(indices.len());
    for index in indices {
        let latency = &stats[index].latency;
        let counts = whole_microseconds(latency);
        let reply = &mut call.reply;
        reply.bulk_str(TABLE[index].name);
        reply.map(2);
        reply.bulk_str("calls");
        reply.integer(latency.count() as i64);
        reply.bulk_str("histogram_usec");
        reply.map(counts.len());
        for (bound_ns, count) in counts {
            reply.integer((bound_ns >> 10) as i64);
            reply.integer(count as i64);
        }
    }
    Ok(Flow::Done)
}

/// Counts by upper bound; everything below a microsecond is one line.
fn whole_microseconds(latency: &Histogram) -> Vec<(u64, u64)> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for (bound_ns, count) in latency.cumulative() {
        let bound_ns = bound_ns.max(1 << 10);
        match counts.last_mut() {
            Some(last) if last.0 == bound_ns => last.1 = count,
            Some(_) | None => counts.push((bound_ns, count)),
        }
    }
    counts
}

/// The entries that a name stands for: of a container, its subcommands.
fn named(name: &[u8]) -> Vec<usize> {
    if let Some(split) = name.iter().position(|&byte| byte == b'|') {
        return match find(&name[..split], Some(&name[split + 1..])) {
            Found::Entry(index) => alloc::vec![usize::from(index)],
            Found::UnknownSubcommand(_) | Found::Unknown => Vec::new(),
        };
    }
    let Some(index) = find_name(name).map(usize::from) else {
        return Vec::new();
    };
    core::iter::once(index)
        .chain(TABLE[index].subcommand_indices())
        .collect()
}

/// `LATENCY LATEST`
pub fn latest(call: &mut Call<'_>) -> Ran {
    call.reply.array(0);
    Ok(Flow::Done)
}

/// `LATENCY HISTORY event`
pub fn history(call: &mut Call<'_>) -> Ran {
    call.reply.array(0);
    Ok(Flow::Done)
}

/// `LATENCY GRAPH event`
pub fn graph(call: &mut Call<'_>) -> Ran {
    let event = shown(call.arguments.at(2));
    let text = alloc::format!("ERR No samples available for event '{event}'");
    Err(Failure::Text(text.into()))
}

/// `LATENCY RESET [event ...]`
pub fn reset(call: &mut Call<'_>) -> Ran {
    call.reply.integer(0);
    Ok(Flow::Done)
}

/// `LATENCY DOCTOR`
pub fn doctor(call: &mut Call<'_>) -> Ran {
    let stats = call.server.stats.commands.iter().enumerate();
    let slowest = stats
        .filter(|(_, stats)| stats.latency.count() > 0)
        .max_by_key(|(_, stats)| stats.latency.percentile_ns(0.999));
    let text = match slowest {
        None => String::from("No command has been timed yet.\n"),
        Some((index, stats)) => alloc::format!(
            "Of all commands, {} is the slowest: half of {} calls took at most {} us, 99 % at most {} us, 99.9 % at most {} us. LATENCY HISTOGRAM shows each command; SLOWLOG GET shows single ones.\n",
            TABLE[index].name.to_ascii_uppercase(),
            stats.latency.count(),
            stats.latency.percentile_ns(0.5) / 1000,
            stats.latency.percentile_ns(0.99) / 1000,
            stats.latency.percentile_ns(0.999) / 1000,
        ),
    };
    call.reply.verbatim(text.as_bytes());
    Ok(Flow::Done)
}
