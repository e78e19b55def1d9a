//! When the faults are over: does everything serve again, in bounded time, and are the copies the same?

use model::Phase;

use crate::history::{Ask, Told};
use crate::state::Change;

use super::{Event, World};

/// In how much time everything must be well, once the faults are over.
const BOUND_US: u64 = 12_000_000;

impl World {
    pub(crate) fn on_judge(&mut self) {
        let Some(healed_us) = self.healed_us else {
            return;
        };
        match self.what_is_not_well(healed_us) {
            None => {
                self.finished = true;
                let wrong = (0..self.ledgers.len()).find_map(|shard| self.difference(shard));
                self.require(wrong.map_or(Ok(()), Err));
            }
            Some(wrong) if self.time_us > healed_us + BOUND_US => {
                self.fail(format!("I22 Liveness: {wrong}"));
            }
            Some(_) => self.plan_in(100_000, Event::Judge),
        }
    }

    fn what_is_not_well(&mut self, healed_us: u64) -> Option<String> {
        let shards = 0..self.ledgers.len();
        let unserved = shards
            .clone()
            .find_map(|shard| self.unserved(shard, healed_us));
        if unserved.is_some() && !self.quiet {
            return unserved;
        }
        // All has been served: now let the copies become the same.
        self.quiet = true;
        shards
            .into_iter()
            .find_map(|shard| self.copy_that_lags(shard))
    }

    fn unserved(&self, shard: usize, healed_us: u64) -> Option<String> {
        let answers = || {
            let requests = self.requests.iter().rev();
            let later = requests.take_while(|r| r.sent_us > healed_us);
            later.filter(|r| r.shard == shard).filter_map(|r| r.answer)
        };
        if !answers().any(|(_, told, _)| matches!(told, Told::Done(_))) {
            return Some(format!("shard {shard} takes no writes"));
        }
        let found = answers().any(|(_, told, _)| matches!(told, Told::Found(_)));
        (!found).then(|| format!("shard {shard} answers no reads"))
    }

    fn copy_that_lags(&self, shard: usize) -> Option<String> {
        let record = &self.metadata.records[shard];
        if record.phase() != Phase::Serving {
            return Some(format!("shard {shard} is recovering"));
        }
        record.copies().members().iter().find_map(|member| {
            let node = &self.nodes[member.node.0 as usize];
            let copy = node.copies.get(&shard).filter(|_| node.member == *member);
            let complete = copy.is_some_and(|c| {
                let vows = c.replica.vows();
                c.replica.is_synced() && vows.promised == record.epoch() && node.up
            });
            let near = copy.is_some_and(|c| c.replica.committed() >= self.ledgers[shard].end());
            (!complete || !near).then(|| format!("shard {shard}: the copy of {member:?} lags"))
        })
    }

    /// Copies that are not what the committed batches make. Those in flight are applied to what is expected.
    fn difference(&self, shard: usize) -> Option<String> {
        let record = &self.metadata.records[shard];
        record.copies().members().iter().find_map(|member| {
            let copy = &self.nodes[member.node.0 as usize].copies[&shard];
            let expected = self.content_at(shard, copy);
            (copy.state != expected).then(|| {
                format!(
                    "shard {shard}: the copy of {member:?} is {:?}, not {expected:?}",
                    copy.state
                )
            })
        })
    }

    /// Compare-and-set requests that were done although something else was there.
    pub(crate) fn wrong_exchange(&self) -> Option<String> {
        self.ledgers.iter().find_map(|ledger| {
            let mut there = std::collections::BTreeMap::new();
            ledger.committed().iter().find_map(|(at, entry)| {
                let before = there.get(&entry.key).copied();
                match entry.change {
                    Change::Put(_) => there.insert(entry.key, *at),
                    Change::Delete => there.remove(&entry.key),
                    Change::Again(_) | Change::Nothing => return None,
                };
                let request = &self.requests[entry.request as usize];
                match request.ask {
                    Ask::CompareAndSet(expected, _) if expected != before => Some(format!(
                        "lost update: {request:?} was done where {before:?} was"
                    )),
                    Ask::CompareAndSet(..) | Ask::Get | Ask::Put(_) | Ask::Delete => None,
                }
            })
        })
    }
}
