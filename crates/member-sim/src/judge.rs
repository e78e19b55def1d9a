//! What clients were told, judged: could one copy of the data, with one clock, have told it all?
//!
//! - Counters and sessions are linearizable, and nothing acknowledged is lost (`history::versions`).
//! - A version has one value, whoever reads it; a conditional write makes the version after the one that it asked for, and so does a commit: nobody
//!   else writes under a hold.
//! - Holds exclude each other, fences grow, late commits are refused (`history::holds`).
//! - A session that one client alone knows is as that client left it, under whatever id (see [`own`]).
//! - A hold that was not renewed commits nothing behind its end, whether anybody has held since or not.
//! - What was given a time to live is there until its end, and gone after it, for good; a session lives on as long as it is used ([`idle`]).
//! - The halves of a pair, which are written together, are found together, and as they were written last ([`pairs`]).
//! - What was there when everything was flushed is gone, for good.
//! - Of what is read and written under a lock no update is lost.
//! - An id that is gone and guarded can be made again when its time is over, and not before.
//!
//! Where all machines lose their power at once, what had not been synced by then may be lost, but nothing older ([`ages`]).
//!
//! Clocks of nodes differ: where a deadline is judged, it may come earlier or later by the [`Slack`] that the run's clocks, failovers and restarts explain.

use std::collections::{BTreeMap, BTreeSet};

use history::holds::{self, Hold};
use history::versions::{self, Request, What};

use model::slot::Slot;

use crate::record::{Answer, Ask, Operation};

mod ages;
mod idle;
mod own;
mod pairs;
#[cfg(test)]
mod tests;

/// By how much a deadline may be off, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slack {
    /// Too early.
    pub early_us: u64,
    /// Too late.
    pub late_us: u64,
}

/// All machines lost their power at once. Times are those of the world, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Blackout {
    /// When.
    pub at_us: u64,
    /// What was told before this had been synced by all who had it.
    pub synced_us: u64,
}

impl Blackout {
    /// Whether what was told then may be lost.
    const fn may_take(self, told_us: u64) -> bool {
        told_us >= self.synced_us
    }
}

/// Those of a client that asks one thing after the other, until a blackout may have taken something of what it knows.
fn known<'a>(
    operations: &'a [&Operation],
    blackouts: &'a [Blackout],
) -> impl Iterator<Item = &'a Operation> {
    let mut told_us = 0;
    operations.iter().copied().take_while(move |operation| {
        let is_hit = blackouts.iter().any(|b| {
            let is_before = operation.ended_us < b.at_us;
            let spans = operation.sent_us < b.at_us;
            let is_lost = told_us < b.at_us && b.may_take(told_us);
            !is_before && (spans || is_lost)
        });
        told_us = operation.ended_us;
        !is_hit
    })
}

/// Judges everything. Blackouts are in the order in which they came.
///
/// # Errors
/// The first contradiction.
pub fn judge(operations: &[Operation], slack: Slack, blackouts: &[Blackout]) -> Result<(), String> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(&operation.key).or_default().push(operation);
    }
    let flushes = operations.iter().filter(|o| o.ask == Ask::Flush);
    let flushes: Vec<&Operation> = flushes.collect();
    for (key, operations) in keys {
        let judged = if key.starts_with("mortal") {
            mortal(&operations, slack, blackouts, &flushes)
        } else if key.starts_with("idle") {
            idle::judge(&operations, slack, blackouts)
        } else if key.starts_with("pair") {
            pairs::judge(&operations, blackouts)
        } else if key.starts_with("own") {
            own::judge(&operations, slack, blackouts)
        } else {
            ages::judge(&operations, blackouts)
                .and_then(|()| exclusion(&operations, slack, blackouts))
                .and_then(|()| ends(&operations, slack, blackouts))
        };
        judged.map_err(|wrong| format!("{key}: {wrong}"))?;
    }
    Ok(())
}

