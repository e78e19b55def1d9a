//! `OBJECT`: how Redis would keep a value. Here strings and packed hashes are one entry each; the names are those that
//! Redis's thresholds give, for the tools that look at them.

use shard::{Hash, Record, Type};

use crate::{Call, Failure, Flow, Ran};

/// `hash-max-listpack-entries`
pub const MAX_LISTPACK_ENTRIES: usize = 128;
/// `hash-max-listpack-value`
pub const MAX_LISTPACK_VALUE_BYTES: usize = 64;
/// Strings up to this length are `embstr` in Redis.
const MAX_EMBEDDED_BYTES: usize = 44;

/// `OBJECT ENCODING key`
pub fn encoding(call: &mut Call<'_>) -> Ran {
    let key = call.arguments.at(2);
    let record = call.shard.record(call.now, call.db, key);
    let name = match record {
        None => None,
        Some(record) if record.r#type == Type::String => Some(string_encoding(record)),
        Some(_) => {
            let hash = call.shard.hash(call.now, call.db, key)?;
            hash.map(hash_encoding)
        }
    };
    match name {
        None => call.reply.null(),
        Some(name) => call.reply.bulk_str(name),
    }
    Ok(Flow::Done)
}

fn string_encoding(record: Record<'_>) -> &'static str {
    if crate::arguments::integer(record.body).is_some() {
        "int"
    } else if record.body.len() <= MAX_EMBEDDED_BYTES {
        "embstr"
    } else {
        "raw"
    }
}

fn hash_encoding(hash: Hash<'_>) -> &'static str {
    let short = |bytes: &[u8]| bytes.len() <= MAX_LISTPACK_VALUE_BYTES;
    let small = hash.len() <= MAX_LISTPACK_ENTRIES
        && hash
            .iter()
            .all(|(field, value)| short(field) && short(value));
    if small { "listpack" } else { "hashtable" }
}

/// `OBJECT REFCOUNT key`
pub fn refcount(call: &mut Call<'_>) -> Ran {
    reply_number(call, |_, _| 1)
}

/// `OBJECT IDLETIME key`, in seconds: known of sessions with an idle deadline, zero for other keys.
pub fn idletime(call: &mut Call<'_>) -> Ran {
    reply_number(call, |record, now_ms| {
        let idle_ms = record.meta.and_then(|meta| meta.idle_ms);
        let left_ms = record.deadline.remaining_ms(now_ms);
        match (idle_ms, left_ms) {
            (Some(idle_ms), Some(left_ms)) => idle_ms.saturating_sub(left_ms) / 1000,
            (Some(_) | None, _) => 0,
        }
    })
}

fn reply_number(call: &mut Call<'_>, of: fn(Record<'_>, u64) -> u64) -> Ran {
    let record = call.shard.record(call.now, call.db, call.arguments.at(2));
    match record {
        None => call.reply.null(),
        Some(record) => call.reply.integer(of(record, call.now.unix_ms) as i64),
    }
    Ok(Flow::Done)
}

/// `OBJECT FREQ key`
pub fn freq(call: &mut Call<'_>) -> Ran {
    let record = call.shard.record(call.now, call.db, call.arguments.at(2));
    if record.is_some() {
        return Err(Failure::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    call.reply.null();
    Ok(Flow::Done)
}
