//! What nobody inside can see, and must hold at every moment: asked of all copies at once, where a rule that is broken shows first.
//!
//! A client would see most of it too, with luck: it would have to ask the right node in the right milliseconds.

use model::{Member, Position, ShardConfig};
use replica::wire::BATCH_HEADER_BYTES;
use replica::{Replica, Settings};

use crate::node::Copy;
use crate::state::State;

use super::World;

impl World {
    /// I11 LeaseDisjoint: an epoch that asks to be published has found the log of those before it, so none of them has a right to read, and
    /// none will have one again.
    pub(crate) fn no_earlier_right(&mut self, node: usize, shard: usize, epoch: u32) {
        let reader = (0..self.nodes.len())
            .filter(|other| *other != node)
            .find(|other| {
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
    pub(crate) fn testimony_lasts(&mut self, node: usize, shard: usize, last: Position) {
        let copy = self.nodes[node].copies.get(&shard);
        let lasting = copy.map(|c| c.lasting_end(self.plan.durability));
        if lasting.is_some_and(|end| end < last) {
            self.fail(format!(
                "node {node} testifies to {last} and would have {lasting:?} after a restart"
            ));
        }
    }

    /// A set that serves is what the next epoch is recovered from: RQ of it must have said in this epoch that they are there. Of members
    /// that nobody has heard of it would not be known.
    pub(crate) fn enough_have_spoken(&mut self, node: usize, shard: usize, config: &ShardConfig) {
        let me = self.nodes[node].member;
        let spoke = |m: &&Member| **m == me || self.ledgers[shard].has_spoken(config.epoch(), **m);
        let there = config.copies().members().iter().filter(spoke).count();
        if there < config.copies().read_quorum() {
            self.fail(format!(
                "shard {shard}: {there} have spoken in {config:?}, too few to recover from"
            ));
        }
    }
}

/// I21 Bounds: what waits for its quorum is a single batch, or no more than may wait.
pub(crate) fn waits_within_bounds(replica: &Replica, settings: &Settings) -> Result<(), String> {
    let waiting = replica.batches_after(replica.committed());
    let sizes = waiting.into_iter().flatten();
    let sizes: Vec<usize> = sizes.map(|b| b.bytes.len() + BATCH_HEADER_BYTES).collect();
    let bytes: usize = sizes.iter().sum();
    let bounded = sizes.len() == 1 || bytes <= settings.uncommitted_bytes + BATCH_HEADER_BYTES;
    bounded
        .then_some(())
        .ok_or_else(|| format!("I21 Bounds: {bytes} bytes wait for their quorum"))
}
