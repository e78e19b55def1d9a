//! How sessions are shown.

use model::{Fence, Now};
use resp::Reply;
use shard::sessions::{Info, Value, View};
use shard::{Hash, Record};

use super::caller;
use crate::{Call, Flow, Ran};

/// The one field of a session whose value is a string.
const DATA: &[u8] = b"data";

/// Writes a session as a map, or null if there is none. `wanted`: only these fields, as far as they are there.
pub(super) fn session(
    call: &mut Call<'_>,
    id: &[u8],
    fence: Fence,
    wanted: Option<&[&[u8]]>,
) -> Ran {
    let (now, caller) = (call.now, caller(call));
    let Some(View { record, value }) = call.shard.session_view(caller, id) else {
        call.reply.null();
        return Ok(Flow::Done);
    };
    let reply = &mut call.reply;
    reply.map(7);
    reply.bulk_str("id");
    reply.bulk(id);
    reply.bulk_str("version");
    reply.integer(record.version.counter() as i64);
    reply.bulk_str("fence");
    reply.integer(fence.0 as i64);
    deadlines_and_user(reply, &record, now);
    reply.bulk_str("fields");
    match (value, wanted) {
        (Value::Data(data), None) => one(reply, DATA, Some(data)),
        (Value::Data(data), Some(names)) => {
            one(reply, DATA, names.contains(&DATA).then_some(data));
        }
        (Value::Fields(hash), None) => all(reply, &hash),
        (Value::Fields(hash), Some(names)) => some(reply, &hash, names),
    }
    Ok(Flow::Done)
}

fn deadlines_and_user(reply: &mut Reply<'_>, record: &Record<'_>, now: Now) {
    reply.bulk_str("idle_ms");
    milliseconds(reply, record.idle_left_ms(now));
    reply.bulk_str("max_ms");
    milliseconds(reply, record.max_left_ms(now));
    reply.bulk_str("user");
    match record.meta.map(|meta| meta.user) {
        Some(user) if !user.is_empty() => reply.bulk(user),
        Some(_) | None => reply.null(),
    }
}

/// A time, or -1 for none.
fn milliseconds(reply: &mut Reply<'_>, value: Option<u64>) {
    reply.integer(value.map_or(-1, |ms| ms as i64));
}

fn one(reply: &mut Reply<'_>, field: &[u8], value: Option<&[u8]>) {
    reply.map(usize::from(value.is_some()));
    if let Some(value) = value {
        reply.bulk(field);
        reply.bulk(value);
    }
}

fn all(reply: &mut Reply<'_>, hash: &Hash<'_>) {
    reply.map(hash.len());
    for (field, value) in hash.iter() {
        reply.bulk(field);
        reply.bulk(value);
    }
}

fn some(reply: &mut Reply<'_>, hash: &Hash<'_>, names: &[&[u8]]) {
    // A map has each of its keys once, however often a client asks for it.
    let is_first = |index: usize| !names[..index].contains(&names[index]);
    let found: alloc::vec::Vec<_> = (0..names.len())
        .filter(|&index| is_first(index))
        .filter_map(|index| Some((names[index], hash.get(names[index])?)))
        .collect();
    reply.map(found.len());
    for (field, value) in found {
        reply.bulk(field);
        reply.bulk(value);
    }
}

/// Writes what there is to know of a session besides its value.
pub(super) fn info(call: &mut Call<'_>, id: &[u8], info: &Info) {
    let (now, caller) = (call.now, caller(call));
    let Some(View { record, .. }) = call.shard.session_view(caller, id) else {
        call.reply.null();
        return;
    };
    let reply = &mut call.reply;
    let hold_ms = info
        .hold
        .and_then(|hold| hold.deadline.remaining_ms(now.unix_ms));
    reply.map(11);
    reply.bulk_str("created");
    milliseconds(reply, record.meta.map(|meta| meta.created_ms));
    reply.bulk_str("accessed");
    milliseconds(reply, record.accessed_ms(now));
    reply.bulk_str("version");
    reply.integer(record.version.counter() as i64);
    reply.bulk_str("held");
    reply.integer(i64::from(info.hold.is_some()));
    reply.bulk_str("fence");
    reply.integer(info.hold.map_or(0, |hold| hold.fence.0 as i64));
    reply.bulk_str("hold_ms");
    milliseconds(reply, hold_ms);
    reply.bulk_str("waiters");
    reply.integer(info.waiters as i64);
    deadlines_and_user(reply, &record, now);
    reply.bulk_str("bytes");
    reply.integer(info.bytes as i64);
}