/// Versions form one line that explains every answer, behind those up to `base`, which are there at the beginning.
fn line(operations: &[&Operation], base: u64) -> Result<(), String> {
    let (of, mut line): (Vec<&Operation>, Vec<Request>) = operations
        .iter()
        .filter_map(|o| Some((*o, request(o)?)))
        .unzip();
    line.extend((1..=base).map(|version| Request {
        sent: 0,
        told: Some(0),
        what: What::Made(version),
    }));
    let Some(fault) = versions::check(&line).into_iter().next() else {
        return Ok(());
    };
    let about = |request: usize| match of.get(request) {
        Some(operation) => format!("{operation:?}"),
        None => "what a blackout has left".to_owned(),
    };
    let about = match fault {
        versions::Fault::WentBack { request, .. }
        | versions::Fault::FromTheFuture { request, .. } => about(request),
        versions::Fault::MadeTwice { first, second, .. } => {
            format!("{} and {}", about(first), about(second))
        }
        versions::Fault::FromNowhere { .. } => String::new(),
    };
    Err(format!("{fault}: {about}"))
}

/// An operation as the checker of versions sees it; nothing, if it says nothing about them.
fn request(operation: &Operation) -> Option<Request> {
    let is_write = match operation.ask {
        Ask::Increment | Ask::Create(_) | Ask::Write(..) | Ask::Commit(..) | Ask::Under(_) => true,
        Ask::Count
        | Ask::Read
        | Ask::Open(..)
        | Ask::Release(_)
        | Ask::Renew(..)
        | Ask::Put(..)
        | Ask::Get
        | Ask::Bear(..)
        | Ask::Rotate(_)
        | Ask::ReadOld
        | Ask::Destroy
        | Ask::Revoke(_)
        | Ask::List(_)
        | Ask::Keys
        | Ask::Raise(..)
        | Ask::Lock(..)
        | Ask::Unlock(_)
        | Ask::Arise(..)
        | Ask::Touch(_)
        | Ask::ReadTouch
        | Ask::Use
        | Ask::Expire(_)
        | Ask::Left
        | Ask::Pair(_)
        | Ask::Both
        | Ask::Flush
        | Ask::Walk(_) => false,
    };
    let what = match (&operation.answer, is_write) {
        (Answer::Version(version) | Answer::State { version, .. }, true) => What::Made(*version),
        (Answer::Version(version) | Answer::State { version, .. }, false) => What::Saw(*version),
        (Answer::Unknown, true) => What::Unknown,
        (
            Answer::Unknown
            | Answer::Refused
            | Answer::Done
            | Answer::Value(_)
            | Answer::Renamed(_)
            | Answer::Ended(_)
            | Answer::Left(_)
            | Answer::Halves(..)
            | Answer::Flushed(_)
            | Answer::Ids(_),
            _,
        ) => return None,
    };
    Some(Request {
        sent: operation.sent_us,
        told: (what != What::Unknown).then_some(operation.ended_us),
        what,
    })
}

/// What an operation says about which value a version has.
fn value_of(operation: &Operation) -> Option<(u64, &str)> {
    match (&operation.ask, &operation.answer) {
        (
            Ask::Create(value) | Ask::Write(_, value) | Ask::Commit(_, _, value),
            Answer::Version(version) | Answer::State { version, .. },
        ) => Some((*version, value)),
        (Ask::Read | Ask::Open(..), Answer::State { version, value, .. }) => {
            Some((*version, value.as_deref().unwrap_or_default()))
        }
        _ => None,
    }
}

fn successors(operations: &[&Operation]) -> Result<(), String> {
    for operation in operations {
        let (Ask::Write(expected, _) | Ask::Commit(_, expected, _), Answer::Version(version)) =
            (&operation.ask, &operation.answer)
        else {
            continue;
        };
        if *version != expected + 1 {
            return Err(format!("somebody wrote in between: {operation:?}"));
        }
    }
    Ok(())
}

fn exclusion(
    operations: &[&Operation],
    slack: Slack,
    blackouts: &[Blackout],
) -> Result<(), String> {
    let mut holds = holds_of(operations, slack);
    for hold in &mut holds {
        // Its grant may be lost.
        let next = blackouts.iter().find(|b| b.at_us >= hold.asked);
        hold.sure_until = hold.sure_until.min(next.map_or(u64::MAX, |b| b.at_us));
    }
    let Some(fault) = holds::check(&holds).into_iter().next() else {
        return Ok(());
    };
    let about = match fault {
        holds::Fault::Overlap { first, second } => {
            format!("{:?}, {:?}", holds[first], holds[second])
        }
        holds::Fault::FenceWentBack { hold, .. } => format!("{:?}", holds[hold]),
        holds::Fault::LateCommit { hold, after } => {
            format!("{:?}, {:?}", holds[hold], holds[after])
        }
    };
    Err(format!("{fault}: {about}"))
}

