//! What must be true of every committed transaction.

use std::collections::BTreeMap;

use cluster::{
    keys::Place,
    map::ClusterMap,
    metadata::{Change, Transaction},
    record::ShardRecord,
};
use model::{Member, Phase, ServedSet, ShardConfig, ShardId};

/// The judge's own copy of the map.
#[derive(Debug, Default)]
pub struct Judge {
    map: ClusterMap,
    /// The latest configuration that each shard has had, in case that the store loses it.
    latest: BTreeMap<ShardId, ShardConfig>,
}

impl Judge {
    /// The map as the store has it.
    #[must_use]
    pub const fn map(&self) -> &ClusterMap {
        &self.map
    }

    /// The store has lost what it had, and has this.
    pub fn go_back(&mut self, map: ClusterMap) {
        self.map = map;
    }

    /// Whether the store has lost a later configuration of any shard.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.latest.iter().any(|(shard, latest)| {
            let shown = self.map.shards().get(shard);
            shown.is_none_or(|record| record.config.order() < latest.order())
        })
    }

    /// What follows a configuration that the store has lost: an epoch that nothing can have had, recovered from what served.
    fn judge_after_loss(&self, latest: &ShardConfig, new: &ShardConfig) -> Result<(), String> {
        let source = |config: &ShardConfig| match config.phase() {
            Phase::Serving => Some(ServedSet {
                epoch: config.epoch(),
                copies: *config.copies(),
            }),
            Phase::Recovering { from } => from,
        };
        let from = match new.phase() {
            Phase::Recovering { from } => from,
            // What was lost is written once more.
            Phase::Serving if new == latest => return Ok(()),
            Phase::Serving => return Err(format!("{new:?} serves at once")),
        };
        if new.epoch() <= latest.epoch() + 1 {
            return Err(format!(
                "{new:?} may have an epoch that {latest:?} had or led to"
            ));
        }
        // That it served may be known to nobody but the store.
        let is_same = from == source(latest) || from.map(|f| f.copies) == Some(*latest.copies());
        if is_same {
            Ok(())
        } else {
            Err(format!("{new:?} is not recovered from {latest:?}"))
        }
    }

    /// A transaction of this node was committed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn committed(
        &mut self,
        by: Member,
        transaction: &Transaction,
        change: &Change,
    ) -> Result<(), String> {
        let before = self.map.clone();
        self.map.follow(change);
        if !self.map.damaged().is_empty() {
            return Err(format!("cannot be read: {:?}", self.map.damaged()));
        }
        for write in &transaction.writes {
            let place = Place::of(&write.key).ok_or("a key that is none of ours")?;
            let compared = transaction.compares.iter().any(|c| c.key == write.key);
            if !compared && place != Place::Cluster && !matches!(place, Place::Loss(..)) {
                return Err(format!("{place:?} is written without a compare"));
            }
            self.judge_write(by, place, &before)?;
            if let Place::Shard(shard) = place {
                let config = self.map.shards()[&shard].config;
                let latest = self.latest.entry(shard).or_insert(config);
                if config.order() > latest.order() {
                    *latest = config;
                }
            }
        }
        Ok(())
    }

    fn judge_write(&self, by: Member, place: Place, before: &ClusterMap) -> Result<(), String> {
        let leads = before.role().is_some_and(|role| role.holder == by);
        match place {
            Place::Coordinator => {
                let term = |map: &ClusterMap| map.role().map_or(0, |role| role.term);
                let taken = term(&self.map) == term(before) + 1
                    && self.map.role().is_some_and(|r| r.holder == by);
                if taken {
                    Ok(())
                } else {
                    Err("the role is not taken by one term".into())
                }
            }
            Place::Shard(shard) => {
                let after = self.map.shards().get(&shard).ok_or("a shard was removed")?;
                let before = before.shards().get(&shard);
                let shown = before.map(|record| record.config.order());
                if let Some(latest) = self.latest.get(&shard).filter(|l| Some(l.order()) > shown) {
                    return self
                        .judge_after_loss(latest, &after.config)
                        .map_err(|wrong| format!("{shard:?}: {wrong}"));
                }
                self.judge_shard(by, leads, before, after)
                    .map_err(|wrong| format!("{shard:?}: {wrong}"))
            }
            Place::Node(node) if node != by.node && !leads => {
                Err(format!("{node:?} is written by another that does not lead"))
            }
            Place::Cluster | Place::Loss(..) if !leads => {
                Err(format!("{place:?} is written by one that does not lead"))
            }
            Place::Node(_) | Place::Cluster | Place::Loss(..) => Ok(()),
        }
    }

    fn judge_shard(
        &self,
        by: Member,
        leads: bool,
        before: Option<&ShardRecord>,
        after: &ShardRecord,
    ) -> Result<(), String> {
        let Some(before) = before else {
            let first = after.config.epoch() == 1
                && after.config.phase() == Phase::Recovering { from: None };
            return if leads && first {
                self.judge_set(after)
            } else {
                Err("created wrongly".into())
            };
        };
        let (old, new) = (before.config, after.config);
        if (before.first_slot, before.last_slot) != (after.first_slot, after.last_slot) {
            return Err("its slots changed".into());
        }
        if new.epoch() == old.epoch() {
            let published =
                new == old.published() && old.phase() != Phase::Serving && by == old.primary();
            return if published {
                Ok(())
            } else {
                Err(format!("{new:?} in the epoch of {old:?}"))
            };
        }
        if !leads {
            return Err("a new epoch by one that does not lead".into());
        }
        if new.epoch() != old.epoch() + 1 || new.phase() == Phase::Serving {
            return Err(format!("{new:?} after {old:?}"));
        }
        self.judge_set(after)
    }

    /// Nodes of one process never hold two copies, except that what was is not made worse by what remains.
    fn judge_set(&self, record: &ShardRecord) -> Result<(), String> {
        let mut processes: BTreeMap<u64, u32> = BTreeMap::new();
        for member in record.config.copies().members() {
            if let Some(node) = self.map.nodes().get(&member.node) {
                *processes.entry(node.process).or_default() += 1;
            }
        }
        let twice = processes.values().any(|&n| n > 1);
        if twice {
            Err(format!(
                "one process has two copies: {:?}",
                record.config.copies()
            ))
        } else {
            Ok(())
        }
    }
}
