//! The bytes of the records and of the messages between agents. This file is the format; `crates/cluster/tests/fixtures` has one of each,
//! of every released version.
//!
//! ```text
//!  0        1       2                      len-4      len
//!  ┌────────┬───────┬──────────────────────┬──────────┐
//!  │version │ kind  │ body                 │ CRC32C   │   of everything before it
//!  └────────┴───────┴──────────────────────┴──────────┘
//!
//!  member       node u32, incarnation u128                                    20 bytes
//!  set          count u8, write quorum u8, members                            2 + 20 n
//!  configuration  epoch u32, set, primary node u32, phase u8, [epoch u32, set]
//!  text         length u8, UTF-8
//!
//!  1 cluster      shards u16, copies u8, write quorum u8, initial nodes u16
//!  2 coordinator  term u64, holder member, request u128
//!  3 node         incarnation u128, state u8, process u64, zone u16, 5 texts (client, forwarding, sentinel, peer, admin), request u128
//!  4 shard        first slot u16, last slot u16, configuration, request u128
//!  5 loss         shard u16, epoch u32, survivor member, position u64, count u8, (member, known u8, position u64)..., request u128
//! ```
//!
//! All numbers are little-endian. Versions: 1. A reader refuses a version or a kind that it does not know; whoever writes a
//! second version makes it readable here first. Nothing is allocated for a count before it was compared with its limit.

use alloc::{string::String, vec::Vec};

use model::{
    CopySet, Incarnation, Member, NodeId, Phase, Position, ServedSet, ShardConfig, ShardId, Zone,
    limits, membership::MAX_COPIES,
};

use crate::{
    metadata::RequestId,
    record::{Addresses, LossRecord, NodeRecord, NodeState, Role, Settings, ShardRecord},
};

/// The version that is written.
pub const VERSION: u8 = 1;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Too short, or longer than what it says.
    Length,
    /// The checksum is another.
    Checksum,
    /// A version that this program does not know.
    Version,
    /// Not the kind that should stand here.
    Kind,
    /// A value that cannot be.
    Value,
}

/// Something with a kind number and a body.
pub trait Record: Sized {
    /// Its number.
    const KIND: u8;
    /// Writes the body.
    fn write(&self, out: &mut Writer);
    /// Reads the body.
    fn read(from: &mut Reader<'_>) -> Result<Self, Damage>;

    /// The whole bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.u8(VERSION);
        out.u8(Self::KIND);
        self.write(&mut out);
        let checksum = crc::crc32c([&out.0[..]]);
        out.u32(checksum);
        out.0
    }

    /// The record that these bytes are.
    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(Damage::Length)?;
        if crc::crc32c([body]) != u32::from_le_bytes(*checksum) {
            return Err(Damage::Checksum);
        }
        let mut from = Reader(body);
        if from.u8()? != VERSION {
            return Err(Damage::Version);
        }
        if from.u8()? != Self::KIND {
            return Err(Damage::Kind);
        }
        let record = Self::read(&mut from)?;
        if from.0.is_empty() {
            Ok(record)
        } else {
            Err(Damage::Length)
        }
    }
}

impl Record for Settings {
    const KIND: u8 = 1;

    fn write(&self, out: &mut Writer) {
        out.u16(self.shards);
        out.u8(self.copies);
        out.u8(self.write_quorum);
        out.u16(self.initial_nodes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let settings = Self {
            shards: from.u16()?,
            copies: from.u8()?,
            write_quorum: from.u8()?,
            initial_nodes: from.u16()?,
        };
        settings.check().map_err(|_| Damage::Value)
    }
}

impl Record for Role {
    const KIND: u8 = 2;

    fn write(&self, out: &mut Writer) {
        out.u64(self.term);
        out.member(self.holder);
        out.u128(self.request.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            term: from.u64()?,
            holder: from.member()?,
            request: RequestId(from.u128()?),
        })
    }
}

impl Record for NodeRecord {
    const KIND: u8 = 3;

    fn write(&self, out: &mut Writer) {
        out.u128(self.incarnation.0);
        out.u8(match self.state {
            NodeState::Joining => 0,
            NodeState::Active => 1,
            NodeState::Draining => 2,
            NodeState::Gone => 3,
        });
        out.u64(self.process);
        out.u16(self.zone.0);
        let Addresses {
            client,
            forwarding,
            sentinel,
            peer,
            admin,
        } = &self.addresses;
        for text in [client, forwarding, sentinel, peer, admin] {
            out.text(text);
        }
        out.u128(self.request.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok(Self {
            incarnation: Incarnation(from.u128()?),
            state: match from.u8()? {
                0 => NodeState::Joining,
                1 => NodeState::Active,
                2 => NodeState::Draining,
                3 => NodeState::Gone,
                _ => return Err(Damage::Value),
            },
            process: from.u64()?,
            zone: Zone(from.u16()?),
            addresses: Addresses {
                client: from.text()?,
                forwarding: from.text()?,
                sentinel: from.text()?,
                peer: from.text()?,
                admin: from.text()?,
            },
            request: RequestId(from.u128()?),
        })
    }
}

impl Record for ShardRecord {
    const KIND: u8 = 4;

    fn write(&self, out: &mut Writer) {
        out.u16(self.first_slot);
        out.u16(self.last_slot);
        out.config(&self.config);
        out.u128(self.request.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (first_slot, last_slot) = from.slots()?;
        let config = from.config()?;
        Ok(Self {
            first_slot,
            last_slot,
            config,
            request: RequestId(from.u128()?),
        })
    }
}

impl Record for LossRecord {
    const KIND: u8 = 5;

