//! What a history proves about the server.
//!
//! - Counters and sessions are linearizable, and nothing acknowledged is lost (`history::versions`).
//! - A version has one value, whoever reads it; a conditional write makes the version after the one that it asked for.
//! - Holds exclude each other, fences grow, late commits are refused (`history::holds`), and nobody else writes under a hold.

use std::collections::BTreeMap;
use std::fmt;

use history::holds::{self, Hold};
use history::versions::{self, Request, What};

use crate::record::{Answer, Ask, History, Operation};

#[cfg(test)]
mod tests;

/// The server counts in whole milliseconds, so a hold may be this much shorter than was asked for.
const GRAIN_MS: u64 = 1;
/// A known limit (docs/replication.md, "Time"): a new primary's time begins up to `time_step_ms` ahead of the clock, so a failover may end a hold so
/// much too early. The late holder is fenced as ever.
const FAILOVER_JUMP_MS: u64 = 100;
/// The epoch of a fence stands above these bits.
const SEQUENCE_BITS: u32 = 40;
/// Contradictions that are printed of one key.
const SHOWN: usize = 5;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Contradictions, in words.
    pub faults: Vec<String>,
    /// Acknowledged writes that were lost.
    pub lost: usize,
    /// Requests that were answered, that were certainly not done, and of which nobody knows.
    pub answered: usize,
    /// See `answered`.
    pub refused: usize,
    /// See `answered`.
    pub unknown: usize,
    /// Holds that were granted.
    pub holds: usize,
    /// Of those, ended too early by a failover, within the known limit.
    pub cut_short: usize,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.lost == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(out, "WRONG: {fault}")?;
        }
        write!(
            out,
            "{} answered, {} refused, {} unknown, {} holds, {} of them cut short by a failover; {} acknowledged writes lost, {} contradictions",
            self.answered,
            self.refused,
            self.unknown,
            self.holds,
            self.cut_short,
            self.lost,
            self.faults.len()
        )
    }
}

/// Judges a whole history.
#[must_use]
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        keys.entry(&operation.key).or_default().push(operation);
        match operation.answer {
            Answer::Refused(_) => verdict.refused += 1,
            Answer::Unknown(_) => verdict.unknown += 1,
            Answer::Version(_) | Answer::State { .. } | Answer::Done => verdict.answered += 1,
        }
    }
    for (key, operations) in keys {
        judge_key(key, &operations, &mut verdict);
    }
    verdict
}

fn judge_key(key: &str, operations: &[&Operation], verdict: &mut Verdict) {
    let (numbers, line): (Vec<usize>, Vec<Request>) = (0..operations.len())
        .filter_map(|number| Some((number, request(operations[number])?)))
        .unzip();
    verdict.lost += versions::lost(&line);
    let of_line = versions::check(&line);
    let show = |number: usize| format!("[{number}] {:?}", operations[numbers[number]]);
    let mut faults: Vec<String> = of_line
        .iter()
        .map(|fault| format!("{key}: {fault}{}", about(fault, &show)))
        .collect();
    values(key, operations, &mut faults);
    successors(key, operations, &mut faults);
    let holds = holds_of(operations);
    verdict.holds += holds.len();
    let (cut_short, wrong): (Vec<_>, Vec<_>) = holds::check(&holds)
        .into_iter()
        .partition(|fault| is_cut_short(*fault, &holds));
    verdict.cut_short += cut_short.len();
    for fault in wrong {
        faults.push(format!("{key}: {fault}{}", about_holds(fault, &holds)));
    }
    if faults.len() > SHOWN {
        let more = format!("{key}: and {} more", faults.len() - SHOWN);
        faults.truncate(SHOWN);
        faults.push(more);
    }
    verdict.faults.append(&mut faults);
}

/// The requests that a contradiction is about.
fn about(fault: &versions::Fault, show: &impl Fn(usize) -> String) -> String {
    match *fault {
        versions::Fault::WentBack { request, .. }
        | versions::Fault::FromTheFuture { request, .. } => format!(": {}", show(request)),
        versions::Fault::MadeTwice { first, second, .. } => {
            format!(": {} and {}", show(first), show(second))
        }
        versions::Fault::FromNowhere { .. } => String::new(),
    }
}

/// Whether a failover has ended the first hold, within the known limit.
fn is_cut_short(fault: holds::Fault, holds: &[Hold]) -> bool {
    let holds::Fault::Overlap { first, second } = fault else {
        return false;
    };
    let epoch = |hold: &Hold| hold.fence >> SEQUENCE_BITS;
    let (first, second) = (&holds[first], &holds[second]);
    let early = first.sure_until.saturating_sub(second.granted);
    epoch(first) < epoch(second) && early <= FAILOVER_JUMP_MS * 1_000_000
}

