//! `tenure-sim`: runs seeds of the simulation of a node, many at once or one in detail.
//!
//! ```text
//! tenure-sim --seeds 0..100000          many seeds, on all processors, with a progress bar
//! tenure-sim --seed 17 --trace          one seed, every event printed
//! tenure-sim --seed 17 --trace --from 380 --turns 400    only its turns 380 to 400
//! tenure-sim --seed 17 --plan           what the seed has drawn
//! tenure-sim --seeds 0..100 --twice     each seed twice: the same history?
//! ```

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::seeds::main(&sim::SIMULATOR)
}
