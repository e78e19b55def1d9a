//! `SESSION.*`: commands that know what a session is. What they promise is in `docs/sessions.md`.
//!
//! Each handler reads its options, asks the shard, and writes the reply. A session is shown as a map with its
//! keys always in the same order: `id version fence idle_ms max_ms user fields`.
//!
//! During the grace of a rotation a command on the old id is about the new session, whose id it shows.

mod ids;
mod options;
mod reply;
mod users;

use alloc::borrow::Cow;

use model::Fence;
use shard::sessions::{Caller, Commit, Open, Opened, Terms, ValueChange};

use crate::{Call, Failure, Flow, Ran};
use options::{Options, Word};

pub use users::{list, revoke};

/// The words of `CREATE` and `OPEN` that say what a session is to have.
const TERMS: [Word; 3] = [Word::User, Word::Idle, Word::Max];

fn caller(call: &Call<'_>) -> Caller {
    Caller {
        now: call.now,
        connection: call.connection,
        db: call.db,
    }
}

/// The session that the first argument is about.
fn target<'a>(call: &mut Call<'a>) -> Cow<'a, [u8]> {
    call.shard
        .session_id(call.now, call.db, call.arguments.at(1))
}

fn terms<'a>(options: &Options<'a>) -> Terms<'a> {
    Terms {
        user: options.user,
        idle_ms: options.idle_ms,
        max_ms: options.max_ms,
    }
}

fn value_change<'o>(options: &'o Options<'_>) -> Result<ValueChange<'o>, Failure> {
    match options.data {
        None => Ok(ValueChange::Fields(&options.changes)),
        Some(data) if options.changes.is_empty() => Ok(ValueChange::Data(data)),
        Some(_) => Err(Failure::text(
            "ERR syntax error: DATA makes the value a string, so it does not go with SET or DEL",
        )),
    }
}

/// `SESSION.CREATE [ID id] [USER u] [IDLE ms] [MAX ms] [HOLD ms] [FIELDS n f v ...]`
pub fn create(call: &mut Call<'_>) -> Ran {
    let words = [&TERMS[..], &[Word::Id, Word::Hold, Word::Fields]].concat();
    let options = Options::read(call.arguments, 1, &words)?;
    let id = match options.id {
        Some(id) => Cow::Borrowed(id),
        None => Cow::Owned(ids::fresh(call.server.fresh_slot, &mut call.server.random)),
    };
    let fence = call.shard.create_session(
        caller(call),
        &id,
        &terms(&options),
        options.hold_ms,
        &options.changes,
    )?;
    reply::session(call, &id, fence, None)
}

/// `SESSION.OPEN id [HOLD ms [WAIT ms]] [CREATE] [USER u] [IDLE ms] [MAX ms]`
pub fn open(call: &mut Call<'_>) -> Ran {
    let words = [&TERMS[..], &[Word::Hold, Word::Wait, Word::Create]].concat();
    let options = Options::read(call.arguments, 2, &words)?;
    if options.wait_ms.is_some() && options.hold_ms.is_none() {
        return Err(Failure::text(
            "ERR syntax error: WAIT goes with HOLD: only a hold is waited for",
        ));
    }
    let id = target(call);
    options::check_id(&id)?;
    let open = Open {
        hold_ms: options.hold_ms,
        wait_ms: options.wait_ms.unwrap_or(0),
        create: options.create,
        terms: terms(&options),
    };
    match call
        .shard
        .open_session(caller(call), &id, &open, call.attempt)?
    {
        Opened::Open(fence) => reply::session(call, &id, fence, None),
        Opened::Waits => Ok(Flow::Wait),
        Opened::Absent => {
            call.reply.null();
            Ok(Flow::Done)
        }
    }
}

/// `SESSION.READ id [FIELDS n f ...] [TOUCH]`
pub fn read(call: &mut Call<'_>) -> Ran {
    let options = Options::read(call.arguments, 2, &[Word::FieldNames, Word::Touch])?;
    let id = target(call);
    if options.touch {
        call.shard.touch_session(caller(call), &id, None)?;
    }
    reply::session(call, &id, Fence(0), options.field_names.as_deref())
}

