//! `SESSION.LIST` and `SESSION.REVOKE`.

use alloc::vec::Vec;

use super::caller;
use super::options::{Options, Word};
use crate::{Call, Failure, Flow, Ran};

/// Ids of one reply, unless asked for otherwise.
const DEFAULT_COUNT: u64 = 100;

/// The cursor of the beginning, and of the end, as in `SCAN`.
const END: &[u8] = b"0";
/// What a cursor in between begins with; then comes the last id that was seen.
const AFTER: u8 = b'+';

fn user<'a>(options: &Options<'a>) -> Result<&'a [u8], Failure> {
    options
        .user
        .ok_or_else(|| Failure::text("ERR syntax error: USER is missing"))
}

/// `SESSION.LIST USER u [CURSOR c] [COUNT n]`
pub fn list(call: &mut Call<'_>) -> Ran {
    let options = Options::read(call.arguments, 1, &[Word::User, Word::Cursor, Word::Count])?;
    let after = match options.cursor {
        None => None,
        Some(cursor) if cursor == END => None,
        Some([AFTER, id @ ..]) => Some(id),
        Some(_) => return Err(Failure::text("ERR invalid cursor")),
    };
    let count = options.count.unwrap_or(DEFAULT_COUNT) as usize;
    let (caller, user) = (caller(call), user(&options)?);
    let parts = call
        .shards()
        .map(|shard| shard.list_user(caller, user, after, count));
    let listed = parts.reduce(|a, b| a.and(b, count)).unwrap_or_default();
    call.reply.array(2);
    match listed.next {
        Some(id) => call.reply.bulk_parts(&[&[AFTER], &id]),
        None => call.reply.bulk(END),
    }
    call.reply.array(listed.ids.len());
    for id in &listed.ids {
        call.reply.bulk(id);
    }
    Ok(Flow::Done)
}

/// `SESSION.REVOKE USER u [EXCEPT id]`
pub fn revoke(call: &mut Call<'_>) -> Ran {
    let options = Options::read(call.arguments, 1, &[Word::User, Word::Except])?;
    let (caller, user) = (caller(call), user(&options)?);
    let mut revoked = 0;
    for shard in call.shards() {
        let except: Option<Vec<u8>> = options
            .except
            .map(|id| shard.session_id(caller.now, caller.db, id).into_owned());
        revoked += shard.revoke_user(caller, user, except.as_deref())?;
    }
    call.reply.integer(revoked as i64);
    Ok(Flow::Done)
}
