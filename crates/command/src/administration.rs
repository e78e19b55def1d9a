//! Commands on the whole server or a whole database.

use alloc::vec::Vec;

use model::Topology;
use store::SyncMode;

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
    let offset = call.shard.committed().sequence() as i64;
    let topology = call.server.topology.clone();
    let topology = topology.as_deref();
    match topology.and_then(|cluster| cluster.master_of(cluster.me)) {
        Some(master) => {
            call.reply.array(5);
            call.reply.bulk_str("slave");
            call.reply.bulk_str(&master.client.host);
            call.reply.integer(i64::from(master.client.port));
            call.reply.bulk_str("connected");
            call.reply.integer(offset);
        }
        None => {
            let replicas = topology.iter().flat_map(|t| t.replicas_of(t.me));
            let replicas: Vec<_> = replicas.collect();
            call.reply.array(3);
            call.reply.bulk_str("master");
            call.reply.integer(offset);
            call.reply.array(replicas.len());
            for replica in replicas {
                call.reply.array(3);
                call.reply.bulk_str(&replica.client.host);
                call.reply.bulk_integer(i64::from(replica.client.port));
                call.reply.bulk_integer(offset);
            }
        }
    }
    Ok(Flow::Done)
}

/// `WAIT numreplicas timeout`: there is nothing to wait for. Alone a node has no standbys; in a cluster no write is
/// acknowledged before a quorum has it, and the reply to a write that was sent before leaves before this one.
pub fn wait(call: &mut Call<'_>) -> Ran {
    call.arguments.integer(1)?;
    check_timeout(call, 2)?;
    let standbys = acknowledging_standbys(call);
    call.reply.integer(standbys);
    Ok(Flow::Done)
}

/// `WAITAOF numlocal numreplicas timeout`: on how many disks what was answered before is. As for `WAIT` there is nothing to wait for: with
/// `sync always` an answer says that the disk has it, here and on the standbys of a quorum; otherwise nobody keeps count of what the
/// disk has, and the answer is none.
pub fn waitaof(call: &mut Call<'_>) -> Ran {
    let local = call.arguments.integer(1)?;
    if !(0..=1).contains(&local) {
        return Err(Failure::text(
            "ERR value is out of range, value must between 0 and 1",
        ));
    }
    let standbys = crate::arguments::integer(call.arguments.at(2)).filter(|number| *number >= 0);
    standbys.ok_or(Failure::text("ERR value is out of range, must be positive"))?;
    check_timeout(call, 3)?;
    let sync = call.shard.store().sync();
    if local == 1 && sync.is_none() {
        return Err(Failure::text(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let on_disk = match sync {
        Some(SyncMode::Always) => [1, acknowledging_standbys(call)],
        Some(SyncMode::EverySecond | SyncMode::None) | None => [0, 0],
    };
    call.reply.array(on_disk.len());
    for count in on_disk {
        call.reply.integer(count);
    }
    Ok(Flow::Done)
}

/// How many standbys have what was answered before.
fn acknowledging_standbys(call: &Call<'_>) -> i64 {
    let topology = call.server.topology.as_deref();
    topology.map_or(0, Topology::acknowledging_standbys) as i64
}

fn check_timeout(call: &Call<'_>, index: usize) -> Result<(), Failure> {
    let timeout = crate::arguments::integer(call.arguments.at(index)).ok_or(Failure::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    if timeout < 0 {
        return Err(Failure::text("ERR timeout is negative"));
    }
    Ok(())
}

/// `SHUTDOWN`: stopping the process belongs to whoever started it.
pub fn shutdown(_call: &mut Call<'_>) -> Ran {
    Err(Failure::text(
        "ERR SHUTDOWN is not available: send SIGTERM to the process, which then finishes its work, writes its log and exits",
    ))
}
