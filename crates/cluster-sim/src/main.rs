//! `tenure-cluster-sim`: runs seeds of the cluster's simulation, many at once or one in detail.
//!
//! ```text
//! tenure-cluster-sim --seeds 0..100000                     many seeds, on all processors, with a progress bar
//! tenure-cluster-sim --seed 17 --trace                     one seed, every event printed
//! tenure-cluster-sim --seed 17 --trace --from 380 --steps 400    only its steps 380 to 400
//! tenure-cluster-sim --seed 17 --plan                      what the seed has drawn
//! tenure-cluster-sim --seeds 0..100 --twice                each seed twice: the same history?
//! ```

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::seeds::main(&cluster_sim::SIMULATOR)
}
