//! The bytes of the messages between copies. Version 1, little-endian.
//!
//! ```text
//!    0 version u8 (1)     1 kind u8        2 shard u16          4 epoch u32
//!    8 from: node u32    12 to: node u32  16 from: incarnation  32 to: incarnation     (u128 each)
//!   48 body, by kind:
//!
//!   1 Append     sent_us u64, base u64, commit u64, prev u64, batches ...
//!   2 Ack        echo_us u64, number u64, have u64, persisted u64, attempt u32, step u32, flags u32, 0 u32
//!                flags: 1 synced, 2 whole, 4 gap, 8 installed all, 16 leaps
//!   3 Refused    promised u64
//!   4 Seal       resigned: node u32, some u32 (0, 1), incarnation u128
//!   5 Testimony  last u64, synced u32, flags u32 (1 whole, 2 kept)
//!   6 Unknown    -
//!   7 Fetch      from u64
//!   8 Tail       prev u64, flags u64 (1 reachable), batches ...
//!   9 Join       base u64, time_ms u64, needed u64, attempt u32, flags u32 (1 needed is told)
//!  10 Chunk      at u64, attempt u32, step u32, flags u64 (1 last), the owner's bytes ...
//!  11 Mend       parting u64, time_ms u64, need u64 (0: not known yet), needed u64, attempt u64
//!  12 Touched    attempt u32, flags u32 (1 told), the owner's bytes ...
//!  13 Leap       sent_us u64, base u64, commit u64, prev u64, first u64, last u64, time_ms u64, floor_ms u64, the owner's bytes ...
//!
//!   a batch: first u64, last u64, time_ms u64, length u64, that many bytes
//! ```
//!
//! A position is its packed form. Reserved fields are zero, and refused if they are not, so that they can get a meaning. There is no
//! length and no checksum here: what carries messages between machines frames each one with both (a queue between two
//! nodes of one process needs neither), and the entries in a batch have checksums of their own, made where the entry was.
//!
//! Decoding allocates nothing: lengths are compared with what is there, and bytes are lent.

use alloc::vec::Vec;

use model::{Incarnation, Member, NodeId, Position, ShardId};

use crate::log::Batch;

/// Version of the format.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 48;
/// Bytes before the entries of a batch.
pub const BATCH_HEADER_BYTES: usize = 32;
/// Longest message: one batch of the longest kind, or as many as [`crate::Settings::message_bytes`] holds. Whoever frames messages refuses
/// longer ones before reading them.
pub const MAX_MESSAGE_BYTES: usize =
    HEADER_BYTES + 32 + BATCH_HEADER_BYTES + model::limits::MAX_BATCH_BYTES;

