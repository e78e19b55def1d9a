//! What copies say, looked at as it leaves: that all it rests on stands, that a word is not said in two ways, and that there is no more under way than may be.
//!
//! Each of these is a rule whose breach a run seldom shows by what becomes of it.

use std::collections::{BTreeMap, VecDeque};

use model::Position;
use replica::wire::{Ack, Append, BATCH_HEADER_BYTES, Body, Chunk, Message};

use crate::plan::Durability;

use super::World;

/// A copy in one process of its node and one epoch: node, process, shard, epoch.
type Copy = (usize, u32, usize, u32);
/// What a primary says to one standby: its node, the shard, the epoch, the standby's node.
type Talk = (usize, usize, u32, u32);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Words {
    heard: BTreeMap<Copy, Heard>,
    /// Batches that were sent and not yet said to be persisted, with their sizes.
    under_way: BTreeMap<Talk, VecDeque<(Position, usize)>>,
    /// Parts of snapshots, by attempt and step.
    parts: BTreeMap<(Talk, u32, u32), (Position, Vec<u8>)>,
}

/// What a copy has heard of its primary.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// The latest moment at which anything was sent, by the primary's clock, and when it was received, by the copy's.
    sent_us: u64,
    received_us: u64,
    /// What the epoch began with.
    base: Position,
}

impl World {
    /// A message is about to be heard.
    pub(crate) fn word_arrives(&mut self, node: usize, message: &Message<'_>) {
        let shard = usize::from(message.shard.0);
        let n = &self.nodes[node];
        let now_us = n.now(self.time_us).mono_us;
        let copy = (node, n.process, shard, message.epoch);
        let (sent_us, base) = match message.body {
            Body::Append(append) => (append.sent_us, append.base),
            Body::Leap(leap) => (leap.sent_us, leap.base),
            Body::Ack(ack) => {
                let talk = (node, shard, message.epoch, message.from.node.0);
                if let Some(sent) = self.words.under_way.get_mut(&talk) {
                    sent.retain(|(last, _)| *last > ack.persisted);
                }
                return;
            }
            Body::Refused { .. }
            | Body::Seal { .. }
            | Body::Testimony(_)
            | Body::Unknown
            | Body::Fetch { .. }
            | Body::Tail { .. }
            | Body::Join { .. }
            | Body::Chunk(_)
            | Body::Mend(_)
            | Body::Touched { .. } => return,
        };
        let heard = self.words.heard.entry(copy).or_default();
        heard.base = heard.base.max(base);
        if sent_us >= heard.sent_us {
            (heard.sent_us, heard.received_us) = (sent_us, now_us);
        }
    }

    /// A message leaves.
    pub(crate) fn word_holds(&mut self, node: usize, message: &Message<'_>) {
        let talk = (
            node,
            usize::from(message.shard.0),
            message.epoch,
            message.to.node.0,
        );
        let rests = self.rests_on_what_is_saved(node, message);
        self.require(rests);
        match message.body {
            Body::Ack(ack) if ack.synced => {
                let counts = self.counts_and_is_bound(node, message, ack);
                self.require(counts);
            }
            Body::Append(append) => {
                let bounded = self.words.is_bounded(talk, append, self.plan.settings);
                self.require(bounded);
            }
            Body::Join { .. } => drop(self.words.under_way.remove(&talk)),
            Body::Chunk(chunk) => {
                let same = self.words.is_the_same(talk, chunk);
                self.require(same);
            }
            Body::Ack(_)
            | Body::Refused { .. }
            | Body::Seal { .. }
            | Body::Testimony(_)
            | Body::Unknown
            | Body::Fetch { .. }
            | Body::Tail { .. }
            | Body::Mend(_)
            | Body::Touched { .. }
            | Body::Leap(_) => {}
        }
    }

