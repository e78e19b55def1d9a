//! What nobody inside can see, and must hold at every moment: asked of all copies at once, where a rule that is broken shows first.
//!
//! A client would see most of it too, with luck: it would have to ask the right node in the right milliseconds.

use model::{Phase, ShardConfig};

use crate::node::Copy;
use crate::plan::Durability;
use crate::state::State;

use super::World;

impl World {
    /// I11 LeaseDisjoint: an epoch that asks to be published has found the log of those before it, so none of them has a right to read, and
    /// none will have one again.
    pub(crate) fn no_earlier_right(&mut self, node: usize, shard: usize, epoch: u32) {
        let reader = (0..self.nodes.len()).filter(|other| *other != node).find(|other| {
            let n = &self.nodes[*other];
            let copy = n.copies.get(&shard).filter(|_| n.up);
            copy.is_some_and(|c| {
                let earlier = c.replica.vows().promised < epoch;
                earlier && c.replica.read_right(n.now(self.time_us)).is_some()
            })
        });
        if let Some(reader) = reader {
            self.fail(format!(
                "I11 LeaseDisjoint: node {reader} may read when epoch {epoch} is about to serve"
            ));
        }
    }

    /// A copy that counts is what the batches up to its end make of it, and nothing else.
    pub(crate) fn content_is_of_log(&mut self, node: usize, shard: usize) {
        let Some(copy) = self.nodes[node].copies.get(&shard) else {
            return;
        };
        let expected = self.content_at(shard, copy);
        if copy.state != expected {
            let wrong = format!(
                "shard {shard}: node {node} counts with {:?}, and its log makes {expected:?}",
                copy.state
            );
            self.fail(wrong);
        }
    }

    /// What the batches up to the end of this copy's log make.
    pub(crate) fn content_at(&self, shard: usize, copy: &Copy) -> State {
        State::made_by(&self.ledgers[shard].placed_up_to(copy.replica.last()))
    }

    /// What a copy testifies to is still so after a restart: who recovers waits for it.
    pub(crate) fn testimony_lasts(&mut self, node: usize, shard: usize, last: model::Position) {
        let copy = self.nodes[node].copies.get(&shard);
        let lasting = copy.map(|c| c.lasting_end(self.plan.durability));
        if lasting.is_some_and(|end| end < last) {
            self.fail(format!(
                "node {node} testifies to {last} and would have {lasting:?} after a restart"
            ));
        }
    }

    /// A set that serves is what the next epoch is recovered from: RQ of it know that they are its members.
    pub(crate) fn enough_are_there(&mut self, shard: usize, config: &ShardConfig) {
        let members = config.copies().members().iter();
        let there = members.filter(|member| {
            let n = &self.nodes[member.node.0 as usize];
            let copy = n.copies.get(&shard).filter(|_| n.member == **member);
            copy.is_some_and(|c| match self.plan.durability {
                Durability::Memory => c.replica.vows().promised >= config.epoch(),
                Durability::Disk => c.image.vows.promised >= config.epoch(),
            })
        });
        let enough = there.count() >= config.copies().read_quorum();
        if config.phase() == Phase::Serving && !enough {
            self.fail(format!(
                "shard {shard}: too few know of {config:?} to recover from it"
            ));
        }
    }
}