/// A message, its bytes lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The shard.
    pub shard: ShardId,
    /// The configuration in whose name it is sent.
    pub epoch: u32,
    /// Who has sent it.
    pub from: Member,
    /// For whom it is: a node's later life does not take it.
    pub to: Member,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Primary to standby: batches that follow `prev`, or none: a heartbeat.
    Append(Append<'a>),
    /// Standby to primary: what it has.
    Ack(Ack),
    /// To whoever speaks for an epoch that is over.
    Refused {
        /// The epoch that was promised.
        promised: u32,
    },
    /// New primary to a member of the old set: accept nothing older than my epoch, and testify.
    Seal {
        /// A member that has answered, and so serves no more in any older epoch: a lease to it is void.
        resigned: Option<Member>,
    },
    /// The answer to a seal.
    Testimony(Testimony),
    /// The member that was asked is no more: its node lives on as the sender.
    Unknown,
    /// New primary to the member with the longest log: send what follows this.
    Fetch {
        /// The end of the asker's log.
        from: Position,
    },
    /// The answer to a fetch.
    Tail {
        /// What they follow.
        prev: Position,
        /// Whether that is something that can still be sent as batches.
        reachable: bool,
        /// The batches.
        batches: Batches<'a>,
    },
    /// Primary to a standby that cannot go on from where it is: forget all, and begin anew.
    Join {
        /// What the log goes on from.
        base: Position,
        /// The time of that.
        time_ms: u64,
        /// WQ others have everything that is committed, up to here. `None`: what is given up is to be kept until the copy is whole again, as perhaps
        /// nobody but the primary has it.
        needed: Option<Position>,
        /// Which time this is, for this standby in this epoch.
        attempt: u32,
    },
    /// A part of a snapshot.
    Chunk(Chunk<'a>),
    /// Primary to a standby whose log has parted from the primary's: go on from there, where that can be.
    Mend(Mend),
    /// The answer to that.
    Touched {
        /// The attempt that it answers.
        attempt: u32,
        /// The keys that its batches behind the parting have touched, as the owner writes them; `None` if it cannot say.
        keys: Option<&'a [u8]>,
    },
    /// Primary to a standby whose end is before its backlog: what has changed since, as one batch.
    Leap(Leap<'a>),
}

/// See [`Body::Leap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leap<'a> {
    /// As in [`Append`].
    pub sent_us: u64,
    /// As in [`Append`].
    pub base: Position,
    /// As in [`Append`].
    pub commit: Position,
    /// What it follows.
    pub prev: Position,
    /// Position of its first entry.
    pub first: Position,
    /// Position of its last entry, which may be of a later epoch.
    pub last: Position,
    /// No later than the time of the last batch that it stands for.
    pub time_ms: u64,
    /// No earlier than that, nor than any reply that may have been given before.
    pub floor_ms: u64,
    /// What the owner has written.
    pub bytes: &'a [u8],
}

/// See [`Body::Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append<'a> {
    /// When it was sent, by the primary's monotonic clock.
    pub sent_us: u64,
    /// What the epoch began with: who has it all is synced.
    pub base: Position,
    /// Everything up to here is committed.
    pub commit: Position,
    /// What the batches follow.
    pub prev: Position,
    /// The batches.
    pub batches: Batches<'a>,
}

/// See [`Body::Ack`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The latest `sent_us` that has arrived in this epoch.
    pub echo_us: u64,
    /// Counts its acknowledgements: of two with one `echo_us` the higher one is the later.
    pub number: u64,
    /// The end of its log.
    pub have: Position,
    /// Up to where that is persisted.
    pub persisted: Position,
    /// The attempt to join that it is in, 0 for none.
    pub attempt: u32,
    /// Chunks of the snapshot that it has installed.
    pub step: u32,
    /// It has all that the epoch began with, and what it has counts.
    pub synced: bool,
    /// It has not given up what it had.
    pub whole: bool,
    /// Something was sent that does not follow what it has.
    pub gap: bool,
    /// The snapshot is installed.
    pub installed: bool,
    /// It can be told in one batch what it has missed.
    pub leaps: bool,
}

/// See [`Body::Testimony`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// The end of its log, or the end that it had when it was given up.
    pub last: Position,
    /// The latest epoch that it was synced to.
    pub synced: u32,
    /// Whether it still has it.
    pub whole: bool,
    /// Whether that, which it was told to give up, is set aside and can be taken back.
    pub kept: bool,
}

/// See [`Body::Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The end of the primary's log when it was read.
    pub at: Position,
    /// The attempt to join.
    pub attempt: u32,
    /// Which chunk of it, from 0.
    pub step: u32,
    /// There are no more.
    pub is_last: bool,
    /// What the owner has written.
    pub bytes: &'a [u8],
}

/// See [`Body::Mend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mend {
    /// The last position that both logs have.
    pub parting: Position,
    /// The time of that.
    pub time_ms: u64,
    /// Where the copy is whole again: everything that it has touched is written once more up to there. `None` until that is done.
    pub need: Option<Position>,
    /// WQ others have everything that is committed, up to here.
    pub needed: Position,
    /// Which attempt it is, counted with those to join.
    pub attempt: u32,
}

/// Batches in the form in which they are sent: checked to be whole and ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batches<'a>(&'a [u8]);

/// One of [`Batches`], lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRef<'a> {
    /// Position of its first entry.
    pub first: Position,
    /// Position of its last entry.
    pub last: Position,
    /// The primary's wall clock when it was made.
    pub time_ms: u64,
    /// The entries.
    pub bytes: &'a [u8],
}

