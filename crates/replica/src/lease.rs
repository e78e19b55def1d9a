//! What lets a primary answer reads alone: standbys that have promised not to help a successor for a while.
//!
//! ```text
//!   primary   sent ├────────── counted: lease * (1 - e) / (1 + e) ──┤
//!   standby            received ├────────────── granted: lease ──────────────┤ only now it answers a seal
//! ```
//!
//! The primary counts from when it *sent* what was acknowledged, the standby from when it *received* it, so the delay of neither message
//! matters, and the margin covers the clocks' rates. Clocks are monotonic ones that go on while a machine is suspended.

use model::Member;

/// What a standby has granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    /// To whom; `None` if that is forgotten, or more than one.
    to: Option<Member>,
    until_us: u64,
}

impl Granted {
    /// Of a copy that has granted nothing.
    pub(crate) const NONE: Self = Self {
        to: None,
        until_us: 0,
    };

    /// Of a copy that starts again and does not know what it had granted: a whole lease, to anyone.
    pub(crate) fn unknown(now_us: u64, lease_us: u64) -> Self {
        Self {
            to: None,
            until_us: now_us + lease_us,
        }
    }

    pub(crate) fn grant(&mut self, to: Member, now_us: u64, lease_us: u64) {
        let other_runs = self.to != Some(to) && self.until_us > now_us;
        self.to = if other_runs { None } else { Some(to) };
        self.until_us = self.until_us.max(now_us + lease_us);
    }

    /// That member serves no more.
    pub(crate) fn release(&mut self, by: Member) {
        if self.to == Some(by) {
            *self = Self::NONE;
        }
    }

    /// When this member may be helped to succeed.
    pub(crate) fn ends_for_us(&self, successor: Member) -> u64 {
        if self.to == Some(successor) {
            0
        } else {
            self.until_us
        }
    }
}

/// The right to answer reads, until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRight {
    /// Until when, by the monotonic clock.
    pub until_us: u64,
    /// The latest wall-clock time that a reply may depend on, in milliseconds: a successor starts no earlier.
    pub time_ceiling_ms: u64,
}
