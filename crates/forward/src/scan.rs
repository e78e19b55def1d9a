//! Cursors of `SCAN` over all shards, and the count of `SESSION.LIST`.
//!
//! One shard is scanned after the other, each by whoever leads it at the time (`SCAN ... SLOT`). A shard's own cursor means the same to all of its
//! copies, so a scan finds what is there from its beginning to its end although shards move and nodes die meanwhile.

use command::Arguments;

/// Bits of a cursor that say which shard is scanned.
const SHARD_BITS: u32 = 12;
const _: () = assert!(model::limits::MAX_SHARDS as usize <= 1 << SHARD_BITS);
/// What `SESSION.LIST` returns unless asked for otherwise.
const DEFAULT_COUNT: usize = 100;

/// Which shard is scanned, in the order of their slots, and how far. As a number: `inner * 4096 + shard`, so that 0 is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which.
    pub shard: usize,
    /// The cursor that whoever led it gave.
    pub inner: u64,
}

impl Cursor {
    /// Reads what a client sends; `None` if it is no number. One that names no shard was not given here, and goes on at the beginning of the last.
    pub fn parse(word: Option<&[u8]>, shards: usize) -> Option<Self> {
        let text = std::str::from_utf8(word?).ok()?;
        let number: u64 = text.parse().ok()?;
        let shard = (number & ((1 << SHARD_BITS) - 1)) as usize;
        let inner = number >> SHARD_BITS;
        let last = shards.saturating_sub(1);
        Some(if shard > last {
            Self {
                shard: last,
                inner: 0,
            }
        } else {
            Self { shard, inner }
        })
    }

    /// The cursor to go on with after a reply: this shard's own, the next shard, or 0 at the end. `None` if the shard's cursor is
    /// too large to stand in one of ours.
    pub fn next(shard: usize, shards: usize, inner: u64) -> Option<u64> {
        if inner > 0 {
            let shifted = inner.checked_mul(1 << SHARD_BITS)?;
            return Some(shifted | shard as u64);
        }
        Some(if shard + 1 < shards {
            shard as u64 + 1
        } else {
            0
        })
    }
}

/// The `COUNT` of a `SESSION.LIST`; what is wrong with it the nodes will say.
pub fn list_count(arguments: Arguments<'_>) -> usize {
    let given = (1..arguments.len()).find(|at| arguments.is(*at, "COUNT"));
    let text = given.and_then(|at| arguments.get(at + 1));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|t| t.parse().ok()).unwrap_or(DEFAULT_COUNT)
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_scan_goes_through_all_shards_and_ends() {
        let (mut word, mut seen) = (String::from("0"), Vec::new());
        loop {
            let cursor = Cursor::parse(Some(word.as_bytes()), 3).expect("one of ours");
            seen.push((cursor.shard, cursor.inner));
            let inner = if cursor.inner == 0 { 1 << 50 } else { 0 };
            let next = Cursor::next(cursor.shard, 3, inner).expect("it fits");
            if next == 0 {
                break;
            }
            word = next.to_string();
        }
        let far = 1 << 50;
        assert_eq!(seen, [(0, 0), (0, far), (1, 0), (1, far), (2, 0), (2, far)]);
        let last = Cursor { shard: 2, inner: 0 };
        assert_eq!(
            Cursor::parse(Some(b"70663"), 3),
            Some(last),
            "no such shard"
        );
        assert_eq!(Cursor::parse(Some(b"x"), 3), None);
        assert_eq!(Cursor::next(0, 3, u64::MAX / 8), None);
    }
}
