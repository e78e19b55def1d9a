//! The two clocks of the machine: the one place where the time is read.
//!
//! The monotonic one is `CLOCK_BOOTTIME`: it goes on while the machine is suspended. A lease that was granted before has to be over
//! afterwards, and `CLOCK_MONOTONIC`, which stands still meanwhile, would say that it is not.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Now;
use rustix::time::{ClockId, clock_gettime};

/// Reads both clocks. The zero of the monotonic one is when this was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since the machine was started.
    origin: Duration,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: since_boot(),
        }
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
        since_boot().saturating_sub(self.origin)
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
    static ORIGIN: OnceLock<Duration> = OnceLock::new();
    since_boot()
        .saturating_sub(*ORIGIN.get_or_init(since_boot))
        .as_nanos() as u64
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
