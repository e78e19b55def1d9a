//! The sockets of the open connections, by the node's numbers for them.

use std::io::{self, Read, Write};

use command::client::place;
use mio::net::TcpStream;
use model::ConnectionId;

/// Most bytes that are thrown away when a connection is closed, see [`Socket::close`].
const DISCARDED_BYTES: usize = 1 << 20;

/// One connection's socket, and what is known of its readiness: the poller tells of changes only.
pub struct Socket {
    connection: ConnectionId,
    stream: TcpStream,
    /// The kernel's buffer is full: the poller will tell when it is not.
    pub blocked: bool,
    /// The other end has said that it sends no more, so reading goes on until that point is reached.
    pub ending: bool,
    /// When it was last active: see [`crate::spin::Spin::window`].
    pub window: u64,
}

impl Socket {
    /// Reads into `scratch`. `Ok(None)`: nothing is there.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(scratch) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what it can of `bytes`. Less than all: the socket is blocked.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Ok(count) => {
                    self.blocked = count < bytes.len();
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes. Closing a socket with unread bytes makes the kernel reset the connection, and a reset can
    /// overtake the error reply that says why: so what has arrived is taken out first.
    pub fn close(mut self, scratch: &mut [u8]) {
        let mut discarded = 0;
        while discarded < DISCARDED_BYTES {
            match self.read(scratch) {
                Ok(Some(count)) if count > 0 => discarded += count,
                Ok(Some(_) | None) | Err(_) => return,
            }
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Sockets {
    places: Vec<Option<Socket>>,
}

impl Sockets {
    /// Keeps the socket of a connection. A socket that still stands in its place is closed.
    pub fn insert(&mut self, connection: ConnectionId, stream: TcpStream) {
        let place = place(connection);
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        self.places[place] = Some(Socket {
            connection,
            stream,
            blocked: false,
            ending: false,
            window: 0,
        });
    }

    /// The socket of this connection, if it is still there.
    #[inline]
    pub fn get(&mut self, connection: ConnectionId) -> Option<&mut Socket> {
        self.places
            .get_mut(place(connection))?
            .as_mut()
            .filter(|socket| socket.connection == connection)
    }

    /// Takes the socket of this connection out.
    pub fn remove(&mut self, connection: ConnectionId) -> Option<Socket> {
        self.get(connection)?;
        self.places[place(connection)].take()
    }
}
