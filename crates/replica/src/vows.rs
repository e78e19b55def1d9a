//! What a copy has promised, and must not forget while it claims to be the same member.
//!
//! ```text
//!   whole ──told to join, vow saved──► discarded ──snapshot and log are complete──► whole, synced to the epoch
//!     ▲                                 │ kept: set aside
//!     └────needed, taken back───────────┘
//! ```

use model::Position;

use crate::Ticket;

/// What outlives the process, wherever the process's memory does not outlive it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vows {
    /// Nothing of an earlier epoch is accepted any more.
    pub promised: u32,
    /// The latest epoch whose primary has seen this copy hold all that its epoch began with. It says which copies may
    /// know of what an epoch has acknowledged.
    pub synced: u32,
    /// The end that this copy's log had when it was given up to be filled anew. It still testifies to what may have been in it; `None` if
    /// the copy is whole.
    pub discarded: Option<Position>,
    /// What was given up is set aside whole, until the copy is whole again: no other that counts may have had it.
    pub kept: bool,
    /// How often it was told to join, in the promised epoch. A message that says so once more, late, is known by it.
    pub attempt: u32,
}

impl Vows {
    /// Those of the copy once what was set aside is the copy again. Whoever was filling it is to hear that it has no part of that: it knows of no attempt.
    #[must_use]
    pub fn taken_back(self) -> Self {
        Self {
            discarded: None,
            kept: false,
            attempt: 0,
            ..self
        }
    }
}

/// Vows, and whether they are on disk. Nobody is told anything that rests on vows which are not.
#[derive(Debug)]
pub(crate) struct Keeper {
    vows: Vows,
    given: u64,
    saved: u64,
    changed: bool,
}

impl Keeper {
    pub(crate) fn new(vows: Vows) -> Self {
        Self {
            vows,
            given: 0,
            saved: 0,
            changed: false,
        }
    }

    pub(crate) fn vows(&self) -> Vows {
        self.vows
    }

    fn set(&mut self, vows: Vows) {
        if vows != self.vows {
            self.vows = vows;
            self.changed = true;
        }
    }

    /// Promises to accept nothing before this epoch.
    pub(crate) fn promise(&mut self, epoch: u32) {
        assert!(
            epoch >= self.vows.promised,
            "I1 EpochMonotone: a promise went back"
        );
        if epoch > self.vows.promised {
            self.set(Vows {
                promised: epoch,
                attempt: 0,
                ..self.vows
            });
        }
    }

    /// All that this epoch began with is here.
    pub(crate) fn sync(&mut self, epoch: u32) {
        assert!(
            epoch >= self.vows.synced && epoch == self.vows.promised,
            "I1 EpochMonotone: synced to an epoch that is not the promised one"
        );
        self.set(Vows {
            synced: epoch,
            discarded: None,
            kept: false,
            ..self.vows
        });
    }

    /// What is here, up to `last`, is about to be given up, or set aside. WQ others have everything that is committed, up to `needed`, if that is known.
    pub(crate) fn discard(
        &mut self,
        last: Position,
        attempt: u32,
        needed: Option<Position>,
        keeps: bool,
    ) {
        let before = self.vows.discarded;
        let discarded = before.unwrap_or(last);
        // What was given up before is no copy to be kept, unless it was kept then.
        let is_copy = before.is_none() || self.vows.kept;
        self.set(Vows {
            discarded: Some(needed.map_or(discarded, |needed| needed.min(discarded))),
            kept: keeps && is_copy,
            attempt,
            ..self.vows
        });
    }

    /// What is to be saved, if that is new.
    pub(crate) fn take_change(&mut self) -> Option<(Vows, Ticket)> {
        self.changed.then(|| {
            self.changed = false;
            self.given += 1;
            (self.vows, Ticket(self.given))
        })
    }

    pub(crate) fn on_saved(&mut self, ticket: Ticket) {
        assert!(ticket.0 <= self.given, "saved what was never given");
        self.saved = self.saved.max(ticket.0);
    }

    /// Whether all of it is saved.
    pub(crate) fn settled(&self) -> bool {
        !self.changed && self.saved == self.given
    }
}
