//! A client of a few lines, that does only what a test says.

use std::io::{self, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::running::PATIENCE;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+`
    Status(String),
    /// `-`
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`, or `None` for the null.
    Bulk(Option<Vec<u8>>),
    /// `*`, `%`, `~` and `>`, flat.
    Array(Vec<Reply>),
}

impl Reply {
    /// `OK`.
    pub fn is_ok(&self) -> bool {
        *self == Self::Status("OK".into())
    }

    /// The text of an error reply.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            Self::Status(_) | Self::Integer(_) | Self::Bulk(_) | Self::Array(_) => None,
        }
    }
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: &str) -> Self {
        Self::try_connect(address).expect("the server accepts")
    }

    /// Connects, if the server is there.
    pub fn try_connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// The same connection, for whoever sends while another reads.
    pub fn another(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// The port that it reached, and its own.
    pub fn ports(&self) -> (u16, u16) {
        let (reached, own) = (self.stream.peer_addr(), self.stream.local_addr());
        (reached.unwrap().port(), own.unwrap().port())
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a command and reads its reply.
    pub fn call(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        self.send(&encode(words))?;
        self.reply()
    }

    /// Sends a command of plain words, and reads its reply, which must come.
    pub fn run(&mut self, words: &str) -> Reply {
        let words: Vec<_> = words.split(' ').map(str::as_bytes).collect();
        self.call(&words).expect("a reply")
    }

    /// Reads a reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at(1);
        let number = || {
            rest.parse::<i64>()
                .map_err(|_| io::Error::other(format!("not a number: {line}")))
        };
        match kind {
            "+" => Ok(Reply::Status(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => number().map(Reply::Integer),
            "$" => self.bulk(number()?),
            "*" | "~" | ">" => self.array(number()?),
            "%" => self.array(number()? * 2),
            "_" => Ok(Reply::Bulk(None)),
            _ => Err(io::Error::other(format!("not a reply: {line}"))),
        }
    }

    fn bulk(&mut self, len: i64) -> io::Result<Reply> {
        if len < 0 {
            return Ok(Reply::Bulk(None));
        }
        let mut bytes = vec![0; len as usize + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(len as usize);
        Ok(Reply::Bulk(Some(bytes)))
    }

    fn array(&mut self, len: i64) -> io::Result<Reply> {
        let items: io::Result<Vec<_>> = (0..len).map(|_| self.reply()).collect();
        items.map(Reply::Array)
    }

    /// Reads a line, as it stands.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(io::Error::other)
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the connection is open");
    }

    /// The same, of a connection that may have ended.
    pub fn finish_quietly(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A command as clients send it.
pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
