//! A cluster with everything around it simulated: one number draws it all, so one number replays it.
//!
//! ```text
//!   seed ─► Plan ─► World: clients ─► owners of copies ─► replica::Replica ◄─ messages ─► the others
//!                     │                    │  ▲                ▲
//!                     ▼                    ▼  │                └── configurations ── metadata ◄── coordinator
//!                   faults                 disks
//!                                    Ledger, History: is there one line of writes, and one order that explains every reply?
//! ```
//!
//! The replication core is the real one, and its messages go through their real bytes. The rest is small: what owners keep are numbers under
//! keys ([`state`]), the coordinator is a policy that may be as wrong as it likes. What must hold is checked as it happens
//! ([`ledger`]) and at the end ([`history`], `world/judge.rs`); what must have been met is in [`rare`].

pub mod history;
pub mod ledger;
pub mod node;
pub mod plan;
pub mod rare;
pub mod state;
mod world;

pub use plan::Plan;
pub use rare::{Counts, Rare};
pub use world::World;

use sim::seeds::{Outcome, Simulator};

/// How much of a run is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Stop after so many steps.
    pub steps: Option<u64>,
    /// Print what happens.
    pub trace: bool,
    /// Print only from this step on.
    pub from: u64,
    /// Mix every event's whole text into the digest, not only its time and place.
    pub digest: bool,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// A number that two runs share only if they had the same history.
    pub digest: u64,
    /// Events.
    pub steps: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Epochs that were reached.
    pub failovers: u64,
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// Rare events.
    pub counts: Counts,
    /// What went wrong, and in which step.
    pub failure: Option<(u64, String)>,
}

/// Runs one seed.
#[must_use]
pub fn run(plan: Plan, options: Options) -> Report {
    World::new(plan, options).run()
}

/// For the command line and the tests.
pub const SIMULATOR: Simulator = Simulator {
    program: "-p tenure-cluster-sim",
    about: "Runs a cluster of copies with network, metadata store, disks, clocks and coordinator simulated: all is drawn from one number",
    unit: "step",
    run: |seed, how| {
        let options = Options {
            steps: how.steps,
            trace: how.trace,
            from: how.from,
            digest: how.compared,
        };
        let report = run(Plan::draw(seed), options);
        Outcome {
            digest: report.digest,
            tallies: vec![
                ("steps", report.steps),
                ("requests", report.requests),
                ("epochs", report.failovers),
            ],
            simulated_us: report.simulated_us,
            healed_us: 0,
            rare: report.counts.named(),
            failure: report.failure,
        }
    },
    plan: |seed| format!("{:#?}", Plan::draw(seed)),
};
