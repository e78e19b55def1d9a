//! Leaving: a node that is about to end has others lead what it leads, and stays until they do.

use alloc::vec::Vec;

use model::{Member, Phase};

use super::{Agent, Effect};
use crate::court::Standing;

impl Agent {
    pub(super) fn leave(&mut self, out: &mut Vec<Effect>) {
        self.is_leaving = true;
        self.court.note_leaving(self.identity.me.node, true);
        self.reconcile_ms = self.now_ms;
        self.beat(out);
    }

    /// Whether a shard needs this node: to lead it until another can, or to say what it has to another that is about to. If it
    /// said nothing, that one would wait for the leases that this node was given.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        let me = self.identity.me;
        let mut shards = self.map.shards().values();
        shards.any(|record| {
            let (members, primary) = (record.config.copies().members(), record.config.primary());
            let mut others = members.iter().filter(|m| **m != me);
            match record.config.phase() {
                Phase::Serving => primary == me && others.any(|other| self.stays(*other)),
                Phase::Recovering { .. } => {
                    members.contains(&me) && others.any(|other| self.stays(*other))
                }
            }
        })
    }

    /// Whether it can lead, or will when it has been back for long enough.
    fn stays(&self, member: Member) -> bool {
        let is_heard = match self.standing(member.node) {
            Standing::Well | Standing::Accused | Standing::Returning { .. } => true,
            Standing::Convicted { .. } => false,
        };
        is_heard && self.map.is_present(member) && !self.is_leaving(member.node)
    }
}
