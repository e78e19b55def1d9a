//! The bytes on a link. This file is the format.
//!
//! ```text
//!   0 length u32    of the kind and the body, at most [`MAX_BYTES`]; before the hello at most [`MAX_HELLO_BYTES`]
//!   4 CRC32C u32    of the kind and the body
//!   8 kind u8       1 hello, 2 agent, 3 replica, 4 farewell
//!   9 body          hello: a record, as in `cluster::format`: kind 64, then
//!                     protocol u16 (1), cluster text, secret bytes, from member, to node u32, run u64
//!                   agent: `cluster::message`; replica: `replica::wire`; farewell: nothing
//! ```
//!
//! All numbers are little-endian. A frame is looked at when it is there as a whole; what claims to be longer than allowed is refused
//! before it is read.

use cluster::format::{Damage, Reader, Record, Writer};
use model::{Member, NodeId};

/// Bytes before the kind.
const HEADER_BYTES: usize = 8;
/// Bytes of a frame besides its body.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + 1;
/// Longest kind and body.
pub const MAX_BYTES: usize = 1 + replica::wire::MAX_MESSAGE_BYTES;
/// Longest kind and body of whoever has not shown yet that he belongs here.
pub const MAX_HELLO_BYTES: usize = 1 << 10;
/// What both ends have to speak.
const PROTOCOL: u16 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who the sender is: the first frame in each direction.
    Hello,
    /// From agent to agent.
    Agent,
    /// From copy to copy.
    Replica,
    /// The link is not needed any more: its end is no sign of anything.
    Farewell,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Agent => 2,
            Self::Replica => 3,
            Self::Farewell => 4,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Hello),
            2 => Some(Self::Agent),
            3 => Some(Self::Replica),
            4 => Some(Self::Farewell),
            _ => None,
        }
    }
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It claims to be empty, or longer than allowed.
    Length,
    /// The checksum is another.
    Checksum,
    /// No such kind, or one that does not belong here.
    Kind,
}

/// Appends a frame.
pub fn write(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    let length = 1 + body.len();
    assert!(length <= MAX_BYTES, "no message is longer");
    let kind = [kind.code()];
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&crc::crc32c([&kind[..], body]).to_le_bytes());
    out.extend_from_slice(&kind);
    out.extend_from_slice(body);
}

/// A whole frame, its bytes lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub body: &'a [u8],
    /// How many bytes it takes.
    pub length: usize,
}

/// The first frame of these bytes; `None` if it is not there as a whole.
///
/// # Errors
/// It is none, and cannot become one.
pub fn read(bytes: &[u8], limit: usize) -> Result<Option<Frame<'_>>, Broken> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Ok(None);
    };
    let number = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (length, checksum) = (number(0) as usize, number(4));
    if length == 0 || length > limit {
        return Err(Broken::Length);
    }
    let Some(frame) = rest.get(..length) else {
        return Ok(None);
    };
    if crc::crc32c([frame]) != checksum {
        return Err(Broken::Checksum);
    }
    let kind = Kind::of(frame[0]).ok_or(Broken::Kind)?;
    Ok(Some(Frame {
        kind,
        body: &frame[1..],
        length: HEADER_BYTES + length,
    }))
}

/// Who opens or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster's name.
    pub cluster: String,
    /// What all of its nodes know.
    pub secret: Vec<u8>,
    /// Who speaks.
    pub from: Member,
    /// Whom it takes the other end for.
    pub to: NodeId,
    /// A number of this run of the sender's process: whoever shows another has started again, and older connections of his are dead.
    pub run: u64,
}

impl Record for Hello {
    const KIND: u8 = 64;

    fn write(&self, out: &mut Writer) {
        out.u16(PROTOCOL);
        out.text(&self.cluster);
        out.bytes(&self.secret);
        out.member(self.from);
        out.u32(self.to.0);
        out.u64(self.run);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        if from.u16()? != PROTOCOL {
            return Err(Damage::Version);
        }
        Ok(Self {
            cluster: from.text()?,
            secret: from.bytes()?,
            from: from.member()?,
            to: NodeId(from.u32()?),
            run: from.u64()?,
        })
    }
}

#[cfg(test)]
mod tests;
