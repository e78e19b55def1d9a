//! CRC32C (Castagnoli), the checksum of entries and segment headers.
//!
//! Written here because the crate has no `std`, so the ready-made ones fall back to tables, and because
//! entries need the *raw* register: a CRC is linear, so the change that a changed last word makes does not
//! depend on what stands before it ([`step`] of the difference, from zero). That is how a touch mends the
//! checksum of an entry without reading its value, and how the cleaner gives an entry another segment's ([`shift`]).
//!
//! On x86-64 the processor's instruction does 8 bytes in 3 cycles; three chains at once hide that latency for
//! long inputs, and are joined by tables that advance a register over zero bytes. Elsewhere,
//! and on processors without it, a table does 8 bytes at a time.

const POLYNOMIAL: u32 = 0x82F6_3B78;
/// Bytes of one of the three chains, for long inputs and for what they leave.
const LONG_LANE: usize = 128;
const SHORT_LANE: usize = 32;

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

/// CRC32C of these parts, one after the other: for whoever frames bytes.
#[must_use]
pub fn crc32c(parts: [&[u8]; 3]) -> u32 {
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
pub(crate) fn shift(mut register: u32, zeros: usize) -> u32 {
    let mut left = zeros;
    while left > 0 {
        register = advance(register, left.trailing_zeros());
        left &= left - 1;
    }
    register
}

/// Advances the register by one word, as if its 8 little-endian bytes had been read.
#[inline]
pub(crate) fn step(register: u32, word: u64) -> u32 {
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
pub(crate) fn over(register: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if hardware::present() {
        // SAFETY: the processor has SSE 4.2, as `present` found out.
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

#[cfg(target_arch = "x86_64")]
mod hardware {
    use core::arch::x86_64::{__cpuid, _mm_crc32_u8, _mm_crc32_u64};
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::{LONG_LANE, SHORT_LANE, advance};

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
        // Miri interprets no `cpuid`.
        let present = !cfg!(miri) && __cpuid(1).ecx & (1 << 20) != 0;
        PRESENT.store(1 + u8::from(present), Ordering::Relaxed);
        present
    }

    #[target_feature(enable = "sse4.2")]
    pub(super) fn bytes(register: u32, bytes: &[u8]) -> u32 {
        let (register, rest) = lanes::<LONG_LANE, { 3 * LONG_LANE }>(register, bytes);
        let (register, rest) = lanes::<SHORT_LANE, { 3 * SHORT_LANE }>(register, rest);
        let (words, rest) = rest.as_chunks::<8>();
        let mut wide = u64::from(register);
        for word in words {
            wide = _mm_crc32_u64(wide, u64::from_le_bytes(*word));
        }
        let mut register = wide as u32;
        for &byte in rest {
            register = _mm_crc32_u8(register, byte);
        }
        register
    }

    /// Reads as many triples of lanes as there are; what is left comes back.
    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn lanes<const LANE: usize, const TRIPLE: usize>(
        mut register: u32,
        bytes: &[u8],
    ) -> (u32, &[u8]) {
        const { assert!(LANE.is_power_of_two() && TRIPLE == 3 * LANE) };
        let (one, two) = (LANE.trailing_zeros(), LANE.trailing_zeros() + 1);
        let (triples, rest) = bytes.as_chunks::<TRIPLE>();
        for triple in triples {
            let (words, _) = triple.as_chunks::<8>();
            let (mut a, mut b, mut c) = (u64::from(register), 0, 0);
            for i in 0..LANE / 8 {
                a = _mm_crc32_u64(a, u64::from_le_bytes(words[i]));
                b = _mm_crc32_u64(b, u64::from_le_bytes(words[i + LANE / 8]));
                c = _mm_crc32_u64(c, u64::from_le_bytes(words[i + 2 * (LANE / 8)]));
            }
            register = advance(a as u32, two) ^ advance(b as u32, one) ^ c as u32;
        }
        (register, rest)
    }
}

#[cfg(test)]
mod tests;
