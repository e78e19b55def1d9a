//! What is committed, and what a reply depends on.
//!
//! A batch is in memory as soon as it is applied, but nobody may be shown it before it is persisted as the
//! sync mode asks (and, with replication, before a quorum has it). Rather than keep old versions for
//! readers, a reply that depends on an uncommitted position waits for it. A read depends on the position of
//! the entry that it found, and of what has changed its deadline since, or, finding nothing, on the latest removal and on
//! what has expired there; in any case on the latest swap of databases. Where it would be long to tell what an answer depends
//! on (that nobody holds a session, that a user has too many), it depends on everything so far.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use model::Position;
use store::{Applied, LogPoint};

/// Entries whose touches are told from each other.
const PLACES: usize = 256;

fn place(entry: Position) -> usize {
    entry.raw() as usize % PLACES
}

/// See the module.
///
/// Invariants: `committed` never goes back; `in_flight` ascends in both parts and lies after `committed`.
#[derive(Default)]
pub struct Commits {
    committed: Position,
    observed: Position,
    last_removal: Position,
    /// The latest batch of a member that changed deadlines where they stand: an entry does not tell.
    last_touch: Position,
    /// The same where there is only this node, by the place that the position of the touched entry has here: so a read waits for what has
    /// touched what it found, and not for a disk that has failed under other sessions. Empty until the first.
    touches: Vec<Position>,
    /// The latest of them.
    newest_touch: Position,
    /// The latest batch that swapped databases: what is found in them is there because of it, however old it is.
    last_swap: Position,
    in_flight: VecDeque<(Position, LogPoint)>,
    /// Everything up to here is persisted here.
    persisted: Position,
    /// The last position that was applied.
    awaited: Position,
}

impl Commits {
    /// Everything before `next` is in the log already, up to `log`. What a restart found may have reached the operating
    /// system only: it is shown when the store has persisted it anew.
    pub(crate) fn after_restart(next: Position, log: LogPoint) -> Self {
        let last = Position::from_raw(next.raw() - 1);
        Self {
            last_removal: last,
            in_flight: VecDeque::from([(last, log)]),
            awaited: last,
            ..Self::default()
        }
    }

    pub(crate) fn begin(&mut self) {
        self.observed = Position::ZERO;
    }

    #[inline]
    pub(crate) fn observe(&mut self, found: Option<Position>) {
        let found = match found {
            Some(entry) => entry.max(self.touch_of(entry)),
            None => self.last_removal,
        };
        self.observed = self
            .observed
            .max(found)
            .max(self.last_touch)
            .max(self.last_swap);
    }

    /// What was found is many entries, the latest of them at this position.
    pub(crate) fn observe_many(&mut self, latest: Option<Position>) {
        self.observe(None);
        self.observe(latest);
        self.observed = self.observed.max(self.newest_touch);
    }

    /// The batch that changed the deadline of this entry, or of one that shares its place; if that is not committed.
    #[inline]
    fn touch_of(&self, entry: Position) -> Position {
        if self.newest_touch > self.committed {
            self.touches[place(entry)]
        } else {
            Position::ZERO
        }
    }

    /// Whether anything is applied and not committed.
    #[inline]
    pub(crate) fn any_in_flight(&self) -> bool {
        self.awaited > self.committed
    }

    pub(crate) fn observed(&self) -> Position {
        self.observed
    }

    pub(crate) fn committed(&self) -> Position {
        self.committed
    }

    /// The batch that was just applied has changed deadlines, which others may see from now on.
    pub(crate) fn touched(&mut self, last: Position) {
        self.last_touch = last;
    }

    /// The batch that ends here has changed the deadline of the entry at this position, where it stands.
    pub(crate) fn touched_entry(&mut self, entry: Position, last: Position) {
        self.touches.resize(PLACES, Position::ZERO);
        self.touches[place(entry)] = last;
        self.newest_touch = last;
    }

    /// The batch that was just applied has swapped databases.
    pub(crate) fn swapped(&mut self, last: Position) {
        self.last_swap = last;
    }

    #[inline]
    pub(crate) fn applied(&mut self, applied: Applied, removes: bool) {
        if removes {
            self.last_removal = applied.last;
        }
        self.observed = self.observed.max(applied.last);
        self.awaited = self.awaited.max(applied.last);
        match self.in_flight.back_mut() {
            // Only the last position up to a log point matters.
            Some(back) if back.1 == applied.log => back.0 = applied.last,
            Some(_) | None => self.in_flight.push_back((applied.last, applied.log)),
        }
    }

    /// Where nobody else is asked, what is persisted is committed.
    pub(crate) fn advance(&mut self, persisted: LogPoint) {
        self.advance_persisted(persisted);
        assert!(
            self.persisted >= self.committed,
            "the commit position went back"
        );
        self.committed = self.persisted;
    }

    /// Takes note of what the store has persisted. Returns up to which position that is.
    pub(crate) fn advance_persisted(&mut self, persisted: LogPoint) -> Position {
        while let Some(&(position, log)) = self.in_flight.front()
            && log <= persisted
        {
            self.persisted = position;
            self.in_flight.pop_front();
        }
        self.persisted
    }

    /// A copy that begins empty, or is emptied: its log goes on behind `base`.
    pub(crate) fn behind(base: Position) -> Self {
        Self {
            persisted: base,
            last_removal: base,
            ..Self::default()
        }
    }

    /// Enough copies have everything up to here.
    pub(crate) fn commit_to(&mut self, position: Position) {
        assert!(position >= self.committed, "the commit position went back");
        self.committed = position;
    }

    /// From now on answers are given from here. What is no longer there was removed at the end of the log at the latest.
    pub(crate) fn begin_to_serve(&mut self, last: Position) {
        self.last_removal = last;
    }
}
