//! The bytes of a segment: its header and its entries. The only file that knows them.
//!
//! A segment begins with a header of 64 bytes; entries follow without gaps, the rest is zeros. Numbers are
//! little-endian. An entry is
//!
//! ```text
//!  0        4        8                16               24       30  32       32+k          len
//!  +--------+--------+----------------+----------------+---------+--+--------+-------------+
//!  | crc32c | shape  | space:2 pos:62 |    version     |deadline |k | key    | value       |
//!  +--------+--------+----------------+----------------+---------+--+--------+-------------+
//!            len:23 more:1 kind:4 db:4                  48 bits   16 bits
//! ```
//!
//! fields named from the low bits up in `shape` and in `deadline, k`, from the high bits down in `space, pos`.
//! An entry of length 0 is the end: a header of zeros.
//!
//! - The checksum starts from the [`Salt`] of its segment, so that bytes of another segment, or of another
//!   directory, never pass. It reads bytes 4..24, key and value, and *last* the word with the deadline, so that
//!   [`set_deadline`] can mend it without reading the rest.
//! - `more` says that the batch goes on with the next entry. An entry that is not the first of its batch has its
//!   checksum exclusive-ored with [`CONTINUES`], so that also a reader who lost his place to damage can tell the
//!   middle of a batch from its beginning: a batch is all or nothing.
//! - Kinds up to [`Kind::MAX`] are the caller's, the others are [`Control`]s of the store.

use alloc::vec::Vec;

use model::Position;
use model::position::MAX_EPOCH;
use model::time::Deadline;

use super::{Kind, Space};
use crate::cut::{Cut, Known};
use crate::disk::SegmentId;

/// Version of everything in this file.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Bytes of an entry before its key.
pub(crate) const HEADER_BYTES: usize = 32;
/// Bytes of the entry that ends a sealed segment.
pub(crate) const SEAL_BYTES: usize = HEADER_BYTES;

const LEN_BITS: u32 = 23;
const MORE: u32 = 1 << LEN_BITS;
const KIND_SHIFT: u32 = 24;
const DB_SHIFT: u32 = 28;
const SPACE_SHIFT: u32 = 62;
const POSITION_MASK: u64 = (1 << SPACE_SHIFT) - 1;
const KEY_LEN_SHIFT: u32 = 48;
const DEADLINE_MASK: u64 = (1 << KEY_LEN_SHIFT) - 1;
/// Marks the checksums of entries that are not the first of their batch.
pub(crate) const CONTINUES: u32 = 0x7E4A_11E5;

/// The store's own kinds of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Every entry of this key up to the position in `version` is dead. Its deadline is that of the entry that
    /// it killed: after it nothing is left that could come back. The value is the id of the segment whose file
    /// alone holds what could come back, 0 if others may, [`OF_A_RESTART`] or [`OF_A_MENDING`] if none of its own position did.
    Tombstone,
    /// The entry of this key at the position in `version` has this deadline.
    Touch,
    /// The newest one tells where each database is (`version`, 4 bits each) and up to which position each was
    /// flushed (the value: 16 positions).
    State,
    /// A [`Note`], by the low byte of `version`.
    Note,
}

/// In place of a file's id in a tombstone: a restart has written it because of what it found up to the tombstone's position, which is
/// not its own. Others may hold what could come back.
pub(crate) const OF_A_RESTART: SegmentId = SegmentId(u64::MAX);
/// In place of a file's id in a tombstone: a copy that was mended has written it, at the last position that counted then. It is not its
/// own either, and others may hold what could come back.
pub(crate) const OF_A_MENDING: SegmentId = SegmentId(u64::MAX - 1);

/// What a [`Control::Note`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The end of a segment that is complete.
    Seal,
    /// It was at least this late (`version >> 8`, in milliseconds) when this was written. The value is what the log
    /// knows of itself: see [`write_known`].
    Clock,
    /// The files that there were, by id, when this was written (the value).
    Files,
}

