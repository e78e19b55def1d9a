//! Commands on the whole server or a whole database.

use crate::connection::database;
use crate::{Call, Failure, Flow, Ran};

/// `DBSIZE`: keys whose deadline has passed count until they are removed, as in Redis.
pub fn dbsize(call: &mut Call<'_>) -> Ran {
    let db = call.db;
    let keys: u64 = call.shards().map(|shard| shard.count(db)).sum();
    call.reply.integer(keys as i64);
    Ok(Flow::Done)
}

/// `FLUSHDB [ASYNC|SYNC]`. Takes the same time either way: what is in the log is freed later.
pub fn flushdb(call: &mut Call<'_>) -> Ran {
    flush_mode(call)?;
    let (now, db) = (call.now, call.db);
    call.shards()
        .try_for_each(|shard| shard.flush(now, Some(db)))?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `FLUSHALL [ASYNC|SYNC]`
pub fn flushall(call: &mut Call<'_>) -> Ran {
    flush_mode(call)?;
    let now = call.now;
    call.shards().try_for_each(|shard| shard.flush(now, None))?;
    call.reply.ok();
    Ok(Flow::Done)
}

fn flush_mode(call: &Call<'_>) -> Result<(), Failure> {
    let arguments = call.arguments;
    match arguments.len() {
        1 => Ok(()),
        2 if arguments.is(1, "ASYNC") || arguments.is(1, "SYNC") => Ok(()),
        _ => Err(Failure::Syntax),
    }
}

/// `SWAPDB index1 index2`
pub fn swapdb(call: &mut Call<'_>) -> Ran {
    let index = |at: usize, error| {
        crate::arguments::integer(call.arguments.at(at))
            .filter(|index| i32::try_from(*index).is_ok())
            .ok_or(Failure::text(error))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let (a, b) = (database(first)?, database(second)?);
    if a != b {
        call.shard.swap(call.now, a, b)?;
    }
    call.reply.ok();
    Ok(Flow::Done)
}

/// `TIME`
pub fn time(call: &mut Call<'_>) -> Ran {
    call.reply.array(2);
    call.reply.bulk_integer((call.now.unix_ms / 1000) as i64);
    call.reply
        .bulk_integer((call.now.unix_ms % 1000 * 1000) as i64);
    Ok(Flow::Done)
}

/// `ROLE`
pub fn role(call: &mut Call<'_>) -> Ran {
    call.reply.array(3);
    call.reply.bulk_str("master");
    call.reply.integer(call.shard.committed().sequence() as i64);
    call.reply.array(0);
    Ok(Flow::Done)
}

/// `WAIT numreplicas timeout`: there are no copies to wait for.
pub fn wait(call: &mut Call<'_>) -> Ran {
    call.arguments.integer(1)?;
    let timeout = crate::arguments::integer(call.arguments.at(2)).ok_or(Failure::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    if timeout < 0 {
        return Err(Failure::text("ERR timeout is negative"));
    }
    call.reply.integer(0);
    Ok(Flow::Done)
}

/// `SHUTDOWN`: stopping the process belongs to whoever started it.
pub fn shutdown(_call: &mut Call<'_>) -> Ran {
    Err(Failure::text(
        "ERR SHUTDOWN is not available: send SIGTERM to the process, which then finishes its work, writes its log and exits",
    ))
}
