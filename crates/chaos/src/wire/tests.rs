use std::net::TcpListener;

use super::*;

/// What a client makes of these bytes.
fn received(bytes: &'static [u8]) -> io::Result<Reply> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("our own client");
        stream.write_all(bytes).expect("our own client");
    });
    let mut connection = Connection::open(addr, Duration::from_secs(5))?;
    let reply = connection.receive();
    server.join().expect("it does not panic");
    reply
}

#[test]
fn every_kind_of_reply_is_understood() {
    let array =
        received(b"*4\r\n+OK\r\n-ERR no\r\n:-7\r\n*2\r\n$2\r\n12\r\n$-1\r\n").expect("a reply");
    let expected = Reply::Array(vec![
        Reply::Status("OK".into()),
        Reply::Error("ERR no".into()),
        Reply::Integer(-7),
        Reply::Array(vec![Reply::Bulk(Some(b"12".into())), Reply::Bulk(None)]),
    ]);
    assert_eq!(array, expected);
    assert_eq!(array.elements()[3].elements()[0].number(), Some(12));
}

#[test]
fn half_a_reply_is_an_error() {
    assert!(received(b"$5\r\nabc").is_err());
    assert!(received(b"*2\r\n+OK\r\n").is_err());
    assert!(received(b"+O").is_err());
    assert!(received(b"?\r\n").is_err());
}

#[test]
fn a_map_is_asked_by_its_keys() {
    let map = received(b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n").expect("a reply");
    assert_eq!(map.field("b").and_then(Reply::number), Some(2));
    assert_eq!(map.field("c"), None);
}

#[test]
fn a_connection_that_was_closed_is_not_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    let mut connection = Connection::open(addr, Duration::from_secs(5)).expect("it listens");
    let (mut stream, _) = listener.accept().expect("our own client");
    assert!(connection.is_usable());
    stream.write_all(b"+OK\r\n").expect("our own client");
    assert_eq!(
        connection.receive().expect("a reply"),
        Reply::Status("OK".into())
    );
    assert!(connection.is_usable());
    drop(stream);
    assert!(
        matches!(connection.receive(), Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    );
    assert!(!connection.is_usable());
}
