//! What a store tells of its changes, for another that follows it: the bytes of a batch between copies, and of a snapshot.
//!
//! Entries as in a segment ([`crate::entry::format`]), one behind the other, each with its own checksum, of no segment:
//!
//! | kind | says |
//! | --- | --- |
//! | the caller's | this entry is the current one of its key |
//! | tombstone | the key has none any more |
//! | touch | the key's entry has this deadline |
//! | state | the database is empty: its number in `version`, or [`ALL`] |
//! | note | nothing: the position is taken, to tell the time, or, in a leap, by a change of this key that others have made up for |
//!
//! `db` is the database's number, not its place. A change that had no effect is not told, so every entry has a position of its own.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Position, Version};

use crate::batch::control;
use crate::disk::SegmentId;
use crate::entry::format::{self, Control, HEADER_BYTES, Header, Salt, What};
use crate::{Key, Kind, Op, Space};

/// Stands for all databases.
const ALL: u64 = 0xff;

/// Bytes that are not what [`Told`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Changes that were told, checked.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a>(&'a [u8]);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) header: Header,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// What one of them is about, for whoever keeps something besides the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// A key's entry becomes this one.
    Put {
        /// The database.
        db: Db,
        /// The space.
        space: Space,
        /// The key.
        key: &'a [u8],
        /// What the value is.
        kind: Kind,
        /// The value.
        value: &'a [u8],
    },
    /// A key has no entry any more.
    Removed {
        /// The database.
        db: Db,
        /// The space.
        space: Space,
        /// The key.
        key: &'a [u8],
    },
    /// A key's entry has another deadline.
    Touched {
        /// The database.
        db: Db,
        /// The space.
        space: Space,
        /// The key.
        key: &'a [u8],
    },
    /// The database is empty, or all of them.
    Database(Option<Db>),
    /// Nothing: the position is taken.
    Nothing,
}

/// What one of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put(Kind),
    Delete,
    Touch,
    Flush(Option<Db>),
    Nothing,
}

impl<'a> Told<'a> {
    /// Checks every byte: what comes from another machine is looked at before anything rests on it.
    ///
    /// # Errors
    /// It is not what a store has told.
    pub fn check(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let told = Self(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = match rest.len() {
                0..HEADER_BYTES => 0,
                HEADER_BYTES.. => format::entry_len(rest),
            };
            let (entry, behind) = rest.split_at(len);
            if len == 0 || format::verify(entry, salt()).is_none() || !makes_sense(entry) {
                return Err(Damaged);
            }
            rest = behind;
        }
        Ok(told)
    }

    /// What was checked before, by whoever keeps it.
    #[must_use]
    pub const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What each change is about, in their order.
    pub fn about(self) -> impl Iterator<Item = About<'a>> {
        self.entries().map(|entry| entry.about())
    }

    /// The same, each with how many bytes have been told up to behind it.
    pub fn about_and_ends(self) -> impl Iterator<Item = (usize, About<'a>)> {
        let mut end = 0;
        self.entries().map(move |entry| {
            end += entry.header.len;
            (end, entry.about())
        })
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let len = if rest.is_empty() {
                0
            } else {
                format::entry_len(rest)
            };
            let (entry, behind) = rest.split_at_checked(len).filter(|_| len > 0)?;
            rest = behind;
            let header = Header::read(entry);
            let (key, value) = (header.key(entry), header.value(entry));
            Some(Entry { header, key, value })
        })
    }
}

impl<'a> Entry<'a> {
    fn about(&self) -> About<'a> {
        let (db, space, key) = (self.db(), self.header.space, self.key);
        match self.change() {
            Change::Put(kind) => About::Put {
                db,
                space,
                key,
                kind,
                value: self.value,
            },
            Change::Delete => About::Removed { db, space, key },
            Change::Touch => About::Touched { db, space, key },
            Change::Flush(db) => About::Database(db),
            Change::Nothing => About::Nothing,
        }
    }

    pub(crate) fn change(&self) -> Change {
        match self.header.what {
            What::User(kind) => Change::Put(kind),
            What::Control(Control::Tombstone) => Change::Delete,
            What::Control(Control::Touch) => Change::Touch,
            What::Control(Control::State) => Change::Flush(db_of(self.header.version)),
            What::Control(Control::Note) => Change::Nothing,
        }
    }

    /// The database.
    pub(crate) fn db(&self) -> Db {
        Db::new(self.header.db).expect("four bits are a database")
    }
}

