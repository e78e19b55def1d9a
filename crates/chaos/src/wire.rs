//! The Redis protocol (RESP2), as a client that waits for each reply.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bench::request::append_command;

#[cfg(test)]
mod tests;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Status(String),
    /// `-ERR ...`, without the dash.
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3`, or `$-1`.
    Bulk(Option<Vec<u8>>),
    /// `*2`; a null array is an empty one.
    Array(Vec<Reply>),
}

impl Reply {
    /// The number that it is or spells.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bulk(Some(text)) => std::str::from_utf8(text).ok()?.parse().ok(),
            Self::Status(_) | Self::Error(_) | Self::Bulk(None) | Self::Array(_) => None,
        }
    }

    /// Its text, if it has one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Status(text) => Some(text.clone()),
            Self::Bulk(Some(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            Self::Error(_) | Self::Integer(_) | Self::Bulk(None) | Self::Array(_) => None,
        }
    }

    /// Its elements; none, if it is no array.
    #[must_use]
    pub fn elements(&self) -> &[Reply] {
        match self {
            Self::Array(elements) => elements,
            Self::Status(_) | Self::Error(_) | Self::Integer(_) | Self::Bulk(_) => &[],
        }
    }

    /// The value behind this key, of a map that is a flat array.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Reply> {
        let mut pairs = self.elements().chunks_exact(2);
        let pair = pairs.find(|pair| pair[0].text().as_deref() == Some(key))?;
        Some(&pair[1])
    }
}

/// One connection. After an error it is of no use any more.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, and waits for replies as long as `timeout`.
    ///
    /// # Errors
    /// Nobody is there, or not in time.
    pub fn open(addr: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Waits for replies as long as `timeout` from now on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))
    }

    /// Whether the other side still has this connection open and has said nothing that was not asked for, as far as is
    /// known here: what a client asks of a connection that it has kept, before it sends something that must be done once.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let stream = self.stream.get_ref();
        let heard = stream
            .set_nonblocking(true)
            .and_then(|()| stream.peek(&mut [0]));
        let silent = heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        silent && stream.set_nonblocking(false).is_ok()
    }

    /// Sends bytes that are whole commands.
    ///
    /// # Errors
    /// Those of the socket; what was sent may have arrived all the same.
    pub fn send(&mut self, commands: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(commands)
    }

    /// The next reply.
    ///
    /// # Errors
    /// Those of the socket, a timeout, or bytes that are no RESP2.
    pub fn receive(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rest = String::from_utf8_lossy(&line[1..line.len() - 2]).into_owned();
        match line[0] {
            b'+' => Ok(Reply::Status(rest)),
            b'-' => Ok(Reply::Error(rest)),
            b':' => Ok(Reply::Integer(length(&rest)?)),
            b'$' => self.bulk(length(&rest)?),
            b'*' => (0..length(&rest)?.max(0))
                .map(|_| self.receive())
                .collect::<io::Result<_>>()
                .map(Reply::Array),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn bulk(&mut self, length: i64) -> io::Result<Reply> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(Reply::Bulk(None));
        };
        let mut body = vec![0; length + 2];
        self.stream.read_exact(&mut body)?;
        body.truncate(length);
        Ok(Reply::Bulk(Some(body)))
    }

    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// See [`Connection::send`] and [`Connection::receive`].
    pub fn call(&mut self, arguments: &[&str]) -> io::Result<Reply> {
        self.send(&encode(arguments))?;
        self.receive()
    }
}

fn length(text: &str) -> io::Result<i64> {
    text.parse()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// The bytes of one command.
#[must_use]
pub fn encode<T: AsRef<str>>(arguments: &[T]) -> Vec<u8> {
    let arguments: Vec<&[u8]> = arguments
        .iter()
        .map(|text| text.as_ref().as_bytes())
        .collect();
    let mut bytes = Vec::new();
    append_command(&arguments, &mut bytes);
    bytes
}

/// One command on a connection of its own.
///
/// # Errors
/// See [`Connection`].
pub fn ask(addr: SocketAddr, timeout: Duration, arguments: &[&str]) -> io::Result<Reply> {
    Connection::open(addr, timeout)?.call(arguments)
}
