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

/// What a standby has granted: to the member that it acknowledges now, and what still runs of all others.
///
/// The two are kept apart so that a lease of somebody unknown (the standby has started again) ends when it ends, however
/// often the one of today's primary is extended: or a planned hand-over after a restart would wait for a whole lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    to: Option<Member>,
    until_us: u64,
    others_until_us: u64,
}

impl Granted {
    /// Of a copy that has granted nothing.
    pub(crate) const NONE: Self = Self {
        to: None,
        until_us: 0,
        others_until_us: 0,
    };

    /// Of a copy that starts again and does not know what it had granted: a whole lease, to anyone.
    pub(crate) fn unknown(now_us: u64, lease_us: u64) -> Self {
        Self {
            others_until_us: now_us + lease_us,
            ..Self::NONE
        }
    }

    pub(crate) fn grant(&mut self, to: Member, now_us: u64, lease_us: u64) {
        if self.to != Some(to) {
            self.others_until_us = self.others_until_us.max(self.until_us);
            self.until_us = 0;
        }
        self.to = Some(to);
        self.until_us = self.until_us.max(now_us + lease_us);
    }

    /// That member serves no more.
    pub(crate) fn release(&mut self, by: Member) {
        if self.to == Some(by) {
            self.to = None;
            self.until_us = 0;
        }
    }

    /// When this member may be helped to succeed.
    pub(crate) fn ends_for_us(&self, successor: Member) -> u64 {
        if self.to == Some(successor) {
            self.others_until_us
        } else {
            self.until_us.max(self.others_until_us)
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Incarnation, NodeId};

    const LEASE_US: u64 = 300;

    fn member(node: u32) -> Member {
        Member {
            node: NodeId(node),
            incarnation: Incarnation(1),
        }
    }

    #[test]
    fn a_restart_costs_one_lease_and_no_more() {
        let mut granted = Granted::unknown(0, LEASE_US);
        for now_us in (0..1_000).step_by(50) {
            granted.grant(member(1), now_us, LEASE_US);
        }
        granted.release(member(1));
        assert_eq!(granted.ends_for_us(member(2)), LEASE_US);
    }

    #[test]
    fn a_release_ends_only_the_lease_of_whoever_releases() {
        let mut granted = Granted::NONE;
        granted.grant(member(1), 0, LEASE_US);
        granted.grant(member(2), 100, LEASE_US);
        granted.release(member(1));
        assert_eq!(granted.ends_for_us(member(3)), 400);
        granted.release(member(2));
        assert_eq!(granted.ends_for_us(member(3)), LEASE_US);
    }

    #[test]
    fn a_lease_does_not_keep_its_own_holder_waiting() {
        let mut granted = Granted::NONE;
        granted.grant(member(1), 0, LEASE_US);
        assert_eq!(granted.ends_for_us(member(1)), 0);
        granted.grant(member(2), 100, LEASE_US);
        assert_eq!(granted.ends_for_us(member(2)), LEASE_US);
        assert_eq!(granted.ends_for_us(member(1)), 400);
    }
}
