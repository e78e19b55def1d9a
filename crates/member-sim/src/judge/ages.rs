//! Counters and sessions over blackouts.
//!
//! Each age between two blackouts has a line of its own. It begins with a version that the last age had: not before what had been synced by all
//! when their power went, not behind what can have been made. What was under way meanwhile may have happened in either age, or not.

use std::collections::BTreeMap;

use super::{Blackout, line, request, successors, value_of};
use crate::record::{Answer, Operation};
use history::versions::What;

/// Which versions are possible at the end of an age.
#[derive(Clone, Copy, Default)]
struct Range {
    least: u64,
    most: u64,
}

/// Judges the line, the values and the conditions of one key.
pub(super) fn judge(operations: &[&Operation], blackouts: &[Blackout]) -> Result<(), String> {
    if blackouts.is_empty() {
        return age(operations, 0).map(|_| ());
    }
    let mut known = Range::default();
    let mut values = BTreeMap::new();
    for number in 0..=blackouts.len() {
        let ends = blackouts.get(number);
        let from_us = number
            .checked_sub(1)
            .map_or(0, |last| blackouts[last].at_us);
        let until_us = ends.map_or(u64::MAX, |b| b.at_us);
        let here = within(operations, from_us, until_us);
        let here: Vec<&Operation> = here.iter().collect();
        let guesses = here.iter().filter(|o| is_unknown_write(o)).count() as u64;
        let first = told(&here).map(|(first, ..)| first).min();
        let base = if number == 0 { 0 } else { first.unwrap_or(0) };
        let name = |wrong: String| format!("after {number} blackouts: {wrong}");
        if number > 0
            && let Some(first) = first
        {
            if first < known.least {
                let least = known.least;
                return Err(name(format!(
                    "version {least} was synced, and {first} is left"
                )));
            }
            if first > known.most + guesses {
                return Err(name(format!("nobody can have made version {first}")));
            }
        }
        let found = age(&here, base).map_err(name)?;
        if guesses == 0
            && let (Some(now), Some(before)) = (found.get(&base), values.get(&base))
            && now != before
        {
            return Err(name(format!(
                "version {base} was '{before}' and is '{now}'"
            )));
        }
        let synced = |ended_us: u64| ends.is_some_and(|b| !b.may_take(ended_us));
        let kept = told(&here).filter(|(.., ended_us)| synced(*ended_us));
        let least = kept.map(|(_, after, _)| after).max();
        let most = told(&here).map(|(_, after, _)| after).max();
        known = Range {
            least: least.unwrap_or(known.least),
            most: most.unwrap_or(known.most) + guesses,
        };
        values = found;
    }
    Ok(())
}

/// One line, the values of whose versions it returns.
fn age(operations: &[&Operation], base: u64) -> Result<BTreeMap<u64, String>, String> {
    line(operations, base)?;
    let values = values(operations)?;
    successors(operations)?;
    Ok(values)
}

/// A version has one value.
fn values(operations: &[&Operation]) -> Result<BTreeMap<u64, String>, String> {
    let mut known: BTreeMap<u64, String> = BTreeMap::new();
    for operation in operations {
        let Some((version, value)) = value_of(operation) else {
            continue;
        };
        let first = known.entry(version).or_insert_with(|| value.to_owned());
        if first != value {
            return Err(format!(
                "version {version} is '{first}' and '{value}': {operation:?}"
            ));
        }
    }
    Ok(known)
}

/// What belongs to an age. Of what reaches beyond it nobody can tell in which it was done.
fn within(operations: &[&Operation], from_us: u64, until_us: u64) -> Vec<Operation> {
    let here = operations
        .iter()
        .filter(|o| o.sent_us < until_us && o.ended_us >= from_us);
    let cut = here.map(|o| {
        let mut cut = Operation::clone(o);
        if o.sent_us < from_us || o.ended_us >= until_us {
            cut.answer = Answer::Unknown;
            cut.sent_us = o.sent_us.max(from_us);
            cut.ended_us = o.ended_us.min(until_us);
        }
        cut
    });
    cut.collect()
}

/// The versions that were told: what was there before, what there is then, when that was told.
fn told(operations: &[&Operation]) -> impl Iterator<Item = (u64, u64, u64)> {
    let told = operations.iter().filter_map(|o| {
        let request = request(o)?;
        let told_us = request.told?;
        match request.what {
            What::Made(version) => Some((version.saturating_sub(1), version, told_us)),
            What::Saw(version) => Some((version, version, told_us)),
            What::Unknown => None,
        }
    });
    told.collect::<Vec<_>>().into_iter()
}

fn is_unknown_write(operation: &Operation) -> bool {
    request(operation).is_some_and(|request| request.what == What::Unknown)
}
