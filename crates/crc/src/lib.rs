//! CRC32C (Castagnoli), the checksum of entries, segment headers, records of the map, and frames between nodes.
//!
//! Written here because the core has no `std`, so the ready-made ones fall back to tables, and because
//! entries need the *raw* register: a CRC is linear, so the change that a changed last word makes does not
//! depend on what stands before it ([`step`] of the difference, from zero). That is how a touch mends the
//! checksum of an entry without reading its value, and how the cleaner gives an entry another segment's ([`shift`]).
//!
//! On x86-64 the processor's instruction does 8 bytes in 3 cycles; three chains at once hide that latency, and are joined by
//! carry-less multiplication, which advances a register over zero bytes (V. Gopal et al., *Fast CRC Computation for iSCSI
//! Polynomial Using CRC32 Instruction*, Intel 2011). Elsewhere, and on processors without either, a table does 8 bytes at a time.

#![no_std]

#[cfg(test)]
extern crate alloc;

const POLYNOMIAL: u32 = 0x82F6_3B78;
/// Words of one of three chains at least,
#[cfg(target_arch = "x86_64")]
const FEWEST_WORDS: usize = 3;
/// and at most.
#[cfg(target_arch = "x86_64")]
const MOST_WORDS: usize = 128;

const fn byte_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut register = i as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = register & 1;
            register >>= 1;
            if carry != 0 {
                register ^= POLYNOMIAL;
            }
            bit += 1;
        }
        tables[0][i] = register;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[k - 1][i];
            tables[k][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        k += 1;
    }
    tables
}

static BYTES: [[u32; 256]; 8] = byte_tables();

/// CRC32C of these parts, one after the other.
#[must_use]
pub fn crc32c<'b>(parts: impl IntoIterator<Item = &'b [u8]>) -> u32 {
    !parts.into_iter().fold(!0, over)
}

/// What a register becomes after zero bytes, by its four bytes.
type Advance = [[u32; 256]; 4];

/// Lengths in bits of [`ZEROS`]: up to a segment.
const ZEROS_BITS: usize = model::limits::SEGMENT_OFFSET_BITS as usize;

/// The tables for 1, 2, 4, 8, ... zero bytes.
const fn zeros_tables() -> [Advance; ZEROS_BITS] {
    let mut tables = [[[0u32; 256]; 4]; ZEROS_BITS];
    let mut power = 0;
    while power < ZEROS_BITS {
        let mut at = 0;
        while at < 4 * 256 {
            let register = (at as u32 % 256) << (8 * (at / 256));
            tables[power][at / 256][at % 256] = if power == 0 {
                (register >> 8) ^ BYTES[0][(register & 0xff) as usize]
            } else {
                apply(&tables[power - 1], apply(&tables[power - 1], register))
            };
            at += 1;
        }
        power += 1;
    }
    tables
}

const fn apply(table: &Advance, register: u32) -> u32 {
    let [a, b, c, d] = register.to_le_bytes();
    table[0][a as usize] ^ table[1][b as usize] ^ table[2][c as usize] ^ table[3][d as usize]
}

static ZEROS: [Advance; ZEROS_BITS] = zeros_tables();

/// Advances the register over `1 << power` zero bytes.
#[inline]
fn advance(register: u32, power: u32) -> u32 {
    apply(&ZEROS[power as usize], register)
}

/// Advances the register over `zeros` zero bytes: the change that a change at the beginning makes to the end.
#[inline]
#[must_use]
pub fn shift(mut register: u32, zeros: usize) -> u32 {
    let mut left = zeros;
    while left > 0 {
        register = advance(register, left.trailing_zeros());
        left &= left - 1;
    }
    register
}

/// Advances the register by one word, as if its 8 little-endian bytes had been read.
#[inline]
#[must_use]
pub fn step(register: u32, word: u64) -> u32 {
    let word = word ^ u64::from(register);
    let byte = |i: u32| ((word >> (8 * i)) & 0xff) as usize;
    BYTES[7][byte(0)]
        ^ BYTES[6][byte(1)]
        ^ BYTES[5][byte(2)]
        ^ BYTES[4][byte(3)]
        ^ BYTES[3][byte(4)]
        ^ BYTES[2][byte(5)]
        ^ BYTES[1][byte(6)]
        ^ BYTES[0][byte(7)]
}

/// Advances the register over these bytes.
#[inline]
#[must_use]
pub fn over(register: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if hardware::present() {
        // SAFETY: the processor has SSE 4.2 and PCLMULQDQ, as `present` found out.
        return unsafe { hardware::bytes(register, bytes) };
    }
    portable(register, bytes)
}

