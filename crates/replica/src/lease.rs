//! What lets a primary answer reads alone: standbys that have promised not to help a successor for a while.
//!
//! ```text
//!   primary   sent ├────────── counted: lease * (1 - e) / (1 + e) ──┤
//!   standby            received ├────────────── granted: lease ──────────────┤ only now it answers a seal
//! ```
//!
//! The primary counts from when it *sent* what was acknowledged, the standby from when it *received* that, so the delay of neither message
//! matters, and the margin covers the clocks' rates. Clocks are monotonic ones that go on while a machine is suspended.

use model::Member;

/// What a standby has granted: to the primary that it has acknowledged last.
///
/// One is enough. A standby grants with an acknowledgement that counts, so to a primary that has recovered: RQ of the set that served before
/// have then testified, each when its own lease was over, and no earlier primary can have WQ - 1 leases left. What still runs for one of
/// those is void, and so is the lease to somebody unknown that a copy which starts again takes for granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
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
            until_us: now_us + lease_us,
            ..Self::NONE
        }
    }

    /// A lease to this member, from when it was heard.
    pub(crate) fn grant(&mut self, to: Member, heard_us: u64, lease_us: u64) {
        if self.to != Some(to) {
            *self = Self::NONE;
        }
        self.to = Some(to);
        self.until_us = self.until_us.max(heard_us + lease_us);
    }

    /// That member serves no more.
    pub(crate) fn release(&mut self, by: Member) {
        if self.to == Some(by) {
            *self = Self::NONE;
        }
    }

    /// When the lease to this member ends.
    pub(crate) fn until_us(&self, to: Member) -> u64 {
        if self.to == Some(to) {
            self.until_us
        } else {
            0
        }
    }

    /// When this member may be helped to succeed: who holds the lease need not wait for it.
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
    fn a_restart_costs_one_lease_or_what_is_granted_next() {
        let mut granted = Granted::unknown(0, LEASE_US);
        assert_eq!(granted.ends_for_us(member(1)), LEASE_US);
        granted.release(member(1));
        assert_eq!(granted.ends_for_us(member(1)), LEASE_US);
        granted.grant(member(1), 50, LEASE_US);
        assert_eq!(granted.ends_for_us(member(2)), 350);
        granted.release(member(1));
        assert_eq!(granted.ends_for_us(member(2)), 0);
    }

    #[test]
    fn a_release_ends_only_the_lease_of_whoever_releases() {
        let mut granted = Granted::NONE;
        granted.grant(member(1), 0, LEASE_US);
        granted.grant(member(2), 100, LEASE_US);
        granted.release(member(1));
        assert_eq!(granted.ends_for_us(member(3)), 400);
        granted.release(member(2));
        assert_eq!(granted.ends_for_us(member(3)), 0);
    }

    #[test]
    fn a_lease_does_not_keep_its_own_holder_waiting() {
        let mut granted = Granted::NONE;
        granted.grant(member(1), 0, LEASE_US);
        assert_eq!(granted.ends_for_us(member(1)), 0);
        granted.grant(member(2), 100, LEASE_US);
        assert_eq!(granted.ends_for_us(member(2)), 0);
        assert_eq!(granted.ends_for_us(member(1)), 400);
    }

    #[test]
    fn a_lease_is_never_shortened() {
        let mut granted = Granted::NONE;
        granted.grant(member(1), 100, LEASE_US);
        granted.grant(member(1), 0, LEASE_US);
        assert_eq!(granted.ends_for_us(member(2)), 400);
    }
}
