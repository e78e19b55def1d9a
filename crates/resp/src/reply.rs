//! The reply writer.

use alloc::vec::Vec;
use core::fmt;

/// Version of the protocol that a connection has chosen with `HELLO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, the default.
    #[default]
    V2,
    /// RESP3.
    V3,
}

/// Appends replies to a connection's output in its protocol version.
///
/// Containers are announced with their length and then filled by as many calls: `map(2)` is followed by
/// two keys and two values.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The connection's protocol version.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// From the next call on, replies are written in `protocol`.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Bytes in the output so far: with [`Reply::truncate`], to take back what was written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back everything after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string. `text` has no line breaks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: its code, a space, and the message; line breaks in it become spaces.
    pub fn error(&mut self, message: impl fmt::Display) {
        write_error(self.out, message);
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.number(b':', value);
    }

    /// A string of bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 24);
        self.number(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string that is written as text.
    pub fn bulk_str(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// A string of several parts, as one.
    pub fn bulk_parts(&mut self, parts: &[&[u8]]) {
        self.number(b'$', parts.iter().map(|p| p.len() as i64).sum());
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// A bulk string holding a number.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Nothing: `$-1` or `_`.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::V2 => b"$-1\r\n",
            Protocol::V3 => b"_\r\n",
        });
    }

    /// Nothing where an array was expected: `*-1` or `_`.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::V2 => b"*-1\r\n",
            Protocol::V3 => b"_\r\n",
        });
    }

    /// A boolean; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::V2, _) => self.integer(i64::from(value)),
            (Protocol::V3, true) => self.out.extend_from_slice(b"#t\r\n"),
            (Protocol::V3, false) => self.out.extend_from_slice(b"#f\r\n"),
        }
    }

    /// A floating-point number that was formatted by the caller; a bulk string in RESP2.
    pub fn double(&mut self, formatted: &str) {
        match self.protocol {
            Protocol::V2 => self.bulk_str(formatted),
            Protocol::V3 => self.line(b',', formatted.as_bytes()),
        }
    }

    /// Text for people, in the format `txt`; a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::V2 => self.bulk(text),
            Protocol::V3 => {
                self.number(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The start of an array of `len` replies.
    pub fn array(&mut self, len: usize) {
        self.number(b'*', len as i64);
    }

    /// The start of a map of `len` pairs; a flat array in RESP2.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::V2 => self.array(len * 2),
            Protocol::V3 => self.number(b'%', len as i64),
        }
    }

    /// The start of a set of `len` replies; an array in RESP2.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::V2 => self.array(len),
            Protocol::V3 => self.number(b'~', len as i64),
        }
    }

    /// The start of a push of `len` parts; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::V2 => self.array(len),
            Protocol::V3 => self.number(b'>', len as i64),
        }
    }

    /// Bytes that are a reply already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn number(&mut self, kind: u8, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.line(kind, digits.format(value).as_bytes());
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends the error reply `-<message>`; line breaks in the message become spaces.
pub fn write_error(out: &mut Vec<u8>, message: impl fmt::Display) {
    struct OneLine<'a>(&'a mut Vec<u8>);
    impl fmt::Write for OneLine<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend(
                text.bytes()
                    .map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }),
            );
            Ok(())
        }
    }
    out.push(b'-');
    // Writing into a vector cannot fail; a `Display` that fails leaves a shorter message.
    let _ = fmt::Write::write_fmt(&mut OneLine(out), format_args!("{message}"));
    out.extend_from_slice(b"\r\n");
}
