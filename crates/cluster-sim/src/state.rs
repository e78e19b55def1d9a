//! What a shard's entries mean here: numbers under keys, with the position of their last change.

use std::collections::BTreeMap;

use model::Position;

/// A key.
pub type Key = u16;

/// What one write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key holds this.
    Put(u64),
    /// The key holds this still, as it was written there: it is told once more.
    Again(Value),
    /// The key is gone.
    Delete,
    /// Nothing: the batch tells the time.
    Nothing,
}

/// One entry: whose request it was, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The request's number.
    pub request: u64,
    /// The key.
    pub key: Key,
    /// What happens to it.
    pub change: Change,
}

impl Entry {
    /// The bytes, with some padding so that sizes differ.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::from(self.request.to_le_bytes());
        bytes.extend_from_slice(&self.key.to_le_bytes());
        match self.change {
            Change::Put(value) => bytes.extend_from_slice(&value.to_le_bytes()),
            Change::Again(Value { value, at }) => {
                bytes.extend_from_slice(&value.to_le_bytes());
                bytes.extend_from_slice(&at.raw().to_le_bytes());
            }
            Change::Delete | Change::Nothing => {}
        }
        bytes.resize(bytes.len() + (self.request % 5) as usize * 8, 0);
        bytes.push(match self.change {
            Change::Delete => 0,
            Change::Put(_) => 1,
            Change::Nothing => 2,
            Change::Again(_) => 3,
        });
        bytes
    }

    /// What [`Entry::encode`] wrote.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            u64::from_le_bytes(
                *bytes[at..]
                    .first_chunk()
                    .expect("an entry of this simulation"),
            )
        };
        let change = match bytes.last() {
            Some(0) => Change::Delete,
            Some(1) => Change::Put(number(10)),
            Some(3) => Change::Again(Value {
                value: number(10),
                at: Position::from_raw(number(18)),
            }),
            _ => Change::Nothing,
        };
        Self {
            request: number(0),
            key: u16::from_le_bytes([bytes[8], bytes[9]]),
            change,
        }
    }
}

/// A value, and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value.
    pub value: u64,
    /// Its version.
    pub at: Position,
}

/// A copy's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What is there.
    pub values: BTreeMap<Key, Value>,
}

impl State {
    /// Applies an entry, unless what is there is newer.
    pub fn apply(&mut self, at: Position, entry: Entry) {
        if self.values.get(&entry.key).is_some_and(|v| v.at >= at) {
            return;
        }
        match entry.change {
            Change::Put(value) => {
                self.values.insert(entry.key, Value { value, at });
            }
            Change::Again(value) => {
                self.values.insert(entry.key, value);
            }
            Change::Delete => {
                self.values.remove(&entry.key);
            }
            Change::Nothing => {}
        }
    }

    /// What these batches make, in this order.
    #[must_use]
    pub fn made_by(line: &[(Position, Entry)]) -> Self {
        let mut state = Self::default();
        for (at, entry) in line {
            state.apply(*at, *entry);
        }
        state
    }

    /// A part of a snapshot: some keys from `cursor` on, and where to go on.
    #[must_use]
    pub fn read(&self, cursor: u64, keys: usize) -> (Vec<u8>, Option<u64>) {
        let mut bytes = Vec::new();
        let mut rest = self.values.range(cursor as Key..);
        for (key, value) in rest.by_ref().take(keys) {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&value.value.to_le_bytes());
            bytes.extend_from_slice(&value.at.raw().to_le_bytes());
        }
        (bytes, rest.next().map(|(key, _)| u64::from(*key)))
    }

    /// Adds what [`State::read`] gave.
    pub fn install(&mut self, bytes: &[u8]) {
        let (parts, _) = bytes.as_chunks::<18>();
        for part in parts {
            let number = |at: usize| {
                u64::from_le_bytes(*part[at..].first_chunk().expect("18 bytes hold it"))
            };
            let entry = Entry {
                request: 0,
                key: u16::from_le_bytes([part[0], part[1]]),
                change: Change::Put(number(2)),
            };
            self.apply(Position::from_raw(number(10)), entry);
        }
    }
}
