//! Ids that the server makes.
//!
//! ```text
//! [prefix] { tag } 27 characters       160 random bits in base64url
//! ```
//!
//! The tag decides the hash slot, as in any Redis Cluster key. A session that is rotated keeps its tag, or, if its
//! id had none, gets one of the same slot, so that it stays on its shard and its whole move is one batch. It
//! also keeps what stands before the last colon of its id (`sess:`), since middleware and guards go by it.

use alloc::vec::Vec;

use model::slot::Slot;
use rand_chacha::rand_core::Rng;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 160 random bits.
const SECRET_BYTES: usize = 20;

/// An id for a new session, of this slot if it may not be any.
pub(super) fn fresh(slot: Option<Slot>, random: &mut impl Rng) -> Vec<u8> {
    let tag = random.next_u32();
    let tag = match slot {
        Some(slot) => slot.tag(u64::from(tag)),
        None => [0, 6, 12].map(|shift| ALPHABET[(tag >> shift) as usize % 64]),
    };
    made(b"", &tag, random)
}

/// An id for a session that had `old`, of the same slot.
pub(super) fn successor(old: &[u8], random: &mut impl Rng) -> Vec<u8> {
    let open = old.iter().position(|&byte| byte == b'{');
    let tag = open.and_then(|open| {
        let len = old[open + 1..].iter().position(|&byte| byte == b'}')?;
        (len > 0).then(|| &old[open + 1..][..len])
    });
    match (tag, open) {
        (Some(tag), Some(open)) => made(prefix(&old[..open]), tag, random),
        // A brace that opens no tag would take part in the one that follows.
        (None, Some(_)) => {
            let tag = Slot::of(old).tag(random.next_u64());
            made(b"", &tag, random)
        }
        (None, None) | (Some(_), None) => {
            let tag = Slot::of(old).tag(random.next_u64());
            made(prefix(old), &tag, random)
        }
    }
}

/// Up to and including the last colon.
fn prefix(id: &[u8]) -> &[u8] {
    let colon = id.iter().rposition(|&byte| byte == b':');
    colon.map_or(b"", |colon| &id[..=colon])
}

fn made(prefix: &[u8], tag: &[u8], random: &mut impl Rng) -> Vec<u8> {
    let mut id = Vec::with_capacity(prefix.len() + tag.len() + 29);
    id.extend_from_slice(prefix);
    id.push(b'{');
    id.extend_from_slice(tag);
    id.push(b'}');
    let mut secret = [0; SECRET_BYTES];
    random.fill_bytes(&mut secret);
    base64url(&secret, &mut id);
    id
}

/// Without padding.
fn base64url(bytes: &[u8], out: &mut Vec<u8>) {
    for three in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(group);
        for place in 0..=three.len() {
            out.push(ALPHABET[(bits >> (18 - 6 * place)) as usize % 64]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn base64url_of_the_standard() {
        // RFC 4648, section 10, without padding.
        for (plain, encoded) in [
            (&b""[..], &b""[..]),
            (b"f", b"Zg"),
            (b"fo", b"Zm8"),
            (b"foo", b"Zm9v"),
            (b"foob", b"Zm9vYg"),
            (b"foobar", b"Zm9vYmFy"),
            (&[0xfb, 0xff], b"-_8"),
        ] {
            let mut out = Vec::new();
            base64url(plain, &mut out);
            assert_eq!(out, encoded);
        }
    }

    #[test]
    fn a_successor_stays_in_its_slot_and_under_its_prefix() {
        let mut random = ChaCha12Rng::from_seed([1; 32]);
        for (old, start) in [
            (&b"sess:abc"[..], &b"sess:{"[..]),
            (b"abc", b"{"),
            (b"{user1}abc", b"{user1}"),
            (b"app:sess:{user1}abc:x", b"app:sess:{user1}"),
            (b"a{b:c", b"{"),
            (b"a{}b:c", b"{"),
            (b"a:{}b", b"{"),
        ] {
            for _ in 0..50 {
                let new = successor(old, &mut random);
                assert_eq!(
                    Slot::of(&new),
                    Slot::of(old),
                    "{:?}",
                    core::str::from_utf8(&new)
                );
                assert!(new.starts_with(start));
                assert_ne!(new, successor(old, &mut random));
            }
        }
    }

    #[test]
    fn a_fresh_id_has_32_characters_and_is_not_made_twice() {
        let mut random = ChaCha12Rng::from_seed([2; 32]);
        let (one, two) = (fresh(None, &mut random), fresh(None, &mut random));
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
        assert_eq!(Slot::of(&successor(&one, &mut random)), Slot::of(&one));
    }
}
