//! String commands.

mod lcs;
mod numbers;
mod ranges;
mod set;

pub use lcs::lcs;
pub use numbers::{decr, decrby, incr, incrby, incrbyfloat};
pub use ranges::{append, getrange, setrange};
pub use set::{psetex, set, setex, setnx};

use alloc::vec::Vec;

use model::time::Deadline;
use shard::{Change, Record, Type};

use crate::keys::expiry::{self, Moment};
use crate::{Call, Failure, Flow, Ran};

/// The record, if it is there and is a string.
///
/// # Errors
/// [`Failure::WrongType`].
#[inline]
pub fn string_of(record: Option<Record<'_>>) -> Result<Option<Record<'_>>, Failure> {
    match record {
        Some(record) if record.r#type != Type::String => Err(Failure::WrongType),
        Some(_) | None => Ok(record),
    }
}

/// Makes the key a string.
///
/// # Errors
/// It may not be written, or not now.
#[inline]
pub fn put_string(
    call: &mut Call<'_>,
    key: &[u8],
    value: &[u8],
    deadline: Deadline,
) -> Result<(), Failure> {
    let change = Change {
        r#type: Type::String,
        deadline,
        body: &[value],
    };
    call.shard.put(call.now, call.db, key, change)?;
    Ok(())
}

/// `GET key`
pub fn get(call: &mut Call<'_>) -> Ran {
    let record = call.shard.record(call.now, call.db, call.arguments.at(1));
    call.server.stats.count_read(record.is_some());
    match string_of(record)? {
        None => call.reply.null(),
        Some(record) => call.reply.bulk(record.body),
    }
    Ok(Flow::Done)
}

/// `STRLEN key`
pub fn strlen(call: &mut Call<'_>) -> Ran {
    let record = call.shard.record(call.now, call.db, call.arguments.at(1));
    call.server.stats.count_read(record.is_some());
    let len = string_of(record)?.map_or(0, |record| record.body.len());
    call.reply.integer(len as i64);
    Ok(Flow::Done)
}

/// `GETSET key value`
pub fn getset(call: &mut Call<'_>) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(2));
    get(call)?;
    put_string(call, key, value, Deadline::NEVER)?;
    Ok(Flow::Done)
}

/// `GETDEL key`
pub fn getdel(call: &mut Call<'_>) -> Ran {
    get(call)?;
    call.shard.delete(call.now, call.db, call.arguments.at(1))?;
    Ok(Flow::Done)
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub fn getex(call: &mut Call<'_>) -> Ran {
    let (arguments, key) = (call.arguments, call.arguments.at(1));
    let changes = match arguments.len() {
        2 => false,
        3 if arguments.is(2, "PERSIST") => true,
        4 if expiry::is_option(call, 2) => true,
        // Redis does not mind being told again.
        4.. if (2..arguments.len()).all(|index| arguments.is(index, "PERSIST")) => true,
        _ => return Err(Failure::Syntax),
    };
    let is_there = string_of(call.shard.record(call.now, call.db, key))?.is_some();
    let moment = match is_there && expiry::is_option(call, 2) {
        true => expiry::option(call, 2)?,
        false => Moment::Never,
    };
    get(call)?;
    if changes && is_there {
        expiry::move_deadline(call, key, moment)?;
    }
    Ok(Flow::Done)
}

/// `MGET key ...`: keys that hold something else are told as absent.
pub fn mget(call: &mut Call<'_>) -> Ran {
    let keys = call.arguments.from(1);
    call.reply.array(keys.len());
    for key in keys {
        let record = call.shard.record(call.now, call.db, key);
        call.server.stats.count_read(record.is_some());
        match string_of(record) {
            Ok(Some(record)) => call.reply.bulk(record.body),
            Ok(None) | Err(_) => call.reply.null(),
        }
    }
    Ok(Flow::Done)
}

type Pair<'a> = (&'a [u8], &'a [u8]);

fn pairs<'a>(call: &Call<'a>) -> Result<Vec<Pair<'a>>, Failure> {
    let arguments = call.arguments;
    if arguments.len().is_multiple_of(2) {
        return Err(call.wrong_arity());
    }
    let starts = (1..arguments.len()).step_by(2);
    Ok(starts
        .map(|at| (arguments.at(at), arguments.at(at + 1)))
        .collect())
}

/// `MSET key value ...`
pub fn mset(call: &mut Call<'_>) -> Ran {
    let pairs = pairs(call)?;
    call.shard.put_strings(call.now, call.db, &pairs)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `MSETNX key value ...`
pub fn msetnx(call: &mut Call<'_>) -> Ran {
    let pairs = pairs(call)?;
    let mut any = false;
    for (key, _) in &pairs {
        any |= call.shard.record(call.now, call.db, key).is_some();
    }
    if !any {
        call.shard.put_strings(call.now, call.db, &pairs)?;
    }
    call.reply.integer(i64::from(!any));
    Ok(Flow::Done)
}

/// `DELIFEQ key value`
pub fn delifeq(call: &mut Call<'_>) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(2));
    let record = string_of(call.shard.record(call.now, call.db, key))?;
    let equal = record.is_some_and(|record| record.body == value);
    if equal {
        call.shard.delete(call.now, call.db, key)?;
    }
    call.reply.integer(i64::from(equal));
    Ok(Flow::Done)
}
