//! Where a restart cuts the log (`docs/store.md`, "The cut").
//!
//! Each head is a file of its own, so a crash may keep a later batch and lose an earlier one. But positions have no
//! gaps: each op that changes anything takes the next one. So a restart sees what is missing, and drops what came
//! after it: what remains is the log as it was at one moment.
//!
//! Below the *floor* it does not look: everything up to there was synced, and what is missing there was cleaned away, or
//! is damage. The log tells its floor with the time ([`Known`], the value of a `Clock` note), and a file is only
//! deleted when a synced note has told a floor that is past everything in it.
//!
//! What was cut stays in the files for a while. So the first batch of each epoch tells where the one before it ended
//! ([`Cut`]): that also joins the positions of one epoch to those of the next.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use model::Position;

use crate::entry::format::{self, HEADER_BYTES};

/// Cuts that are told although nothing was found that they are about: a deleted file may come back with a loss of
/// power, but not after so many starts.
const KEPT_CUTS: usize = 4;

/// At the start of `epoch` the log ended at `last`: nothing that stands between the two counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) last: Position,
    pub(crate) epoch: u32,
}

impl Cut {
    fn voids(self, position: Position) -> bool {
        position > self.last && position.epoch() < self.epoch
    }
}

/// What the log says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Everything up to here was synced.
    pub(crate) floor: Position,
    /// Ascending by epoch.
    pub(crate) cuts: Vec<Cut>,
}

impl Known {
    /// Takes in what another note says. No note ever says what is not so.
    pub(crate) fn learn(&mut self, other: &Self) {
        self.floor = self.floor.max(other.floor);
        for cut in &other.cuts {
            if !self.cuts.contains(cut) {
                self.cuts.push(*cut);
            }
        }
    }

    /// The earlier restarts that have cut an entry of this position away.
    #[inline]
    pub(crate) fn cuts_of(&self, position: Position) -> impl Iterator<Item = &Cut> {
        self.cuts.iter().filter(move |cut| cut.voids(position))
    }

    /// Bytes of a note that tells this and the cuts of one epoch more: two, where the log was mended.
    pub(crate) fn note_bytes(&self) -> usize {
        HEADER_BYTES + format::known_bytes(self.cuts.len() + 2)
    }

    /// Forgets the cuts of which nothing was found, save the newest. They are named by their epochs.
    pub(crate) fn forget_all_but(&mut self, found: &BTreeSet<u32>) {
        self.cuts.sort_unstable_by_key(|cut| (cut.epoch, cut.last));
        let older = self.cuts.len().saturating_sub(KEPT_CUTS);
        let mut at = 0;
        self.cuts.retain(|cut| {
            at += 1;
            at > older || found.contains(&cut.epoch)
        });
    }

    /// Where the log ends that goes on from the floor with these positions.
    pub(crate) fn end(&self, found: &Positions) -> Position {
        let mut at = self.floor;
        loop {
            let later = |cut: &&Cut| cut.last >= at && cut.epoch > at.epoch();
            let ended = self.cuts.iter().filter(later).map(|cut| cut.last).min();
            at = found
                .run(at)
                .min(ended.unwrap_or(Position::from_raw(u64::MAX)));
            let here = |cut: &&Cut| cut.last == at && cut.epoch > at.epoch();
            let next = self.cuts.iter().filter(here).map(|cut| cut.epoch).max();
            match next.map(|epoch| Position::new(epoch, 1)) {
                Some(first) if found.contains(first) => at = first,
                Some(_) | None => return at,
            }
        }
    }
}

const BLOCK: u64 = 4096;

/// A set of positions, most of which follow each other: a bit for each.
#[derive(Debug, Default)]
pub(crate) struct Positions(BTreeMap<u64, Box<[u64; BLOCK as usize / 64]>>);

impl Positions {
    pub(crate) fn insert(&mut self, position: Position) {
        let (block, word, bit) = place(position.raw());
        let words = self
            .0
            .entry(block)
            .or_insert_with(|| Box::new([0; BLOCK as usize / 64]));
        words[word] |= bit;
    }

    pub(crate) fn contains(&self, position: Position) -> bool {
        let (block, word, bit) = place(position.raw());
        self.0
            .get(&block)
            .is_some_and(|words| words[word] & bit != 0)
    }

    /// The last of those that follow `from` without a gap, `from` itself if the next one is missing.
    fn run(&self, from: Position) -> Position {
        let mut at = from.raw();
        while let (block, word, bit) = place(at + 1)
            && let Some(words) = self.0.get(&block)
            && words[word] & bit != 0
        {
            // A word of ones at a time.
            let ones = (words[word] >> ((at + 1) % 64)).trailing_ones();
            at += u64::from(ones);
        }
        Position::from_raw(at)
    }
}

fn place(raw: u64) -> (u64, usize, u64) {
    (raw / BLOCK, (raw % BLOCK / 64) as usize, 1 << (raw % 64))
}

/// The floor of a running store, and what of it a restart would know.
///
/// Invariants: none of them goes back; `recorded <= told <= synced`.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    /// The newest position at a point of the log: synced when everything up to the point is.
    mark: Option<(u64, Position)>,
    /// Everything up to here is synced.
    pub(crate) synced: Position,
    /// Notes that tell a floor: the point of the log behind each, `None` until its batch is complete.
    notes: VecDeque<(Option<u64>, Position)>,
    /// The latest floor that a note tells.
    told: Position,
    /// The latest floor that a synced note tells.
    pub(crate) recorded: Position,
}

/// Notes of which it is waited to hear that they are synced; while there are so many, newer ones are not looked at.
const MOST_NOTES: usize = 4;

impl Floor {
    /// Begins with a floor that the files tell, and that is to be told again.
    pub(crate) fn begin(&mut self, floor: Position) {
        self.synced = floor;
    }

    /// The log has come to this point, and to this position.
    #[inline]
    pub(crate) fn mark(&mut self, appended: u64, newest: Position) {
        if self.mark.is_none() && newest > self.synced {
            self.mark = Some((appended, newest));
        }
    }

    /// Everything up to this point is synced.
    pub(crate) fn advance(&mut self, synced: u64) {
        if let Some((_, position)) = self.mark.take_if(|(point, _)| *point <= synced) {
            self.synced = position;
        }
        let is_synced = |note: &mut (Option<u64>, Position)| note.0.is_some_and(|at| at <= synced);
        while let Some((_, position)) = self.notes.pop_front_if(is_synced) {
            self.recorded = position;
        }
    }

    /// A note tells the floor.
    pub(crate) fn tell(&mut self) {
        self.told = self.synced;
        if self.notes.len() < MOST_NOTES {
            self.notes.push_back((None, self.synced));
        }
    }

    /// The batch that was being appended is complete at this point.
    #[inline]
    pub(crate) fn complete(&mut self, appended: u64) {
        if let Some((at @ None, _)) = self.notes.back_mut() {
            *at = Some(appended);
        }
    }

    /// There is something to tell.
    pub(crate) fn is_news(&self) -> bool {
        self.synced > self.told
    }
}

#[cfg(test)]
mod tests;
