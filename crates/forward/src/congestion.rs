//! Connections between two programs of one machine.

use std::os::fd::AsFd;

use socket2::SockRef;

/// Takes the simplest congestion control for a connection whose other end is on this machine: there is no network between the two to be careful of,
/// and what the system chooses for networks may cost much. BBR measures each packet and paces it. Whoever lacks the right, or the kernel the
/// choice, keeps what there is.
pub fn spare_congestion_control(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
    if peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        // A connection that breaks just now is noticed when it is read.
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

#[cfg(test)]
mod tests;
