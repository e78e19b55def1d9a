//! `HRANDFIELD`

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use rand_chacha::rand_core::Rng as _;
use resp::Protocol;

use crate::{Call, Failure, Flow, Ran};

/// The most fields that are drawn with repetition: a reply without a bound could fill any memory.
const MAX_REPEATED: u64 = 1 << 20;

/// `HRANDFIELD key [count [WITHVALUES]]`
pub fn hrandfield(call: &mut Call<'_>) -> Ran {
    let (arguments, key) = (call.arguments, call.arguments.at(1));
    if arguments.len() == 2 {
        return one(call, key);
    }
    let count = arguments.integer(2)?;
    if count == i64::MIN {
        return Err(Failure::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_values = match arguments.len() {
        3 => false,
        4 if arguments.is(3, "WITHVALUES") => true,
        _ => return Err(Failure::Syntax),
    };
    if count < 0 && count.unsigned_abs() > MAX_REPEATED
        || with_values && count.unsigned_abs() > i64::MAX as u64 / 2
    {
        return Err(Failure::text("ERR value is out of range"));
    }
    let hash = call.shard.hash(call.now, call.db, key)?;
    call.server.stats.count_read(hash.is_some());
    let len = hash.map_or(0, |hash| hash.len());
    let mut below = |end: usize| (call.server.random.next_u64() % end as u64) as usize;
    let places = match count {
        _ if len == 0 => Vec::new(),
        ..0 => (0..count.unsigned_abs()).map(|_| below(len)).collect(),
        _ => distinct(len, count as usize, &mut below),
    };
    let pairs: Vec<_> = places
        .iter()
        .filter_map(|&place| hash.and_then(|hash| hash.at(place)))
        .collect();
    let nested = with_values && call.reply.protocol() == Protocol::V3;
    call.reply.array(match with_values && !nested {
        true => 2 * pairs.len(),
        false => pairs.len(),
    });
    for (field, value) in pairs {
        if nested {
            call.reply.array(2);
        }
        call.reply.bulk(field);
        if with_values {
            call.reply.bulk(value);
        }
    }
    Ok(Flow::Done)
}

fn one(call: &mut Call<'_>, key: &[u8]) -> Ran {
    let random = call.server.random.next_u64();
    let hash = call.shard.hash(call.now, call.db, key)?;
    call.server.stats.count_read(hash.is_some());
    let place = hash.map_or(0, |hash| (random % hash.len().max(1) as u64) as usize);
    match hash.and_then(|hash| hash.at(place)) {
        None => call.reply.null(),
        Some((field, _)) => call.reply.bulk(field),
    }
    Ok(Flow::Done)
}

/// Up to `count` different numbers below `len`: Floyd's algorithm, so that few of many cost little.
fn distinct(len: usize, count: usize, below: &mut dyn FnMut(usize) -> usize) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    let mut chosen = BTreeSet::new();
    for end in len - count..len {
        let drawn = below(end + 1);
        if !chosen.insert(drawn) {
            chosen.insert(end);
        }
    }
    chosen.into_iter().collect()
}
