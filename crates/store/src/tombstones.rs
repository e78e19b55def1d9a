//! Which tombstones of before a restart are needed after it.
//!
//! A tombstone covers every version of its key up to a position, until a deadline. So of a key that was deleted again
//! and again one tombstone covers what all the others do, and of a key that has no dead entry in any file none is needed.
//! A restart that reads all files knows both. This matters: while the files are read no tombstone may go for
//! any other reason, and they alone can be more than the memory holds.

use alloc::collections::BTreeMap;

use model::time::Deadline;

use crate::crc;
use crate::entry::format::Header;

/// A key, as two hashes of it that do not know of each other: two keys never share both.
type KeyHashes = (u64, u32);

/// Up to which position, and until when, something is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cover {
    deadline: Deadline,
    position: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// Of each key the one that lives longest, and of these the newest.
    longest: BTreeMap<KeyHashes, Cover>,
    /// All files were read, and only keys of which some file has a dead entry are left.
    complete: bool,
}

/// Bytes that one key takes, with its share of the tree.
const KEY_BYTES: usize = 2 * size_of::<(KeyHashes, Cover)>();

impl Tombstones {
    /// Takes in a tombstone that a file holds. `hash` is that of its key.
    pub(crate) fn note(&mut self, hash: u64, header: &Header, entry: &[u8]) {
        let cover = cover(header);
        let longest = self
            .longest
            .entry((hash, check(header, entry)))
            .or_insert(cover);
        *longest = cover.max(*longest);
    }

    /// All files were read: forgets the keys of which none has a dead entry. `dead` are the hashes of the others,
    /// ascending.
    pub(crate) fn complete(&mut self, dead: &[u64]) {
        self.longest
            .retain(|(hash, _), _| dead.binary_search(hash).is_ok());
        self.complete = true;
    }

    /// Whether this tombstone covers something that no other does, as far as is known.
    pub(crate) fn is_needed(&self, hash: u64, header: &Header, entry: &[u8]) -> bool {
        match self.longest.get(&(hash, check(header, entry))) {
            None => !self.complete,
            Some(longest) => {
                let cover = cover(header);
                *longest == cover || longest.position < cover.position
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.longest.len() * KEY_BYTES
    }
}

fn cover(header: &Header) -> Cover {
    Cover {
        deadline: header.deadline,
        position: header.version,
    }
}

fn check(header: &Header, entry: &[u8]) -> u32 {
    crc::chain(!0, [header.key(entry), b"", b""])
}

#[cfg(test)]
mod tests;
