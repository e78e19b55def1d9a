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
