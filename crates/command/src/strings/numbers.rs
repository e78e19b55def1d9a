//! Strings that are numbers.

use alloc::vec::Vec;

use model::time::Deadline;

use super::{put_string, string_of};
use crate::{Call, Failure, Flow, Ran, number};

/// `INCR key`
pub fn incr(call: &mut Call<'_>) -> Ran {
    add(call, 1)
}

/// `DECR key`
pub fn decr(call: &mut Call<'_>) -> Ran {
    add(call, -1)
}

/// `INCRBY key increment`
pub fn incrby(call: &mut Call<'_>) -> Ran {
    let increment = call.arguments.integer(2)?;
    add(call, increment)
}

/// `DECRBY key decrement`
pub fn decrby(call: &mut Call<'_>) -> Ran {
    let decrement = call.arguments.integer(2)?;
    let increment = decrement
        .checked_neg()
        .ok_or(Failure::text("ERR decrement would overflow"))?;
    add(call, increment)
}

fn add(call: &mut Call<'_>, increment: i64) -> Ran {
    let key = call.arguments.at(1);
    let old = string_of(call.shard.record(call.now, call.db, key))?;
    let (value, deadline) = match old {
        None => (0, Deadline::NEVER),
        Some(old) => (
            crate::arguments::integer(old.body).ok_or(Failure::NotAnInteger)?,
            old.deadline,
        ),
    };
    let value = value
        .checked_add(increment)
        .ok_or(Failure::text("ERR increment or decrement would overflow"))?;
    let mut digits = itoa::Buffer::new();
    put_string(call, key, digits.format(value).as_bytes(), deadline)?;
    call.reply.integer(value);
    Ok(Flow::Done)
}

/// `INCRBYFLOAT key increment`
pub fn incrbyfloat(call: &mut Call<'_>) -> Ran {
    let (key, increment) = (call.arguments.at(1), call.arguments.at(2));
    let old = string_of(call.shard.record(call.now, call.db, key))?;
    let deadline = old.map_or(Deadline::NEVER, |old| old.deadline);
    let value = old.map_or(Vec::from(*b"0"), |old| old.body.to_vec());
    for text in [&value[..], increment] {
        number::parse(text).ok_or(Failure::NotAFloat)?;
    }
    let sum = number::sum(&value, increment)
        .ok_or(Failure::text("ERR increment would produce NaN or Infinity"))?;
    put_string(call, key, sum.as_bytes(), deadline)?;
    call.reply.bulk_str(&sum);
    Ok(Flow::Done)
}
