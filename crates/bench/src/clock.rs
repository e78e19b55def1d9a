//! The one place of this crate that reads a clock.
//!
//! All times inside the load generator are nanoseconds since the run began, as plain `u64`: they are
//! compared and subtracted in the innermost loop, and a histogram wants integers.

use std::time::Instant;

/// Nanoseconds in a second, a millisecond and a microsecond.
pub const SECOND_NS: u64 = 1_000_000_000;
/// See [`SECOND_NS`].
pub const MILLISECOND_NS: u64 = 1_000_000;
/// See [`SECOND_NS`].
pub const MICROSECOND_NS: u64 = 1_000;

/// A monotonic clock that every thread of one run shares by copying it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that reads zero now.
    #[allow(
        clippy::disallowed_methods,
        reason = "a load generator measures real time; this module is where it does so"
    )]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Nanoseconds since the clock was started. It takes about 25 ns itself.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
