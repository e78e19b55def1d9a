//! Mending a copy whose log has parted from the primary's: what `shard` and its store do in production.

use model::{Member, Position};
use replica::{How, Input, Rewritten};

use crate::history::Told;
use crate::node::Write;
use crate::rare::Rare;
use crate::state::{Change, Entry, Key};

use super::World;

/// What a replica has asked its owner for, to be done when everything else is.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Trace {
        attempt: u32,
        parting: Position,
    },
    Rewrite {
        to: Member,
        attempt: u32,
        keys: Vec<u8>,
    },
    Gather {
        to: Member,
        from: Position,
    },
}

const KEY_BYTES: usize = size_of::<Key>();

impl World {
    pub(super) fn on_asked(&mut self, node: usize, shard: usize, asked: Asked) {
        match asked {
            Asked::Trace { attempt, parting } => {
                let keys = self.trace_touched(node, shard, parting);
                if keys.is_none() {
                    self.note_rare(Rare::MendRefused);
                }
                let keys = keys.as_deref();
                self.input(node, shard, Input::Traced { attempt, keys });
            }
            Asked::Rewrite { to, attempt, keys } => {
                let rewritten = self.rewrite(node, shard, to, attempt, &keys);
                if rewritten.end.is_none() {
                    self.note_rare(Rare::RewriteWaited);
                }
                self.input(node, shard, Input::Rewritten(rewritten));
            }
            Asked::Gather { to, from } => self.gather(node, shard, to, from),
        }
    }

    /// The keys that the batches behind the parting have touched: from the backlog, or from what is written, where that is all still there.
    fn trace_touched(&mut self, node: usize, shard: usize, parting: Position) -> Option<Vec<u8>> {
        let is_there = !self.chance.disk.chance(1_000);
        let copy = self.nodes[node].copies.get(&shard).filter(|_| is_there)?;
        let (mut keys, from_files): (Vec<Key>, bool) = match copy.replica.batches_after(parting) {
            Some(batches) => (
                batches.map(|b| Entry::decode(&b.bytes).key).collect(),
                false,
            ),
            None => {
                let behind = copy.image.touched.range(parting.plus(1)..);
                (behind.map(|(_, key)| *key).collect(), true)
            }
        };
        if from_files {
            self.note_rare(Rare::MendedFromFiles);
        }
        keys.sort_unstable();
        keys.dedup();
        Some(keys.iter().flat_map(|key| key.to_le_bytes()).collect())
    }

    /// The log goes on behind the parting: what was to be said of what stood there is said to nobody.
    pub(super) fn mend(
        &mut self,
        node: usize,
        shard: usize,
        parting: Position,
        time_ms: u64,
        keys: &[u8],
    ) -> Write {
        let keys = keys_of(keys);
        if let Some(copy) = self.nodes[node].copies.get_mut(&shard) {
            let lost = copy.waiting.iter().any(|w| matches!(w.told, Told::Done(_)));
            copy.waiting.clear();
            copy.is_mending = true;
            copy.state.values.retain(|key, _| !keys.contains(key));
            copy.removal = parting;
            if lost {
                self.note_rare(Rare::ResetUncommitted);
            }
        }
        Write::Mend(parting, time_ms, keys)
    }

    /// Proposes as many of these keys as it can, and a batch that says nothing behind the last.
    fn rewrite(
        &mut self,
        node: usize,
        shard: usize,
        to: Member,
        attempt: u32,
        keys: &[u8],
    ) -> Rewritten {
        let (mut used, mut end) = (0, None);
        // Now and then the log is busy for a moment.
        let busy = self.chance.disk.chance(1_000);
        let most = if busy {
            self.chance.disk.index(3)
        } else {
            usize::MAX
        };
        for (number, key) in keys_of(keys).into_iter().enumerate() {
            if number >= most {
                break;
            }
            let copy = self.nodes[node].copies.get(&shard);
            let value = copy.and_then(|c| c.state.values.get(&key).copied());
            let change = value.map(Change::Again);
            if change.is_some_and(|change| !self.propose_change(node, shard, key, change)) {
                break;
            }
            used += KEY_BYTES;
        }
        let is_all = used == keys.len() && most > 0;
        if is_all && self.propose_change(node, shard, 0, Change::Nothing) {
            end = self.nodes[node]
                .copies
                .get(&shard)
                .map(|c| c.replica.last());
        }
        Rewritten {
            to,
            attempt,
            used,
            end,
        }
    }

    fn propose_change(&mut self, node: usize, shard: usize, key: Key, change: Change) -> bool {
        let entry = Entry {
            request: u64::MAX,
            key,
            change,
        };
        self.propose_entry(node, shard, entry, None).is_ok()
    }

    pub(super) fn count_whole(&mut self, node: usize, shard: usize, how: How) {
        if let Some(copy) = self.nodes[node].copies.get_mut(&shard) {
            copy.is_mending = false;
        }
        match how {
            How::Filled => {}
            How::Mended => self.note_rare(Rare::Mended),
            How::Leapt => self.note_rare(Rare::Leapt),
            How::TakenBack => self.note_rare(Rare::TakenBack),
        }
    }
}

fn keys_of(bytes: &[u8]) -> Vec<Key> {
    let (keys, _) = bytes.as_chunks();
    keys.iter().map(|key| Key::from_le_bytes(*key)).collect()
}
