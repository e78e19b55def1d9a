//! Connections whose other end is gone without a word: its machine lost power, or something between the two forgot them.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Questions in a row that are not answered before the connection ends.
const QUESTIONS: u32 = 3;

/// Has the kernel ask the other end of a connection that was silent for so long whether it is there, and end the connection if there is no
/// answer for as long again: as Redis does. Zero: it never asks.
pub fn keep_alive(socket: &impl AsFd, silent: Duration) {
    if silent.is_zero() {
        return;
    }
    let interval = (silent / QUESTIONS).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new()
        .with_time(silent)
        .with_interval(interval)
        .with_retries(QUESTIONS);
    // A connection that breaks just now is noticed when it is read.
    let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests;