impl BatchRef<'_> {
    pub(crate) fn to_batch(self) -> Batch {
        Batch {
            first: self.first,
            last: self.last,
            time_ms: self.time_ms,
            bytes: self.bytes.into(),
        }
    }
}

impl<'a> Batches<'a> {
    fn checked(bytes: &'a [u8]) -> Option<Self> {
        let (mut reader, mut last) = (Reader(bytes), None);
        while !reader.0.is_empty() {
            let batch = reader.batch()?;
            let follows = last.is_none_or(|last| batch.first > last);
            if !follows || batch.last < batch.first || batch.first.epoch() != batch.last.epoch() {
                return None;
            }
            last = Some(batch.last);
        }
        Some(Self(bytes))
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = BatchRef<'a>> + use<'a> {
        let mut reader = Reader(self.0);
        core::iter::from_fn(move || {
            (!reader.0.is_empty()).then(|| reader.batch().expect("they were checked"))
        })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Adds a batch to bytes that become [`Batches`] at the other end.
pub(crate) fn write_batch(to: &mut Vec<u8>, batch: &Batch) {
    to.extend_from_slice(&batch.first.raw().to_le_bytes());
    to.extend_from_slice(&batch.last.raw().to_le_bytes());
    to.extend_from_slice(&batch.time_ms.to_le_bytes());
    to.extend_from_slice(&(batch.bytes.len() as u64).to_le_bytes());
    to.extend_from_slice(&batch.bytes);
}

/// Bytes that [`write_batch`] has written.
pub(crate) fn written(bytes: &[u8]) -> Batches<'_> {
    Batches(bytes)
}

impl Message<'_> {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer(Vec::with_capacity(HEADER_BYTES + 64));
        to.0.push(VERSION);
        to.0.push(self.body.kind());
        to.0.extend_from_slice(&self.shard.0.to_le_bytes());
        to.u32(self.epoch);
        to.u32(self.from.node.0);
        to.u32(self.to.node.0);
        to.u128(self.from.incarnation.0);
        to.u128(self.to.incarnation.0);
        self.body.write(&mut to);
        to.0
    }
}

/// The message that these bytes are, or `None` if they are none.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Message<'_>> {
    let mut reader = Reader(bytes);
    let [version, kind] = reader.take()?;
    if version != VERSION || bytes.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let shard = ShardId(u16::from_le_bytes(reader.take()?));
    let epoch = reader.u32()?;
    let (from, to) = (NodeId(reader.u32()?), NodeId(reader.u32()?));
    let member = |node, incarnation| Member {
        node,
        incarnation: Incarnation(incarnation),
    };
    let (from, to) = (member(from, reader.u128()?), member(to, reader.u128()?));
    let body = Body::read(kind, &mut reader)?;
    let known = epoch <= model::position::MAX_EPOCH && reader.0.is_empty();
    known.then_some(Message {
        shard,
        epoch,
        from,
        to,
        body,
    })
}

/// Whom a message of any version that has this header is for, without reading the rest: to route it.
#[must_use]
pub fn recipient(bytes: &[u8]) -> Option<(ShardId, Member)> {
    let shard = u16::from_le_bytes(*bytes.get(2..)?.first_chunk()?);
    let node = u32::from_le_bytes(*bytes.get(12..)?.first_chunk()?);
    let incarnation = u128::from_le_bytes(*bytes.get(32..)?.first_chunk()?);
    let member = Member {
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
    };
    Some((ShardId(shard), member))
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

impl Body<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Append(_) => 1,
            Self::Ack(_) => 2,
            Self::Refused { .. } => 3,
            Self::Seal { .. } => 4,
            Self::Testimony(_) => 5,
            Self::Unknown => 6,
            Self::Fetch { .. } => 7,
            Self::Tail { .. } => 8,
            Self::Join { .. } => 9,
            Self::Chunk(_) => 10,
            Self::Mend(_) => 11,
            Self::Touched { .. } => 12,
            Self::Leap(_) => 13,
        }
    }

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Append(append) => append.write(to),
            Self::Ack(ack) => ack.write(to),
            Self::Refused { promised } => to.u64(u64::from(*promised)),
            Self::Seal { resigned } => {
                to.u32(resigned.map_or(0, |m| m.node.0));
                to.u32(u32::from(resigned.is_some()));
                to.u128(resigned.map_or(0, |m| m.incarnation.0));
            }
            Self::Testimony(testimony) => {
                to.position(testimony.last);
                to.u32(testimony.synced);
                to.u32(flag(testimony.whole, 1) | flag(testimony.kept, 2));
            }
            Self::Unknown => {}
            Self::Fetch { from } => to.position(*from),
            Self::Tail {
                prev,
                reachable,
                batches,
            } => {
                to.position(*prev);
                to.u64(u64::from(*reachable));
                to.0.extend_from_slice(batches.0);
            }
            Self::Join {
                base,
                time_ms,
                needed,
                attempt,
            } => {
                to.position(*base);
                to.u64(*time_ms);
                to.position(needed.unwrap_or_default());
                to.u32(*attempt);
                to.u32(flag(needed.is_some(), 1));
            }
            Self::Chunk(chunk) => chunk.write(to),
            Self::Mend(mend) => mend.write(to),
            Self::Leap(leap) => leap.write(to),
            Self::Touched { attempt, keys } => {
                to.u32(*attempt);
                to.u32(flag(keys.is_some(), 1));
                to.0.extend_from_slice(keys.unwrap_or_default());
            }
        }
    }
}

