//! A primary says in the map that it has recovered a shard, without the coordinator: the record that it compares is the one that named
//! it, so nobody else can have been named meanwhile.

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{Member, Phase, ShardId};

use super::{Agent, Effect, asks::Purpose, lead::BatchSize};
use crate::{format::Record, keys::Place, metadata::Ask, record::ShardRecord};

/// Shards that this node has recovered and the map does not show as serving.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// With the epoch in which they were recovered.
    recovered: BTreeMap<ShardId, u32>,
    /// Those in a transaction that is under way.
    pending: BTreeSet<ShardId>,
    pub(super) publications: BatchSize,
    pub(super) proposals: BatchSize,
}

impl Publisher {
    pub(super) fn recovered(&mut self, shard: ShardId, epoch: u32) {
        self.recovered.insert(shard, epoch);
    }

    /// Forgets what is published, or overtaken by another configuration.
    fn forget(&mut self, shards: &BTreeMap<ShardId, ShardRecord>, me: Member) {
        self.recovered.retain(|shard, epoch| {
            let config = shards.get(shard).map(|record| record.config);
            config.is_some_and(|config| match config.phase() {
                Phase::Recovering { .. } if config.epoch() == *epoch => config.primary() == me,
                // The map is behind what the node was told.
                Phase::Recovering { .. } | Phase::Serving => config.epoch() < *epoch,
            })
        });
    }

    fn batch(&self, shards: &BTreeMap<ShardId, ShardRecord>) -> Vec<(ShardId, ShardRecord)> {
        let recovered = self.recovered.iter();
        let ready = recovered.filter(|(shard, epoch)| shards[shard].config.epoch() == **epoch);
        let ready = ready.map(|(shard, _)| (*shard, shards[shard]));
        ready.take(self.publications.records()).collect()
    }
}

impl Agent {
    /// Publishes what can be: one batch after the other, so that those recovered meanwhile travel together.
    pub(super) fn publish(&mut self, out: &mut Vec<Effect>) {
        let due = !self.publisher.recovered.is_empty() && self.publisher.pending.is_empty();
        if due && self.store.is_following() {
            self.publisher.forget(self.map.shards(), self.identity.me);
            let batch = self.publisher.batch(self.map.shards());
            if !batch.is_empty() {
                self.publish_batch(batch, out);
            }
        }
    }

    fn publish_batch(&mut self, batch: Vec<(ShardId, ShardRecord)>, out: &mut Vec<Effect>) {
        let places: Vec<Place> = batch
            .iter()
            .map(|(shard, _)| Place::Shard(*shard))
            .collect();
        self.publisher
            .pending
            .extend(batch.iter().map(|(shard, _)| *shard));
        let unchanged = self.map.unchanged(&places);
        let transact = |request| {
            let all = batch.into_iter();
            Ask::Transact(all.fold(unchanged, |transaction, (shard, record)| {
                let config = record.config.published();
                let record = ShardRecord {
                    config,
                    request,
                    ..record
                };
                transaction.put(Place::Shard(shard).key(), record.encode())
            }))
        };
        self.ask(Purpose::Publish, places, transact, out);
    }

    /// The map shows what became of these.
    pub(super) fn after_publication(&mut self, places: &[Place]) {
        for place in places {
            if let Place::Shard(shard) = place {
                self.publisher.pending.remove(shard);
            }
        }
    }
}
