//! Times to live: `EXPIRE` and its kin, and the options of `SET` and `GETEX`.

use model::time::Deadline;

use crate::failure::shown;
use crate::{Call, Failure, Flow, Ran};

/// What a number of the client's counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What a number of the client's is counted from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Now.
    Now,
    /// The beginning of 1970.
    Epoch,
}

/// When a key shall cease to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Not by itself.
    Never,
    /// At this deadline, which lies ahead.
    At(Deadline),
    /// It has ceased to already.
    Past,
}

fn invalid(call: &Call<'_>) -> Failure {
    let name = call.spec.name;
    Failure::Text(alloc::format!("ERR invalid expire time in '{name}' command").into())
}

/// The milliseconds since 1970 that a client's number means; may be negative.
fn unix_ms(call: &Call<'_>, number: i64, unit: Unit, base: Base) -> Result<i64, Failure> {
    let ms = match unit {
        Unit::Seconds => number.checked_mul(1000),
        Unit::Milliseconds => Some(number),
    };
    let start = match base {
        Base::Now => call.now.unix_ms as i64,
        Base::Epoch => 0,
    };
    ms.and_then(|ms| ms.checked_add(start))
        .ok_or_else(|| invalid(call))
}

/// Deadlines after the year 10889 are cut to it.
fn moment(call: &Call<'_>, unix_ms: i64) -> Moment {
    match u64::try_from(unix_ms) {
        Ok(ms) if ms > call.now.unix_ms => Moment::At(Deadline::at(ms).unwrap_or(Deadline::LAST)),
        Ok(_) | Err(_) => Moment::Past,
    }
}

/// The moment that a number greater than zero means.
///
/// # Errors
/// It is not, or it is too large.
pub fn positive(call: &Call<'_>, number: i64, unit: Unit, base: Base) -> Result<Moment, Failure> {
    if number <= 0 {
        return Err(invalid(call));
    }
    Ok(moment(call, unix_ms(call, number, unit, base)?))
}

fn option_kind(call: &Call<'_>, at: usize) -> Option<(Unit, Base)> {
    if call.arguments.is(at, "EX") {
        Some((Unit::Seconds, Base::Now))
    } else if call.arguments.is(at, "PX") {
        Some((Unit::Milliseconds, Base::Now))
    } else if call.arguments.is(at, "EXAT") {
        Some((Unit::Seconds, Base::Epoch))
    } else if call.arguments.is(at, "PXAT") {
        Some((Unit::Milliseconds, Base::Epoch))
    } else {
        None
    }
}

/// Whether one of `EX`, `PX`, `EXAT` and `PXAT` is at `at`.
pub fn is_option(call: &Call<'_>, at: usize) -> bool {
    option_kind(call, at).is_some()
}

/// Reads `EX s`, `PX ms`, `EXAT s` or `PXAT ms` at `at`; the number must be there.
///
/// # Errors
/// The number is none, not positive, or too large.
pub fn option(call: &Call<'_>, at: usize) -> Result<Moment, Failure> {
    let (unit, base) = option_kind(call, at).ok_or(Failure::Syntax)?;
    let number = call.arguments.integer(at + 1)?;
    positive(call, number, unit, base)
}

/// Gives a key another deadline, or removes it if that has passed.
///
/// # Errors
/// The store refuses.
pub fn move_deadline(call: &mut Call<'_>, key: &[u8], moment: Moment) -> Result<(), Failure> {
    match moment {
        Moment::Never => call.shard.touch(call.now, call.db, key, Deadline::NEVER)?,
        Moment::At(deadline) => call.shard.touch(call.now, call.db, key, deadline)?,
        Moment::Past => call.shard.delete(call.now, call.db, key)?,
    };
    Ok(())
}