/// `SESSION.COMMIT id fence [SET n f v ...] [DEL n f ...] [DATA blob] [IDLE ms] [KEEP ms]`
pub fn commit(call: &mut Call<'_>) -> Ran {
    let words = [Word::Set, Word::Del, Word::Data, Word::Idle, Word::Keep];
    let options = Options::read(call.arguments, 3, &words)?;
    let commit = Commit {
        change: value_change(&options)?,
        idle_ms: options.idle_ms,
        keep_ms: options.keep_ms,
    };
    let (id, fence) = (target(call), options::fence(call.arguments.at(2))?);
    let version = call
        .shard
        .commit_session(caller(call), &id, fence, &commit)?;
    call.reply.integer(version as i64);
    Ok(Flow::Done)
}

/// `SESSION.WRITE id VERSION v [SET ...] [DEL ...] [DATA blob]`
pub fn write(call: &mut Call<'_>) -> Ran {
    let words = [Word::Version, Word::Set, Word::Del, Word::Data];
    let options = Options::read(call.arguments, 2, &words)?;
    let Some(version) = options.version else {
        return Err(Failure::text("ERR syntax error: VERSION is missing"));
    };
    let change = value_change(&options)?;
    let id = target(call);
    let version = call
        .shard
        .write_session(caller(call), &id, version, change)?;
    call.reply.integer(version as i64);
    Ok(Flow::Done)
}

/// `SESSION.RENEW id fence ms`
pub fn renew(call: &mut Call<'_>) -> Ran {
    let hold_ms = options::hold_ms("the time", call.arguments.at(3))?;
    let (id, fence) = (target(call), options::fence(call.arguments.at(2))?);
    call.shard
        .renew_session(caller(call), &id, fence, hold_ms)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `SESSION.RELEASE id fence`
pub fn release(call: &mut Call<'_>) -> Ran {
    let (id, fence) = (target(call), options::fence(call.arguments.at(2))?);
    call.shard.release_session(caller(call), &id, fence)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `SESSION.TOUCH id [IDLE ms]`
pub fn touch(call: &mut Call<'_>) -> Ran {
    let options = Options::read(call.arguments, 2, &[Word::Idle])?;
    let id = target(call);
    let is_there = call
        .shard
        .touch_session(caller(call), &id, options.idle_ms)?;
    call.reply.integer(i64::from(is_there));
    Ok(Flow::Done)
}

/// `SESSION.BREAK id`
pub fn r#break(call: &mut Call<'_>) -> Ran {
    let id = target(call);
    let was_held = call.shard.break_session(caller(call), &id)?;
    call.reply.integer(i64::from(was_held));
    Ok(Flow::Done)
}

/// `SESSION.DESTROY id [FENCE f]`
pub fn destroy(call: &mut Call<'_>) -> Ran {
    let options = Options::read(call.arguments, 2, &[Word::Fence])?;
    let id = target(call);
    let was_there = call
        .shard
        .destroy_session(caller(call), &id, options.fence)?;
    call.reply.integer(i64::from(was_there));
    Ok(Flow::Done)
}

/// `SESSION.ROTATE id [FENCE f] [GRACE ms]`
pub fn rotate(call: &mut Call<'_>) -> Ran {
    let options = Options::read(call.arguments, 2, &[Word::Fence, Word::Grace])?;
    let id = call.arguments.at(1);
    if target(call) != id {
        return Err(shard::Unwritable::Gone.into());
    }
    let new = ids::successor(id, &mut call.server.random);
    let grace_ms = options.grace_ms.unwrap_or(0);
    let was_there = call
        .shard
        .rotate_session(caller(call), id, &new, options.fence, grace_ms)?;
    if was_there {
        call.reply.bulk(&new);
    } else {
        call.reply.null();
    }
    Ok(Flow::Done)
}

/// `SESSION.INFO id`
pub fn info(call: &mut Call<'_>) -> Ran {
    let id = target(call);
    match call.shard.session_info(caller(call), &id) {
        Some(info) => reply::info(call, &id, &info),
        None => call.reply.null(),
    }
    Ok(Flow::Done)
}
