//! One connection under load.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use mio::net::TcpStream;

use crate::latency::Kind;
use crate::reply::ReplyReader;

/// Where `SESSION.OPEN` answers the fence, the one number inside an array that traffic wants.
const FENCE_ELEMENT: u64 = 5;

/// A request that has no reply yet.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// When it was due: sent, in a closed loop.
    pub due_ns: u64,
    /// What it was.
    pub kind: Kind,
}

/// A connection: its stream, what waits for replies, and what the socket did not take yet.
#[derive(Debug)]
pub struct Connection {
    /// The non-blocking stream.
    pub stream: TcpStream,
    /// The replies' parser.
    pub reader: ReplyReader,
    /// Requests without a reply, oldest first.
    pub waiting: VecDeque<Waiting>,
    /// Whether it still carries requests.
    pub open: bool,
    unsent: Vec<u8>,
}

impl Connection {
    /// A connection that will carry `depth` requests at once.
    pub fn new(stream: std::net::TcpStream, depth: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            reader: ReplyReader::new(FENCE_ELEMENT),
            waiting: VecDeque::with_capacity(depth),
            open: true,
            unsent: Vec::new(),
        })
    }

    /// Sends `bytes`, or keeps what the socket does not take for [`Connection::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.flush();
        }
        let sent = write_some(&mut self.stream, bytes)?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends what was kept, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = write_some(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        Ok(())
    }
}

/// Writes until everything is written or the socket is full; answers the bytes written.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