impl Note {
    pub(crate) const fn of(version: u64) -> Option<Self> {
        match version & 0xff {
            0 => Some(Self::Seal),
            1 => Some(Self::Clock),
            2 => Some(Self::Files),
            3.. => None,
        }
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    User(Kind),
    Control(Control),
}

impl Control {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Tombstone => 12,
            Self::Touch => 13,
            Self::State => 14,
            Self::Note => 15,
        }
    }
}

/// The header of an entry, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: usize,
    pub(crate) more: bool,
    pub(crate) what: What,
    pub(crate) db: u8,
    pub(crate) space: Space,
    pub(crate) position: Position,
    pub(crate) version: u64,
    pub(crate) deadline: Deadline,
    pub(crate) key_len: usize,
}

/// Where the checksums of a segment start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn new(directory: u64, segment: SegmentId) -> Self {
        Self(crc::step(crc::step(!0, directory), segment.0))
    }
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..].first_chunk().expect("checked by the slice");
    u64::from_le_bytes(*bytes)
}

#[inline]
fn half(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..].first_chunk().expect("checked by the slice");
    u32::from_le_bytes(*bytes)
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// The length in the header that these bytes begin with, 0 if it cannot be one.
#[inline]
pub(crate) fn entry_len(bytes: &[u8]) -> usize {
    let len = (half(bytes, 4) & (MORE - 1)) as usize;
    if len < HEADER_BYTES || len > bytes.len() {
        0
    } else {
        len
    }
}

impl Header {
    /// Takes apart the header that these bytes, at least [`HEADER_BYTES`], begin with. It may be nonsense: see
    /// [`verify`].
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().expect("callers have a whole header");
        let shape = half(bytes, 4);
        let place = word(bytes, 8);
        let end = word(bytes, 24);
        Self {
            len: (shape & (MORE - 1)) as usize,
            more: shape & MORE != 0,
            what: what(((shape >> KIND_SHIFT) & 0xf) as u8),
            db: (shape >> DB_SHIFT) as u8,
            space: space(place >> SPACE_SHIFT),
            position: Position::from_raw(place & POSITION_MASK),
            version: word(bytes, 16),
            deadline: Deadline::from_raw(end & DEADLINE_MASK),
            key_len: (end >> KEY_LEN_SHIFT) as usize,
        }
    }

    /// Writes everything but the checksum.
    #[inline]
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let bytes: &mut [u8; HEADER_BYTES] =
            bytes.first_chunk_mut().expect("callers have room for it");
        let kind = match self.what {
            What::User(kind) => kind.number(),
            What::Control(control) => control.number(),
        };
        let shape = self.len as u32
            | if self.more { MORE } else { 0 }
            | u32::from(kind) << KIND_SHIFT
            | u32::from(self.db) << DB_SHIFT;
        let place = (self.space as u64) << SPACE_SHIFT | self.position.raw();
        let end = self.deadline.raw() | (self.key_len as u64) << KEY_LEN_SHIFT;
        put(bytes, 4, &shape.to_le_bytes());
        put(bytes, 8, &place.to_le_bytes());
        put(bytes, 16, &self.version.to_le_bytes());
        put(bytes, 24, &end.to_le_bytes());
    }

    /// The key, of the entry that has this header.
    #[inline]
    pub(crate) fn key<'a>(&self, entry: &'a [u8]) -> &'a [u8] {
        &entry[HEADER_BYTES..HEADER_BYTES + self.key_len]
    }

    /// The value, of the entry that has this header.
    #[inline]
    pub(crate) fn value<'a>(&self, entry: &'a [u8]) -> &'a [u8] {
        &entry[HEADER_BYTES + self.key_len..self.len]
    }

    /// Whether the entry that has this header shows that the op of its position is in the log.
    pub(crate) fn shows_position(&self, entry: &[u8]) -> bool {
        match self.what {
            What::User(_) | What::Control(Control::Touch | Control::State) => true,
            What::Control(Control::Tombstone) => {
                let file = self.value(entry);
                ![OF_A_RESTART, OF_A_MENDING]
                    .iter()
                    .any(|of| file == of.0.to_le_bytes())
            }
            What::Control(Control::Note) => false,
        }
    }

    /// The note, if it is one.
    pub(crate) fn note(&self) -> Option<Note> {
        match self.what {
            What::Control(Control::Note) => Note::of(self.version),
            What::Control(Control::Tombstone | Control::Touch | Control::State) | What::User(_) => {
                None
            }
        }
    }
}

