use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::keep_alive;

fn socket() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

#[test]
fn who_is_silent_is_asked_three_times() {
    for (silent_s, interval_s) in [(300, 100), (4, 1), (1, 1), (32_767, 10_922)] {
        let socket = socket();
        keep_alive(&socket, Duration::from_secs(silent_s));
        let set = SockRef::from(&socket);
        assert!(set.keepalive().unwrap(), "{silent_s}");
        let idle = set.tcp_keepalive_time().unwrap();
        assert_eq!(idle, Duration::from_secs(silent_s));
        let interval = set.tcp_keepalive_interval().unwrap();
        assert_eq!(interval, Duration::from_secs(interval_s));
        assert_eq!(set.tcp_keepalive_retries().unwrap(), 3);
    }
}

#[test]
fn nobody_is_asked_where_that_is_off() {
    let socket = socket();
    keep_alive(&socket, Duration::ZERO);
    assert!(!SockRef::from(&socket).keepalive().unwrap());
}