fn holds_of(operations: &[&Operation], slack: Slack) -> Vec<Hold> {
    let mut holds: Vec<Hold> = operations.iter().filter_map(|o| hold(o, slack)).collect();
    let numbers = holds.iter().enumerate();
    let by_fence: BTreeMap<u64, usize> = numbers.map(|(number, h)| (h.fence, number)).collect();
    for operation in operations {
        let (Ask::Commit(fence, ..) | Ask::Release(fence) | Ask::Renew(fence, _)) = &operation.ask
        else {
            continue;
        };
        let Some(number) = by_fence.get(fence) else {
            continue;
        };
        use_hold(&mut holds[*number], operation);
    }
    holds
}

/// What a hold commits is sent before its end, as late as that may be.
fn ends(operations: &[&Operation], slack: Slack, blackouts: &[Blackout]) -> Result<(), String> {
    let renewed: BTreeSet<u64> = operations
        .iter()
        .filter_map(|operation| {
            let Ask::Renew(fence, _) = operation.ask else {
                return None;
            };
            Some(fence)
        })
        .collect();
    let opened: BTreeMap<u64, (u64, u64)> = operations
        .iter()
        .filter_map(|operation| {
            let (Ask::Open(hold_ms, _), Answer::State { fence, .. }) =
                (&operation.ask, &operation.answer)
            else {
                return None;
            };
            Some((*fence, (operation.ended_us, hold_ms * 1_000)))
        })
        .collect();
    for commit in operations {
        let (Ask::Commit(fence, ..), Answer::Version(_)) = (&commit.ask, &commit.answer) else {
            continue;
        };
        let known = opened.get(fence).filter(|_| !renewed.contains(fence));
        let Some((granted_us, lasts_us)) = known else {
            continue;
        };
        let is_late = commit.sent_us > granted_us + lasts_us + slack.late_us;
        let is_dark = |b: &Blackout| (*granted_us..commit.ended_us).contains(&b.at_us);
        if is_late && !blackouts.iter().any(is_dark) {
            return Err(format!(
                "a hold of {lasts_us} us, granted at {granted_us}, was over: {commit:?}"
            ));
        }
    }
    Ok(())
}

/// Whatever came of it: from here on its client cannot be sure of it. Renewing may also have made it shorter.
fn use_hold(hold: &mut Hold, operation: &Operation) {
    hold.sure_until = hold.sure_until.min(operation.sent_us);
    let is_commit = matches!(operation.answer, Answer::Version(_));
    if is_commit && hold.committed.is_none_or(|first| operation.sent_us < first) {
        hold.committed = Some(operation.sent_us);
    }
}

fn hold(operation: &Operation, slack: Slack) -> Option<Hold> {
    let (Ask::Open(hold_ms, _), Answer::State { fence, .. }) = (&operation.ask, &operation.answer)
    else {
        return None;
    };
    let lasts_us = (hold_ms * 1_000).saturating_sub(slack.early_us);
    (*fence > 0).then(|| Hold {
        asked: operation.sent_us,
        granted: operation.ended_us,
        sure_until: operation.sent_us + lasts_us,
        fence: *fence,
        committed: None,
    })
}

