//! `tenure-member-sim`: runs seeds of the simulation of whole clusters, many at once or one in detail.
//!
//! ```text
//! tenure-member-sim --seeds 0..1000000                     many seeds, on all processors, with a progress bar
//! tenure-member-sim --seed 17 --trace                      one seed, every event printed
//! tenure-member-sim --seed 17 --trace --from 380 --steps 400     only its steps 380 to 400
//! tenure-member-sim --seed 17 --plan                       what the seed has drawn
//! tenure-member-sim --seeds 0..100 --twice                 each seed twice: the same history?
//! ```

use std::process::ExitCode;

/// A seed asks for a million small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sim::seeds::main(&member_sim::SIMULATOR)
}
