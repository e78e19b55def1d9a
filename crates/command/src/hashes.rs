//! Hash commands.

mod numbers;
mod random;

pub use numbers::{hincrby, hincrbyfloat};
pub use random::hrandfield;

use alloc::vec::Vec;

use shard::{Changed, FieldChange, Hash};

use crate::glob::matches;
use crate::keys::{scan_cursor, scan_options};
use crate::{Call, Failure, Flow, Ran};

/// Runs `reply` with the hash at the first argument, or with `None`.
fn with_hash(
    call: &mut Call<'_>,
    reply: impl FnOnce(&mut resp::Reply<'_>, Option<Hash<'_>>) -> Result<(), Failure>,
) -> Ran {
    let hash = call.shard.hash(call.now, call.db, call.arguments.at(1))?;
    call.server.stats.count_read(hash.is_some());
    reply(&mut call.reply, hash)?;
    Ok(Flow::Done)
}

fn change(call: &mut Call<'_>, changes: &[FieldChange<'_>]) -> Result<Changed, Failure> {
    let key = call.arguments.at(1);
    Ok(call.shard.change_hash(call.now, call.db, key, changes)?)
}

fn sets<'a>(call: &Call<'a>) -> Result<Vec<FieldChange<'a>>, Failure> {
    let arguments = call.arguments;
    if !arguments.len().is_multiple_of(2) {
        return Err(call.wrong_arity());
    }
    let starts = (2..arguments.len()).step_by(2);
    Ok(starts
        .map(|at| FieldChange::Set(arguments.at(at), arguments.at(at + 1)))
        .collect())
}

/// `HSET key field value ...`
pub fn hset(call: &mut Call<'_>) -> Ran {
    let sets = sets(call)?;
    let changed = change(call, &sets)?;
    call.reply.integer(changed.added as i64);
    Ok(Flow::Done)
}

/// `HMSET key field value ...`
pub fn hmset(call: &mut Call<'_>) -> Ran {
    let sets = sets(call)?;
    change(call, &sets)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `HSETNX key field value`
pub fn hsetnx(call: &mut Call<'_>) -> Ran {
    let (key, field) = (call.arguments.at(1), call.arguments.at(2));
    let hash = call.shard.hash(call.now, call.db, key)?;
    let absent = hash.is_none_or(|hash| hash.get(field).is_none());
    if absent {
        let set = FieldChange::Set(field, call.arguments.at(3));
        change(call, &[set])?;
    }
    call.reply.integer(i64::from(absent));
    Ok(Flow::Done)
}

/// `HDEL key field ...`
pub fn hdel(call: &mut Call<'_>) -> Ran {
    let removals: Vec<_> = call.arguments.from(2).map(FieldChange::Remove).collect();
    let changed = change(call, &removals)?;
    call.reply.integer(changed.removed as i64);
    Ok(Flow::Done)
}

/// `HGET key field`
pub fn hget(call: &mut Call<'_>) -> Ran {
    let field = call.arguments.at(2);
    with_hash(call, |reply, hash| {
        match hash.and_then(|hash| hash.get(field)) {
            None => reply.null(),
            Some(value) => reply.bulk(value),
        }
        Ok(())
    })
}

/// `HMGET key field ...`
pub fn hmget(call: &mut Call<'_>) -> Ran {
    let fields = call.arguments.from(2);
    with_hash(call, |reply, hash| {
        reply.array(fields.len());
        for field in fields {
            match hash.and_then(|hash| hash.get(field)) {
                None => reply.null(),
                Some(value) => reply.bulk(value),
            }
        }
        Ok(())
    })
}

/// `HGETALL key`
pub fn hgetall(call: &mut Call<'_>) -> Ran {
    with_hash(call, |reply, hash| {
        reply.map(hash.map_or(0, |hash| hash.len()));
        for (field, value) in hash.iter().flat_map(Hash::iter) {
            reply.bulk(field);
            reply.bulk(value);
        }
        Ok(())
    })
}

/// `HKEYS key`
pub fn hkeys(call: &mut Call<'_>) -> Ran {
    with_hash(call, |reply, hash| {
        reply.array(hash.map_or(0, |hash| hash.len()));
        for (field, _) in hash.iter().flat_map(Hash::iter) {
            reply.bulk(field);
        }
        Ok(())
    })
}

/// `HVALS key`
pub fn hvals(call: &mut Call<'_>) -> Ran {
    with_hash(call, |reply, hash| {
        reply.array(hash.map_or(0, |hash| hash.len()));
        for (_, value) in hash.iter().flat_map(Hash::iter) {
            reply.bulk(value);
        }
        Ok(())
    })
}

/// `HLEN key`
pub fn hlen(call: &mut Call<'_>) -> Ran {
    with_hash(call, |reply, hash| {
        reply.integer(hash.map_or(0, |hash| hash.len()) as i64);
        Ok(())
    })
}

/// `HEXISTS key field`
pub fn hexists(call: &mut Call<'_>) -> Ran {
    let field = call.arguments.at(2);
    with_hash(call, |reply, hash| {
        let found = hash.is_some_and(|hash| hash.get(field).is_some());
        reply.integer(i64::from(found));
        Ok(())
    })
}

/// `HSTRLEN key field`
pub fn hstrlen(call: &mut Call<'_>) -> Ran {
    let field = call.arguments.at(2);
    with_hash(call, |reply, hash| {
        let value = hash.and_then(|hash| hash.get(field));
        reply.integer(value.map_or(0, <[u8]>::len) as i64);
        Ok(())
    })
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]`
pub fn hscan(call: &mut Call<'_>) -> Ran {
    let cursor = scan_cursor(call.arguments.at(2))?;
    let hash = call
        .shard
        .hash(call.now, call.db, call.arguments.at(1))?
        .is_some();
    if !hash {
        call.reply.array(2);
        call.reply.bulk(b"0");
        call.reply.array(0);
        return Ok(Flow::Done);
    }
    let options = scan_options(call, 3, true)?;
    with_hash(call, |reply, hash| {
        let mut found: Vec<&[u8]> = Vec::new();
        let next = hash.map_or(0, |hash| {
            hash.scan(cursor, options.count, &mut |field, value| {
                if options
                    .pattern
                    .is_none_or(|pattern| matches(pattern, field))
                {
                    found.push(field);
                    if !options.no_values {
                        found.push(value);
                    }
                }
            })
        });
        reply.array(2);
        reply.bulk_str(itoa::Buffer::new().format(next));
        reply.array(found.len());
        for part in found {
            reply.bulk(part);
        }
        Ok(())
    })
}
