//! What messages and moments count as: the rare events that are seen from outside a copy.

use model::{Now, Phase};
use replica::Standing;
use replica::wire::Body;

use crate::node::Write;
use crate::rare::Rare;

use super::World;

impl World {
    /// A message has left.
    pub(crate) fn count_message(&mut self, bytes: &[u8]) {
        let Some(message) = replica::wire::decode(bytes) else {
            return self.fail("a message that cannot be read");
        };
        let (node, shard) = (message.from.node.0 as usize, usize::from(message.shard.0));
        self.word_holds(node, &message);
        match message.body {
            Body::Refused { .. } => self.note_rare(Rare::Refused),
            Body::Testimony(t) if t.whole => self.testimony_lasts(node, shard, t.last),
            Body::Testimony(_) => self.note_rare(Rare::TestimonyOfDiscarded),
            Body::Fetch { .. } => {
                let copy = self.nodes[node].copies.get(&shard);
                let late = copy.is_some_and(|c| c.replica.is_synced());
                self.note_rare(if late {
                    Rare::LateTail
                } else {
                    Rare::FailoverOfTail
                });
            }
            Body::Ack(ack) => {
                self.ledgers[shard].speaks(message.epoch, message.from);
                if ack.gap {
                    self.note_rare(Rare::Gap);
                }
            }
            Body::Append(_)
            | Body::Seal { .. }
            | Body::Unknown
            | Body::Tail { .. }
            | Body::Join { .. }
            | Body::Mend(_)
            | Body::Touched { .. }
            | Body::Leap(_)
            | Body::Chunk(_) => {}
        }
    }

    /// A message is about to be heard.
    pub(crate) fn count_arrival(&mut self, node: usize, shard: usize, body: Body<'_>) {
        let now = self.nodes[node].now(self.time_us);
        let Some(copy) = self.nodes[node].copies.get(&shard) else {
            return;
        };
        let event = match body {
            Body::Refused { .. } if copy.replica.standing(now) == Standing::Recovering => {
                Some(Rare::Outbid)
            }
            Body::Seal { .. } if copy.writes.iter().any(|w| matches!(w, Write::Batch(_))) => {
                Some(Rare::SealedUnpersisted)
            }
            Body::Chunk(chunk) if copy.replica.last() > chunk.at => Some(Rare::ChunkOvertaken),
            Body::Refused { .. }
            | Body::Seal { .. }
            | Body::Chunk(_)
            | Body::Append(_)
            | Body::Ack(_)
            | Body::Testimony(_)
            | Body::Unknown
            | Body::Fetch { .. }
            | Body::Tail { .. }
            | Body::Join { .. }
            | Body::Mend(_)
            | Body::Leap(_)
            | Body::Touched { .. } => None,
        };
        if let Some(event) = event {
            self.note_rare(event);
        }
    }

    /// Notes that a testimony waits for a lease.
    pub(crate) fn count_waiting(&mut self, node: usize, shard: usize, resigned: bool) {
        let n = &self.nodes[node];
        let now = n.now(self.time_us);
        let young = n.process > 0 && self.time_us < n.started_us + self.plan.settings.lease_us;
        let copy = n.copies.get(&shard);
        let standby = copy.filter(|c| c.replica.standing(now) == Standing::Standby);
        let next_us = standby.and_then(|c| c.replica.next_us());
        if next_us.is_none_or(|us| us <= now.mono_us) {
            return;
        }
        self.note_rare(Rare::TestimonyWaited);
        if young {
            self.note_rare(Rare::SealedAfterRestart);
        }
        if resigned {
            self.note_rare(Rare::ReleaseOfAnother);
        }
    }

    /// A copy asks to be published: others may be on their way, too, or have been primary until just now.
    pub(crate) fn count_rivals(&mut self, node: usize, shard: usize) {
        let just_us = self.plan.settings.lease_us / 8;
        let (mut recovering, mut just_over) = (false, false);
        for (other, n) in self.nodes.iter().enumerate() {
            let copy = n.copies.get(&shard).filter(|_| n.up && other != node);
            let Some(copy) = copy else { continue };
            let now = n.now(self.time_us);
            let before = Now {
                mono_us: now.mono_us.saturating_sub(just_us),
                ..now
            };
            recovering |= copy.replica.standing(now) == Standing::Recovering;
            just_over |= copy.replica.read_right(before).is_some();
        }
        if recovering {
            self.note_rare(Rare::TwoRecoverers);
        }
        if just_over {
            self.note_rare(Rare::LeaseJustOver);
        }
    }

    /// A configuration is there.
    pub(crate) fn count_config(&mut self, config: &model::ShardConfig) {
        let copies = config.copies();
        let wide = copies.read_quorum() > copies.write_quorum();
        if wide && config.phase() == Phase::Serving {
            self.note_rare(Rare::ServedWide);
        }
    }
}
