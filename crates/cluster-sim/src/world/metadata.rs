//! The metadata store: compare-and-set, news that comes late and in any order, answers that are lost, and times when it is down.

use model::{CopySet, Member, Phase, ShardConfig};

use crate::node::Node;
use crate::plan::Plan;
use crate::rare::Rare;

use super::{Event, World};

/// See the module.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) records: Vec<ShardConfig>,
    pub(crate) down: bool,
}

impl Metadata {
    pub(crate) fn new(plan: &Plan, nodes: &[Node]) -> Self {
        let records = (0..usize::from(plan.shards)).map(|shard| {
            let members: Vec<Member> = (0..plan.copies)
                .map(|n| nodes[(shard + n) % nodes.len()].member)
                .collect();
            ShardConfig::create(CopySet::new(&members, plan.write_quorum), members[0].node)
        });
        Self {
            records: records.collect(),
            down: false,
        }
    }
}

/// What names a state of a configuration: its epoch, and whether it serves.
pub(crate) fn name_of(config: &ShardConfig) -> (u32, bool) {
    (config.epoch(), config.phase() == Phase::Serving)
}

impl World {
    /// Asks the metadata store for a change; the answer goes back to that node, if it is one.
    pub(crate) fn request_change(
        &mut self,
        shard: usize,
        from: (u32, bool),
        to: ShardConfig,
        node: Option<usize>,
    ) {
        let hq = self.headquarters();
        let event = Event::Change {
            shard,
            from,
            to,
            reply_to: node,
        };
        self.transmit(node.unwrap_or(hq), hq, event);
    }

    pub(crate) fn on_change(
        &mut self,
        shard: usize,
        from: (u32, bool),
        to: ShardConfig,
        reply_to: Option<usize>,
    ) {
        let lost = self.healed_us.is_none() && self.chance.metadata.chance(self.plan.indeterminate);
        let done = !lost || self.chance.metadata.chance(5_000);
        if self.metadata.down || !done {
            return;
        }
        let applies = name_of(&self.metadata.records[shard]) == from;
        if applies {
            self.metadata.records[shard] = to;
            self.count_config(&to);
            self.trace(|| format!("metadata: shard {shard} is {to:?}"));
            self.tell_of(shard);
        } else {
            self.note_rare(Rare::CasConflict);
            if reply_to.is_some() && self.metadata.records[shard].epoch() > from.0 {
                self.note_rare(Rare::PublishRefused);
            }
        }
        if let Some(node) = reply_to.filter(|_| !lost) {
            let config = self.metadata.records[shard];
            let hq = self.headquarters();
            self.transmit(
                hq,
                node,
                Event::Told {
                    node,
                    config,
                    shard,
                },
            );
        }
    }

    /// News of a shard goes to everybody, to each in its own time.
    fn tell_of(&mut self, shard: usize) {
        for node in 0..self.nodes.len() {
            self.tell(node, shard);
        }
    }

    /// A node asks for everything.
    pub(crate) fn tell_all(&mut self, node: usize) {
        for shard in 0..self.metadata.records.len() {
            self.tell(node, shard);
        }
    }

    fn tell(&mut self, node: usize, shard: usize) {
        if !self.network.passes(self.headquarters(), node) {
            // When it is joined again, it asks for everything.
            return;
        }
        let config = self.metadata.records[shard];
        let late = self.chance.metadata.below(self.plan.watch_us);
        let event = Event::Told {
            node,
            config,
            shard,
        };
        self.plan_in(late, event);
    }
}
