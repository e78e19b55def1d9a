//! The names of keys and the values under them.
//!
//! A key is a number; its name is a prefix and hexadecimal digits hashed from the number, so that names
//! look like session ids (by default `sess:` and 32 digits) while any process can make them again: a
//! fill in one run and the reads of another agree without a list.

#[cfg(test)]
mod tests;

use crate::random::{Random, mix};

/// Digits of a name when nothing else is said: 128 bits, as in a session id.
pub const DEFAULT_DIGITS: usize = 32;
/// Hexadecimal digits that one 64-bit hash makes.
const DIGITS_PER_HASH: usize = 16;
/// Values of one size start at so many different places of the pool.
const VALUE_STARTS: u64 = 64;

/// Writes the names of keys.
#[derive(Clone, Debug)]
pub struct KeyNames {
    prefix: Vec<u8>,
    digits: usize,
}

impl KeyNames {
    /// Names that begin with `prefix` and go on with `digits` hexadecimal digits.
    pub fn new(prefix: &str, digits: usize) -> Self {
        Self {
            prefix: prefix.as_bytes().to_vec(),
            digits,
        }
    }

    /// Bytes of each name.
    pub fn length(&self) -> usize {
        self.prefix.len() + self.digits
    }

    /// Appends the name of key `number`.
    pub fn append(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        let mut left = self.digits;
        let mut word = 0u64;
        while left > 0 {
            let digits = hex(mix(number
                .wrapping_mul(2)
                .wrapping_add(1)
                .wrapping_add(mix(word))));
            let taken = left.min(DIGITS_PER_HASH);
            out.extend_from_slice(&digits[..taken]);
            left -= taken;
            word += 1;
        }
    }
}

/// The 16 hexadecimal digits of `word`.
fn hex(word: u64) -> [u8; DIGITS_PER_HASH] {
    const PAIRS: [[u8; 2]; 256] = hex_pairs();
    let mut digits = [0; DIGITS_PER_HASH];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(word.to_be_bytes()) {
        pair.copy_from_slice(&PAIRS[usize::from(byte)]);
    }
    digits
}

const fn hex_pairs() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
}

/// The bytes that values are made of: one pool of random letters that every value is a slice of.
#[derive(Clone, Debug)]
pub struct ValuePool {
    letters: Vec<u8>,
}

impl ValuePool {
    /// A pool for values of at most `largest` bytes.
    pub fn new(largest: u64, seed: u64) -> Self {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut random = Random::stream(seed, u64::MAX);
        let letters = (0..largest + VALUE_STARTS)
            .map(|_| ALPHABET[(random.bits() >> 58) as usize])
            .collect();
        Self { letters }
    }

    /// A value of `size` bytes for `key`. The size must not be above the pool's largest.
    pub fn value(&self, key: u64, size: u64) -> &[u8] {
        let start = (key % VALUE_STARTS) as usize;
        &self.letters[start..start + size as usize]
    }
}