#[inline]
fn what(number: u8) -> What {
    match number {
        12 => What::Control(Control::Tombstone),
        13 => What::Control(Control::Touch),
        14 => What::Control(Control::State),
        0..=11 => What::User(Kind::new(number)),
        15.. => What::Control(Control::Note),
    }
}

#[inline]
fn space(number: u64) -> Space {
    match number {
        0 => Space::Data,
        1 => Space::Chunk,
        2 => Space::Hold,
        3.. => Space::Mark,
    }
}

/// The checksum of an entry that is the first of its batch.
#[inline]
fn checksum(salt: Salt, entry: &[u8]) -> u32 {
    let parts = [&entry[4..24], &entry[HEADER_BYTES..], &entry[24..32]];
    !parts.into_iter().fold(salt.0, crc::over)
}

/// Completes an entry: sets whether its batch goes on, and its checksum. `entry` is exactly the entry.
#[inline]
pub(crate) fn finish(entry: &mut [u8], salt: Salt, first: bool, more: bool) {
    let shape = half(entry, 4) & !MORE | if more { MORE } else { 0 };
    put(entry, 4, &shape.to_le_bytes());
    let sum = checksum(salt, entry) ^ if first { 0 } else { CONTINUES };
    put(entry, 0, &sum.to_le_bytes());
}

/// Writes an entry that stands alone over one of the same key and length, and completes it. The checksum is computed from the value as
/// it was given: that is in the processor's cache, which the entry's own memory need not be yet.
#[inline]
pub(crate) fn overwrite(entry: &mut [u8], salt: Salt, header: &Header, value: &[&[u8]]) {
    header.write(entry);
    let (head, mut rest) = entry.split_at_mut(HEADER_BYTES + header.key_len);
    let mut register = crc::over(crc::over(salt.0, &head[4..24]), &head[HEADER_BYTES..]);
    for part in value {
        register = crc::over(register, part);
        let (into, after) = rest.split_at_mut(part.len());
        into.copy_from_slice(part);
        rest = after;
    }
    let sum = !crc::over(register, &head[24..32]);
    put(head, 0, &sum.to_le_bytes());
}

/// Completes a copy of a completed entry that was in a segment with the salt `from`, for one with the salt `to`, where it
/// stands alone. `place` is where in its batch it stood. The checksum is mended, not computed: a copy of an entry that does not
/// pass does not pass.
#[inline]
pub(crate) fn finish_copy(entry: &mut [u8], (from, to): (Salt, Salt), place: Place) {
    let shape = half(entry, 4);
    put(entry, 4, &(shape & !MORE).to_le_bytes());
    let changed = from.0 ^ to.0 ^ (shape & MORE);
    // All of it but the checksum itself is read behind the salt and, first of all, the shape.
    let mark = match place {
        Place::First => 0,
        Place::Later => CONTINUES,
    };
    let sum = half(entry, 0) ^ mark ^ crc::shift(changed, entry.len() - 4);
    put(entry, 0, &sum.to_le_bytes());
}

/// Where in its batch an entry stands, as its checksum tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Later,
}

impl Place {
    /// Of an entry in memory, where all of a batch stands together or each of its entries alone: whether the entry before says
    /// that its batch goes on tells it.
    #[inline]
    pub(crate) fn behind(more: bool) -> Self {
        if more { Self::Later } else { Self::First }
    }
}

/// Whether `entry`, exactly one by its length, passes its checksum, and then where in its batch it stands.
#[inline]
pub(crate) fn verify(entry: &[u8], salt: Salt) -> Option<Place> {
    let header = Header::read(entry);
    if header.len != entry.len() || header.key_len > entry.len() - HEADER_BYTES {
        return None;
    }
    match checksum(salt, entry) ^ half(entry, 0) {
        0 => Some(Place::First),
        CONTINUES => Some(Place::Later),
        1.. => None,
    }
}

