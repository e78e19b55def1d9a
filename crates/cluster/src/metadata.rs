//! What the control plane asks of a metadata store, and what it is answered.
//!
//! The store is a map from keys to values with one order of changes (revisions). It offers three things: a transaction
//! (*if these keys hold what I saw, write those*), a list of everything below a prefix at one revision, and a watch from a
//! revision on. Here they are data: [`Ask`] goes out, [`Answer`] comes in. The shell's `meta` crate carries them to a real
//! store; [`crate::table::Table`] is what they mean.
//!
//! Two rules keep this safe with any store:
//!
//! - A compare names the whole value. Values carry the counters that make them unique (epoch, term, request), so
//!   nothing depends on the store's own revisions, which go back when a backup is restored.
//! - An answer that does not come is [`Outcome::Unknown`], never "no". Whoever gets it lists again; a transaction that arrives
//!   late finds other values and does nothing.

use alloc::vec::Vec;

/// A key, as bytes: see [`crate::keys`].
pub type Key = Vec<u8>;

/// A point in the store's order of changes. Only good for continuing a watch with the store that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// Names one transaction: the writer's incarnation and a counter. Every record carries the one that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u128);

/// What a key must hold for a transaction to be carried out; `None`: nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Key,
    /// Its whole value.
    pub expected: Option<Vec<u8>>,
}

/// What a key shall hold, or that it shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Key,
    /// Its new value.
    pub value: Option<Vec<u8>>,
}

/// All or nothing: the writes, if every compare holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must be.
    pub compares: Vec<Compare>,
    /// What shall be. No key twice.
    pub writes: Vec<Write>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out, at this revision.
    Committed(Revision),
    /// A compare did not hold: nothing was written.
    Conflict,
    /// Nobody knows. It may have been carried out, and it may yet be.
    Unknown,
}

/// Everything below a prefix, at one revision. Linearizable: nothing committed before the list was asked for is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// When it was so.
    pub revision: Revision,
    /// Keys in order.
    pub entries: Vec<(Key, Vec<u8>)>,
}

/// The writes of one transaction, seen by a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// What.
    pub writes: Vec<Write>,
}

/// A question to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Carry this out.
    Transact(Transaction),
    /// List everything.
    List,
    /// Tell every change after this revision, until the next such question.
    Watch(Revision),
}

/// What the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a transaction.
    Transacted(Outcome),
    /// To a list; `None` if it could not be had.
    Listed(Option<Listing>),
    /// A change that the watch saw. Changes come in order, each once.
    Changed(Change),
    /// The watch is over: it broke, or what it should have told was compacted. Only a new list helps.
    WatchLost,
}

impl Transaction {
    /// Also requires that `key` holds `expected`.
    #[must_use]
    pub fn when(mut self, key: Key, expected: Option<Vec<u8>>) -> Self {
        self.compares.push(Compare { key, expected });
        self
    }

    /// Also writes `value` at `key`.
    #[must_use]
    pub fn put(mut self, key: Key, value: Vec<u8>) -> Self {
        self.writes.push(Write {
            key,
            value: Some(value),
        });
        self
    }

    /// Also removes `key`.
    #[must_use]
    pub fn remove(mut self, key: Key) -> Self {
        self.writes.push(Write { key, value: None });
        self
    }
}
