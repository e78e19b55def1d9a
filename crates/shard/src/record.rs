//! Records: what an entry's kind and value mean.
//!
//! A plain record's value is its body. A record made or adopted by `SESSION.*` begins with [`Meta`], then
//! the body: so a session costs its users one entry, and a plain key nothing extra.
//!
//! ```text
//! meta  len:u16 created:u48 idle_ms:u48 max:u48 fence:u64 fence_version:u40 digest:u64 user:...    (little-endian)
//! body  String: the bytes.   Hash: see `hash`.   BigHash: a directory of chunks, see `hash`.
//! ```

use alloc::vec::Vec;

use model::time::Deadline;
use model::{Fence, Position, Version};
use store::{Entry, Kind};

/// What a record is for its users, and how its body is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A string; the body is its bytes.
    String,
    /// A hash that fits into one entry.
    Hash,
    /// A hash whose fields are in chunks; the body is their directory.
    BigHash,
}

impl Type {
    /// The name that `TYPE` answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash | Self::BigHash => "hash",
        }
    }

    /// Whether users see a hash.
    #[must_use]
    pub const fn is_hash(self) -> bool {
        match self {
            Self::String => false,
            Self::Hash | Self::BigHash => true,
        }
    }
}

/// Entries of [`store::Space::Data`]: type, and whether meta comes first.
const STRING: Kind = Kind::new(0);
const HASH: Kind = Kind::new(1);
const BIG_HASH: Kind = Kind::new(2);
const SESSION_STRING: Kind = Kind::new(3);
const SESSION_HASH: Kind = Kind::new(4);
const SESSION_BIG_HASH: Kind = Kind::new(5);
/// A chunk of a big hash, in [`store::Space::Chunk`].
pub const CHUNK: Kind = Kind::new(6);
/// A hold, in [`store::Space::Hold`].
pub const HOLD: Kind = Kind::new(7);
/// An id that may not be written for a while, in [`store::Space::Mark`].
pub const GONE: Kind = Kind::new(8);
/// An old id that leads to its successor for a while, in [`store::Space::Mark`].
pub const ALIAS: Kind = Kind::new(9);

/// The kind of a data entry.
#[must_use]
pub const fn kind_of(r#type: Type, has_meta: bool) -> Kind {
    match (r#type, has_meta) {
        (Type::String, false) => STRING,
        (Type::Hash, false) => HASH,
        (Type::BigHash, false) => BIG_HASH,
        (Type::String, true) => SESSION_STRING,
        (Type::Hash, true) => SESSION_HASH,
        (Type::BigHash, true) => SESSION_BIG_HASH,
    }
}

/// Whether an entry of this kind begins with [`Meta`].
pub(crate) fn has_meta(kind: Kind) -> bool {
    matches!(kind, SESSION_STRING | SESSION_HASH | SESSION_BIG_HASH)
}

fn of_kind(kind: Kind) -> (Type, bool) {
    match kind {
        STRING => (Type::String, false),
        HASH => (Type::Hash, false),
        BIG_HASH => (Type::BigHash, false),
        SESSION_STRING => (Type::String, true),
        SESSION_HASH => (Type::Hash, true),
        SESSION_BIG_HASH => (Type::BigHash, true),
        other => panic!("kind {} in the data space", other.number()),
    }
}

/// What the server knows of a session besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// When it was created, in wall-clock milliseconds.
    pub created_ms: u64,
    /// How long it lives without being used, in milliseconds; `None` for ever.
    pub idle_ms: Option<u64>,
    /// The absolute deadline, which no use moves.
    pub max: Deadline,
    /// The fence of the last hold that committed, for commits that are repeated; zero if none.
    pub fence: Fence,
    /// The version counter that that commit made.
    pub fence_version: u64,
    /// Zero if that commit ended the hold. If it kept it, a digest of what it changed, never zero: it tells the
    /// same commit asked for again from the next one under the same hold.
    pub fence_digest: u64,
    /// Whose session it is; empty for nobody's.
    pub user: &'a [u8],
}

const META_BYTES: usize = 41;
const NO_IDLE: u64 = (1 << 48) - 1;

impl<'a> Meta<'a> {
    /// The meta of a session that is created now.
    #[must_use]
    pub fn new(created_ms: u64) -> Self {
        Self {
            created_ms,
            idle_ms: None,
            max: Deadline::NEVER,
            fence: Fence(0),
            fence_version: 0,
            fence_digest: 0,
            user: &[],
        }
    }

    /// Appends the bytes that stand before the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.user.len() <= model::limits::MAX_USER_BYTES);
        let len = (META_BYTES + self.user.len()) as u16;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes()[..6]);
        out.extend_from_slice(&self.idle_ms.unwrap_or(NO_IDLE).min(NO_IDLE).to_le_bytes()[..6]);
        out.extend_from_slice(&self.max.raw().to_le_bytes()[..6]);
        out.extend_from_slice(&self.fence.0.to_le_bytes());
        out.extend_from_slice(&self.fence_version.to_le_bytes()[..5]);
        out.extend_from_slice(&self.fence_digest.to_le_bytes());
        out.extend_from_slice(self.user);
    }

    /// Splits a value into meta and body.
    pub(crate) fn split(value: &'a [u8]) -> (Self, &'a [u8]) {
        let number = |from: usize, len: usize| {
            let mut bytes = [0; 8];
            bytes[..len].copy_from_slice(&value[from..from + len]);
            u64::from_le_bytes(bytes)
        };
        let len = number(0, 2) as usize;
        let idle = number(8, 6);
        let meta = Self {
            created_ms: number(2, 6),
            idle_ms: (idle != NO_IDLE).then_some(idle),
            max: Deadline::from_raw(number(14, 6)),
            fence: Fence(number(20, 8)),
            fence_version: number(28, 5),
            fence_digest: number(33, 8),
            user: &value[META_BYTES..len],
        };
        (meta, &value[len..])
    }
}

/// A data entry, understood.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its key: not the one that was asked for, if that is the old id of a session.
    pub key: &'a [u8],
    /// What it is.
    pub r#type: Type,
    /// Its version.
    pub version: Version,
    /// Where it stands.
    pub position: Position,
    /// The sooner of its idle and its absolute deadline.
    pub deadline: Deadline,
    /// What `SESSION.*` keeps; `None` for a key that they never touched.
    pub meta: Option<Meta<'a>>,
    /// The value after the meta.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Understands a data entry.
    #[inline]
    #[must_use]
    pub fn of(entry: Entry<'a>) -> Self {
        let (r#type, has_meta) = of_kind(entry.kind());
        let (meta, body) = if has_meta {
            let (meta, body) = Meta::split(entry.value());
            (Some(meta), body)
        } else {
            (None, entry.value())
        };
        Self {
            key: entry.key(),
            r#type,
            version: entry.version(),
            position: entry.position(),
            deadline: entry.deadline(),
            meta,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_survives_encoding() {
        for (idle_ms, max, user) in [
            (None, Deadline::NEVER, &b""[..]),
            (Some(0), Deadline::LAST, b"alice"),
            (Some(1_800_000), Deadline::at(77).unwrap(), &[b'u'; 255]),
        ] {
            let meta = Meta {
                created_ms: 1 << 47,
                idle_ms,
                max,
                fence: Fence(1 << 61),
                fence_version: 1 << 39,
                fence_digest: u64::MAX,
                user,
            };
            let mut value = Vec::new();
            meta.encode(&mut value);
            value.extend_from_slice(b"body");
            assert_eq!(Meta::split(&value), (meta, &b"body"[..]));
        }
    }
}