/// When `EXPIRE` acts.
#[derive(Default)]
struct Conditions {
    only_without: bool,
    only_with: bool,
    only_later: bool,
    only_sooner: bool,
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire(call: &mut Call<'_>) -> Ran {
    set_deadline(call, Unit::Seconds, Base::Now)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn pexpire(call: &mut Call<'_>) -> Ran {
    set_deadline(call, Unit::Milliseconds, Base::Now)
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
pub fn expireat(call: &mut Call<'_>) -> Ran {
    set_deadline(call, Unit::Seconds, Base::Epoch)
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
pub fn pexpireat(call: &mut Call<'_>) -> Ran {
    set_deadline(call, Unit::Milliseconds, Base::Epoch)
}

fn set_deadline(call: &mut Call<'_>, unit: Unit, base: Base) -> Ran {
    let key = call.arguments.at(1);
    let conditions = conditions(call)?;
    let number = call.arguments.integer(2)?;
    let moment = match unix_ms(call, number, unit, base)? {
        ms if ms < 0 => Moment::Past,
        ms => moment(call, ms),
    };
    let record = call.shard.record(call.now, call.db, key);
    let acts = record.is_some_and(|record| conditions.allow(record.deadline, moment));
    if acts {
        move_deadline(call, key, moment)?;
    }
    call.reply.integer(i64::from(acts));
    Ok(Flow::Done)
}

fn conditions(call: &Call<'_>) -> Result<Conditions, Failure> {
    let arguments = call.arguments;
    let mut conditions = Conditions::default();
    for at in 3..arguments.len() {
        let flag = if arguments.is(at, "NX") {
            &mut conditions.only_without
        } else if arguments.is(at, "XX") {
            &mut conditions.only_with
        } else if arguments.is(at, "GT") {
            &mut conditions.only_later
        } else if arguments.is(at, "LT") {
            &mut conditions.only_sooner
        } else {
            let option = shown(arguments.at(at));
            let text = alloc::format!("ERR Unsupported option {option}");
            return Err(Failure::Text(text.into()));
        };
        *flag = true;
    }
    let Conditions {
        only_without,
        only_with,
        only_later,
        only_sooner,
    } = conditions;
    if only_without && (only_with || only_later || only_sooner) {
        return Err(Failure::text(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if only_later && only_sooner {
        return Err(Failure::text(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    Ok(conditions)
}

impl Conditions {
    /// A key without a deadline counts as one with the latest of all.
    fn allow(&self, old: Deadline, new: Moment) -> bool {
        let new = match new {
            Moment::Never => Deadline::NEVER,
            Moment::At(deadline) => deadline,
            Moment::Past => Deadline::from_raw(0),
        };
        (!self.only_without || old.is_never())
            && (!self.only_with || !old.is_never())
            && (!self.only_later || new > old)
            && (!self.only_sooner || new < old)
    }
}

/// `PERSIST key`. A session's absolute deadline stays.
pub fn persist(call: &mut Call<'_>) -> Ran {
    let key = call.arguments.at(1);
    let record = call.shard.record(call.now, call.db, key);
    let latest = record.map(|record| record.meta.map_or(Deadline::NEVER, |meta| meta.max));
    let changes = record.is_some_and(|record| Some(record.deadline) != latest);
    if changes {
        call.shard.touch(call.now, call.db, key, Deadline::NEVER)?;
    }
    call.reply.integer(i64::from(changes));
    Ok(Flow::Done)
}

/// Answers a number that depends on the deadline: -2 without a key, -1 without a deadline.
fn reply_deadline(call: &mut Call<'_>, of: fn(deadline_ms: u64, now_ms: u64) -> u64) -> Ran {
    let record = call.shard.record(call.now, call.db, call.arguments.at(1));
    let answer = match record {
        None => -2,
        Some(record) if record.deadline.is_never() => -1,
        Some(record) => of(record.deadline.raw(), call.now.unix_ms) as i64,
    };
    call.reply.integer(answer);
    Ok(Flow::Done)
}

/// `TTL key`: rounded to the nearest second.
pub fn ttl(call: &mut Call<'_>) -> Ran {
    reply_deadline(call, |deadline, now| (deadline - now + 500) / 1000)
}

/// `PTTL key`
pub fn pttl(call: &mut Call<'_>) -> Ran {
    reply_deadline(call, |deadline, now| deadline - now)
}

/// `EXPIRETIME key`
pub fn expiretime(call: &mut Call<'_>) -> Ran {
    reply_deadline(call, |deadline, _| (deadline + 500) / 1000)
}

/// `PEXPIRETIME key`
pub fn pexpiretime(call: &mut Call<'_>) -> Ran {
    reply_deadline(call, |deadline, _| deadline)
}