fn db_of(version: u64) -> Option<Db> {
    u8::try_from(version).ok().and_then(Db::new)
}

fn makes_sense(entry: &[u8]) -> bool {
    let header = Header::read(entry);
    match header.what {
        What::Control(Control::State) => header.version == ALL || db_of(header.version).is_some(),
        What::User(_) | What::Control(Control::Tombstone | Control::Touch | Control::Note) => true,
    }
}

impl Op<'_> {
    /// Bytes that are told of the smallest change.
    pub const TOLD_HEADER_BYTES: usize = HEADER_BYTES;

    /// Bytes that are told of it at most.
    #[must_use]
    pub fn told_bytes(&self) -> usize {
        HEADER_BYTES
            + match self {
                Self::Put { key, value, .. } => {
                    key.bytes.len() + value.iter().map(|part| part.len()).sum::<usize>()
                }
                Self::Delete { key } | Self::Touch { key, .. } => key.bytes.len(),
                Self::Flush { .. } | Self::Swap { .. } => 0,
            }
    }
}

/// Of no directory and no segment.
fn salt() -> Salt {
    Salt::new(0, SegmentId(0))
}

/// Tells of an op that has changed something.
pub(crate) fn write(out: &mut Vec<u8>, position: Position, op: &Op<'_>) {
    match *op {
        Op::Put {
            ref key,
            kind,
            version,
            deadline,
            value,
        } => write_put(out, position, key, (kind, version, deadline), value),
        Op::Delete { ref key } => write_removed(out, position, key),
        Op::Touch { ref key, deadline } => {
            write_control(out, position, Control::Touch, key, deadline);
        }
        Op::Flush { db } => {
            let db = db.map_or(ALL, |db| u64::from(db.number()));
            push(out, &control(Control::State, position, db, 0), b"", &[]);
        }
        Op::Swap { .. } => panic!("a store that is followed does not swap databases"),
    }
}

/// Tells that a position is taken, and nothing else.
pub(crate) fn write_nothing(out: &mut Vec<u8>, position: Position) {
    push(out, &control(Control::Note, position, ALL, 0), b"", &[]);
}

/// Tells that a position is taken by a change of this key, and that nothing is left of it.
pub(crate) fn write_passed(out: &mut Vec<u8>, position: Position, key: &Key<'_>) {
    let header = Header {
        db: key.db.number(),
        space: key.space,
        key_len: key.bytes.len(),
        ..control(Control::Note, position, ALL, key.bytes.len())
    };
    push(out, &header, key.bytes, &[]);
}

/// Tells that a key has no entry any more, or may have another: whoever asks which keys were touched looks at neither more.
pub(crate) fn write_removed(out: &mut Vec<u8>, position: Position, key: &Key<'_>) {
    let never = Deadline::from_raw(0);
    write_control(out, position, Control::Tombstone, key, never);
}

pub(crate) fn write_put(
    out: &mut Vec<u8>,
    position: Position,
    key: &Key<'_>,
    (kind, version, deadline): (Kind, Version, Deadline),
    value: &[&[u8]],
) {
    let value_len: usize = value.iter().map(|part| part.len()).sum();
    let header = Header {
        len: HEADER_BYTES + key.bytes.len() + value_len,
        more: false,
        what: What::User(kind),
        db: key.db.number(),
        space: key.space,
        position,
        version: version.raw(),
        deadline,
        key_len: key.bytes.len(),
    };
    push(out, &header, key.bytes, value);
}

fn write_control(
    out: &mut Vec<u8>,
    position: Position,
    what: Control,
    key: &Key<'_>,
    deadline: Deadline,
) {
    let header = Header {
        db: key.db.number(),
        space: key.space,
        deadline,
        key_len: key.bytes.len(),
        ..control(what, position, 0, key.bytes.len())
    };
    push(out, &header, key.bytes, &[]);
}

fn push(out: &mut Vec<u8>, header: &Header, key: &[u8], value: &[&[u8]]) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    header.write(&mut out[start..]);
    out.extend_from_slice(key);
    for part in value {
        out.extend_from_slice(part);
    }
    format::finish(&mut out[start..], salt(), true, false);
}

/// The key that an entry tells of, for this store.
pub(crate) fn key_of<'a>(store: &crate::Store, entry: &Entry<'a>) -> Key<'a> {
    store.key(entry.db(), space_of(entry), entry.key)
}

fn space_of(entry: &Entry<'_>) -> Space {
    entry.header.space
}