impl<'a> Body<'a> {
    fn read(kind: u8, from: &mut Reader<'a>) -> Option<Self> {
        Some(match kind {
            1 => Self::Append(Append::read(from)?),
            2 => Self::Ack(Ack::read(from)?),
            3 => Self::Refused {
                promised: u32::try_from(from.u64()?).ok()?,
            },
            4 => Self::Seal {
                resigned: from.resigned()?,
            },
            5 => Self::Testimony(Testimony::read(from)?),
            6 => Self::Unknown,
            7 => Self::Fetch {
                from: from.position()?,
            },
            8 => Self::Tail {
                prev: from.position()?,
                reachable: from.truth()?,
                batches: Batches::checked(from.rest())?,
            },
            9 => {
                let (base, time_ms) = (from.position()?, from.u64()?);
                let (needed, attempt) = (from.position()?, from.u32()?);
                let is_told = from.flags(1)? == 1;
                if !is_told && needed != Position::ZERO {
                    return None;
                }
                Self::Join {
                    base,
                    time_ms,
                    needed: is_told.then_some(needed),
                    attempt,
                }
            }
            10 => Self::Chunk(Chunk {
                at: from.position()?,
                attempt: from.u32()?,
                step: from.u32()?,
                is_last: from.truth()?,
                bytes: from.rest(),
            }),
            11 => Self::Mend(Mend::read(from)?),
            12 => Self::Touched {
                attempt: from.u32()?,
                keys: from.told()?,
            },
            13 => Self::Leap(Leap::read(from)?),
            _ => return None,
        })
    }
}

impl Append<'_> {
    fn write(&self, to: &mut Writer) {
        to.u64(self.sent_us);
        to.position(self.base);
        to.position(self.commit);
        to.position(self.prev);
        to.0.extend_from_slice(self.batches.0);
    }
}

impl<'a> Append<'a> {
    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let append = Self {
            sent_us: from.u64()?,
            base: from.position()?,
            commit: from.position()?,
            prev: from.position()?,
            batches: Batches::checked(from.rest())?,
        };
        let follows = append
            .batches
            .iter()
            .next()
            .is_none_or(|b| b.first > append.prev);
        follows.then_some(append)
    }
}

impl Ack {
    fn write(&self, to: &mut Writer) {
        to.u64(self.echo_us);
        to.u64(self.number);
        to.position(self.have);
        to.position(self.persisted);
        to.u32(self.attempt);
        to.u32(self.step);
        to.u32(
            flag(self.synced, 1)
                | flag(self.whole, 2)
                | flag(self.gap, 4)
                | flag(self.installed, 8)
                | flag(self.leaps, 16),
        );
        to.u32(0);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut ack = Self {
            echo_us: from.u64()?,
            number: from.u64()?,
            have: from.position()?,
            persisted: from.position()?,
            attempt: from.u32()?,
            step: from.u32()?,
            ..Self::default()
        };
        let flags = from.flags(31)?;
        (ack.synced, ack.whole) = (flags & 1 != 0, flags & 2 != 0);
        (ack.gap, ack.installed) = (flags & 4 != 0, flags & 8 != 0);
        ack.leaps = flags & 16 != 0;
        from.flags(0)?;
        Some(ack)
    }
}

