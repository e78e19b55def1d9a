//! The control plane alone: agents, a metadata store and a network, all faults of which are drawn from one number.
//!
//! ```text
//!   seed ─► ControlPlan ─► ControlWorld: agents ◄─ messages, resets ─► network (delay, loss, cuts one way or both)
//!                              │            ◄─ answers ─► store (down, stopped, restarted, lost requests and answers,
//!                              │                                 lagging watches, compaction)
//!                              │            ◄─ copies ─► a data plane in miniature (seals, logs, acknowledgements)
//!                              ▼
//!                         Judge: every committed transaction; at the end, that every shard serves
//! ```
//!
//! The agents are the real ones. The data plane is a model ([`data`]): what a copy has is a number, but seals, quorums
//! and incarnations are as in the real protocol, so a decision that gives up what was acknowledged is found out.

mod data;
pub mod judge;
pub mod network;
mod plan;
mod report;
pub mod store;
mod world;

pub use plan::ControlPlan;
pub use report::{Counts, Report};
pub use world::ControlWorld;

use crate::seeds::{Outcome, Simulator};

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, trace: bool) -> Report {
    ControlWorld::new(ControlPlan::draw(seed), trace).run()
}

/// For the command line and the tests. A run is whole, from its beginning.
pub const SIMULATOR: Simulator = Simulator {
    program: "-p tenure-sim --bin tenure-control-sim",
    about: "Runs the control plane with a simulated network, metadata store and data plane: all faults are drawn from one number",
    unit: "ms",
    run: |seed, how| {
        let report = run(seed, how.trace);
        Outcome {
            digest: report.digest,
            tallies: vec![("terms", report.counts.terms)],
            simulated_us: report.simulated_ms * 1_000,
            healed_us: report.healed_ms * 1_000,
            rare: report.counts.named(),
            failure: report.failure,
        }
    },
    plan: |seed| format!("{:#?}", ControlPlan::draw(seed)),
};
