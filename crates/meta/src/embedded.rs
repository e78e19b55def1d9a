//! The embedded store: one `redb` file, owned by one process, served to its peers over `tenure://HOST:PORT`.
//!
//! ```text
//!   peer ── frame ──► connection ──► keeper (one thread): table in memory, file on disk
//!        ◄─ frame ──┘            ◄──┘ answers only what is on disk
//! ```
//!
//! For development and single machines: one copy, no consensus. What was answered survives the death of the process and the loss of
//! power, as far as the disk keeps what it has promised to.

mod client;
mod frame;
mod keeper;
mod server;

use std::{io, time::Duration};

use tokio::net::TcpStream;

pub use client::Client;
pub use keeper::Keeper;
pub use server::{Accepting, Server, Settings};

/// How often the kernel asks after a silent watch's other end.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// Has the end of a watch noticed at both ends, also where the other one is gone without a word.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
