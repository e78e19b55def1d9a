//! What agents say to each other.
//!
//! ```text
//!  16 heartbeat  from member, term u64, map u64, flags u8, listens to u16, suspect count u16, named u8, members
//!  17 report     from member, count u16, (shard u16, epoch u32, position u64, bytes u64, writes/s u32, complete u8, unreachable u8,
//!                resigned u8 (0 no, 1 yes, 2 in favour of; 128 more where the disk fails, 64 of a relic, 32 if that is damaged,
//!                16 if it knows of later epochs than its node's map),
//!                favoured u32, [life u128 of a relic], [promised u32, told u8, [configuration, first slot u16, last slot u16]])...
//!  18 question   from member
//! ```
//!
//! Within the frame of [`crate::format`]. A heartbeat goes out on every link each [`crate::timing::HEARTBEAT_MS`], and at once when there is a new
//! suspect or when somebody asks. A link may lose any message.

use alloc::vec::Vec;

use model::{Incarnation, Member, NodeId, Position, ShardConfig, ShardId, limits};

use crate::format::{Damage, Reader, Record, Writer};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A sign of life, with what its sender thinks of others.
    Heartbeat(Heartbeat),
    /// The state of its sender's copies, to the coordinator.
    Report(Report),
    /// Are you there? The answer is a heartbeat.
    Question(Member),
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who lives.
    pub from: Member,
    /// The coordinator's term that it knows of.
    pub term: u64,
    /// [`crate::map::ClusterMap::digest`] of its map.
    pub map: u64,
    /// Whether the metadata store answers it.
    pub store_answers: bool,
    /// Whether this answers a question.
    pub is_answer: bool,
    /// Whether its sender is about to end, and wants its primaries led by others first.
    pub is_leaving: bool,
    /// To how many nodes it listens.
    pub listens_to: u16,
    /// How many of them it suspects.
    pub suspect_count: u16,
    /// Some of them: at most [`limits::MAX_SUSPECTS`].
    pub suspects: Vec<(NodeId, Incarnation)>,
}

/// What a node says of its copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The state of each.
    pub statuses: Vec<CopyStatus>,
    /// Whether that is all that it has: of what an earlier life has left nothing is said while its damaged files are being replaced.
    pub is_all: bool,
}

/// The state of a node's copies, or of some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose copies.
    pub from: Member,
    /// At most [`limits::MAX_REPORTED_COPIES`].
    pub copies: Vec<CopyStatus>,
    /// Whether its sender has told of all that it has, with this and with what it sent right before.
    pub is_all: bool,
}

/// The state of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyStatus {
    /// Of which shard.
    pub shard: ShardId,
    /// The configuration that it knows.
    pub epoch: u32,
    /// How far its log goes without a gap.
    pub position: Position,
    /// Bytes of live data.
    pub bytes: u64,
    /// Writes per second, lately.
    pub writes_per_s: u32,
    /// From a primary: which members of its configuration have everything committed, as bits in their order.
    pub complete: u8,
    /// From a primary: which members it cannot reach, as bits in their order.
    pub unreachable: u8,
    /// From a primary: whether it cannot lead in this epoch, so that another has to.
    pub resigned: Resigned,
    /// Whether the disk of its node takes no more of the log, or did not until a short while ago.
    pub disk_fails: bool,
    /// Set if this is no copy of the node's present life, but what an earlier one has left.
    pub relic: Option<Relic>,
    /// Set if the copy knows of later epochs than its node's map.
    pub ahead: Option<Ahead>,
}

/// What a copy knows of epochs that the cluster map does not show: it is about to, or has lost them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The epoch that it has promised to follow.
    pub promised: u32,
    /// The configuration that it was told, if that is later than the map's.
    pub config: Option<ShardConfig>,
    /// The first and the last slot of the shard; told only with that.
    pub slots: Option<(u16, u16)>,
}

impl Ahead {
    /// The latest epoch that it knows of.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        let told = self.config.map_or(0, |config| config.epoch());
        self.promised.max(told)
    }
}

