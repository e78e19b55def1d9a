//! What a store promises, as a map: slow and obviously right.
// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;

use model::time::Deadline;
use model::{Db, Position, Version};
use store::{Entry, Kind, Space, Store};

pub type Id = (Db, Space, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: Kind,
    pub version: Version,
    pub deadline: Deadline,
    pub value: Vec<u8>,
}

impl Record {
    pub fn of(entry: &Entry<'_>) -> Self {
        Self {
            kind: entry.kind(),
            version: entry.version(),
            deadline: entry.deadline(),
            value: entry.value().to_vec(),
        }
    }
}

/// One change, owned.
#[derive(Clone, Debug)]
pub enum Change {
    Put { id: Id, record: Record },
    Delete { id: Id },
    Touch { id: Id, deadline: Deadline },
    Flush { db: Option<Db> },
    Swap { a: Db, b: Db },
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub records: BTreeMap<Id, (Record, Position)>,
}

impl Model {
    /// Returns the position after the last one taken: only what changes something takes one.
    pub fn apply(&mut self, now_ms: u64, first: Position, changes: &[Change]) -> Position {
        let mut next = first;
        for change in changes {
            if self.is_change(now_ms, change) {
                self.one(now_ms, next, change);
                next = next.plus(1);
            }
        }
        next
    }

    fn is_change(&self, now_ms: u64, change: &Change) -> bool {
        match change {
            Change::Put { .. } | Change::Flush { .. } | Change::Swap { .. } => true,
            Change::Delete { id } => self.get(id, now_ms).is_some(),
            Change::Touch { id, deadline } => self
                .get(id, now_ms)
                .is_some_and(|(record, _)| record.deadline != *deadline),
        }
    }

    /// A touch may rewrite its entry, under a position of its own.
    pub fn follow_touches(
        &mut self,
        store: &Store,
        now_ms: u64,
        first: Position,
        changes: &[Change],
    ) {
        for change in changes {
            let Change::Touch { id, .. } = change else {
                continue;
            };
            if let Some((_, at)) = self.records.get_mut(id)
                && let Some(entry) = store.get(&store.key(id.0, id.1, &id.2), now_ms)
                && entry.position() >= first
            {
                *at = entry.position();
            }
        }
    }

    /// Whether both hold the same, positions aside.
    pub fn is_like(&self, other: &Self, now_ms: u64) -> bool {
        let there = |model: &Self| -> Vec<(Id, Record)> {
            let records = model
                .records
                .iter()
                .map(|(id, (r, _))| (id.clone(), r.clone()));
            records
                .filter(|(_, r)| !r.deadline.has_passed(now_ms))
                .collect()
        };
        there(self) == there(other)
    }

    fn one(&mut self, now_ms: u64, position: Position, change: &Change) {
        match change {
            Change::Put { id, record } => {
                self.records.insert(id.clone(), (record.clone(), position));
            }
            Change::Delete { id } => {
                self.records.remove(id);
            }
            Change::Touch { id, deadline } => {
                if let Some((record, at)) = self.records.get_mut(id)
                    && !record.deadline.has_passed(now_ms)
                {
                    if *deadline < record.deadline {
                        *at = position;
                    }
                    record.deadline = *deadline;
                }
            }
            Change::Flush { db } => self.records.retain(|id, _| db.is_some_and(|db| db != id.0)),
            Change::Swap { a, b } => {
                let swapped = |db| match db {
                    db if db == *a => *b,
                    db if db == *b => *a,
                    db => db,
                };
                let records = std::mem::take(&mut self.records);
                let records = records.into_iter();
                self.records = records
                    .map(|((d, s, k), r)| ((swapped(d), s, k), r))
                    .collect();
            }
        }
    }

    /// The record, if it is there.
    pub fn get(&self, id: &Id, now_ms: u64) -> Option<&(Record, Position)> {
        let found = self.records.get(id)?;
        (!found.0.deadline.has_passed(now_ms)).then_some(found)
    }

    pub fn forget_expired(&mut self, now_ms: u64) {
        self.records
            .retain(|_, (record, _)| !record.deadline.has_passed(now_ms));
    }

    /// What the store holds.
    pub fn of(store: &Store, now_ms: u64) -> Self {
        let mut records = BTreeMap::new();
        let mut cursor = 0;
        loop {
            cursor = store.scan(cursor, 7, &mut |entry| {
                if !entry.deadline().has_passed(now_ms) {
                    let id = (entry.db(), entry.space(), entry.key().to_vec());
                    records.insert(id, (Record::of(&entry), entry.position()));
                }
            });
            if cursor == 0 {
                return Self { records };
            }
        }
    }

    /// Asserts that the store holds exactly this.
    pub fn compare(&self, store: &Store, now_ms: u64) {
        let seen = Self::of(store, now_ms).records;
        let there = self
            .records
            .iter()
            .filter(|(_, r)| !r.0.deadline.has_passed(now_ms));
        let there: BTreeMap<_, _> = there.map(|(id, r)| (id.clone(), r.clone())).collect();
        for (id, record) in &there {
            assert_eq!(seen.get(id), Some(record), "{id:?} at {now_ms}");
        }
        for (id, record) in &seen {
            assert!(
                there.contains_key(id),
                "{id:?} should be gone, but is {record:?} at {now_ms}"
            );
        }
        for (id, record) in &there {
            let entry = store
                .get(&store.key(id.0, id.1, &id.2), now_ms)
                .expect("found by key");
            assert_eq!(Record::of(&entry), record.0);
        }
    }
}
