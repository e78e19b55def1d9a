//! Time as the core sees it: told, never asked for.

/// The two clocks, read once by the shell before each call into the core.
///
/// Deadlines that are stored or shown are wall-clock milliseconds. Everything that measures (latencies,
/// timeouts of connections) uses the monotonic clock. A node never lets its wall time go back: see
/// [`Now::not_before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Microseconds of a clock that never goes back, from an arbitrary zero.
    pub mono_us: u64,
}

impl Now {
    /// This time, with the wall clock held back from going behind `floor_ms`.
    #[must_use]
    pub fn not_before(self, floor_ms: u64) -> Self {
        Self {
            unix_ms: self.unix_ms.max(floor_ms),
            ..self
        }
    }
}

/// A wall clock that never goes back, and never stands still.
///
/// When the machine's clock is set back, this one goes on from where it was at half speed, by the monotonic clock, until the
/// machine's has caught up: nothing that has expired comes back, and whatever waits for a time still gets its turn.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    /// The latest time at which it agreed with the machine's clock.
    agreed: Now,
}

impl SteadyClock {
    /// A clock that starts now.
    #[must_use]
    pub const fn new(now: Now) -> Self {
        Self { agreed: now }
    }

    /// The time, when the machine says that it is `now`.
    pub fn tell(&mut self, now: Now) -> Now {
        let passed_us = now.mono_us.saturating_sub(self.agreed.mono_us);
        let steady = now.not_before(self.agreed.unix_ms + passed_us / 2_000);
        if steady.unix_ms == now.unix_ms {
            self.agreed = now;
        }
        steady
    }
}

/// A deadline in wall-clock milliseconds, or never. 48 bits: until the year 10889.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(u64);

impl Deadline {
    /// Never.
    pub const NEVER: Self = Self((1 << 48) - 1);
    /// The latest deadline that is not never.
    pub const LAST: Self = Self((1 << 48) - 2);

    /// The deadline at this wall-clock millisecond; `None` if it is past [`Deadline::LAST`].
    #[must_use]
    pub const fn at(unix_ms: u64) -> Option<Self> {
        if unix_ms <= Self::LAST.0 {
            Some(Self(unix_ms))
        } else {
            None
        }
    }

    /// `after_ms` from `now_ms`, at most [`Deadline::LAST`].
    #[must_use]
    pub fn after(now_ms: u64, after_ms: u64) -> Self {
        Self(now_ms.saturating_add(after_ms).min(Self::LAST.0))
    }

    /// The 48-bit form; [`Deadline::NEVER`] is all ones.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The deadline whose 48-bit form this is.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        assert!(raw < 1 << 48);
        Self(raw)
    }

    /// Whether this is [`Deadline::NEVER`].
    #[must_use]
    pub const fn is_never(self) -> bool {
        self.0 == Self::NEVER.0
    }

    /// Whether the deadline has come: an entry is there before its deadline, and gone at it.
    #[must_use]
    pub const fn has_passed(self, now_ms: u64) -> bool {
        !self.is_never() && self.0 <= now_ms
    }

    /// Milliseconds left, zero if passed, `None` for never.
    #[must_use]
    pub const fn remaining_ms(self, now_ms: u64) -> Option<u64> {
        if self.is_never() {
            None
        } else {
            Some(self.0.saturating_sub(now_ms))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Now, SteadyClock};

    #[test]
    fn a_clock_that_is_set_back_goes_on_at_half_speed() {
        let at = |unix_ms, mono_us| Now { unix_ms, mono_us };
        let mut clock = SteadyClock::new(at(1_000_000, 0));
        let told = [
            (1_000_500, 500_000),
            (900_500, 500_000),
            (902_500, 2_500_000),
            (1_100_500, 200_500_000),
        ];
        let told = told.map(|(unix_ms, mono_us)| clock.tell(at(unix_ms, mono_us)).unix_ms);
        assert_eq!(told, [1_000_500, 1_000_500, 1_001_500, 1_100_500]);
    }
}
