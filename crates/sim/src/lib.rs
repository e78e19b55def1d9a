//! A node with everything around it simulated: one number draws it all, so one number replays it.
//!
//! ```text
//!   seed ─► Plan ─► World: clients ─ bytes ─► node::Node ─ ops ─► Disk
//!                     │       ▲                   │
//!                     │       └── replies ────────┤
//!                     ▼                           ▼
//!                   faults                     Oracle: is every reply right? was anything lost?
//! ```
//!
//! The node is the real one, driven as the server drives it: inputs, end of the turn, disk ops, replies. Time, chance,
//! disk and clients are simulated ([`disk`], [`workload`]); what must be true is written down in [`oracle`]. Which faults a run has,
//! and how large things get, is drawn in [`plan`]. The events that a batch of runs must have met are in [`rare`].
//!
//! A failing seed prints the command that replays it. Same seed, same history, byte for byte: [`Report::digest`].
//! See `docs/testing.md`.

mod client;
pub mod control;
pub mod disk;
pub mod oracle;
pub mod plan;
pub mod random;
pub mod rare;
pub mod reply;
pub mod seeds;
pub mod trace;
pub mod workload;
mod world;

pub use plan::Plan;
pub use rare::{Counts, Rare};
pub use world::World;

/// How much of a run is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Stop after so many turns.
    pub turns: Option<u64>,
    /// Print what happens.
    pub trace: bool,
    /// Print only from this turn on.
    pub trace_from: u64,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// A number that two runs share only if they had the same history.
    pub digest: u64,
    /// Commands that were run and judged.
    pub commands: u64,
    /// Restarts.
    pub restarts: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Rare events.
    pub counts: Counts,
    /// What went wrong, and in which turn.
    pub failure: Option<(u64, String)>,
}

/// Runs one seed.
#[must_use]
pub fn run(plan: Plan, options: Options) -> Report {
    World::new(plan, options).run()
}

/// For the command line and the tests.
pub const SIMULATOR: seeds::Simulator = seeds::Simulator {
    program: "-p tenure-sim",
    about: "Runs a node with everything around it simulated: disk, clock, clients and their faults are drawn from one number",
    unit: "turn",
    run: |seed, how| {
        let options = Options {
            turns: how.steps,
            trace: how.trace,
            trace_from: how.from,
        };
        let report = run(Plan::draw(seed), options);
        seeds::Outcome {
            digest: report.digest,
            tallies: vec![("commands", report.commands), ("restarts", report.restarts)],
            simulated_us: report.simulated_ms * 1_000,
            healed_us: 0,
            rare: report.counts.named(),
            failure: report.failure,
        }
    },
    plan: |seed| format!("{:#?}", Plan::draw(seed)),
};
