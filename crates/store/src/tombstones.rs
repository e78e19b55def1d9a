//! Which tombstones of before a restart are needed after it.
//!
//! A tombstone covers every version of its key up to a position, until a deadline. So of a key that was deleted again
//! and again one tombstone covers what all the others do, and of a key that has no dead entry in any file none is needed.
//! A restart that reads all files knows both. This matters: while the files are read no tombstone may go for
//! any other reason, and they alone can be more than the memory holds.

use alloc::collections::BTreeMap;

use model::time::Deadline;

use crate::entry::format::Header;

/// A key, as two hashes of it that do not know of each other: two keys never share both.
type KeyHashes = (u64, u32);

/// Up to which position, and until when, something is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cover {
    deadline: Deadline,
    position: u64,
}

/// A cover, and how many tombstones there are that are it to the letter: the cleaner copies them, and a loss of power brings back
/// the files that it had deleted. Where power goes again and again, the copies would add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Longest {
    cover: Cover,
    copies: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// Of each key the one that lives longest, and of these the newest.
    longest: BTreeMap<KeyHashes, Longest>,
    /// All files were read, and only keys of which some file has a dead entry are left.
    complete: bool,
}

/// Bytes that one key takes, with its share of the tree.
const KEY_BYTES: usize = 2 * size_of::<(KeyHashes, Longest)>();

impl Tombstones {
    /// Takes in a tombstone that a file holds. `hash` is that of its key.
    pub(crate) fn note(&mut self, hash: u64, header: &Header, entry: &[u8]) {
        let cover = cover(header);
        let new = Longest { cover, copies: 0 };
        let key = (hash, check(header, entry));
        let longest = self.longest.entry(key).or_insert(new);
        if cover > longest.cover {
            *longest = new;
        }
        longest.copies += u32::from(cover == longest.cover);
    }

    /// All files were read: forgets the keys of which none has a dead entry. `dead` are the hashes of the others,
    /// ascending.
    pub(crate) fn complete(&mut self, dead: &[u64]) {
        self.longest
            .retain(|(hash, _), _| dead.binary_search(hash).is_ok());
        self.complete = true;
    }

    /// Whether this tombstone covers something that no other does, as far as is known. If not, the caller drops it: of
    /// several that are the same, each but the last is told so.
    pub(crate) fn is_needed(&mut self, hash: u64, header: &Header, entry: &[u8]) -> bool {
        let Some(longest) = self.longest.get_mut(&(hash, check(header, entry))) else {
            return !self.complete;
        };
        let cover = cover(header);
        if longest.cover != cover {
            return longest.cover.position < cover.position;
        }
        let last = longest.copies <= 1;
        longest.copies -= u32::from(!last);
        last
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
    crc::over(!0, header.key(entry))
}

#[cfg(test)]
mod tests;
