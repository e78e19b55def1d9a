//! A whole cluster with everything around it simulated: one number draws it all, so one number replays it.
//!
//! ```text
//!   seed ─► Plan ─► World ─► hosts, each with clocks, a data directory and a process: node::Node and cluster::Agent
//!                     │        ▲ ▼ messages (lost, late, twice, overtaking)      ▲ ▼ questions, answers
//!                     │      links between them                                metadata store
//!                     │        ▲ ▼ commands, replies
//!                     │      clients ─► what each was told ─► judge
//!                     └─► faults; then none, and all must be well again
//! ```
//!
//! Nodes and agents are the real ones, driven as the server drives them; messages, commands and replies pass through their bytes, segment files
//! through a disk that loses, tears and refuses ([`storage`]). What clients were told is judged by `history`: see [`judge`]. The
//! events that a batch of runs must have met are in [`rare`].
//!
//! A failing seed prints the command that replays it. Same seed, same history: [`Report::digest`]. See `docs/testing.md`.

pub mod client;
pub mod clock;
pub mod host;
pub mod judge;
pub mod network;
mod pages;
pub mod plan;
pub mod rare;
pub mod record;
pub mod service;
pub mod storage;
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
    pub trace_from: u64,
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A number that two runs share only if they had the same history.
    pub digest: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// From the last fault to everything being well, in microseconds.
    pub healed_us: u64,
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
    program: "-p tenure-member-sim",
    about: "Runs whole clusters: the real nodes and agents with everything around them simulated and drawn from one number",
    unit: "step",
    run: |seed, how| {
        let options = Options {
            steps: how.steps,
            trace: how.trace,
            trace_from: how.from,
        };
        let report = run(Plan::draw(seed), options);
        Outcome {
            digest: report.digest,
            tallies: vec![("steps", report.steps), ("requests", report.answered)],
            simulated_us: report.simulated_us,
            healed_us: report.healed_us,
            rare: report.counts.named(),
            failure: report.failure,
        }
    },
    plan: |seed| format!("{:#?}", Plan::draw(seed)),
};
