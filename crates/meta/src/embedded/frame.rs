//! The bytes between an embedded store and its peers. This file is the format.
//!
//! ```text
//!   length u32 │ record of that length, as in `cluster::format` (version, kind, body, checksum)
//!
//!  32 hello       secret bytes                                        first, on every connection
//!  33 transact    compares u16, (key, has u8, value)..., writes u16, (key, has u8, value)...
//!  34 list
//!  35 watch       after u64
//!  48 transacted  outcome u8 (0 committed, 1 conflict, 2 unknown), revision u64
//!  49 listed      revision u64, entries u32, (key, value)...
//!  50 changed     revision u64, writes u16, (key, has u8, value)...
//!  51 lost
//! ```
//!
//! Keys and values are bytes with a u32 length before them. One question to a connection; a watch is answered for as long as it lasts.

use std::io;

use cluster::{
    format::{Damage, Reader, Record, Writer},
    metadata::{Change, Compare, Listing, Outcome, Revision, Transaction, Write},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest frame of a peer that has not shown the secret yet.
pub(super) const MAX_HELLO_BYTES: usize = 1 << 10;
/// Longest question: a transaction of as many records as are allowed.
pub(super) const MAX_QUESTION_BYTES: usize = 1 << 20;
/// Longest answer: the list of a full map.
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Hello(Vec<u8>),
    Transact(Transaction),
    List,
    Watch(Revision),
    Transacted(Outcome),
    Listed(Listing),
    Changed(Change),
    Lost,
}

/// One kind of frame as a record: the kind is known before the body is read.
struct Body<const KIND: u8>(Frame);

impl Frame {
    pub(super) fn encode(self) -> Vec<u8> {
        match self {
            Self::Hello(_) => Body::<32>(self).encode(),
            Self::Transact(_) => Body::<33>(self).encode(),
            Self::List => Body::<34>(self).encode(),
            Self::Watch(_) => Body::<35>(self).encode(),
            Self::Transacted(_) => Body::<48>(self).encode(),
            Self::Listed(_) => Body::<49>(self).encode(),
            Self::Changed(_) => Body::<50>(self).encode(),
            Self::Lost => Body::<51>(self).encode(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        match bytes.get(1).ok_or(Damage::Length)? {
            32 => Body::<32>::decode(bytes).map(|body| body.0),
            33 => Body::<33>::decode(bytes).map(|body| body.0),
            34 => Body::<34>::decode(bytes).map(|body| body.0),
            35 => Body::<35>::decode(bytes).map(|body| body.0),
            48 => Body::<48>::decode(bytes).map(|body| body.0),
            49 => Body::<49>::decode(bytes).map(|body| body.0),
            50 => Body::<50>::decode(bytes).map(|body| body.0),
            51 => Body::<51>::decode(bytes).map(|body| body.0),
            _ => Err(Damage::Kind),
        }
    }

    /// Sends it.
    pub(super) async fn send(self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let record = self.encode();
        let mut bytes = (record.len() as u32).to_le_bytes().to_vec();
        bytes.extend(record);
        to.write_all(&bytes).await?;
        to.flush().await
    }

    /// Receives one that is at most so long.
    pub(super) async fn receive(
        from: &mut (impl AsyncRead + Unpin),
        limit: usize,
    ) -> io::Result<Self> {
        let length = from.read_u32_le().await? as usize;
        if length > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame is too long",
            ));
        }
        // Grows as bytes arrive, not as they are claimed.
        let mut bytes = Vec::new();
        from.take(length as u64).read_to_end(&mut bytes).await?;
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::decode(&bytes).map_err(|damage| {
            io::Error::new(io::ErrorKind::InvalidData, format!("a frame: {damage:?}"))
        })
    }
}

impl<const KIND: u8> Record for Body<KIND> {
    const KIND: u8 = KIND;

