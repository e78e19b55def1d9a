//! Hashes: fields and values under one key.
//!
//! A hash of up to [`MAX_PACKED_BYTES`] is one entry, its fields in the order in which they came: a session of
//! twenty fields costs what a string costs, and a change rewrites it.
//!
//! A larger one is split by the hashes of its fields into chunks of about that size, each an entry of its own,
//! under a root whose body is their [`directory`]. A change rewrites the chunks that it touches, and the
//! root, in one batch. As the directory grows, so may the chunks, so that neither outweighs the other. A chunk that
//! becomes too large is split in halves, one that becomes small joins its neighbour, and a value that is larger
//! than a chunk has one to itself. When what is left would fit into half an entry, it is packed again.
//!
//! ```text
//! body of Hash     count:varint pair*
//! body of BigHash  see `directory`
//! body of a chunk  pair*, ascending by the hash of the field
//! ```
//!
//! A scan goes through the hashes in ascending order and its cursor is a hash, so it survives every split and join.

mod broken;
mod change;
pub(crate) mod directory;
mod pairs;

use alloc::vec::Vec;

use model::{Db, Now};
use store::Space;

use crate::record::Type;
use crate::{Record, Shard};
pub use change::{Changed, FieldChange, Unchanged};
use directory::{ChunkKey, Directory};
pub use pairs::Pairs;

/// The longest row of pairs that stays in one entry, in bytes.
pub const MAX_PACKED_BYTES: usize = 4096;

/// The key does not hold a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// A hash, to read.
#[derive(Clone, Copy)]
pub struct Hash<'a> {
    shard: &'a Shard,
    now: Now,
    db: Db,
    key: &'a [u8],
    is_big: bool,
    body: &'a [u8],
}

impl Shard {
    /// The hash at a key; `None` if there is nothing. What was read is noted.
    ///
    /// # Errors
    /// [`WrongType`] if there is something else.
    pub fn hash<'a>(
        &'a mut self,
        now: Now,
        db: Db,
        key: &'a [u8],
    ) -> Result<Option<Hash<'a>>, WrongType> {
        if self.record(now, db, key).is_none() {
            return Ok(None);
        }
        self.current(now, db, key)
            .map(|record| Hash::of(self, now, db, record.key, record))
            .transpose()
    }

    /// The pairs of a chunk that a directory names.
    pub(crate) fn chunk(&self, now: Now, db: Db, chunk_key: &[u8]) -> &[u8] {
        let key = self.store.key(db, Space::Chunk, chunk_key);
        self.store
            .get(&key, now.unix_ms)
            .expect("a chunk lives as long as the root that names it")
            .value()
    }
}

impl<'a> Hash<'a> {
    /// The hash that this record of `key` is.
    ///
    /// # Errors
    /// [`WrongType`] if it is something else.
    pub fn of(
        shard: &'a Shard,
        now: Now,
        db: Db,
        key: &'a [u8],
        record: Record<'a>,
    ) -> Result<Self, WrongType> {
        if !record.r#type.is_hash() {
            return Err(WrongType);
        }
        Ok(Self {
            shard,
            now,
            db,
            key,
            is_big: record.r#type == Type::BigHash,
            body: record.body,
        })
    }

    /// How many fields it has.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.is_big {
            Directory::decode(self.body).count()
        } else {
            pairs::varint(self.body).0
        }
    }

    /// Whether it has none, as a session may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &[u8]) -> Option<&'a [u8]> {
        let row = if self.is_big {
            self.chunk(directory::find(self.body, field_hash(field)).number)
        } else {
            pairs::varint(self.body).1
        };
        Pairs::of(row).find(field)
    }

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let hash = *self;
        let (packed, chunks) = if self.is_big {
            (&[][..], Directory::decode(self.body).chunks().to_vec())
        } else {
            (pairs::varint(self.body).1, Vec::new())
        };
        let of_chunks = chunks
            .into_iter()
            .flat_map(move |chunk| Pairs::of(hash.chunk(chunk.number)));
        Pairs::of(packed).chain(of_chunks)
    }

    /// The field at a place between 0 and the number of fields, in an order that lasts until the next change.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<(&'a [u8], &'a [u8])> {
        if !self.is_big {
            return Pairs::of(pairs::varint(self.body).1).nth(place);
        }
        let mut before = 0;
        for chunk in Directory::decode(self.body).chunks() {
            if place < before + chunk.count as usize {
                return Pairs::of(self.chunk(chunk.number)).nth(place - before);
            }
            before += chunk.count as usize;
        }
        None
    }

    /// Visits about `count` fields from `cursor` on (0 to begin) and returns the next cursor, 0 at the end. A field
    /// that is there all the time is visited, however the hash changes meanwhile. A packed hash is visited at once.
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(&'a [u8], &'a [u8]),
    ) -> u64 {
        if !self.is_big {
            for (field, value) in self.iter() {
                visit(field, value);
            }
            return 0;
        }
        let Ok(from) = u32::try_from(cursor) else {
            return 0;
        };
        let directory = Directory::decode(self.body);
        let (mut visited, mut last) = (0, None);
        for chunk in &directory.chunks()[directory.index_of(from)..] {
            for (field, value) in Pairs::of(self.chunk(chunk.number)) {
                let hash = field_hash(field);
                // Fields with the same hash are visited together, since a cursor cannot tell them apart.
                if visited >= count && last != Some(hash) {
                    return u64::from(hash);
                }
                if hash >= from {
                    visit(field, value);
                    (visited, last) = (visited + 1, Some(hash));
                }
            }
        }
        0
    }

    /// Bytes that its entries take, headers and index cells included.
    #[must_use]
    pub fn chunk_footprint(&self) -> usize {
        if !self.is_big {
            return 0;
        }
        let mut chunk_key = ChunkKey::of(self.key);
        let directory = Directory::decode(self.body);
        let sizes = directory.chunks().iter().map(|chunk| {
            let key = self
                .shard
                .store
                .key(self.db, Space::Chunk, chunk_key.number(chunk.number));
            self.shard
                .store
                .get(&key, self.now.unix_ms)
                .map_or(0, |entry| store::Store::footprint(&entry))
        });
        sizes.sum()
    }

    fn chunk(&self, number: u32) -> &'a [u8] {
        self.shard
            .chunk(self.now, self.db, ChunkKey::of(self.key).number(number))
    }
}

/// The hash that decides which chunk a field belongs to: FNV-1a over 64 bits, its halves mixed. It is part of the
/// stored format: another function would look for fields in the wrong chunks.
pub(crate) fn field_hash(field: &[u8]) -> u32 {
    let hash = field.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests;
