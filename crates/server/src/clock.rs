//! The two clocks of the machine: the one place where the time is read.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Now;

/// Reads both clocks. The zero of the monotonic one is when this was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: instant() }
    }

    /// The time by both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            unix_ms: unix_ms(),
            mono_us: self.elapsed().as_micros() as u64,
        }
    }

    /// Time since [`Clock::start`], by the monotonic clock alone.
    #[must_use]
    #[inline]
    pub fn elapsed(&self) -> Duration {
        instant().duration_since(self.origin)
    }
}

/// Milliseconds since the Unix epoch; zero if the machine's clock stands before it.
#[must_use]
#[allow(clippy::disallowed_methods)] // Shells read the clock here and nowhere else.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Nanoseconds by the monotonic clock, from an arbitrary zero: what the core times commands with.
#[must_use]
pub fn nanoseconds() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    instant()
        .duration_since(*ORIGIN.get_or_init(instant))
        .as_nanos() as u64
}

#[allow(clippy::disallowed_methods)] // Shells read the clock here and nowhere else.
fn instant() -> Instant {
    Instant::now()
}