    /// A word rests on vows: where it is said, they are on disk. (A seal is none: it only asks.)
    fn rests_on_what_is_saved(&self, node: usize, message: &Message<'_>) -> Result<(), String> {
        let copy = self.nodes[node]
            .copies
            .get(&usize::from(message.shard.0))
            .filter(|_| self.plan.durability == Durability::Disk);
        let Some(saved) = copy.map(|copy| copy.image.vows) else {
            return Ok(());
        };
        let epoch = message.epoch;
        let holds = match message.body {
            Body::Ack(ack) => saved.promised >= epoch && (!ack.synced || saved.synced >= epoch),
            Body::Testimony(told) => {
                saved.promised >= epoch && told.whole == saved.discarded.is_none()
            }
            Body::Append(_) | Body::Leap(_) | Body::Fetch { .. } | Body::Tail { .. } => {
                saved.promised >= epoch
            }
            Body::Touched { keys, .. } => keys.is_none() || saved.discarded.is_some(),
            Body::Refused { .. }
            | Body::Seal { .. }
            | Body::Unknown
            | Body::Join { .. }
            | Body::Chunk(_)
            | Body::Mend(_) => true,
        };
        holds.then_some(()).ok_or_else(|| {
            format!(
                "node {node} says {:?} in epoch {epoch}, and has saved {saved:?}",
                message.body
            )
        })
    }

    /// A copy begins to count: after a restart it would have what the epoch began with, as far as it has heard.
    pub(crate) fn base_lasts(&mut self, node: usize, shard: usize) {
        let n = &self.nodes[node];
        let Some(copy) = n.copies.get(&shard) else {
            return;
        };
        let epoch = copy.replica.vows().promised;
        let heard = self.words.heard.get(&(node, n.process, shard, epoch));
        let base = heard.map_or(Position::ZERO, |heard| heard.base);
        let lasting = copy.lasting_end(self.plan.durability);
        if lasting < base {
            self.fail(format!(
                "node {node} counts in epoch {epoch}, which begins with {base}, and would have {lasting} after a restart"
            ));
        }
    }

    /// An acknowledgement that counts: after a restart the copy would have what it says that it has, and it has granted a lease from when it received
    /// what it acknowledges.
    fn counts_and_is_bound(
        &self,
        node: usize,
        message: &Message<'_>,
        ack: Ack,
    ) -> Result<(), String> {
        let shard = usize::from(message.shard.0);
        let n = &self.nodes[node];
        let heard = self
            .words
            .heard
            .get(&(node, n.process, shard, message.epoch));
        let (Some(copy), Some(heard)) = (n.copies.get(&shard), heard) else {
            return Ok(());
        };
        let lasting = copy.lasting_end(self.plan.durability);
        if lasting < ack.persisted {
            return Err(format!(
                "node {node} acknowledges {}, and would have {lasting} after a restart",
                ack.persisted
            ));
        }
        let until_us = heard.received_us + self.plan.settings.lease_us;
        let granted_us = copy.replica.granted_us(message.to);
        if ack.echo_us == heard.sent_us && granted_us < until_us {
            return Err(format!(
                "I10 LeaseCover: node {node} is bound until {granted_us} us, and has acknowledged what binds it until {until_us}"
            ));
        }
        Ok(())
    }
}

impl Words {
    /// I21 Bounds: what is under way to one standby is the window and a message.
    fn is_bounded(
        &mut self,
        talk: Talk,
        append: Append<'_>,
        settings: replica::Settings,
    ) -> Result<(), String> {
        let sent = self.under_way.entry(talk).or_default();
        for batch in append.batches.iter() {
            let bytes = batch.bytes.len() + BATCH_HEADER_BYTES;
            if sent.back().is_none_or(|(last, _)| *last < batch.last) {
                sent.push_back((batch.last, bytes));
            }
        }
        let bytes: usize = sent.iter().map(|(_, bytes)| bytes).sum();
        let longest = sent.iter().map(|(_, bytes)| *bytes).max();
        let message = settings.message_bytes.max(longest.unwrap_or_default());
        let most = settings.window_bytes + message;
        (bytes <= most)
            .then_some(())
            .ok_or_else(|| format!("I21 Bounds: {bytes} bytes are under way, {talk:?}"))
    }

    /// A part of a snapshot is sent again as it was: read again, it may end elsewhere.
    fn is_the_same(&mut self, talk: Talk, chunk: Chunk<'_>) -> Result<(), String> {
        let key = (talk, chunk.attempt, chunk.step);
        let (at, bytes) = self
            .parts
            .entry(key)
            .or_insert_with(|| (chunk.at, chunk.bytes.to_vec()));
        (*at == chunk.at && bytes.as_slice() == chunk.bytes)
            .then_some(())
            .ok_or_else(|| format!("a part of a snapshot was sent in two ways, {key:?}"))
    }
}
