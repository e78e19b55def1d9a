//! From a name to its entry, in a few nanoseconds.
//!
//! The index is an open-addressed table of entry numbers, built at compile time. The hash looks at the length
//! and at up to sixteen bytes of the name with the case bit set, so that it need not lower the name
//! first; a candidate is then compared byte by byte.

use super::{COMMANDS, ENTRIES, TABLE};

/// Longest name of a command.
pub const MAX_NAME_BYTES: usize = 24;

const CELLS: usize = 1024;
const EMPTY: u16 = u16::MAX;

static INDEX: [u16; CELLS] = build();

const _: () = assert!(ENTRIES * 2 <= CELLS);

/// What a command's first words name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The entry with this index.
    Entry(u16),
    /// The container with this index has no such subcommand.
    UnknownSubcommand(u16),
    /// Nothing.
    Unknown,
}

const fn build() -> [u16; CELLS] {
    let mut index = [EMPTY; CELLS];
    let mut entry = 0;
    while entry < COMMANDS {
        let name = TABLE[entry].name.as_bytes();
        assert!(name.len() <= MAX_NAME_BYTES);
        let mut cell = hash(name) % CELLS;
        while index[cell] != EMPTY {
            cell = (cell + 1) % CELLS;
        }
        index[cell] = entry as u16;
        entry += 1;
    }
    index
}

#[inline]
const fn word(bytes: &[u8], from: usize, len: usize) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < len {
        word = word << 8 | (bytes[from + i] | 0x20) as u64;
        i += 1;
    }
    word
}

#[inline]
const fn hash(name: &[u8]) -> usize {
    let len = name.len();
    let (head, tail) = if len >= 8 {
        (word(name, 0, 8), word(name, len - 8, 8))
    } else if len >= 4 {
        (word(name, 0, 4), word(name, len - 4, 4))
    } else {
        (word(name, 0, len), 0)
    };
    let mixed = (head ^ tail.rotate_left(29) ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize
}

/// The command with this name, in any case: its index in [`TABLE`]. Finds no subcommands.
#[inline]
#[must_use]
pub fn find_name(name: &[u8]) -> Option<u16> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return None;
    }
    let mut cell = hash(name) % CELLS;
    loop {
        let entry = INDEX[cell];
        if entry == EMPTY {
            return None;
        }
        if name.eq_ignore_ascii_case(TABLE[entry as usize].name.as_bytes()) {
            return Some(entry);
        }
        cell = (cell + 1) % CELLS;
    }
}

/// The command that these first two words name.
#[inline]
#[must_use]
pub fn find(name: &[u8], second: Option<&[u8]>) -> Found {
    let Some(entry) = find_name(name) else {
        return Found::Unknown;
    };
    let spec = &TABLE[entry as usize];
    match second {
        Some(word) if !spec.subcommands.is_empty() => subcommand(entry, word),
        Some(_) | None => Found::Entry(entry),
    }
}

#[cold]
fn subcommand(container: u16, word: &[u8]) -> Found {
    TABLE[container as usize]
        .subcommand_indices()
        .find(|&index| word.eq_ignore_ascii_case(TABLE[index].own_name().as_bytes()))
        .map_or(Found::UnknownSubcommand(container), |index| {
            Found::Entry(index as u16)
        })
}
