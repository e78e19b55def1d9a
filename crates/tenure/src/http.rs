//! Asking the admin port: the little of HTTP that it takes.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long a connection, and an answer, are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status: 200 is well.
    pub status: u16,
    /// What it says.
    pub body: String,
}

/// Asks. `address` is `host:port`, with or without `http://`; `secret` is shown if it is not empty.
///
/// # Errors
/// Nobody answers there, or not in HTTP.
pub fn ask(method: &str, address: &str, path: &str, secret: &str) -> io::Result<Answer> {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let address = address.trim_end_matches('/');
    let mut stream = connect(address)?;
    let shown = if secret.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {secret}\r\n")
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n{shown}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    let read = stream.take(MAX_ANSWER_BYTES).read_to_string(&mut text);
    read.map_err(named)?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no HTTP"))
}

/// The system's word for a time that is over is none for people.
fn named(error: io::Error) -> io::Error {
    let is_late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind());
    if !is_late {
        return error;
    }
    let why = format!("no answer within {} s", PATIENCE.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, why)
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = body.to_owned();
    Some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::ask;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            stream
                .write_all(b"HTTP/1.1 409 Conflict\r\nA: b\r\n\r\n{\"error\":\"no\"}\n")
                .unwrap();
            String::from_utf8(asked).unwrap()
        });
        let answer = ask("POST", &format!("http://{address}"), "/x/1", "s3cret").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (409, "{\"error\":\"no\"}\n")
        );
        let asked = server.join().unwrap();
        assert!(asked.starts_with("POST /x/1 HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("Authorization: Bearer s3cret\r\n"),
            "{asked}"
        );
    }
}
