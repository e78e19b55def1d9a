//! Holds exclude each other, and fences grow.
//!
//! A client can be sure that it holds from when it was told so until it gives the hold back, or until the hold's time has passed since it *asked*.
//! Two such spans must not overlap, whatever the server thinks. Nor may a commit succeed after somebody was granted a later fence.

use std::fmt;

use crate::sweep::{Span, sweep};

#[cfg(test)]
mod tests;

/// One hold on one session, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When it was asked for.
    pub asked: u64,
    /// When it was granted.
    pub granted: u64,
    /// Until when the client could be sure of it.
    pub sure_until: u64,
    /// Its fence.
    pub fence: u64,
    /// When the first commit under it that succeeded was sent.
    pub committed: Option<u64>,
}

/// A contradiction. Numbers are places in the list of holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two clients held at once.
    Overlap {
        /// Who had it.
        first: usize,
        /// Who got it.
        second: usize,
    },
    /// A fence is not greater than one that had been told of.
    FenceWentBack {
        /// Whose.
        hold: usize,
        /// What had been told of.
        floor: u64,
    },
    /// A commit succeeded though a later fence had been granted before it was sent.
    LateCommit {
        /// Whose.
        hold: usize,
        /// Who had been granted the hold since.
        after: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { first, second } => {
                write!(out, "hold {second} was granted while {first} was held")
            }
            Self::FenceWentBack { hold, floor } => {
                write!(
                    out,
                    "the fence of hold {hold} is not greater than {floor}, told before"
                )
            }
            Self::LateCommit { hold, after } => {
                write!(
                    out,
                    "a commit of hold {hold} succeeded after {after} had been granted"
                )
            }
        }
    }
}

/// All contradictions between the holds on one session.
#[must_use]
pub fn check(holds: &[Hold]) -> Vec<Fault> {
    let mut faults = overlaps(holds);
    fences_grow(holds, &mut faults);
    late_commits(holds, &mut faults);
    faults
}

fn overlaps(holds: &[Hold]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut last: Option<usize> = None;
    for number in by_grant(holds) {
        let hold = &holds[number];
        if let Some(first) = last
            && holds[first].sure_until > hold.granted
        {
            let second = number;
            faults.push(Fault::Overlap { first, second });
        }
        if last.is_none_or(|first| holds[first].sure_until < hold.sure_until) {
            last = Some(number);
        }
    }
    faults
}

fn fences_grow(holds: &[Hold], faults: &mut Vec<Fault>) {
    let spans: Vec<Span<()>> = holds
        .iter()
        .map(|hold| Span {
            of: (),
            sent: hold.asked,
            told: Some(hold.granted),
        })
        .collect();
    let swept = sweep(&spans, |hold, floor| {
        if holds[hold].fence <= floor {
            faults.push(Fault::FenceWentBack { hold, floor });
        }
        Ok::<u64, std::convert::Infallible>(holds[hold].fence)
    });
    debug_assert!(swept.is_ok(), "that error does not exist");
}

fn late_commits(holds: &[Hold], faults: &mut Vec<Fault>) {
    let mut best: Option<usize> = None;
    let mut grants = by_grant(holds).into_iter().peekable();
    let mut commits: Vec<(u64, usize)> = holds
        .iter()
        .enumerate()
        .filter_map(|(number, hold)| Some((hold.committed?, number)))
        .collect();
    commits.sort_unstable();
    for (sent, hold) in commits {
        while let Some(number) = grants.next_if(|number| holds[*number].granted < sent) {
            if best.is_none_or(|other| holds[other].fence < holds[number].fence) {
                best = Some(number);
            }
        }
        if let Some(after) = best
            && holds[after].fence > holds[hold].fence
        {
            faults.push(Fault::LateCommit { hold, after });
        }
    }
}

fn by_grant(holds: &[Hold]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..holds.len()).collect();
    order.sort_by_key(|number| holds[*number].granted);
    order
}
