//! A line of versions 1, 2, 3 and so on, each made by one write.
//!
//! That is a counter that is only incremented (the count is the version), or a record whose every write answers with its version. A
//! write whose answer never came may have made any version that nobody else made, at any time after it was sent, or none.
//!
//! ```text
//!  told:     1   2       4  5        two were told of 3 versions that nobody was told he made: 3, 6, 7
//!  seen:           2         7       so at least three writes of unknown outcome must have been sent by then
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::sweep::{Span, sweep};

#[cfg(test)]
mod tests;

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A write made this version.
    Made(u64),
    /// A read saw this version; 0 is nothing.
    Saw(u64),
    /// A write, and nobody knows whether it was done.
    Unknown,
}

/// One request on a line, as its client saw it. `told` is `None` exactly for [`What::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it was sent.
    pub sent: u64,
    /// When it was answered.
    pub told: Option<u64>,
    /// What came of it.
    pub what: What,
}

/// A contradiction. Numbers are places in the list of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A version was told after a later one had been told of: something acknowledged was taken back.
    WentBack {
        /// Whose answer.
        request: usize,
        /// What it was told.
        version: u64,
        /// What had been told of before it was sent.
        floor: u64,
    },
    /// Two writes made one version.
    MadeTwice {
        /// The version.
        version: u64,
        /// One of them.
        first: usize,
        /// The other.
        second: usize,
    },
    /// A version was told of before the write that made it was sent.
    FromTheFuture {
        /// The write.
        request: usize,
        /// What it made.
        version: u64,
    },
    /// Somebody was told of a version that nobody can have made.
    FromNowhere {
        /// The version.
        version: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WentBack {
                request,
                version,
                floor,
            } => write!(
                out,
                "request {request} was told {version} after {floor} had been told"
            ),
            Self::MadeTwice {
                version,
                first,
                second,
            } => write!(
                out,
                "requests {first} and {second} were both told that they made {version}"
            ),
            Self::FromTheFuture { request, version } => write!(
                out,
                "{version} was told of before request {request}, which made it, was sent"
            ),
            Self::FromNowhere { version } => {
                write!(out, "{version} was told of, and nobody can have made it")
            }
        }
    }
}

/// All contradictions of one line that begins with nothing.
#[must_use]
pub fn check(line: &[Request]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let floors = went_back(line, &mut faults);
    let made = made_twice(line, &mut faults);
    let deadlines = deadlines(line);
    for (version, request) in &made {
        let known = first_told(&deadlines, *version);
        if known.is_some_and(|told| told < line[*request].sent) {
            faults.push(Fault::FromTheFuture {
                request: *request,
                version: *version,
            });
        }
    }
    from_nowhere(line, &floors, &made, &deadlines, &mut faults);
    faults
}

/// How many acknowledged writes were lost: somebody who asked after the acknowledgement was told of an older version.
#[must_use]
pub fn lost(line: &[Request]) -> usize {
    let mut by_sent: Vec<(u64, u64)> = line.iter().filter_map(bound).collect();
    by_sent.sort_unstable();
    // What was made may be as late as the least that anybody was told from there on.
    for index in (1..by_sent.len()).rev() {
        by_sent[index - 1].1 = by_sent[index - 1].1.min(by_sent[index].1);
    }
    let is_lost = |request: &&Request| {
        let (What::Made(version), Some(told)) = (request.what, request.told) else {
            return false;
        };
        let later = by_sent.partition_point(|(sent, _)| *sent <= told);
        by_sent
            .get(later)
            .is_some_and(|(_, newest)| version > *newest)
    };
    line.iter().filter(is_lost).count()
}

/// The newest version that there can have been when this request was served.
fn bound(request: &Request) -> Option<(u64, u64)> {
    match request.what {
        What::Made(version) => Some((request.sent, version.saturating_sub(1))),
        What::Saw(version) => Some((request.sent, version)),
        What::Unknown => None,
    }
}

fn went_back(line: &[Request], faults: &mut Vec<Fault>) -> Vec<u64> {
    let spans: Vec<Span<()>> = line
        .iter()
        .map(|request| Span {
            of: (),
            sent: request.sent,
            told: request.told,
        })
        .collect();
    let swept = sweep(&spans, |number, floor| {
        let (version, is_new) = match line[number].what {
            What::Made(version) => (version, version > floor),
            What::Saw(version) => (version, version >= floor),
            What::Unknown => unreachable!("what is unknown was not told"),
        };
        if !is_new {
            faults.push(Fault::WentBack {
                request: number,
                version,
                floor,
            });
        }
        Ok::<u64, std::convert::Infallible>(version)
    });
    match swept {
        Ok(floors) => floors,
        Err(never) => match never {},
    }
}

fn made_twice(line: &[Request], faults: &mut Vec<Fault>) -> BTreeMap<u64, usize> {
    let mut made = BTreeMap::new();
    for (number, request) in line.iter().enumerate() {
        let What::Made(version) = request.what else {
            continue;
        };
        if let Some(first) = made.insert(version, number) {
            faults.push(Fault::MadeTwice {
                version,
                first,
                second: number,
            });
        }
    }
    made
}

/// For each version that was told of: when it or a later one was first told of.
fn deadlines(line: &[Request]) -> BTreeMap<u64, u64> {
    let mut first: BTreeMap<u64, u64> = BTreeMap::new();
    for request in line {
        let (What::Made(version) | What::Saw(version), Some(told)) = (request.what, request.told)
        else {
            continue;
        };
        let at = first.entry(version).or_insert(told);
        *at = told.min(*at);
    }
    let mut earliest = u64::MAX;
    for at in first.values_mut().rev() {
        earliest = earliest.min(*at);
        *at = earliest;
    }
    first
}

/// When this version, or a later one, was first told of.
fn first_told(deadlines: &BTreeMap<u64, u64>, version: u64) -> Option<u64> {
    deadlines.range(version..).next().map(|(_, at)| *at)
}

/// Each version that nobody was told he made needs a write of unknown outcome of its own: sent before the version was told of, and not after a
/// later one had been. As both bounds grow with the version, it is enough to count.
fn from_nowhere(
    line: &[Request],
    floors: &[u64],
    made: &BTreeMap<u64, usize>,
    deadlines: &BTreeMap<u64, u64>,
    faults: &mut Vec<Fault>,
) {
    let is_unknown = |number: &usize| line[*number].what == What::Unknown;
    let mut unknown: Vec<(u64, u64)> = (0..line.len())
        .filter(is_unknown)
        .map(|number| (line[number].sent, floors[number]))
        .collect();
    unknown.sort_unstable();
    let newest = deadlines.keys().next_back().copied().unwrap_or(0);
    let mut needed = 0;
    let mut next = 1;
    let told_of: Vec<u64> = made.keys().copied().chain([newest + 1]).collect();
    for known in told_of {
        // The versions from `next` to before `known` were made by writes that were never answered.
        for version in next..known.min(newest + 1) {
            needed += 1;
            let told = first_told(deadlines, version).unwrap_or(u64::MAX);
            let there = unknown.partition_point(|(sent, floor)| *sent < told && *floor < version);
            if there < needed {
                faults.push(Fault::FromNowhere { version });
                return;
            }
        }
        next = known + 1;
    }
}