fn portable(mut register: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        register = step(register, u64::from_le_bytes(*word));
    }
    for &byte in rest {
        register = (register >> 8) ^ BYTES[0][((register ^ u32::from(byte)) & 0xff) as usize];
    }
    register
}

/// By what a register is multiplied to advance it over so many zero words: `x^(64 * words - 33) mod P`. The product of two registers counts as
/// `x` times itself where the processor takes it for a word, and reading that word multiplies it by `x^32`.
#[cfg(target_arch = "x86_64")]
static ZERO_WORDS: [u32; 2 * MOST_WORDS + 1] = zero_words();

#[cfg(target_arch = "x86_64")]
const fn zero_words() -> [u32; 2 * MOST_WORDS + 1] {
    let mut factors = [0; 2 * MOST_WORDS + 1];
    // 1, as bits are mirrored.
    let mut power = 1 << 31;
    let mut exponent = 0;
    let mut words = 1;
    while words < factors.len() {
        while exponent < 64 * words - 33 {
            let carry = power & 1;
            power >>= 1;
            if carry != 0 {
                power ^= POLYNOMIAL;
            }
            exponent += 1;
        }
        factors[words] = power;
        words += 1;
    }
    factors
}

#[cfg(target_arch = "x86_64")]
mod hardware {
    use core::arch::x86_64::{
        __cpuid, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32, _mm_crc32_u64,
        _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_xor_si128,
    };
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::{FEWEST_WORDS, MOST_WORDS, ZERO_WORDS};

    /// 0: not asked yet, 1: absent, 2: present.
    static PRESENT: AtomicU8 = AtomicU8::new(0);

    #[inline]
    pub(super) fn present() -> bool {
        match PRESENT.load(Ordering::Relaxed) {
            0 => ask(),
            answer => answer == 2,
        }
    }

    #[cold]
    fn ask() -> bool {
        const SSE42: u32 = 1 << 20;
        const PCLMULQDQ: u32 = 1 << 1;
        const BOTH: u32 = SSE42 | PCLMULQDQ;
        // Miri interprets no `cpuid`.
        let present = !cfg!(miri) && __cpuid(1).ecx & BOTH == BOTH;
        PRESENT.store(1 + u8::from(present), Ordering::Relaxed);
        present
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub(super) fn bytes(mut register: u32, mut bytes: &[u8]) -> u32 {
        while bytes.len() >= 3 * 8 * FEWEST_WORDS {
            let words = (bytes.len() / (3 * 8)).min(MOST_WORDS);
            let (three, rest) = bytes.split_at(3 * 8 * words);
            register = chains(register, three, words);
            bytes = rest;
        }
        end(register, bytes)
    }

    /// Reads three times so many words.
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn chains(register: u32, three: &[u8], words: usize) -> u32 {
        let (all, _) = three.as_chunks::<8>();
        let (first, rest) = all.split_at(words);
        let (second, third) = rest.split_at(words);
        let (mut a, mut b, mut c) = (u64::from(register), 0, 0);
        for ((x, y), z) in first.iter().zip(second).zip(third) {
            a = _mm_crc32_u64(a, u64::from_le_bytes(*x));
            b = _mm_crc32_u64(b, u64::from_le_bytes(*y));
            c = _mm_crc32_u64(c, u64::from_le_bytes(*z));
        }
        let times = |register: u64, words: usize| {
            let factor = i64::from(ZERO_WORDS[words]);
            let register = _mm_cvtsi64_si128(register as i64);
            _mm_clmulepi64_si128::<0>(register, _mm_cvtsi64_si128(factor))
        };
        let joined = _mm_xor_si128(times(a, 2 * words), times(b, words));
        _mm_crc32_u64(0, _mm_cvtsi128_si64(joined) as u64) as u32 ^ c as u32
    }

    /// Reads what is too short for chains.
    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn end(register: u32, bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut wide = u64::from(register);
        for word in words {
            wide = _mm_crc32_u64(wide, u64::from_le_bytes(*word));
        }
        let mut register = wide as u32;
        let (halves, rest) = rest.as_chunks::<4>();
        for half in halves {
            register = _mm_crc32_u32(register, u32::from_le_bytes(*half));
        }
        let (pairs, rest) = rest.as_chunks::<2>();
        for pair in pairs {
            register = _mm_crc32_u16(register, u16::from_le_bytes(*pair));
        }
        for &byte in rest {
            register = _mm_crc32_u8(register, byte);
        }
        register
    }
}

#[cfg(test)]
mod tests;
