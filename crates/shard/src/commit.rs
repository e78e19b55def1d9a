//! What is committed, and what a reply depends on.
//!
//! A batch is in memory as soon as it is applied, but nobody may be shown it before it is persisted as the
//! sync mode asks (and, with replication, before a quorum has it). Rather than keep old versions for
//! readers, a reply that depends on an uncommitted position waits for it. A read depends on the position of
//! the entry that it found, or, finding nothing, on the latest removal and on what has expired there. Where it would be
//! long to tell what an answer depends on (that nobody holds a session, that a user has too many), it depends on
//! everything so far.

use alloc::collections::VecDeque;

use model::Position;
use store::{Applied, LogPoint};

/// See the module.
///
/// Invariants: `committed` never goes back; `in_flight` ascends in both parts and lies after `committed`.
#[derive(Default)]
pub struct Commits {
    committed: Position,
    observed: Position,
    last_removal: Position,
    /// The latest batch that changed deadlines where they stand: an entry does not tell.
    last_touch: Position,
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
        let found = found.unwrap_or(self.last_removal).max(self.last_touch);
        self.observed = self.observed.max(found);
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
