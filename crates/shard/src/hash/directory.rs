//! The directory of a big hash: which chunk holds the fields of which hashes.
//!
//! ```text
//! body    next:u32 chunk*                      (little-endian)
//! chunk   start:u32 number:u32 count:u32
//! ```
//!
//! The chunks ascend by `start`, the first one's is 0; a chunk holds the `count` fields whose hashes lie from its
//! `start` up to the next one's. `number` makes the chunk's key. `next` is a number that no chunk has.
//!
//! The number of a removed chunk is not used again, so a chunk that some accident left behind is never read as
//! part of a hash: only what the directory names is.

use alloc::vec::Vec;

/// Bytes of a chunk's number in its key.
const NUMBER_BYTES: usize = 4;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 12;

/// One chunk, as the directory knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    /// Smallest field hash that belongs here.
    pub(crate) start: u32,
    /// Its number.
    pub(crate) number: u32,
    /// Its fields.
    pub(crate) count: u32,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) next: u32,
    chunks: Vec<ChunkRef>,
}

impl Directory {
    /// A directory of these chunks, which ascend.
    pub(crate) fn new(next: u32, chunks: Vec<ChunkRef>) -> Self {
        assert!(chunks.first().is_some_and(|first| first.start == 0));
        assert!(chunks.is_sorted_by(|a, b| a.start < b.start));
        Self { next, chunks }
    }

    /// The directory that a root's body is.
    pub(crate) fn decode(body: &[u8]) -> Self {
        let (next, rest) = body.split_at(HEADER_BYTES);
        let chunks = rest.chunks_exact(ENTRY_BYTES).map(|entry| ChunkRef {
            start: number(entry, 0),
            number: number(entry, 4),
            count: number(entry, 8),
        });
        Self {
            next: number(next, 0),
            chunks: chunks.collect(),
        }
    }

    /// The body of the root.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEADER_BYTES + ENTRY_BYTES * self.chunks.len());
        body.extend_from_slice(&self.next.to_le_bytes());
        for chunk in &self.chunks {
            for number in [chunk.start, chunk.number, chunk.count] {
                body.extend_from_slice(&number.to_le_bytes());
            }
        }
        body
    }

    pub(crate) fn chunks(&self) -> &[ChunkRef] {
        &self.chunks
    }

    /// Index of the chunk that fields of this hash belong to.
    pub(crate) fn index_of(&self, hash: u32) -> usize {
        self.chunks.partition_point(|chunk| chunk.start <= hash) - 1
    }

    /// Fields altogether.
    pub(crate) fn count(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.count as usize).sum()
    }
}

/// The chunk that fields of `hash` belong to, and the fields altogether, without decoding the directory.
pub(crate) fn find(body: &[u8], hash: u32) -> ChunkRef {
    let entries = &body[HEADER_BYTES..];
    let (mut low, mut high) = (0, entries.len() / ENTRY_BYTES);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if number(entries, middle * ENTRY_BYTES) <= hash {
            low = middle;
        } else {
            high = middle;
        }
    }
    let entry = &entries[low * ENTRY_BYTES..][..ENTRY_BYTES];
    ChunkRef {
        start: number(entry, 0),
        number: number(entry, 4),
        count: number(entry, 8),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Makes the keys of a record's chunks: the record's key, then the chunk's number. As the number has a fixed
/// length, chunks of two records never meet.
pub(crate) struct ChunkKey {
    bytes: Vec<u8>,
}

impl ChunkKey {
    /// Keys of the chunks of the record with this key.
    pub(crate) fn of(key: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(key.len() + NUMBER_BYTES);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&[0; NUMBER_BYTES]);
        Self { bytes }
    }

    /// The key of the chunk with this number.
    pub(crate) fn number(&mut self, number: u32) -> &[u8] {
        let at = self.bytes.len() - NUMBER_BYTES;
        self.bytes[at..].copy_from_slice(&number.to_le_bytes());
        &self.bytes
    }
}
