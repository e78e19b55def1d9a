//! What became of a run, and what it has met.

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Two runs share it only if they had the same history.
    pub digest: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// What happened how often.
    pub counts: Counts,
    /// From the last fault to everything being well, in milliseconds.
    pub healed_ms: u64,
    /// What went wrong, and when.
    pub failure: Option<(u64, String)>,
}

/// What happened how often: a simulation that never meets its faults shows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions that were committed.
    pub committed: u64,
    /// That were refused by a compare.
    pub conflicts: u64,
    /// Of which nobody learned what became.
    pub unknown: u64,
    /// Times that the role was taken.
    pub terms: u64,
    /// Transactions of a coordinator that had lost the role, refused.
    pub zombies: u64,
    /// Configurations by reason: failover, re-form, replace, grow, shrink, hand over, forced.
    pub reasons: [u64; 7],
    /// Times that the brake was pulled.
    pub braked: u64,
    /// Watches that were lost.
    pub watches_lost: u64,
    /// Nodes that stood still and noticed.
    pub stood_still: u64,
    /// Nodes that were drained until they were gone.
    pub drained: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.all_mut().into_iter().zip({ *other }.all_mut()) {
            *mine += *theirs;
        }
    }

    fn all_mut(&mut self) -> Vec<&mut u64> {
        let named = [
            &mut self.committed,
            &mut self.conflicts,
            &mut self.unknown,
            &mut self.terms,
            &mut self.zombies,
            &mut self.braked,
            &mut self.watches_lost,
            &mut self.stood_still,
            &mut self.drained,
        ];
        named.into_iter().chain(&mut self.reasons).collect()
    }

    /// What never happened.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        let names = [
            "committed",
            "conflicts",
            "unknown",
            "terms",
            "zombies",
            "braked",
            "watches lost",
            "stood still",
            "drained",
            "failover",
            "re-form",
            "replace",
            "grow",
            "shrink",
            "hand over",
            "forced",
        ];
        let mut counts = *self;
        let all = counts.all_mut().into_iter().zip(names);
        all.filter(|(count, _)| **count == 0)
            .map(|(_, name)| name)
            .collect()
    }
}