/// The holds that a contradiction is about.
fn about_holds(fault: holds::Fault, holds: &[Hold]) -> String {
    match fault {
        holds::Fault::Overlap { first, second } => {
            let early = holds[first]
                .sure_until
                .saturating_sub(holds[second].granted);
            let early_ms = early as f64 / 1e6;
            format!(
                " ({early_ms} ms too early): {:?}, {:?}",
                holds[first], holds[second]
            )
        }
        holds::Fault::FenceWentBack { hold, .. } => format!(": {:?}", holds[hold]),
        holds::Fault::LateCommit { hold, after } => {
            format!(": {:?}, {:?}", holds[hold], holds[after])
        }
    }
}

/// An operation as the checker of versions sees it; nothing, if it says nothing about them.
fn request(operation: &Operation) -> Option<Request> {
    let is_write = match operation.ask {
        Ask::Increment | Ask::Create { .. } | Ask::Write { .. } | Ask::Commit { .. } => true,
        Ask::Count | Ask::Read | Ask::Open { .. } | Ask::Release { .. } => false,
    };
    let what = match (&operation.answer, is_write) {
        (Answer::Version(version), true) => What::Made(*version),
        (Answer::State { version, .. }, true) => What::Made(*version),
        (Answer::Version(version) | Answer::State { version, .. }, false) => What::Saw(*version),
        (Answer::Unknown(_), true) => What::Unknown,
        (Answer::Unknown(_) | Answer::Refused(_) | Answer::Done, _) => return None,
    };
    Some(Request {
        sent: operation.sent,
        told: (what != What::Unknown).then_some(operation.ended),
        what,
    })
}

/// What an operation says about which value a version has.
fn value_of(operation: &Operation) -> Option<(u64, &str)> {
    match (&operation.ask, &operation.answer) {
        (Ask::Write { value, .. } | Ask::Commit { value, .. } | Ask::Create { value }, answer) => {
            match answer {
                Answer::Version(version) | Answer::State { version, .. } => Some((*version, value)),
                Answer::Done | Answer::Refused(_) | Answer::Unknown(_) => None,
            }
        }
        (Ask::Read | Ask::Open { .. }, Answer::State { version, value, .. }) => {
            Some((*version, value.as_deref().unwrap_or_default()))
        }
        (Ask::Read | Ask::Open { .. } | Ask::Increment | Ask::Count | Ask::Release { .. }, _) => {
            None
        }
    }
}

fn values(key: &str, operations: &[&Operation], faults: &mut Vec<String>) {
    let mut known: BTreeMap<u64, &str> = BTreeMap::new();
    for operation in operations {
        let Some((version, value)) = value_of(operation) else {
            continue;
        };
        let first = known.entry(version).or_insert(value);
        if *first != value {
            faults.push(format!(
                "{key}: version {version} is '{first}' and '{value}': {operation:?}"
            ));
        }
    }
}

/// A conditional write makes the next version, and so does a commit: nobody else may write under the hold.
fn successors(key: &str, operations: &[&Operation], faults: &mut Vec<String>) {
    for operation in operations {
        let (Ask::Write { expected, .. } | Ask::Commit { expected, .. }, Answer::Version(version)) =
            (&operation.ask, &operation.answer)
        else {
            continue;
        };
        if *version != expected + 1 {
            faults.push(format!("{key}: somebody wrote in between: {operation:?}"));
        }
    }
}

fn holds_of(operations: &[&Operation]) -> Vec<Hold> {
    let mut holds: Vec<Hold> = operations.iter().filter_map(|o| hold(o)).collect();
    let mut by_fence: BTreeMap<u64, usize> = BTreeMap::new();
    for (number, hold) in holds.iter().enumerate() {
        by_fence.insert(hold.fence, number);
    }
    for operation in operations {
        let (Ask::Commit { fence, .. } | Ask::Release { fence }) = &operation.ask else {
            continue;
        };
        let Some(hold) = by_fence.get(fence).map(|number| &mut holds[*number]) else {
            continue;
        };
        // Whatever came of it: from here on the client cannot be sure.
        hold.sure_until = hold.sure_until.min(operation.sent);
        let is_commit = matches!(operation.answer, Answer::Version(_));
        if is_commit && hold.committed.is_none_or(|first| operation.sent < first) {
            hold.committed = Some(operation.sent);
        }
    }
    holds
}

fn hold(operation: &Operation) -> Option<Hold> {
    let (Ask::Open { hold_ms }, Answer::State { fence, .. }) = (&operation.ask, &operation.answer)
    else {
        return None;
    };
    (*fence > 0).then(|| Hold {
        asked: operation.sent,
        granted: operation.ended,
        sure_until: operation.sent + hold_ms.saturating_sub(GRAIN_MS) * 1_000_000,
        fence: *fence,
        committed: None,
    })
}
