//! CRC32C (Castagnoli), the checksum of entries and segment headers.
//!
//! Written here because the crate has no `std`, so the ready-made ones fall back to tables, and because
//! entries need the *raw* register: a CRC is linear, so the change that a changed last word makes does not
//! depend on what stands before it ([`step`] of the difference, from zero). That is how a touch mends the
//! checksum of an entry without reading its value.
//!
//! On x86-64 the processor's instruction does 8 bytes in 3 cycles; three chains at once hide that latency for
//! long inputs, and are joined by tables that advance a register over 128 and 256 zero bytes. Elsewhere,
//! and on processors without it, a table does 8 bytes at a time.

const POLYNOMIAL: u32 = 0x82F6_3B78;
/// Bytes of one of the three chains.
const LANE: usize = 128;

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

/// Advances the register over these parts, one after the other.
#[inline]
pub(crate) fn chain(register: u32, parts: [&[u8]; 3]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if hardware::present() {
        // SAFETY: the processor has SSE 4.2, as `present` found out.
        return unsafe { hardware::chain(register, parts) };
    }
    parts.into_iter().fold(register, portable)
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

    use super::{BYTES, LANE};

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

    /// What a register with only these 8 bits set becomes after `zeros` zero bytes, by byte of the register.
    const fn advance_tables(zeros: usize) -> [[u32; 256]; 4] {
        let mut bits = [0u32; 32];
        let mut bit = 0;
        while bit < 32 {
            let mut register = 1u32 << bit;
            let mut i = 0;
            while i < zeros {
                register = (register >> 8) ^ BYTES[0][(register & 0xff) as usize];
                i += 1;
            }
            bits[bit] = register;
            bit += 1;
        }
        let mut tables = [[0u32; 256]; 4];
        let mut k = 0;
        while k < 4 {
            let mut value = 0;
            while value < 256 {
                let mut bit = 0;
                while bit < 8 {
                    if value >> bit & 1 == 1 {
                        tables[k][value] ^= bits[8 * k + bit];
                    }
                    bit += 1;
                }
                value += 1;
            }
            k += 1;
        }
        tables
    }

    static ONE_LANE: [[u32; 256]; 4] = advance_tables(LANE);
    static TWO_LANES: [[u32; 256]; 4] = advance_tables(2 * LANE);

    fn advance(tables: &[[u32; 256]; 4], register: u32) -> u32 {
        let [a, b, c, d] = register.to_le_bytes();
        tables[0][usize::from(a)]
            ^ tables[1][usize::from(b)]
            ^ tables[2][usize::from(c)]
            ^ tables[3][usize::from(d)]
    }

    #[target_feature(enable = "sse4.2")]
    pub(super) fn chain(register: u32, parts: [&[u8]; 3]) -> u32 {
        let register = bytes(register, parts[0]);
        let register = bytes(register, parts[1]);
        bytes(register, parts[2])
    }

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn bytes(register: u32, bytes: &[u8]) -> u32 {
        let (register, rest) = lanes(register, bytes);
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
    fn lanes(mut register: u32, bytes: &[u8]) -> (u32, &[u8]) {
        let (triples, rest) = bytes.as_chunks::<{ 3 * LANE }>();
        for triple in triples {
            let (words, _) = triple.as_chunks::<8>();
            let (mut a, mut b, mut c) = (u64::from(register), 0, 0);
            for i in 0..LANE / 8 {
                a = _mm_crc32_u64(a, u64::from_le_bytes(words[i]));
                b = _mm_crc32_u64(b, u64::from_le_bytes(words[i + LANE / 8]));
                c = _mm_crc32_u64(c, u64::from_le_bytes(words[i + 2 * (LANE / 8)]));
            }
            register = advance(&TWO_LANES, a as u32) ^ advance(&ONE_LANE, b as u32) ^ c as u32;
        }
        (register, rest)
    }
}

#[cfg(test)]
mod tests;