/// A key that one client wrote once, to live for a time.
fn mortal(
    operations: &[&Operation],
    slack: Slack,
    blackouts: &[Blackout],
    flushes: &[&Operation],
) -> Result<(), String> {
    let put = operations.iter().find_map(|operation| {
        let Ask::Put(value, ttl_ms) = &operation.ask else {
            return None;
        };
        Some((*operation, value, ttl_ms * 1_000))
    });
    let Some((put, value, ttl_us)) = put.filter(|(put, ..)| put.answer == Answer::Done) else {
        return Ok(());
    };
    for operation in operations {
        let may_be_lost = blackouts
            .iter()
            .any(|b| b.may_take(put.ended_us) && operation.ended_us > b.at_us);
        if !may_be_lost {
            let expired = (put.sent_us + ttl_us, put.ended_us + ttl_us);
            let wrong = |wrong| format!("{wrong}: {put:?}, {operation:?}");
            guarded(operation, expired, slack).map_err(wrong)?;
        }
        let Answer::Value(found) = &operation.answer else {
            continue;
        };
        if found.as_ref().is_some_and(|found| found != value) {
            return Err(format!("not what was written: {operation:?}"));
        }
        let too_early = operation.ended_us + slack.early_us < put.sent_us + ttl_us;
        let is_flushed = flushes.iter().any(|f| may_flush(f, put, operation));
        let too_early = too_early && !may_be_lost && !is_flushed;
        if found.is_none() && too_early && operation.sent_us >= put.ended_us {
            return Err(format!("gone too early: {put:?}, {operation:?}"));
        }
        let too_late = operation.sent_us > put.ended_us + ttl_us + slack.late_us;
        if found.is_some() && too_late {
            return Err(format!("there too late: {put:?}, {operation:?}"));
        }
        let mut flushes = flushes.iter();
        if found.is_some()
            && let Some(flush) = flushes.find(|f| must_flush(f, put, operation, blackouts))
        {
            return Err(format!(
                "flushed and there: {put:?}, {flush:?}, {operation:?}"
            ));
        }
    }
    stays_gone(operations, put, blackouts)
}

/// Whether a flush may have taken what was put before it was looked for.
fn may_flush(flush: &Operation, put: &Operation, look: &Operation) -> bool {
    let may_be_later = flush.answer == Answer::Unknown || flush.ended_us > put.sent_us;
    flush.answer != Answer::Refused && may_be_later && flush.sent_us < look.ended_us
}

/// Whether it must have, and no blackout has taken the flush.
fn must_flush(
    flush: &Operation,
    put: &Operation,
    look: &Operation,
    blackouts: &[Blackout],
) -> bool {
    let Answer::Flushed(ranges) = &flush.answer else {
        return false;
    };
    let slot = Slot::of(put.key.as_bytes()).number();
    let has_it = ranges
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&slot));
    let is_dark = |b: &Blackout| (flush.sent_us..look.ended_us).contains(&b.at_us);
    let is_between = flush.sent_us >= put.ended_us && look.sent_us >= flush.ended_us;
    has_it && is_between && !blackouts.iter().any(is_dark)
}

/// What has come of making an id again that is gone since some moment between these two.
fn guarded(operation: &Operation, gone_us: (u64, u64), slack: Slack) -> Result<(), String> {
    let Ask::Raise(guard_ms, _) = operation.ask else {
        return Ok(());
    };
    let (from_us, until_us) = (gone_us.0 + guard_ms * 1_000, gone_us.1 + guard_ms * 1_000);
    if operation.answer == Answer::Done && operation.ended_us + slack.early_us < from_us {
        return Err("it came back while it is guarded".into());
    }
    if operation.answer == Answer::Refused && operation.sent_us > until_us + slack.late_us {
        return Err("it is guarded too long".into());
    }
    Ok(())
}

/// Once it was there, and then was not, it is not there again.
fn stays_gone(
    operations: &[&Operation],
    put: &Operation,
    blackouts: &[Blackout],
) -> Result<(), String> {
    let found = |operation: &&&Operation, is_there: bool| matches!(&operation.answer, Answer::Value(value) if value.is_some() == is_there);
    let missed = operations.iter().filter(|o| found(o, false));
    let missed = missed.filter(|o| o.sent_us >= put.ended_us);
    let Some(gone) = missed.min_by_key(|o| o.ended_us) else {
        return Ok(());
    };
    let mut back = operations.iter().filter(|o| found(o, true));
    let is_dark = |until_us| {
        let dark = |b: &Blackout| (put.sent_us..until_us).contains(&b.at_us);
        blackouts.iter().any(dark)
    };
    match back.find(|o| o.sent_us > gone.ended_us && !is_dark(o.ended_us)) {
        Some(back) => Err(format!("it was gone and came back: {gone:?}, {back:?}")),
        None => Ok(()),
    }
}
