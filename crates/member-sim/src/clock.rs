//! The clocks of one machine, against the time of the world.

use model::Now;

/// The wall clock when the world begins: 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// See the module. The world's time is in microseconds since it began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the monotonic clock showed when the world began: it may have been started later, or much earlier.
    base_us: i64,
    /// By how much it runs fast, in parts of a million.
    rate_ppm: i64,
    /// By how much the wall clock is ahead, in milliseconds.
    ahead_ms: i64,
}

impl Clock {
    /// A clock.
    #[must_use]
    pub const fn new(base_us: u64, rate_ppm: i64, ahead_ms: i64) -> Self {
        Self {
            base_us: base_us as i64,
            rate_ppm,
            ahead_ms,
        }
    }

    /// What the machine's clocks show at this time of the world.
    #[must_use]
    pub const fn now(&self, at_us: u64) -> Now {
        let at_us = at_us as i64;
        let mono_us = self.base_us + at_us + at_us * self.rate_ppm / 1_000_000;
        Now {
            unix_ms: (START_MS + at_us / 1_000 + self.ahead_ms) as u64,
            mono_us: mono_us as u64,
        }
    }

    /// When the monotonic clock shows this, in the time of the world.
    #[must_use]
    pub const fn when_mono(&self, mono_us: u64) -> u64 {
        let passed_us = mono_us as i64 - self.base_us;
        if passed_us <= 0 {
            return 0;
        }
        // One more, so that it is not a moment before.
        (passed_us as i128 * 1_000_000 / (1_000_000 + self.rate_ppm) as i128) as u64 + 1
    }

    /// When the wall clock shows this, in the time of the world.
    #[must_use]
    pub const fn when_wall(&self, unix_ms: u64) -> u64 {
        let passed_ms = unix_ms as i64 - START_MS - self.ahead_ms;
        if passed_ms <= 0 {
            0
        } else {
            passed_ms as u64 * 1_000
        }
    }

    /// The wall clock jumps: from now on it is so much ahead.
    pub const fn set_ahead(&mut self, ahead_ms: i64) {
        self.ahead_ms = ahead_ms;
    }

    /// By how much the wall clock is ahead, in milliseconds.
    #[must_use]
    pub const fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// The machine starts again: its monotonic clock begins anew.
    pub const fn boot(&mut self, at_us: u64) {
        let at_us = at_us as i64;
        self.base_us = 1_000_000 - at_us - at_us * self.rate_ppm / 1_000_000;
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_moment_is_found_again() {
        for (base_us, rate_ppm) in [(0, 0), (7_000_000, 15_000), (3, -15_000)] {
            let clock = Clock::new(base_us, rate_ppm, 5);
            for at_us in [1, 999, 1_000_000, 77_777_777] {
                let found_us = clock.when_mono(clock.now(at_us).mono_us);
                assert!(
                    (at_us..=at_us + 2).contains(&found_us),
                    "{at_us} {found_us}"
                );
            }
        }
    }

    #[test]
    fn a_machine_that_starts_again_counts_anew() {
        let mut clock = Clock::new(500_000_000, 100, 0);
        clock.boot(9_000_000);
        assert_eq!(clock.now(9_000_000).mono_us, 1_000_000);
        assert!(clock.now(9_500_000).mono_us > 1_490_000);
    }
}