    fn write(&self, out: &mut Writer) {
        match &self.0 {
            Frame::Hello(secret) => out.bytes(secret),
            Frame::Transact(transaction) => write_transaction(transaction, out),
            Frame::List | Frame::Lost => {}
            Frame::Watch(after) => out.u64(after.0),
            Frame::Transacted(outcome) => write_outcome(*outcome, out),
            Frame::Listed(listing) => write_listing(listing, out),
            Frame::Changed(change) => {
                out.u64(change.revision.0);
                write_writes(&change.writes, out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let frame = match KIND {
            32 => Frame::Hello(from.bytes()?),
            33 => Frame::Transact(read_transaction(from)?),
            34 => Frame::List,
            35 => Frame::Watch(Revision(from.u64()?)),
            48 => Frame::Transacted(read_outcome(from)?),
            49 => Frame::Listed(read_listing(from)?),
            50 => Frame::Changed(Change {
                revision: Revision(from.u64()?),
                writes: read_writes(from)?,
            }),
            51 => Frame::Lost,
            _ => return Err(Damage::Kind),
        };
        Ok(Self(frame))
    }
}

fn write_option(value: Option<&Vec<u8>>, out: &mut Writer) {
    out.u8(u8::from(value.is_some()));
    out.bytes(value.map_or(&[], Vec::as_slice));
}

fn read_option(from: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Damage> {
    let (has, value) = (from.flag()?, from.bytes()?);
    Ok(has.then_some(value))
}

fn write_transaction(transaction: &Transaction, out: &mut Writer) {
    out.u16(transaction.compares.len() as u16);
    for Compare { key, expected } in &transaction.compares {
        out.bytes(key);
        write_option(expected.as_ref(), out);
    }
    write_writes(&transaction.writes, out);
}

fn read_transaction(from: &mut Reader<'_>) -> Result<Transaction, Damage> {
    let compares = from.u16()?;
    let compares = (0..compares).map(|_| {
        Ok(Compare {
            key: from.bytes()?,
            expected: read_option(from)?,
        })
    });
    let compares = compares.collect::<Result<_, Damage>>()?;
    Ok(Transaction {
        compares,
        writes: read_writes(from)?,
    })
}

fn write_writes(writes: &[Write], out: &mut Writer) {
    out.u16(writes.len() as u16);
    for Write { key, value } in writes {
        out.bytes(key);
        write_option(value.as_ref(), out);
    }
}

fn read_writes(from: &mut Reader<'_>) -> Result<Vec<Write>, Damage> {
    let writes = from.u16()?;
    let writes = (0..writes).map(|_| {
        Ok(Write {
            key: from.bytes()?,
            value: read_option(from)?,
        })
    });
    writes.collect()
}

fn write_outcome(outcome: Outcome, out: &mut Writer) {
    let (code, revision) = match outcome {
        Outcome::Committed(revision) => (0, revision.0),
        Outcome::Conflict => (1, 0),
        Outcome::Unknown => (2, 0),
    };
    out.u8(code);
    out.u64(revision);
}

fn read_outcome(from: &mut Reader<'_>) -> Result<Outcome, Damage> {
    let (code, revision) = (from.u8()?, Revision(from.u64()?));
    match code {
        0 => Ok(Outcome::Committed(revision)),
        1 => Ok(Outcome::Conflict),
        2 => Ok(Outcome::Unknown),
        _ => Err(Damage::Value),
    }
}

fn write_listing(listing: &Listing, out: &mut Writer) {
    out.u64(listing.revision.0);
    out.u32(listing.entries.len() as u32);
    for (key, value) in &listing.entries {
        out.bytes(key);
        out.bytes(value);
    }
}

fn read_listing(from: &mut Reader<'_>) -> Result<Listing, Damage> {
    let (revision, count) = (Revision(from.u64()?), from.u32()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push((from.bytes()?, from.bytes()?));
    }
    Ok(Listing { revision, entries })
}

#[cfg(test)]
mod tests {
    use cluster::metadata::{Change, Listing, Outcome, Revision, Transaction};

    use super::Frame;

    fn all() -> Vec<Frame> {
        let transaction = Transaction::default()
            .when(b"a".to_vec(), None)
            .when(b"b".to_vec(), Some(vec![]))
            .put(b"a".to_vec(), b"1".to_vec())
            .remove(b"b".to_vec());
        let writes = transaction.writes.clone();
        vec![
            Frame::Hello(b"secret".to_vec()),
            Frame::Transact(transaction),
            Frame::List,
            Frame::Watch(Revision(7)),
            Frame::Transacted(Outcome::Committed(Revision(8))),
            Frame::Transacted(Outcome::Conflict),
            Frame::Listed(Listing {
                revision: Revision(8),
                entries: vec![(b"a".to_vec(), b"1".to_vec())],
            }),
            Frame::Changed(Change {
                revision: Revision(8),
                writes,
            }),
            Frame::Lost,
        ]
    }

    #[test]
    fn frames_survive_their_bytes() {
        for frame in all() {
            assert_eq!(Frame::decode(&frame.clone().encode()), Ok(frame));
        }
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        for frame in all() {
            let bytes = frame.encode();
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x04;
                assert!(Frame::decode(&damaged).is_err());
                assert!(Frame::decode(&bytes[..at]).is_err());
            }
        }
    }
}
