//! One client's connection to one node.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use model::limits::MAX_OUTPUT_BUFFER_BYTES;
use model::topology::Address;
use resp::ReplyScanner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::metrics::{Kept, Metrics, count};
use crate::outlet::{LITTLE_BYTES, Outlet};
use crate::patience::Patience;
use crate::reply;
use crate::{keep_alive, spare_congestion_control};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_millis(1_000);
/// Room for what is read at a time.
const READ_BYTES: usize = 16 << 10;
/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_BYTES: usize = 64 << 10;

/// See the module.
pub struct Upstream {
    /// Whose.
    pub address: Arc<Address>,
    /// Replies come from here.
    pub reader: Reader,
    /// Commands go here.
    pub writer: Writer,
}

/// The half that replies come from.
pub struct Reader {
    socket: OwnedReadHalf,
    bytes: Vec<u8>,
    /// How far `bytes` is done with.
    at: usize,
    scanner: ReplyScanner,
    /// Replies to the greeting that have not come yet.
    greetings: usize,
}

/// The half that commands go to.
pub struct Writer {
    socket: OwnedWriteHalf,
    /// What is to be said before anything else.
    greeting: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum Lost {
    /// The connection broke, or nobody believes any more that the node lives.
    Broken,
    /// The node did not take the greeting, so it has run no command: what it said.
    Refused(String),
    /// The client is gone, or cannot be told the rest of what it was told the beginning of.
    Gone,
}

/// What a reply becomes.
pub enum Told {
    /// It is here.
    Kept(Vec<u8>),
    /// It went to the client as it came.
    Relayed,
}

/// Memory for replies that are not the client's yet: they are merged, or wait for their turn.
pub struct Room<'a> {
    /// What they take.
    pub kept: &'a mut Kept,
    /// Bytes that all clients may keep together.
    pub most: usize,
    /// Where it is counted that there was no room.
    pub metrics: &'a Metrics,
}

impl Room<'_> {
    /// For so much more. A client that asks for more at once than there is memory for is cut off, as any whose output is too long.
    fn take(&mut self, bytes: usize) -> Result<(), Lost> {
        self.kept.add(bytes);
        let own = self.kept.bytes();
        let scarce = own > LITTLE_BYTES && self.kept.by_all() > self.most;
        if own > MAX_OUTPUT_BUFFER_BYTES || scarce {
            count(&self.metrics.cut_off);
            return Err(Lost::Gone);
        }
        Ok(())
    }
}

impl Upstream {
    /// Connects. The greeting goes with the first commands.
    pub async fn open(
        address: &Arc<Address>,
        greeting: (Vec<u8>, usize),
        keepalive: Duration,
    ) -> Option<Self> {
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let socket = timeout(CONNECT, connecting).await.ok()?.ok()?;
        // A failure costs some microseconds a command, nothing else.
        let _ = socket.set_nodelay(true);
        spare_congestion_control(&socket);
        keep_alive(&socket, keepalive);
        let (reader, writer) = socket.into_split();
        let (greeting, greetings) = greeting;
        Some(Self {
            address: Arc::clone(address),
            reader: Reader {
                socket: reader,
                bytes: Vec::new(),
                at: 0,
                scanner: ReplyScanner::default(),
                greetings,
            },
            writer: Writer {
                socket: writer,
                greeting,
            },
        })
    }

    /// Says one more thing before the next command.
    pub fn greet(&mut self, bytes: &[u8]) {
        self.writer.greeting.extend_from_slice(bytes);
        self.reader.greetings += 1;
    }

    /// Whether the node has not ended the connection while nothing was asked.
    pub fn is_alive(&mut self) -> bool {
        let reader = &mut self.reader;
        let ended = match reader.socket.try_read_buf(&mut reader.bytes) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        };
        // Only pushes may come unasked.
        let unasked = reader.bytes.get(reader.at);
        !ended && unasked.is_none_or(|mark| *mark == b'>')
    }
}

impl Writer {
    /// Sends the greeting and these bytes. `written` is kept up to date: bytes of `pieces` that the system has taken.
    pub async fn write(
        &mut self,
        pieces: &mut [IoSlice<'_>],
        written: &mut usize,
    ) -> std::io::Result<()> {
        if !self.greeting.is_empty() {
            self.socket.write_all(&self.greeting).await?;
            self.greeting = Vec::new();
        }
        let mut left = pieces;
        while !left.is_empty() {
            let taken = self.socket.write_vectored(left).await?;
            if taken == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            *written += taken;
            IoSlice::advance_slices(&mut left, taken);
        }
        Ok(())
    }
}

impl Reader {
    /// The next reply. If `outlet` is given and it is no error, it goes there as it comes.
    pub async fn reply(
        &mut self,
        patience: &mut Patience<'_>,
        room: &mut Room<'_>,
        outlet: Option<&Outlet>,
    ) -> Result<Told, Lost> {
        while self.greetings > 0 {
            let Told::Kept(raw) = self.one(patience, room, None).await? else {
                return Err(Lost::Broken);
            };
            self.greetings -= 1;
            if let Some(text) = reply::error(&raw) {
                return Err(Lost::Refused(text.to_owned()));
            }
        }
        self.one(patience, room, outlet).await
    }

    /// One reply; pushes before it are left out.
    async fn one(
        &mut self,
        patience: &mut Patience<'_>,
        room: &mut Room<'_>,
        outlet: Option<&Outlet>,
    ) -> Result<Told, Lost> {
        loop {
            let mark = self.mark(patience).await?;
            let outlet = outlet.filter(|_| mark != b'-' && mark != b'>');
            let told = self.pass_on(patience, room, outlet).await?;
            if mark != b'>' {
                return Ok(told);
            }
        }
    }

    async fn mark(&mut self, patience: &mut Patience<'_>) -> Result<u8, Lost> {
        loop {
            if let Some(mark) = self.bytes.get(self.at) {
                return Ok(*mark);
            }
            self.fill(patience).await?;
        }
    }

    async fn pass_on(
        &mut self,
        patience: &mut Patience<'_>,
        room: &mut Room<'_>,
        outlet: Option<&Outlet>,
    ) -> Result<Told, Lost> {
        let (mut kept, mut relayed) = (Vec::new(), false);
        loop {
            let rest = &self.bytes[self.at..];
            let (used, ended) = self.scanner.advance(rest).map_err(|_| Lost::Broken)?;
            match outlet {
                Some(outlet) => {
                    outlet.push(&rest[..used]).await.map_err(|_| Lost::Gone)?;
                    relayed |= used > 0;
                }
                None => {
                    room.take(used)?;
                    kept.extend_from_slice(&rest[..used]);
                }
            }
            self.at += used;
            if ended {
                return Ok(outlet.map_or(Told::Kept(kept), |_| Told::Relayed));
            }
            self.fill(patience)
                .await
                .map_err(|lost| if relayed { Lost::Gone } else { lost })?;
        }
    }

    /// Waits for more bytes.
    async fn fill(&mut self, patience: &mut Patience<'_>) -> Result<(), Lost> {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
            self.bytes.shrink_to(KEPT_BYTES);
        }
        self.bytes.reserve(READ_BYTES);
        loop {
            let reading = self.socket.read_buf(&mut self.bytes);
            match timeout(patience.tick(), reading).await {
                Ok(Ok(read)) if read > 0 => return Ok(()),
                Ok(_) => return Err(Lost::Broken),
                Err(_) if patience.is_left().await => {}
                Err(_) => return Err(Lost::Broken),
            }
        }
    }
}
