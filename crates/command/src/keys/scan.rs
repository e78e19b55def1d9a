//! Going through all keys.

use alloc::vec::Vec;

use model::slot::Slot;
use rand_chacha::rand_core::Rng as _;
use shard::Record;

use crate::glob::matches;
use crate::{Arguments, Call, Failure, Flow, Other, Ran};

/// Entries that one step of `KEYS` visits.
const KEYS_STEP: usize = 1 << 16;
/// The highest `COUNT` that one `SCAN` obeys: it bounds how long one command can hold up the others.
const MAX_COUNT: usize = 1 << 20;

/// The options of `SCAN` and `HSCAN`.
pub struct ScanOptions<'a> {
    pub pattern: Option<&'a [u8]>,
    pub count: usize,
    pub r#type: Option<&'a [u8]>,
    pub no_values: bool,
}

/// A cursor that a client sends back; as in Redis, nothing stands for the beginning.
///
/// # Errors
/// It is no number.
pub fn scan_cursor(word: &[u8]) -> Result<u64, Failure> {
    if word.is_empty() {
        return Ok(0);
    }
    core::str::from_utf8(word)
        .ok()
        .filter(|text| !text.starts_with('+'))
        .and_then(|text| text.parse().ok())
        .ok_or(Failure::text("ERR invalid cursor"))
}

/// Reads the options from `at` on; `TYPE` and `NOVALUES` where the command has them.
///
/// # Errors
/// An unknown option, or a count below one.
pub fn scan_options<'a>(
    call: &Call<'a>,
    mut at: usize,
    of_hash: bool,
) -> Result<ScanOptions<'a>, Failure> {
    let arguments = call.arguments;
    let mut options = ScanOptions {
        pattern: None,
        count: 10,
        r#type: None,
        no_values: false,
    };
    while at < arguments.len() {
        if of_hash && arguments.is(at, "NOVALUES") {
            options.no_values = true;
            at += 1;
            continue;
        }
        let value = arguments.get(at + 1).ok_or(Failure::Syntax)?;
        if arguments.is(at, "MATCH") {
            options.pattern = Some(value);
        } else if arguments.is(at, "COUNT") {
            let count = usize::try_from(arguments.integer(at + 1)?).unwrap_or(0);
            if count == 0 {
                return Err(Failure::Syntax);
            }
            options.count = count.min(MAX_COUNT);
        } else if !of_hash && arguments.is(at, "TYPE") {
            options.r#type = Some(value);
        } else if !of_hash && arguments.is(at, "SLOT") {
            slot_at(arguments, at + 1).ok_or(INVALID_SLOT)?;
        } else {
            return Err(Failure::Syntax);
        }
        at += 2;
    }
    Ok(options)
}

const INVALID_SLOT: Failure = Failure::text("ERR Invalid or out of range slot");

/// The slot whose number stands there.
#[must_use]
pub fn slot_at(arguments: Arguments<'_>, at: usize) -> Option<Slot> {
    let number = arguments.integer(at).ok()?;
    u16::try_from(number).ok().and_then(Slot::new)
}

/// The slot that a `SCAN` names: it goes through the shard that has it, wherever that is led at the time, and its cursors are that shard's.
#[must_use]
pub fn scanned_slot(arguments: Arguments<'_>) -> Option<Slot> {
    let mut options = (2..arguments.len()).step_by(2);
    let at = options.rfind(|at| arguments.is(*at, "SLOT"))?;
    slot_at(arguments, at + 1)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] [SLOT slot]`
pub fn scan(call: &mut Call<'_>) -> Ran {
    let cursor = scan_cursor(call.arguments.at(1))?;
    let options = scan_options(call, 2, false)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = scan_shards(call, cursor, options.count, &mut |key, record| {
        let named = options.pattern.is_none_or(|pattern| matches(pattern, key));
        let typed = options
            .r#type
            .is_none_or(|name| name.eq_ignore_ascii_case(record.r#type.name().as_bytes()));
        if named && typed {
            found.push(key.to_vec());
        }
    });
    call.reply.array(2);
    call.reply.bulk_str(itoa::Buffer::new().format(next));
    call.reply.array(found.len());
    for key in &found {
        call.reply.bulk(key);
    }
    Ok(Flow::Done)
}

/// Bits of a cursor that say which of several shards it goes on in.
const NUMBER_BITS: u32 = 12;
const _: () = assert!(model::limits::MAX_SHARDS as usize <= 1 << NUMBER_BITS);

/// Visits records of the shard that the cursor is about: of the only one, or, where a node has several, of one after the other. One
/// that has left the node meanwhile is passed over.
fn scan_shards(
    call: &mut Call<'_>,
    cursor: u64,
    count: usize,
    visit: &mut dyn FnMut(&[u8], Record<'_>),
) -> u64 {
    let (now, db) = (call.now, call.db);
    if call.others.is_empty() {
        return call.shard.scan(now, db, cursor, count, visit);
    }
    let number = (cursor & ((1 << NUMBER_BITS) - 1)) as u16;
    let here = |other: &&mut Other| other.answers && other.number >= number;
    let mut rest = call.others.iter_mut().filter(here);
    let Some(other) = rest.next() else {
        return 0;
    };
    let inner = if other.number == number {
        cursor >> NUMBER_BITS
    } else {
        0
    };
    match other.shard.scan(now, db, inner, count, visit) {
        0 => rest.next().map_or(0, |next| u64::from(next.number)),
        inner => inner << NUMBER_BITS | u64::from(other.number),
    }
}

/// `KEYS pattern`
pub fn keys(call: &mut Call<'_>) -> Ran {
    let pattern = call.arguments.at(1);
    let (now, db) = (call.now, call.db);
    let mut found: Vec<Vec<u8>> = Vec::new();
    for shard in call.shards() {
        let mut cursor = 0;
        loop {
            cursor = shard.scan(now, db, cursor, KEYS_STEP, &mut |key, _| {
                if matches(pattern, key) {
                    found.push(key.to_vec());
                }
            });
            if cursor == 0 {
                break;
            }
        }
    }
    call.reply.array(found.len());
    for key in &found {
        call.reply.bulk(key);
    }
    Ok(Flow::Done)
}

/// `RANDOMKEY`
pub fn randomkey(call: &mut Call<'_>) -> Ran {
    let random = call.server.random.next_u64();
    let (now, db) = (call.now, call.db);
    let some: Vec<Vec<u8>> = call
        .shards()
        .filter_map(|shard| shard.random_key(now, db, random).map(<[u8]>::to_vec))
        .collect();
    match some.get((random >> 32) as usize % some.len().max(1)) {
        None => call.reply.null(),
        Some(key) => call.reply.bulk(key),
    }
    Ok(Flow::Done)
}
