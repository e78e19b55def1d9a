//! The order of things: positions, fences and versions.
//!
//! A *position* says where an entry stands in its shard's one order: the epoch of the shard's
//! configuration and a sequence number within it. A start, a failover and the exhaustion of the
//! sequence each begin a new epoch, so positions only ever grow, whatever the clocks do.
//!
//! A *fence* is the position of the entry that granted a hold. This is why fences of one id grow across
//! restarts, destruction and re-creation without anything to remember.

use core::fmt;

/// Place of an entry in its shard's order. Ordered by epoch, then by sequence.
///
/// Packed as `epoch << 40 | sequence`, so that the first 8,191 epochs stay below 2^53 and survive a
/// client that keeps numbers as doubles. 2^40 entries fill an epoch (12 days at a million writes per
/// second); then the shard begins the next one by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

/// Bits of a [`Position`] that hold the sequence.
pub const SEQUENCE_BITS: u32 = 40;
/// Largest sequence within an epoch.
pub const MAX_SEQUENCE: u64 = (1 << SEQUENCE_BITS) - 1;
/// Largest epoch: 22 bits, so that a position takes 62 and an entry header has two bits to spare. With a
/// start every minute it lasts for eight years.
pub const MAX_EPOCH: u32 = (1 << 22) - 1;

impl Position {
    /// Before every entry.
    pub const ZERO: Self = Self(0);

    /// The position of `sequence` in `epoch`.
    ///
    /// # Panics
    /// If either is past its maximum: whoever counts them begins a new epoch in time.
    #[must_use]
    pub const fn new(epoch: u32, sequence: u64) -> Self {
        assert!(epoch <= MAX_EPOCH && sequence <= MAX_SEQUENCE);
        Self(((epoch as u64) << SEQUENCE_BITS) | sequence)
    }

    /// The position whose packed form this is.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The packed form.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The shard configuration's number.
    #[must_use]
    pub const fn epoch(self) -> u32 {
        (self.0 >> SEQUENCE_BITS) as u32
    }

    /// The place within the epoch.
    #[must_use]
    pub const fn sequence(self) -> u64 {
        self.0 & MAX_SEQUENCE
    }

    /// The position `n` entries later, in the same epoch or, where it is exhausted, at the start of the
    /// next one. A batch never straddles two epochs: see [`Position::room`].
    #[must_use]
    pub const fn plus(self, n: u64) -> Self {
        assert!(n <= self.room());
        Self(self.0 + n)
    }

    /// How many more entries this epoch has room for.
    #[must_use]
    pub const fn room(self) -> u64 {
        MAX_SEQUENCE - self.sequence()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.sequence())
    }
}

/// The strictly increasing number that proves a hold. Zero means "not held by this call".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl From<Position> for Fence {
    fn from(position: Position) -> Self {
        Self(position.raw())
    }
}

/// Version of one record: which region's mastership it was written under, and how many mutations it
/// has seen. Ordered by mastership epoch, then counter (PNUTS, section 2.2).
///
/// Packed into 8 bytes: mastership epoch 16 bits, counter 40 bits, home region 8 bits (lowest, so that
/// it does not take part in the order before the counter does).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a record that was just created in the only region.
    pub const FIRST: Self = Self::new(0, 1, 0);

    /// A version from its parts. `counter` is below 2^40.
    #[must_use]
    pub const fn new(mastership_epoch: u16, counter: u64, home: u8) -> Self {
        assert!(counter < 1 << 40);
        Self(((mastership_epoch as u64) << 48) | (counter << 8) | home as u64)
    }

    /// The version whose packed form this is.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The packed form.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The number that users see: mutations since creation, from 1.
    #[must_use]
    pub const fn counter(self) -> u64 {
        (self.0 >> 8) & ((1 << 40) - 1)
    }

    /// The version after one more mutation.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new((self.0 >> 48) as u16, self.counter() + 1, self.0 as u8)
    }
}
