//! `SET` and its older kin.

use model::time::Deadline;

use super::{put_string, string_of};
use crate::keys::expiry::{self, Moment, Unit};
use crate::{Call, Failure, Flow, Ran};

/// When `SET` sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    IfAbsent,
    IfPresent,
    /// Valkey's `IFEQ`: only where the value is this one.
    IfEqual(&'a [u8]),
}

struct Options<'a> {
    condition: Condition<'a>,
    /// `None` when the time to live is to be kept.
    deadline: Option<Moment>,
    returns_old: bool,
}

/// `SET key value [NX | XX | IFEQ value] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(call: &mut Call<'_>) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(2));
    if call.arguments.len() == 3 {
        put_string(call, key, value, Deadline::NEVER)?;
        call.reply.ok();
        return Ok(Flow::Done);
    }
    let options = options(call)?;
    if options.condition == Condition::Always
        && !options.returns_old
        && let Some(Moment::At(deadline)) = options.deadline
    {
        put_string(call, key, value, deadline)?;
        call.reply.ok();
        return Ok(Flow::Done);
    }
    set_with_old(call, key, value, &options)
}

/// The ways of `SET` that depend on what is there.
fn set_with_old(call: &mut Call<'_>, key: &[u8], value: &[u8], options: &Options<'_>) -> Ran {
    let old = call.shard.record(call.now, call.db, key);
    let needs_string = options.returns_old || matches!(options.condition, Condition::IfEqual(_));
    if needs_string {
        string_of(old)?;
    }
    let sets = match options.condition {
        Condition::Always => true,
        Condition::IfAbsent => old.is_none(),
        Condition::IfPresent => old.is_some(),
        Condition::IfEqual(expected) => old.is_some_and(|old| old.body == expected),
    };
    match old {
        Some(old) if options.returns_old => call.reply.bulk(old.body),
        None if options.returns_old => call.reply.null(),
        Some(_) | None if sets => call.reply.ok(),
        Some(_) | None => call.reply.null(),
    }
    let kept = old.map_or(Deadline::NEVER, |old| old.deadline);
    if sets {
        match options.deadline {
            None => put_string(call, key, value, kept)?,
            Some(Moment::Never) => put_string(call, key, value, Deadline::NEVER)?,
            Some(Moment::At(deadline)) => put_string(call, key, value, deadline)?,
            Some(Moment::Past) => {
                call.shard.delete(call.now, call.db, key)?;
            }
        }
    }
    Ok(Flow::Done)
}

/// Reads the options from the third argument on: told apart by length and first letter before they are
/// compared. The time is looked at last, so that a syntax error is told first.
fn options<'a>(call: &Call<'a>) -> Result<Options<'a>, Failure> {
    let arguments = call.arguments;
    let mut options = Options {
        condition: Condition::Always,
        deadline: Some(Moment::Never),
        returns_old: false,
    };
    // Where the time stands; `KEEPTTL` has none.
    let (mut at, mut expiry_at, mut keeps) = (3, None, false);
    while at < arguments.len() {
        let word = arguments.at(at);
        let first = word.first().map_or(0, |byte| byte | 0x20);
        let mut words = 1;
        match (word.len(), first) {
            (2, b'n') if arguments.is(at, "NX") => options.require(Condition::IfAbsent)?,
            (2, b'x') if arguments.is(at, "XX") => options.require(Condition::IfPresent)?,
            (3, b'g') if arguments.is(at, "GET") => options.returns_old = true,
            (4, b'i') if arguments.is(at, "IFEQ") => {
                let value = arguments.get(at + 1).ok_or(Failure::Syntax)?;
                options.require(Condition::IfEqual(value))?;
                words = 2;
            }
            (7, b'k') if arguments.is(at, "KEEPTTL") && expiry_at.is_none() => keeps = true,
            (2 | 4, b'e' | b'p')
                if expiry::is_option(call, at) && !keeps && at + 1 < arguments.len() =>
            {
                let same = |before: usize| word.eq_ignore_ascii_case(arguments.at(before));
                if !expiry_at.is_none_or(same) {
                    return Err(Failure::Syntax);
                }
                expiry_at = Some(at);
                words = 2;
            }
            _ => return Err(Failure::Syntax),
        }
        at += words;
    }
    options.deadline = match expiry_at {
        _ if keeps => None,
        None => Some(Moment::Never),
        Some(at) => Some(expiry::option(call, at)?),
    };
    Ok(options)
}

impl<'a> Options<'a> {
    /// Sets the condition. It may be repeated, but not changed.
    fn require(&mut self, condition: Condition<'a>) -> Result<(), Failure> {
        if self.condition != Condition::Always && self.condition != condition {
            return Err(Failure::Syntax);
        }
        self.condition = condition;
        Ok(())
    }
}

/// `SETNX key value`
pub fn setnx(call: &mut Call<'_>) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(2));
    let absent = call.shard.record(call.now, call.db, key).is_none();
    if absent {
        put_string(call, key, value, Deadline::NEVER)?;
    }
    call.reply.integer(i64::from(absent));
    Ok(Flow::Done)
}

/// `SETEX key seconds value`
pub fn setex(call: &mut Call<'_>) -> Ran {
    set_for(call, Unit::Seconds)
}

/// `PSETEX key milliseconds value`
pub fn psetex(call: &mut Call<'_>) -> Ran {
    set_for(call, Unit::Milliseconds)
}

fn set_for(call: &mut Call<'_>, unit: Unit) -> Ran {
    let (key, value) = (call.arguments.at(1), call.arguments.at(3));
    let after = call.arguments.integer(2)?;
    let moment = expiry::positive(call, after, unit, expiry::Base::Now)?;
    if let Moment::At(deadline) = moment {
        put_string(call, key, value, deadline)?;
    }
    call.reply.ok();
    Ok(Flow::Done)
}
