use std::net::{TcpListener, TcpStream};

use socket2::SockRef;

use super::spare_congestion_control;

#[test]
fn within_a_machine_nothing_is_paced() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        // A machine may have no IPv6.
        let Ok(listener) = TcpListener::bind(address) else {
            assert_ne!(address, "127.0.0.1:0");
            continue;
        };
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        spare_congestion_control(&socket);
        let chosen = SockRef::from(&socket).tcp_congestion().unwrap();
        assert!(
            chosen.starts_with(b"reno\0") || chosen == b"reno",
            "{chosen:?}"
        );
    }
}
