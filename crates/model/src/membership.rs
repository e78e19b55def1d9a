//! Who holds a shard: nodes, their lives, and the configuration of a shard's copies.
//!
//! A shard's configuration is changed by compare-and-set in the metadata store, always to the next epoch, and once more within an
//! epoch, from [`Phase::Recovering`] to [`Phase::Serving`]. Everything else that knows one was told.
//!
//! ```text
//!   create ──► 1 Recovering ──publish──► 1 Serving ──succeed──► 2 Recovering ──publish──► 2 Serving ──► ...
//!                                                                    │
//!                                                 succeed (its primary died before it could publish)
//!                                                                    ▼
//!                                                 3 Recovering, still from the set of epoch 1
//! ```

use crate::position::MAX_EPOCH;

/// Most copies of a shard: five, and two more while a set is being changed.
pub const MAX_COPIES: usize = 7;

/// One node, for as long as the cluster exists: the number that an operator knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// One life of a node's data: 128 random bits, given from outside. A node that starts without everything that it ever
/// acknowledged begins a new one, and what the old one was a member of it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u128);

/// A place whose machines may fail together: a rack, a room, a zone of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub u16);

/// A shard's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A node in one of its lives: what sets are made of, so that a node that has forgotten is never taken for the one that knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
}

impl Member {
    /// Fills the unused places of a [`CopySet`].
    const NOBODY: Self = Self {
        node: NodeId(u32::MAX),
        incarnation: Incarnation(0),
    };
}

/// The members that hold a shard, and how many acknowledgements a write needs.
///
/// Invariants: 1 to [`MAX_COPIES`] members, no node twice; `1 <= write_quorum <= len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopySet {
    members: [Member; MAX_COPIES],
    len: u8,
    write_quorum: u8,
}

impl CopySet {
    /// A set of these members, or `None` if it would break an invariant: for sets that come from outside.
    #[must_use]
    pub fn checked(members: &[Member], write_quorum: usize) -> Option<Self> {
        let distinct = members
            .iter()
            .enumerate()
            .all(|(i, a)| members[..i].iter().all(|b| a.node != b.node));
        let sizes = (1..=MAX_COPIES).contains(&members.len());
        if !sizes || !distinct || !(1..=members.len()).contains(&write_quorum) {
            return None;
        }
        let mut all = [Member::NOBODY; MAX_COPIES];
        all[..members.len()].copy_from_slice(members);
        Some(Self {
            members: all,
            len: members.len() as u8,
            write_quorum: write_quorum as u8,
        })
    }

    /// A set of these members.
    ///
    /// # Panics
    /// If it breaks an invariant.
    #[must_use]
    pub fn new(members: &[Member], write_quorum: usize) -> Self {
        Self::checked(members, write_quorum).expect("distinct nodes, and a quorum among them")
    }

    /// The members, in the order in which they were given.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members[..usize::from(self.len)]
    }

    /// Whether this node, in this life, is one of them.
    #[must_use]
    pub fn contains(&self, member: Member) -> bool {
        self.members().contains(&member)
    }

    /// WQ: copies, the primary's own included, that must have a write before it is acknowledged.
    #[must_use]
    pub fn write_quorum(&self) -> usize {
        usize::from(self.write_quorum)
    }

    /// RQ = W - WQ + 1: any so many members include one of any write quorum.
    #[must_use]
    pub fn read_quorum(&self) -> usize {
        self.members().len() - self.write_quorum() + 1
    }
}

/// A set that served, under its epoch: what the next one is recovered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedSet {
    /// The epoch that it served under; 0 where lives of its members are over, and what they have left is all there is.
    pub epoch: u32,
    /// The set.
    pub copies: CopySet,
}

/// How far a configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each shard, and copying it needs no memory of its own"
)]
pub enum Phase {
    /// Its primary gathers what the last set that served has acknowledged; nobody is served.
    Recovering {
        /// That set; `None` for a shard that has never served.
        from: Option<ServedSet>,
    },
    /// A write quorum of the set has all of it: clients may be served.
    Serving,
}

