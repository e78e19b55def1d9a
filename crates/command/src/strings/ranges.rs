//! Parts of strings.

use alloc::vec::Vec;

use model::time::Deadline;

use super::{put_string, string_of};
use crate::{Call, Failure, Flow, Ran};

/// # Errors
/// No string may be this long.
fn check_len(call: &Call<'_>, len: usize) -> Result<(), Failure> {
    if len > call.shard.settings().max_value_bytes {
        return Err(Failure::text(
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ));
    }
    Ok(())
}

/// `APPEND key value`
pub fn append(call: &mut Call<'_>) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(2));
    let old = string_of(call.shard.record(call.now, call.db, key))?;
    let deadline = old.map_or(Deadline::NEVER, |old| old.deadline);
    let mut all = old.map_or(Vec::new(), |old| old.body.to_vec());
    check_len(call, all.len() + value.len())?;
    all.extend_from_slice(value);
    put_string(call, key, &all, deadline)?;
    call.reply.integer(all.len() as i64);
    Ok(Flow::Done)
}

/// `SETRANGE key offset value`
pub fn setrange(call: &mut Call<'_>) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(3));
    let offset = usize::try_from(call.arguments.integer(2)?)
        .map_err(|_| Failure::text("ERR offset is out of range"))?;
    let old = string_of(call.shard.record(call.now, call.db, key))?;
    let deadline = old.map_or(Deadline::NEVER, |old| old.deadline);
    if value.is_empty() {
        let len = old.map_or(0, |old| old.body.len());
        call.reply.integer(len as i64);
        return Ok(Flow::Done);
    }
    let mut all = old.map_or(Vec::new(), |old| old.body.to_vec());
    let end = offset.saturating_add(value.len());
    check_len(call, end)?;
    all.resize(all.len().max(end), 0);
    all[offset..end].copy_from_slice(value);
    put_string(call, key, &all, deadline)?;
    call.reply.integer(all.len() as i64);
    Ok(Flow::Done)
}

/// `GETRANGE key start end`, also as `SUBSTR`. Negative indices count from the end.
pub fn getrange(call: &mut Call<'_>) -> Ran {
    let (start, end) = (call.arguments.integer(2)?, call.arguments.integer(3)?);
    let record = call.shard.record(call.now, call.db, call.arguments.at(1));
    call.server.stats.count_read(record.is_some());
    let body = string_of(record)?.map_or(&[][..], |record| record.body);
    call.reply.bulk(slice(body, start, end));
    Ok(Flow::Done)
}

fn slice(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = bytes.len() as i64;
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let index = |at: i64| if at < 0 { (at + len).max(0) } else { at };
    let (start, end) = (index(start), index(end).min(len - 1));
    if start > end || len == 0 {
        &[]
    } else {
        &bytes[start as usize..=end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::slice;

    #[test]
    fn slices_as_redis_cuts_them() {
        let text = b"Hello World";
        for (start, end, expected) in [
            (0, 4, &b"Hello"[..]),
            (-5, -1, b"World"),
            (0, -1, text),
            (-100, 2, b"Hel"),
            (5, 3, b""),
            (20, 30, b""),
            (-1, -5, b""),
            (i64::MIN, i64::MAX, text),
            (0, -100, b"H"),
        ] {
            assert_eq!(slice(text, start, end), expected, "{start} {end}");
        }
        assert_eq!(slice(b"", 0, -1), b"");
    }
}
