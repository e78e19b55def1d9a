//! Fields that are numbers.

use alloc::vec::Vec;

use shard::FieldChange;

use super::change;
use crate::{Call, Failure, Flow, Ran, number};

/// `HINCRBY key field increment`
pub fn hincrby(call: &mut Call<'_>) -> Ran {
    let (key, field) = (call.arguments.at(1), call.arguments.at(2));
    let increment = call.arguments.integer(3)?;
    let hash = call.shard.hash(call.now, call.db, key)?;
    let value = match hash.and_then(|hash| hash.get(field)) {
        None => 0,
        Some(text) => crate::arguments::integer(text)
            .ok_or(Failure::text("ERR hash value is not an integer"))?,
    };
    let value = value
        .checked_add(increment)
        .ok_or(Failure::text("ERR increment or decrement would overflow"))?;
    let mut digits = itoa::Buffer::new();
    let set = FieldChange::Set(field, digits.format(value).as_bytes());
    change(call, &[set])?;
    call.reply.integer(value);
    Ok(Flow::Done)
}

/// `HINCRBYFLOAT key field increment`
pub fn hincrbyfloat(call: &mut Call<'_>) -> Ran {
    let (key, field) = (call.arguments.at(1), call.arguments.at(2));
    let increment = call.arguments.at(3);
    let parsed = number::parse(increment).ok_or(Failure::NotAFloat)?;
    if parsed.is_infinite() {
        return Err(Failure::text("ERR value is NaN or Infinity"));
    }
    let hash = call.shard.hash(call.now, call.db, key)?;
    let value = hash
        .and_then(|hash| hash.get(field))
        .map_or(Vec::from(*b"0"), <[u8]>::to_vec);
    number::parse(&value).ok_or(Failure::text("ERR hash value is not a float"))?;
    let sum = number::sum(&value, increment)
        .ok_or(Failure::text("ERR increment would produce NaN or Infinity"))?;
    change(call, &[FieldChange::Set(field, sum.as_bytes())])?;
    call.reply.bulk_str(&sum);
    Ok(Flow::Done)
}
