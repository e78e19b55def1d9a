//! Listening and accepting.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 4096;
/// How long to leave the queue alone when there are no file descriptors, in microseconds. Without the pause
/// the loop would do nothing but fail to accept.
const PAUSE_US: u64 = 100_000;

/// One address: taken when this is made, listened on when the server is ready.
pub struct Listener {
    bound: Option<Socket>,
    socket: Option<TcpListener>,
    /// Where it really listens: the port is known even if the system chose it.
    pub address: SocketAddr,
    /// To be tried at this time of the monotonic clock, in microseconds, and not before.
    retry_at_us: Option<u64>,
}

/// What came of trying to accept.
pub enum Accepted {
    /// A connection, and the address of its other end.
    Connection(TcpStream, SocketAddr),
    /// Nobody is waiting, or the queue is left alone for a while.
    Nobody,
    /// The system refuses; the error is worth a log line.
    Refused(io::Error),
}

impl Listener {
    /// Takes an address, so that a conflict shows before the long work of a start. Nobody can connect yet.
    ///
    /// # Errors
    /// What the system says, e.g. that the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` beside `0.0.0.0` shall not be a conflict.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self {
            bound: Some(socket),
            socket: None,
            address,
            retry_at_us: None,
        })
    }

    /// Begins to listen; `registry` reports waiting connections under `token`.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Some(bound) = self.bound.take() else {
            return Ok(());
        };
        bound.listen(BACKLOG)?;
        let mut socket = TcpListener::from_std(bound.into());
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Takes the next waiting connection.
    pub fn accept(&mut self, now_us: u64) -> Accepted {
        let Some(socket) = &self.socket else {
            return Accepted::Nobody;
        };
        if self.retry_at_us.is_some_and(|at| now_us < at) {
            return Accepted::Nobody;
        }
        self.retry_at_us = None;
        loop {
            match socket.accept() {
                Ok((stream, address)) => return Accepted::Connection(stream, address),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Accepted::Nobody,
                // The client gave up while it waited.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.retry_at_us = Some(now_us + PAUSE_US);
                    return Accepted::Refused(error);
                }
            }
        }
    }

    /// When to try again although no event will say so, in microseconds of the monotonic clock.
    pub fn retry_at_us(&self) -> Option<u64> {
        self.retry_at_us
    }

    /// More may be waiting, and no event will say so.
    pub fn try_again(&mut self) {
        self.retry_at_us = Some(0);
    }
}
