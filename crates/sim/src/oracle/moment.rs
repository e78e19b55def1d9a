//! At which moments everything was as it was found.
//!
//! A crash leaves the log as it was at one moment. Commands are numbered in the order in which they ran, and a moment is
//! the time after one of them; each state of a key was there from the command that made it to the next one's.

use super::Life;

/// Moments, as ranges of command numbers: ascending, apart, the end not included.
#[derive(Clone, Debug)]
pub(super) struct Moments(Vec<(u64, u64)>);

impl Moments {
    /// Any moment at all.
    pub(super) fn all() -> Self {
        Self(vec![(0, u64::MAX)])
    }

    /// The moments at which the key was in one of these states.
    pub(super) fn of(life: &Life, states: &[usize]) -> Self {
        let mut ranges: Vec<(u64, u64)> = states.iter().map(|&index| range(life, index)).collect();
        // A state and its having expired were there at the same moments.
        ranges.dedup();
        Self(ranges)
    }

    /// The moments that are in both.
    #[must_use]
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = self.0.iter().flat_map(|&(from, to)| {
            let others = other.0.iter();
            others.map(move |&(start, end)| (from.max(start), to.min(end)))
        });
        Self(both.filter(|(from, to)| from < to).collect())
    }

    /// The latest of them.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, to)| to - 1)
    }
}

/// When the state with this index was there. Where it expired it was there all the same, for a clock that was set back.
fn range(life: &Life, index: usize) -> (u64, u64) {
    let from = life.past[index].command;
    let next = life.past[index + 1..].iter().find(|past| !past.expired);
    (from, next.map_or(u64::MAX, |next| next.command))
}

/// Which of these states was there at a moment.
pub(super) fn at(life: &Life, states: &[usize], moment: u64) -> Option<usize> {
    let there = |&&index: &&usize| {
        let (from, to) = range(life, index);
        (from..to).contains(&moment)
    };
    states.iter().find(there).copied()
}
