//! Ports for servers that must be told a number before they start: `redis-server`, etcd, a node whose address others know.
//!
//! A port that was free a moment ago may be anybody's by the time the server binds it: the system gives it to the next connection
//! that any process opens. So a port is *reserved*: a connection to it is opened and closed, the listener's side first. That side
//! is then in TIME-WAIT, for 60 s on Linux: the system gives the port to nobody who asks for any, and whoever asks for this one
//! with `SO_REUSEADDR`, as servers do, gets it.

use std::{
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

/// A port of 127.0.0.1, reserved.
///
/// # Panics
/// If the system has none left.
#[must_use]
pub fn reserve() -> u16 {
    reserve_at(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .expect("the system has a port left")
        .port()
}

/// A port of this address of the machine, reserved.
///
/// # Errors
/// Those of the system: the address is not the machine's, or no port is left.
pub fn reserve_at(address: IpAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((address, 0))?;
    let reserved = listener.local_addr()?;
    let mut client = TcpStream::connect(reserved)?;
    drop(listener.accept()?);
    // That the listener's side has ended is seen before ours does: otherwise both might close at once, or the wrong one first.
    // Nobody is left to keep us waiting, should a stranger have come before us.
    drop(listener);
    client.read_to_end(&mut Vec::new())?;
    Ok(reserved)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use super::*;

    /// Each of them would have been given away again among so many.
    #[test]
    fn a_reserved_port_is_given_to_nobody_who_asks_for_any() {
        let reserved: BTreeSet<u16> = (0..300).map(|_| reserve()).collect();
        assert_eq!(reserved.len(), 300, "none twice");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let mut given = BTreeSet::new();
        for _ in 0..20 {
            let bound: Vec<_> = (0..100)
                .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
                .collect();
            let connected: Vec<_> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
            for _ in &connected {
                listener.accept().unwrap();
            }
            given.extend(bound.iter().map(|b| b.local_addr().unwrap().port()));
            given.extend(connected.iter().map(|c| c.local_addr().unwrap().port()));
        }
        assert!(given.is_disjoint(&reserved));
    }

    #[test]
    fn whoever_asks_for_a_reserved_port_gets_it() {
        let port = reserve();
        // The standard library sets SO_REUSEADDR, as servers do.
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn an_address_that_is_not_ours_is_an_error() {
        reserve_at("192.0.2.1".parse().unwrap()).unwrap_err();
    }
}
