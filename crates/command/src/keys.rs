//! Commands on keys of any type.

pub mod expiry;
mod object;
mod scan;

pub use object::{
    MAX_LISTPACK_ENTRIES, MAX_LISTPACK_VALUE_BYTES, encoding, freq, idletime, refcount,
};
pub use scan::{keys, randomkey, scan, scan_cursor, scan_options, scanned_slot, slot_at};

use model::Db;
use shard::Place;

use crate::connection::database_at;
use crate::{Call, Failure, Flow, Ran};

/// `DEL key ...`, also as `UNLINK`: what is in the log is freed later either way.
pub fn del(call: &mut Call<'_>) -> Ran {
    let keys = call.arguments.from(1);
    let removed = call.shard.delete_many(call.now, call.db, keys)?;
    call.reply.integer(removed as i64);
    Ok(Flow::Done)
}

/// `EXISTS key ...`, also as `TOUCH`: nothing is evicted, so there is no clock of use to wind.
pub fn exists(call: &mut Call<'_>) -> Ran {
    let mut found = 0;
    for key in call.arguments.from(1) {
        let is_there = call.shard.record(call.now, call.db, key).is_some();
        call.server.stats.count_read(is_there);
        found += i64::from(is_there);
    }
    call.reply.integer(found);
    Ok(Flow::Done)
}

/// `TYPE key`
pub fn r#type(call: &mut Call<'_>) -> Ran {
    let record = call.shard.record(call.now, call.db, call.arguments.at(1));
    let name = record.map_or("none", |record| record.r#type.name());
    call.reply.simple(name);
    Ok(Flow::Done)
}

fn exists_at(call: &mut Call<'_>, db: Db, key: &[u8]) -> bool {
    call.shard.record(call.now, db, key).is_some()
}

/// `RENAME key newkey`
pub fn rename(call: &mut Call<'_>) -> Ran {
    move_key(call)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `RENAMENX key newkey`
pub fn renamenx(call: &mut Call<'_>) -> Ran {
    let (from, to) = (call.arguments.at(1), call.arguments.at(2));
    if !exists_at(call, call.db, from) {
        return Err(Failure::NoSuchKey);
    }
    let free = !exists_at(call, call.db, to);
    if free {
        move_key(call)?;
    }
    call.reply.integer(i64::from(free));
    Ok(Flow::Done)
}

fn move_key(call: &mut Call<'_>) -> Result<(), Failure> {
    let [from, to] = [1, 2].map(|index| Place {
        db: call.db,
        key: call.arguments.at(index),
    });
    if call.shard.r#move(call.now, from, to)? {
        Ok(())
    } else {
        Err(Failure::NoSuchKey)
    }
}

/// `COPY source destination [DB db] [REPLACE]`
pub fn copy(call: &mut Call<'_>) -> Ran {
    let (arguments, mut db, mut replaces) = (call.arguments, call.db, false);
    let mut at = 3;
    while at < arguments.len() {
        if arguments.is(at, "REPLACE") {
            replaces = true;
        } else if arguments.is(at, "DB") && at + 1 < arguments.len() {
            at += 1;
            db = database_at(call, at)?;
        } else {
            return Err(Failure::Syntax);
        }
        at += 1;
    }
    let (from, to) = (place(call.db, arguments.at(1)), place(db, arguments.at(2)));
    if from == to {
        return Err(SAME);
    }
    call.shard
        .check_write(call.now, call.connection, db, to.key, true)?;
    let free = replaces || !exists_at(call, db, to.key);
    let copied = free && call.shard.copy(call.now, from, to)?;
    call.reply.integer(i64::from(copied));
    Ok(Flow::Done)
}

const SAME: Failure = Failure::text("ERR source and destination objects are the same");

fn place(db: Db, key: &[u8]) -> Place<'_> {
    Place { db, key }
}

/// `MOVE key db`
pub fn r#move(call: &mut Call<'_>) -> Ran {
    let key = call.arguments.at(1);
    let db = database_at(call, 2)?;
    if db == call.db {
        return Err(SAME);
    }
    call.shard
        .check_write(call.now, call.connection, db, key, true)?;
    let free = !exists_at(call, db, key);
    let moved = free
        && call
            .shard
            .r#move(call.now, place(call.db, key), place(db, key))?;
    call.reply.integer(i64::from(moved));
    Ok(Flow::Done)
}
