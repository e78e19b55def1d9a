//! Inline commands: what a person types into telnet. One line, split at spaces, with quotes.
//!
//! `"..."` knows `\n \r \t \b \a`, `\xHH` and `\<any>`; `'...'` knows `\'`. A closing quote must be followed by a
//! space or the end. Unquoted text is written back over the line itself, since it is never longer.

use alloc::vec::Vec;

use memchr::memchr;
use model::limits::MAX_INLINE_BYTES;

use crate::parser::{ProtocolError, Span};

/// One line: the length of its text, and of the text with its ending.
pub(crate) struct InlineLine {
    pub(crate) text: usize,
    pub(crate) next: usize,
}

/// Finds the end of the line at the start of `bytes`; `None` if it has not arrived.
pub(crate) fn line(bytes: &[u8]) -> Result<Option<InlineLine>, ProtocolError> {
    match memchr(b'\n', bytes) {
        Some(end) if end > MAX_INLINE_BYTES => Err(ProtocolError::TooBigInline),
        Some(end) => {
            let text = if end > 0 && bytes[end - 1] == b'\r' {
                end - 1
            } else {
                end
            };
            Ok(Some(InlineLine {
                text,
                next: end + 1,
            }))
        }
        None if bytes.len() > MAX_INLINE_BYTES => Err(ProtocolError::TooBigInline),
        None => Ok(None),
    }
}

/// Splits the `len` bytes of `buffer` at `from` into arguments, unquoting them in place.
pub(crate) fn split(
    buffer: &mut [u8],
    from: usize,
    len: usize,
    scratch: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let mut line = Cursor {
        bytes: &buffer[from..from + len],
        at: 0,
    };
    let first = spans.len();
    scratch.clear();
    while line.skip_spaces() {
        let start = scratch.len();
        if let Err(error) = line.argument(scratch) {
            spans.truncate(first);
            return Err(error);
        }
        spans.push(Span {
            start: (from + start) as u32,
            len: (scratch.len() - start) as u32,
        });
    }
    buffer[from..from + scratch.len()].copy_from_slice(scratch);
    Ok(())
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn at_space_or_end(&self) -> bool {
        self.peek().is_none_or(is_space)
    }

    /// Moves to the next argument; false at the end of the line.
    fn skip_spaces(&mut self) -> bool {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        self.peek().is_some()
    }

    /// Appends one argument, which may be made of quoted and plain parts.
    fn argument(&mut self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        while !self.at_space_or_end() {
            match self.take() {
                Some(b'"') => self.double_quoted(out)?,
                Some(b'\'') => self.single_quoted(out)?,
                Some(byte) => out.push(byte),
                None => break,
            }
        }
        Ok(())
    }

    fn double_quoted(&mut self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        loop {
            match self.take().ok_or(ProtocolError::UnbalancedQuotes)? {
                b'"' => return self.closed(),
                b'\\' => {
                    let byte = self.escape()?;
                    out.push(byte);
                }
                byte => out.push(byte),
            }
        }
    }

    fn single_quoted(&mut self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        loop {
            match self.take().ok_or(ProtocolError::UnbalancedQuotes)? {
                b'\'' => return self.closed(),
                b'\\' if self.peek() == Some(b'\'') => {
                    self.at += 1;
                    out.push(b'\'');
                }
                byte => out.push(byte),
            }
        }
    }

    fn closed(&self) -> Result<(), ProtocolError> {
        if self.at_space_or_end() {
            Ok(())
        } else {
            Err(ProtocolError::UnbalancedQuotes)
        }
    }

    fn escape(&mut self) -> Result<u8, ProtocolError> {
        if let [b'x', high, low, ..] = self.bytes[self.at..]
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            self.at += 3;
            return Ok(high << 4 | low);
        }
        Ok(match self.take().ok_or(ProtocolError::UnbalancedQuotes)? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        })
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0)
}
