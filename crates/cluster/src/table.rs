//! What a metadata store means: keys, values, one order of changes. In memory, without faults.
//!
//! The embedded store keeps one and makes it durable; the simulated one keeps one and puts faults around it. etcd has its own, and the
//! conformance suite of `meta` shows that it behaves the same.

use alloc::{collections::BTreeMap, collections::VecDeque, vec::Vec};

use crate::metadata::{Change, Key, Listing, Outcome, Revision, Transaction};

/// Changes that are kept for watches; older ones are compacted away.
pub const HISTORY: usize = 4_096;

/// That the changes which a watch asked for are no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted;

/// The store's contents and its recent past.
#[derive(Clone, Debug, Default)]
pub struct Table {
    revision: Revision,
    values: BTreeMap<Key, Vec<u8>>,
    /// The latest changes, oldest first. Every change after `compacted` is in it.
    history: VecDeque<Change>,
    compacted: Revision,
}

impl Table {
    /// A table that holds what a durable store was read to hold. Its past is not known.
    #[must_use]
    pub fn restored(revision: Revision, values: BTreeMap<Key, Vec<u8>>) -> Self {
        Self {
            revision,
            values,
            history: VecDeque::new(),
            compacted: revision,
        }
    }

    /// The latest revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether every compare holds now.
    #[must_use]
    pub fn holds(&self, transaction: &Transaction) -> bool {
        let mut compares = transaction.compares.iter();
        compares.all(|c| self.values.get(&c.key) == c.expected.as_ref())
    }

    /// Carries the transaction out, if it may be.
    pub fn transact(&mut self, transaction: &Transaction) -> Outcome {
        if !self.holds(transaction) {
            return Outcome::Conflict;
        }
        self.revision = Revision(self.revision.0 + 1);
        for write in &transaction.writes {
            match &write.value {
                Some(value) => self.values.insert(write.key.clone(), value.clone()),
                None => self.values.remove(&write.key),
            };
        }
        self.remember(Change {
            revision: self.revision,
            writes: transaction.writes.clone(),
        });
        Outcome::Committed(self.revision)
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > HISTORY {
            let oldest = self.history[0].revision;
            self.compact(oldest);
        }
    }

    /// Forgets the changes up to and including this revision.
    pub fn compact(&mut self, to: Revision) {
        self.compacted = self.compacted.max(to.min(self.revision));
        let compacted = self.compacted;
        self.history.retain(|change| change.revision > compacted);
    }

    /// Everything whose key begins with `prefix`.
    #[must_use]
    pub fn list(&self, prefix: &[u8]) -> Listing {
        let below = self.values.range(prefix.to_vec()..);
        let below = below.take_while(|(key, _)| key.starts_with(prefix));
        Listing {
            revision: self.revision,
            entries: below.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    /// The changes after `revision` to keys that begin with `prefix`, in order.
    pub fn changes_after(
        &self,
        revision: Revision,
        prefix: &[u8],
    ) -> Result<Vec<Change>, Compacted> {
        if revision < self.compacted || revision > self.revision {
            return Err(Compacted);
        }
        let later = self.history.iter().filter(|c| c.revision > revision);
        Ok(later.filter_map(|change| below(change, prefix)).collect())
    }
}

fn below(change: &Change, prefix: &[u8]) -> Option<Change> {
    let writes = change.writes.iter();
    let writes: Vec<_> = writes
        .filter(|w| w.key.starts_with(prefix))
        .cloned()
        .collect();
    (!writes.is_empty()).then_some(Change {
        revision: change.revision,
        writes,
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Compacted, HISTORY, Table};
    use crate::metadata::{Outcome, Revision, Transaction};

    fn put(key: &str, before: Option<&str>, after: &str) -> Transaction {
        Transaction::default()
            .when(key.into(), before.map(Into::into))
            .put(key.into(), after.into())
    }

    #[test]
    fn a_transaction_is_all_or_nothing() {
        let mut table = Table::default();
        assert_eq!(
            table.transact(&put("a", None, "1")),
            Outcome::Committed(Revision(1))
        );
        let both = put("b", None, "1").when(b"a".to_vec(), Some(b"2".to_vec()));
        assert_eq!(table.transact(&both), Outcome::Conflict);
        assert_eq!(
            table.list(b"").entries,
            vec![(b"a".to_vec(), b"1".to_vec())]
        );
        assert_eq!(table.revision(), Revision(1));
    }

    #[test]
    fn a_watch_is_told_what_was_compacted() {
        let mut table = Table::default();
        for n in 0..3 {
            table.transact(&Transaction::default().put(vec![b'k', n], vec![n]));
        }
        assert_eq!(
            table.changes_after(Revision(1), b"k").map(|c| c.len()),
            Ok(2)
        );
        assert_eq!(table.changes_after(Revision(1), b"other"), Ok(vec![]));
        table.compact(Revision(2));
        assert_eq!(table.changes_after(Revision(1), b""), Err(Compacted));
        assert_eq!(
            table.changes_after(Revision(2), b"").map(|c| c.len()),
            Ok(1)
        );
        let future = table.changes_after(Revision(9), b"");
        assert_eq!(
            future,
            Err(Compacted),
            "a restored store may be behind its watchers"
        );
    }

    #[test]
    fn history_is_bounded() {
        let mut table = Table::default();
        for _ in 0..HISTORY + 10 {
            table.transact(&Transaction::default().put(b"k".to_vec(), b"v".to_vec()));
        }
        assert_eq!(table.history.len(), HISTORY);
        assert_eq!(table.changes_after(Revision(9), b""), Err(Compacted));
        assert!(table.changes_after(Revision(10), b"").is_ok());
    }
}