/// Bytes of the value of a `Clock` note with so many cuts.
pub(crate) const fn known_bytes(cuts: usize) -> usize {
    8 + 16 * cuts
}

/// The value of a `Clock` note: the floor's position, then of each cut the last position before it and the epoch
/// that began there, 8 bytes each.
pub(crate) fn write_known(known: &Known) -> Vec<u8> {
    let mut value = Vec::with_capacity(known_bytes(known.cuts.len()));
    value.extend(known.floor.raw().to_le_bytes());
    for cut in &known.cuts {
        value.extend(cut.last.raw().to_le_bytes());
        value.extend(u64::from(cut.epoch).to_le_bytes());
    }
    value
}

/// What the value of a `Clock` note says; nothing, if it is not one of ours.
pub(crate) fn read_known(value: &[u8]) -> Known {
    let Some((floor, cuts)) = value.split_first_chunk() else {
        return Known::default();
    };
    let cut = |bytes: &[u8; 16]| Cut {
        last: Position::from_raw(word(bytes, 0) & POSITION_MASK),
        epoch: (word(bytes, 8) as u32).min(MAX_EPOCH),
    };
    Known {
        floor: Position::from_raw(u64::from_le_bytes(*floor) & POSITION_MASK),
        cuts: cuts.as_chunks().0.iter().map(cut).collect(),
    }
}

/// Changes the deadline of a completed entry and mends its checksum.
#[inline]
pub(crate) fn set_deadline(entry: &mut [u8], deadline: Deadline) {
    let before = word(entry, 24);
    let after = before & !DEADLINE_MASK | deadline.raw();
    put(entry, 24, &after.to_le_bytes());
    let sum = half(entry, 0) ^ crc::step(0, before ^ after);
    put(entry, 0, &sum.to_le_bytes());
}

/// The header of a segment:
///
/// ```text
///  0       8         12      16       24          32        40      44      48       60     64
///  | magic | version | class | segment| directory | created | epoch | bytes | zeros  | crc  |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) class: u32,
    pub(crate) segment: SegmentId,
    /// Which data directory it belongs to.
    pub(crate) directory: u64,
    pub(crate) created_ms: u64,
    /// The epoch of the newest position when it was created.
    pub(crate) epoch: u32,
    /// Bytes of a segment.
    pub(crate) bytes: u32,
}

/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: usize = model::limits::SEGMENT_HEADER_BYTES;
const MAGIC: &[u8; 8] = b"TENURSEG";

impl SegmentHeader {
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let bytes = &mut bytes[..SEGMENT_HEADER];
        bytes.fill(0);
        put(bytes, 0, MAGIC);
        put(bytes, 8, &FORMAT_VERSION.to_le_bytes());
        put(bytes, 12, &self.class.to_le_bytes());
        put(bytes, 16, &self.segment.0.to_le_bytes());
        put(bytes, 24, &self.directory.to_le_bytes());
        put(bytes, 32, &self.created_ms.to_le_bytes());
        put(bytes, 40, &self.epoch.to_le_bytes());
        put(bytes, 44, &self.bytes.to_le_bytes());
        let sum = !crc::over(!0, &bytes[..60]);
        put(bytes, 60, &sum.to_le_bytes());
    }

    /// The header that these bytes begin with, `None` if it does not pass.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER)?;
        let sum = !crc::over(!0, &bytes[..60]);
        let known = bytes.starts_with(MAGIC) && half(bytes, 8) == FORMAT_VERSION;
        (known && sum == half(bytes, 60)).then(|| Self {
            class: half(bytes, 12),
            segment: SegmentId(word(bytes, 16)),
            directory: word(bytes, 24),
            created_ms: word(bytes, 32),
            epoch: half(bytes, 40),
            bytes: half(bytes, 44),
        })
    }
}

#[cfg(test)]
mod tests;
