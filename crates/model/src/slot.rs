//! Hash slots, as in Redis Cluster: CRC16-XMODEM of the key, or of its hash tag, modulo 16,384.

/// Number of slots.
pub const SLOTS: u16 = 16_384;

/// The characters of [`Slot::tag`]: those of base64url.
const TAG_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One of the [`SLOTS`] hash slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number, if there is one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < SLOTS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The slot that this key belongs to.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(crc16(hash_tag(key)) % SLOTS)
    }

    /// Characters that hash to this slot, for a hash tag: `{tag}` anywhere in a key puts it here. There are several
    /// for each slot; `from` chooses among them.
    #[must_use]
    pub fn tag(self, from: u64) -> [u8; 3] {
        let character = |n: u64| TAG_ALPHABET[(n % 64) as usize];
        // The CRC of three characters is the sum of what each adds at its place, so the last one can be
        // told from the first two.
        let pairs = (0..64 * 64).map(|n| from.wrapping_add(n));
        let mut tags = pairs.flat_map(|n| {
            let (a, b) = (character(n), character(n / 64));
            let rest = (crc16(&[a, b, 0]) ^ self.0) % SLOTS;
            let lasts = TAG_ALPHABET.iter().copied();
            lasts
                .filter(move |c| CRC16[usize::from(*c)] % SLOTS == rest)
                .map(move |c| [a, b, c])
        });
        tags.next().expect("a test has seen a tag of every slot")
    }

    /// The number, below [`SLOTS`].
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// What is hashed: the bytes between the first `{` and the first `}` after it, if there are any between
/// them, else the whole key.
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else {
        return key;
    };
    let inside = &key[open + 1..];
    match inside.iter().position(|&b| b == b'}') {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

const fn crc16_table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

static CRC16: [u16; 256] = crc16_table();

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{Slot, crc16};

    #[test]
    fn check_value_of_the_polynomial() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn every_slot_has_a_tag() {
        for number in 0..super::SLOTS {
            let tag = Slot(number).tag(u64::from(number) * 77);
            assert_eq!(Slot::of(&tag), Slot(number));
            assert_eq!(Slot::of(&[&b"s:{"[..], &tag, b"}x"].concat()), Slot(number));
        }
        assert_ne!(Slot(5).tag(0), Slot(5).tag(2_000), "there are several");
    }

    #[test]
    fn slots_and_hash_tags_as_redis_cluster_has_them() {
        for (key, slot) in [
            (&b"somekey"[..], 11_058),
            (b"foo{hash_tag}", 2_515),
            (b"bar{hash_tag}", 2_515),
            (b"foo", 12_182),
            (b"a", 15_495),
        ] {
            assert_eq!(Slot::of(key).number(), slot);
        }
        assert_ne!(Slot::of(b"foo{}{bar}"), Slot::of(b"bar"));
        assert_eq!(Slot::of(b"foo{{bar}}zap"), Slot::of(b"{bar"));
        assert_eq!(Slot::of(b"foo{bar}{zap}"), Slot::of(b"bar"));
    }
}