/// What an earlier life of a node has left of its copy of a shard: a beginning of the log that it had. Where too few lives of a set go on, as
/// when all machines have lost their power, the shard is recovered from relics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relic {
    /// Whose copy it was.
    pub life: Incarnation,
    /// Whether something in the middle of it may be missing: then only an operator may have recourse to it.
    pub damaged: bool,
}

/// Whether a primary has given up: it started again and does not know what it had served, or it cannot get at the longest log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resigned {
    /// It leads, or is on its way to.
    #[default]
    No,
    /// Any other may lead.
    Yes,
    /// Best this one, which has the longest log.
    InFavourOf(NodeId),
}

impl Message {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Heartbeat(heartbeat) => heartbeat.encode(),
            Self::Report(report) => report.encode(),
            Self::Question(from) => Question(*from).encode(),
        }
    }

    /// The message that these bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        match *bytes.get(1).ok_or(Damage::Length)? {
            Heartbeat::KIND => Heartbeat::decode(bytes).map(Self::Heartbeat),
            Report::KIND => Report::decode(bytes).map(Self::Report),
            Question::KIND => Question::decode(bytes).map(|question| Self::Question(question.0)),
            _ => Err(Damage::Kind),
        }
    }

    /// Who sent it.
    #[must_use]
    pub const fn from(&self) -> Member {
        match self {
            Self::Heartbeat(heartbeat) => heartbeat.from,
            Self::Report(report) => report.from,
            Self::Question(from) => *from,
        }
    }
}

struct Question(Member);

const STORE_ANSWERS: u8 = 1;
const IS_ANSWER: u8 = 2;
const IS_LEAVING: u8 = 4;
/// Beside what a copy has resigned.
const DISK_FAILS: u8 = 128;
/// Beside that: a life follows.
const IS_RELIC: u8 = 64;
/// Beside that.
const IS_DAMAGED: u8 = 32;
/// Beside all that: what it knows of later epochs follows.
const IS_AHEAD: u8 = 16;

fn flag(is_set: bool, bit: u8) -> u8 {
    u8::from(is_set) * bit
}

impl Record for Heartbeat {
    const KIND: u8 = 16;

    fn write(&self, out: &mut Writer) {
        assert!(self.suspects.len() <= limits::MAX_SUSPECTS);
        out.member(self.from);
        out.u64(self.term);
        out.u64(self.map);
        let flags = flag(self.store_answers, STORE_ANSWERS) | flag(self.is_answer, IS_ANSWER);
        out.u8(flags | flag(self.is_leaving, IS_LEAVING));
        out.u16(self.listens_to);
        out.u16(self.suspect_count);
        out.u8(self.suspects.len() as u8);
        for &(node, incarnation) in &self.suspects {
            out.member(Member { node, incarnation });
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (sender, term, map, flags) = (from.member()?, from.u64()?, from.u64()?, from.u8()?);
        let (listens_to, suspect_count) = (from.u16()?, from.u16()?);
        let named = from.count(limits::MAX_SUSPECTS)?;
        let suspects = (0..named).map(|_| from.member().map(|m| (m.node, m.incarnation)));
        let suspects: Vec<_> = suspects.collect::<Result<_, _>>()?;
        if flags > STORE_ANSWERS | IS_ANSWER | IS_LEAVING
            || usize::from(suspect_count) < suspects.len()
            || suspect_count > listens_to
        {
            return Err(Damage::Value);
        }
        Ok(Self {
            from: sender,
            term,
            map,
            store_answers: flags & STORE_ANSWERS != 0,
            is_answer: flags & IS_ANSWER != 0,
            is_leaving: flags & IS_LEAVING != 0,
            listens_to,
            suspect_count,
            suspects,
        })
    }
}

/// In the number of a report's copies: its sender has not told of all of them yet.
const MORE_FOLLOWS: u16 = 1 << 15;

impl Record for Report {
    const KIND: u8 = 17;

