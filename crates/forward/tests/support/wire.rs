//! A client that shows replies as they are.

use std::time::Duration;

use resp::ReplyScanner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Connection {
    socket: TcpStream,
    bytes: Vec<u8>,
}

/// The command with these words.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Connection {
    /// `None` if nobody listens.
    pub async fn open(port: u16) -> Option<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        socket.set_nodelay(true).expect("an option of TCP");
        Some(Self {
            socket,
            bytes: Vec::new(),
        })
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("it takes bytes");
    }

    /// The next reply, byte for byte; `None` if the connection has ended.
    pub async fn raw(&mut self) -> Option<Vec<u8>> {
        let (mut scanner, mut at) = (ReplyScanner::default(), 0);
        loop {
            let (used, ended) = scanner.advance(&self.bytes[at..]).expect("a reply");
            at += used;
            if ended {
                return Some(self.bytes.drain(..at).collect());
            }
            let read = timeout(PATIENCE, self.socket.read_buf(&mut self.bytes));
            match read.await.expect("a reply in time") {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// The next reply with `|` for each line end.
    pub async fn reply(&mut self) -> String {
        let raw = self.raw().await.expect("the connection lasts");
        String::from_utf8_lossy(&raw).replace("\r\n", "|")
    }

    /// Sends a command of words without spaces, and returns the reply.
    pub async fn ask(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(&command(&words)).await;
        self.reply().await
    }

    /// The same, and it must be OK.
    pub async fn ok(&mut self, line: &str) {
        assert_eq!(self.ask(line).await, "+OK|", "{line}");
    }

    /// Asks until the reply is as it should be.
    pub async fn until(&mut self, line: &str, good: impl Fn(&str) -> bool) {
        let asking = async {
            while !good(&self.ask(line).await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let done = timeout(PATIENCE, asking).await;
        assert!(done.is_ok(), "{line} is not answered as it should be");
    }
}