    fn write(&self, out: &mut Writer) {
        assert!(self.missing.len() <= MAX_COPIES);
        out.u16(self.shard.0);
        out.u32(self.epoch);
        out.member(self.survivor);
        out.u64(self.position.raw());
        out.u8(self.missing.len() as u8);
        for (member, position) in &self.missing {
            out.member(*member);
            out.u8(u8::from(position.is_some()));
            out.u64(position.unwrap_or(Position::ZERO).raw());
        }
        out.u128(self.request.0);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (shard, epoch, survivor) = (ShardId(from.u16()?), from.u32()?, from.member()?);
        let position = Position::from_raw(from.u64()?);
        let count = from.count(MAX_COPIES)?;
        let missing = (0..count).map(|_| {
            let (member, known) = (from.member()?, from.flag()?);
            let position = Position::from_raw(from.u64()?);
            Ok((member, known.then_some(position)))
        });
        let missing = missing.collect::<Result<_, Damage>>()?;
        let request = RequestId(from.u128()?);
        Ok(Self {
            shard,
            epoch,
            survivor,
            position,
            missing,
            request,
        })
    }
}

/// Appends to a record's bytes.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

macro_rules! numbers {
    ($($number:ident),*) => {
        impl Writer {
            $(
                /// Appends a number.
                pub fn $number(&mut self, number: $number) {
                    self.0.extend_from_slice(&number.to_le_bytes());
                }
            )*
        }

        impl Reader<'_> {
            $(
                /// Takes a number.
                pub fn $number(&mut self) -> Result<$number, Damage> {
                    let (number, rest) = self.0.split_first_chunk().ok_or(Damage::Length)?;
                    self.0 = rest;
                    Ok($number::from_le_bytes(*number))
                }
            )*
        }
    };
}
numbers!(u8, u16, u32, u64, u128);

impl Writer {
    /// Appends a member.
    pub fn member(&mut self, member: Member) {
        self.u32(member.node.0);
        self.u128(member.incarnation.0);
    }

    /// Appends a set.
    pub fn set(&mut self, set: &CopySet) {
        self.u8(set.members().len() as u8);
        self.u8(set.write_quorum() as u8);
        set.members().iter().for_each(|member| self.member(*member));
    }

    /// Appends a shard's configuration.
    pub fn config(&mut self, config: &ShardConfig) {
        self.u32(config.epoch());
        self.set(config.copies());
        self.u32(config.primary().node.0);
        match config.phase() {
            Phase::Recovering { from: None } => self.u8(0),
            Phase::Recovering { from: Some(from) } => {
                self.u8(1);
                self.u32(from.epoch);
                self.set(&from.copies);
            }
            Phase::Serving => self.u8(2),
        }
    }

    /// Appends bytes, with their number before them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    /// Appends a text.
    ///
    /// # Panics
    /// If it is too long: who takes one from outside checks it.
    pub fn text(&mut self, text: &str) {
        assert!(text.len() <= limits::MAX_ADDRESS_BYTES);
        self.u8(text.len() as u8);
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Takes from the rest of a record's bytes.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Takes a count that is at most `limit`.
    pub fn count(&mut self, limit: usize) -> Result<usize, Damage> {
        let count = usize::from(self.u8()?);
        if count <= limit {
            Ok(count)
        } else {
            Err(Damage::Value)
        }
    }

    /// Takes a yes or no.
    pub fn flag(&mut self) -> Result<bool, Damage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage::Value),
        }
    }

    /// Takes a member.
    pub fn member(&mut self) -> Result<Member, Damage> {
        Ok(Member {
            node: NodeId(self.u32()?),
            incarnation: Incarnation(self.u128()?),
        })
    }

    /// Takes a set.
    pub fn set(&mut self) -> Result<CopySet, Damage> {
        let (count, write_quorum) = (self.count(MAX_COPIES)?, self.u8()?);
        let members: Vec<Member> = (0..count)
            .map(|_| self.member())
            .collect::<Result<_, _>>()?;
        CopySet::checked(&members, usize::from(write_quorum)).ok_or(Damage::Value)
    }

    /// Takes the first and the last slot of a range.
    pub fn slots(&mut self) -> Result<(u16, u16), Damage> {
        let (first, last) = (self.u16()?, self.u16()?);
        let is_range = first <= last && last < model::slot::SLOTS;
        is_range.then_some((first, last)).ok_or(Damage::Value)
    }

    /// Takes a shard's configuration.
    pub fn config(&mut self) -> Result<ShardConfig, Damage> {
        let (epoch, copies, primary) = (self.u32()?, self.set()?, NodeId(self.u32()?));
        let phase = match self.u8()? {
            0 => Phase::Recovering { from: None },
            1 => Phase::Recovering {
                from: Some(ServedSet {
                    epoch: self.u32()?,
                    copies: self.set()?,
                }),
            },
            2 => Phase::Serving,
            _ => return Err(Damage::Value),
        };
        ShardConfig::checked(epoch, copies, primary, phase).ok_or(Damage::Value)
    }

    /// Takes bytes. They are there already: nothing is allocated for a number that is merely claimed.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Damage> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Damage::Length)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }

    /// Takes a text.
    pub fn text(&mut self) -> Result<String, Damage> {
        let length = self.count(limits::MAX_ADDRESS_BYTES)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Damage::Length)?;
        self.0 = rest;
        let text = core::str::from_utf8(text).map_err(|_| Damage::Value)?;
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests;