    fn write(&self, out: &mut Writer) {
        assert!(self.copies.len() <= limits::MAX_REPORTED_COPIES);
        out.member(self.from);
        out.u16(self.copies.len() as u16 | if self.is_all { 0 } else { MORE_FOLLOWS });
        for copy in &self.copies {
            out.u16(copy.shard.0);
            out.u32(copy.epoch);
            out.u64(copy.position.raw());
            out.u64(copy.bytes);
            out.u32(copy.writes_per_s);
            out.u8(copy.complete);
            out.u8(copy.unreachable);
            let (code, favoured) = copy.resigned.code();
            let relic = copy
                .relic
                .map_or(0, |relic| IS_RELIC | flag(relic.damaged, IS_DAMAGED));
            let flags = flag(copy.disk_fails, DISK_FAILS) | flag(copy.ahead.is_some(), IS_AHEAD);
            out.u8(code | flags | relic);
            out.u32(favoured);
            if let Some(relic) = copy.relic {
                out.u128(relic.life.0);
            }
            if let Some(ahead) = copy.ahead {
                ahead.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (sender, count) = (from.member()?, from.u16()?);
        let is_all = count & MORE_FOLLOWS == 0;
        let count = usize::from(count & !MORE_FOLLOWS);
        if count > limits::MAX_REPORTED_COPIES {
            return Err(Damage::Value);
        }
        let copies = (0..count).map(|_| CopyStatus::read(from));
        Ok(Self {
            from: sender,
            copies: copies.collect::<Result<_, _>>()?,
            is_all,
        })
    }
}

impl CopyStatus {
    /// Of a copy without data, which leads nobody and lacks nothing.
    #[must_use]
    pub const fn new(shard: ShardId, epoch: u32, position: Position) -> Self {
        Self {
            shard,
            epoch,
            position,
            bytes: 0,
            writes_per_s: 0,
            complete: 0,
            unreachable: 0,
            resigned: Resigned::No,
            disk_fails: false,
            relic: None,
            ahead: None,
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (shard, epoch) = (ShardId(from.u16()?), from.u32()?);
        let (position, bytes) = (Position::from_raw(from.u64()?), from.u64()?);
        let writes_per_s = from.u32()?;
        let (complete, unreachable) = (from.u8()?, from.u8()?);
        let (code, favoured) = (from.u8()?, from.u32()?);
        let flags = DISK_FAILS | IS_RELIC | IS_DAMAGED | IS_AHEAD;
        let resigned = Resigned::of(code & !flags, favoured).ok_or(Damage::Value)?;
        let damaged = code & IS_DAMAGED != 0;
        let relic = match code & IS_RELIC {
            0 if damaged => return Err(Damage::Value),
            0 => None,
            _ => Some(Relic {
                life: Incarnation(from.u128()?),
                damaged,
            }),
        };
        let ahead = match code & IS_AHEAD {
            0 => None,
            _ => Some(Ahead::read(from)?),
        };
        Ok(Self {
            shard,
            epoch,
            position,
            bytes,
            writes_per_s,
            complete,
            unreachable,
            resigned,
            disk_fails: code & DISK_FAILS != 0,
            relic,
            ahead,
        })
    }
}

impl Ahead {
    fn write(&self, out: &mut Writer) {
        out.u32(self.promised);
        let told = self.config.as_ref().zip(self.slots);
        out.u8(u8::from(told.is_some()));
        if let Some((config, (first, last))) = told {
            out.config(config);
            out.u16(first);
            out.u16(last);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let promised = from.u32()?;
        let told = from.flag()?.then(|| from.config()).transpose()?;
        let slots = told.map(|_| from.slots()).transpose()?;
        Ok(Self {
            promised,
            config: told,
            slots,
        })
    }
}

impl Resigned {
    const fn code(self) -> (u8, u32) {
        match self {
            Self::No => (0, 0),
            Self::Yes => (1, 0),
            Self::InFavourOf(node) => (2, node.0),
        }
    }

    const fn of(code: u8, favoured: u32) -> Option<Self> {
        match (code, favoured) {
            (0, 0) => Some(Self::No),
            (1, 0) => Some(Self::Yes),
            (2, node) => Some(Self::InFavourOf(NodeId(node))),
            (_, _) => None,
        }
    }
}

impl Record for Question {
    const KIND: u8 = 18;

    fn write(&self, out: &mut Writer) {
        out.member(self.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        from.member().map(Self)
    }
}
