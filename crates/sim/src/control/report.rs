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
    /// Each in words, and how often it happened.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        let named = [
            ("committed", self.committed),
            ("conflicts", self.conflicts),
            ("unknown", self.unknown),
            ("terms", self.terms),
            ("zombies", self.zombies),
            ("braked", self.braked),
            ("watches lost", self.watches_lost),
            ("stood still", self.stood_still),
            ("drained", self.drained),
        ];
        let reasons = [
            "failover",
            "re-form",
            "replace",
            "grow",
            "shrink",
            "hand over",
            "forced",
        ];
        let reasons = reasons.into_iter().zip(self.reasons);
        named.into_iter().chain(reasons).collect()
    }
}