impl Chunk<'_> {
    fn write(&self, to: &mut Writer) {
        to.position(self.at);
        to.u32(self.attempt);
        to.u32(self.step);
        to.u64(u64::from(self.is_last));
        to.0.extend_from_slice(self.bytes);
    }
}

impl Testimony {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (last, synced, flags) = (from.position()?, from.u32()?, from.flags(3)?);
        let (whole, kept) = (flags & 1 != 0, flags & 2 != 0);
        // What a copy has, it has not given up.
        (!(whole && kept)).then_some(Self {
            last,
            synced,
            whole,
            kept,
        })
    }
}

impl Mend {
    fn write(&self, to: &mut Writer) {
        to.position(self.parting);
        to.u64(self.time_ms);
        to.position(self.need.unwrap_or_default());
        to.position(self.needed);
        to.u64(u64::from(self.attempt));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mend = Self {
            parting: from.position()?,
            time_ms: from.u64()?,
            need: Some(from.position()?).filter(|need| *need > Position::ZERO),
            needed: from.position()?,
            attempt: u32::try_from(from.u64()?).ok()?,
        };
        let follows = mend.need.is_none_or(|need| need > mend.parting);
        follows.then_some(mend)
    }
}

impl Leap<'_> {
    fn write(&self, to: &mut Writer) {
        to.u64(self.sent_us);
        to.position(self.base);
        to.position(self.commit);
        to.position(self.prev);
        to.position(self.first);
        to.position(self.last);
        to.u64(self.time_ms);
        to.u64(self.floor_ms);
        to.0.extend_from_slice(self.bytes);
    }
}

impl<'a> Leap<'a> {
    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let leap = Self {
            sent_us: from.u64()?,
            base: from.position()?,
            commit: from.position()?,
            prev: from.position()?,
            first: from.position()?,
            last: from.position()?,
            time_ms: from.u64()?,
            floor_ms: from.u64()?,
            bytes: from.rest(),
        };
        let follows = leap.first > leap.prev && leap.last >= leap.first;
        let is_short = leap.bytes.len() <= model::limits::MAX_BATCH_BYTES;
        (follows && is_short && leap.floor_ms >= leap.time_ms).then_some(leap)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u128(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn position(&mut self, position: Position) {
        self.u64(position.raw());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    /// A position; those have two bits to spare.
    fn position(&mut self) -> Option<Position> {
        let raw = self.u64()?;
        (raw >> 62 == 0).then_some(Position::from_raw(raw))
    }

    /// Flags, of which only these may be set.
    fn flags(&mut self, known: u32) -> Option<u32> {
        self.u32().filter(|flags| flags & !known == 0)
    }

    /// What follows, if it is told; if not, there must be nothing.
    fn told(&mut self) -> Option<Option<&'a [u8]>> {
        let is_told = self.flags(1)? == 1;
        let rest = self.rest();
        (is_told || rest.is_empty()).then_some(is_told.then_some(rest))
    }

    fn truth(&mut self) -> Option<bool> {
        match self.u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn resigned(&mut self) -> Option<Option<Member>> {
        let (node, some, incarnation) = (self.u32()?, self.u32()?, self.u128()?);
        match (some, node, incarnation) {
            (0, 0, 0) => Some(None),
            (1, _, _) => Some(Some(Member {
                node: NodeId(node),
                incarnation: Incarnation(incarnation),
            })),
            _ => None,
        }
    }

    fn batch(&mut self) -> Option<BatchRef<'a>> {
        let (first, last) = (self.position()?, self.position()?);
        let time_ms = self.u64()?;
        let len = usize::try_from(self.u64()?).ok()?;
        if len > model::limits::MAX_BATCH_BYTES {
            return None;
        }
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(BatchRef {
            first,
            last,
            time_ms,
            bytes,
        })
    }

    fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests;
