//! What must hold after every input, in release builds too.
//!
//! The names are those of `docs/replication.md`. Some stand where they could be broken (I2, I8, I9, I15, in `standby`, `serving`, `recovery`); what
//! a single copy cannot see (that two copies are equal, that two primaries never read at once) the simulator checks.
//!
//! - I1 EpochMonotone: what was promised, and what it was synced to, never goes back.
//! - I12 CommittedPrefix: the commit position never goes back, lies within the log, and WQ copies have it.
//! - I21 Bounds: what is kept is at most the backlog, or what waits for its quorum.

use model::{Member, Position};

use crate::vows::Vows;
use crate::{Replica, Role};

/// What was there after the last input.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    vows: Vows,
    committed: Position,
}

impl Replica {
    /// # Panics
    /// If something does not hold.
    pub(crate) fn check(&mut self) {
        let vows = self.keeper.vows();
        assert!(
            vows.promised >= self.seen.vows.promised && vows.synced >= self.seen.vows.synced,
            "I1 EpochMonotone"
        );
        assert!(
            vows.synced <= vows.promised,
            "I1 EpochMonotone: synced to an epoch that was not promised"
        );
        assert!(
            self.committed >= self.seen.committed,
            "I12 CommittedPrefix: the commit position went back"
        );
        assert!(
            self.quorum_has_committed(),
            "I12 CommittedPrefix: committed without WQ copies"
        );
        if self.keeper.settled() && vows.discarded.is_none() && vows.synced == vows.promised {
            assert!(
                self.committed <= self.log.last(),
                "I12 CommittedPrefix: committed what is not here"
            );
        }
        self.check_lead();
        self.seen = Seen {
            vows,
            committed: self.committed,
        };
    }

    fn check_lead(&self) {
        let Role::Leading(lead) = &self.role else {
            return;
        };
        let copies = lead.config.copies();
        assert_eq!(
            lead.config.epoch(),
            self.keeper.vows().promised,
            "I1 EpochMonotone: leads in another epoch than it has promised"
        );
        assert!(
            copies.contains(self.post.me) && lead.config.primary() == self.post.me,
            "leads where it is not primary"
        );
        let members: &[Member] = copies.members();
        assert!(
            lead.peers.iter().all(|p| members.contains(&p.member())),
            "I15 IncarnationFresh: follows up a member that is not in the set"
        );
        let waiting = self.log.bytes_beyond(self.committed);
        let one = model::limits::MAX_BATCH_BYTES + crate::wire::BATCH_HEADER_BYTES;
        assert!(
            waiting <= (2 * self.settings.uncommitted_bytes + one) as u64,
            "I21 Bounds: more waits for its quorum than may"
        );
    }
}