/// A shard's configuration, as the metadata store has it.
///
/// Invariants: the primary is a member; the epoch is at least 1 and higher than that of the set it recovers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    epoch: u32,
    copies: CopySet,
    primary: Member,
    phase: Phase,
}

impl ShardConfig {
    /// A configuration, or `None` if it would break an invariant: for those that come from outside.
    #[must_use]
    pub fn checked(epoch: u32, copies: CopySet, primary: NodeId, phase: Phase) -> Option<Self> {
        let primary = copies.members().iter().find(|m| m.node == primary)?;
        let later = match phase {
            Phase::Recovering { from: Some(from) } => from.epoch < epoch,
            Phase::Recovering { from: None } | Phase::Serving => true,
        };
        (later && (1..=MAX_EPOCH).contains(&epoch)).then_some(Self {
            epoch,
            copies,
            primary: *primary,
            phase,
        })
    }

    /// The first configuration of a shard that has never been.
    ///
    /// # Panics
    /// If the primary is no member.
    #[must_use]
    pub fn create(copies: CopySet, primary: NodeId) -> Self {
        Self::checked(1, copies, primary, Phase::Recovering { from: None })
            .expect("the primary is a member")
    }

    /// What follows this one: the next epoch, to be recovered from the last set that served.
    ///
    /// # Panics
    /// If the primary is no member, or epochs have run out.
    #[must_use]
    pub fn succeed(&self, copies: CopySet, primary: NodeId) -> Self {
        let from = match self.phase {
            Phase::Recovering { from } => from,
            Phase::Serving => Some(ServedSet {
                epoch: self.epoch,
                copies: self.copies,
            }),
        };
        Self::checked(self.epoch + 1, copies, primary, Phase::Recovering { from })
            .expect("the primary is a member, and epochs last")
    }

    /// Of two configurations of a shard the later is greater: within an epoch it begins to serve.
    #[must_use]
    pub fn order(&self) -> (u32, bool) {
        (self.epoch, self.phase == Phase::Serving)
    }

    /// The same, once it serves.
    #[must_use]
    pub fn published(&self) -> Self {
        Self {
            phase: Phase::Serving,
            ..*self
        }
    }

    /// The number of this configuration.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The copies.
    #[must_use]
    pub fn copies(&self) -> &CopySet {
        &self.copies
    }

    /// The copy that orders writes.
    #[must_use]
    pub fn primary(&self) -> Member {
        self.primary
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }
}

#[cfg(test)]
mod tests {
    use super::{CopySet, Incarnation, Member, NodeId, Phase, ShardConfig};

    fn member(node: u32) -> Member {
        Member {
            node: NodeId(node),
            incarnation: Incarnation(u128::from(node) << 64 | 7),
        }
    }

    #[test]
    fn any_read_quorum_meets_any_write_quorum() {
        for w in 1..=super::MAX_COPIES {
            let members: [Member; super::MAX_COPIES] = core::array::from_fn(|n| member(n as u32));
            for wq in 1..=w {
                let set = CopySet::new(&members[..w], wq);
                assert_eq!(set.read_quorum() + set.write_quorum(), w + 1);
            }
        }
    }

    #[test]
    fn sets_from_outside_are_checked() {
        assert!(CopySet::checked(&[], 1).is_none());
        assert!(CopySet::checked(&[member(1), member(1)], 1).is_none());
        assert!(CopySet::checked(&[member(1), member(2)], 0).is_none());
        assert!(CopySet::checked(&[member(1), member(2)], 3).is_none());
        let set = CopySet::new(&[member(1), member(2)], 2);
        assert!(ShardConfig::checked(1, set, NodeId(3), Phase::Serving).is_none());
        assert!(ShardConfig::checked(0, set, NodeId(1), Phase::Serving).is_none());
    }

    #[test]
    fn an_epoch_that_never_served_is_not_recovered_from() {
        let set = CopySet::new(&[member(1), member(2)], 2);
        let first = ShardConfig::create(set, NodeId(1)).published();
        let third = first.succeed(set, NodeId(2)).succeed(set, NodeId(1));
        let Phase::Recovering { from: Some(from) } = third.phase() else {
            panic!("it recovers from a set");
        };
        assert_eq!((third.epoch(), from.epoch), (3, 1));
    }
}
