//! The request parser: bounded, incremental, without copies.
//!
//! A connection's bytes are parsed where they were received. Arguments come out as [`Span`]s; the
//! caller keeps the bytes until the command has run. A command that has not wholly arrived leaves its
//! progress in the [`Parser`], so a client that sends a long command in small pieces costs each byte once.
//!
//! Every length that a client claims is checked against [`Limits`] before anything depends on it, and no
//! memory is set aside for it: the list of spans grows as arguments arrive.

use alloc::vec::Vec;
use core::fmt;

use memchr::memchr;
use model::limits;

use crate::inline;

/// Where one argument stands in the buffer that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The bytes of this argument.
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..][..self.len as usize]
    }
}

/// One complete command: which of the spans are its arguments, and where in the buffer it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandSpan {
    /// Index of its first argument (the command's name) in the list of spans.
    pub first: u32,
    /// Number of arguments, the name included; never zero.
    pub count: u32,
    /// Offset of the first byte after it.
    pub end: usize,
    /// Its bytes were changed: they cannot be parsed again.
    pub unquoted: bool,
}

/// What a request may claim.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Arguments of one command.
    pub arguments: usize,
    /// Bytes of one argument.
    pub bulk_bytes: usize,
    /// Whether these are the tighter limits that hold before `AUTH`; only changes the error text.
    pub authenticated: bool,
}

impl Limits {
    /// The limits before authentication.
    pub const UNAUTHENTICATED: Self = Self {
        arguments: limits::MAX_ARGUMENTS_UNAUTHENTICATED,
        bulk_bytes: limits::MAX_BULK_BYTES_UNAUTHENTICATED,
        authenticated: false,
    };
}

/// Why a request cannot be understood. The connection is closed after it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is no number, or is more than the limit.
    InvalidMultibulkLength,
    /// The number after `$` is no number, is negative, or is more than the limit.
    InvalidBulkLength,
    /// As the first, before authentication.
    UnauthenticatedMultibulkLength,
    /// As the second, before authentication.
    UnauthenticatedBulkLength,
    /// An argument that does not begin with `$`.
    ExpectedDollar(u8),
    /// A `*` line that does not end.
    TooBigMultibulkCount,
    /// A `$` line that does not end.
    TooBigBulkCount,
    /// An inline command that does not end.
    TooBigInline,
    /// An inline command with an open quote.
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    /// The text that follows `-ERR Protocol error: `, as Redis words it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Self::InvalidBulkLength => f.write_str("invalid bulk length"),
            Self::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            Self::ExpectedDollar(got) => {
                let shown = if got.is_ascii_graphic() || *got == b' ' {
                    char::from(*got)
                } else {
                    '?'
                };
                write!(f, "expected '$', got '{shown}'")
            }
            Self::TooBigMultibulkCount => f.write_str("too big mbulk count string"),
            Self::TooBigBulkCount => f.write_str("too big bulk count string"),
            Self::TooBigInline => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

/// Progress within a command that has not wholly arrived.
///
/// Between calls the caller keeps all bytes from the command's first one on, and passes them again from
/// there, with more behind.
#[derive(Debug, Default)]
pub struct Parser {
    /// Arguments still to come; zero between commands.
    remaining: usize,
    /// Bytes of this command that are already understood, from its first byte.
    understood: usize,
    /// Arguments understood so far, relative to the command's first byte.
    partial: Vec<Span>,
    /// Unquoted arguments of the last inline command that needed a copy.
    unquoted: Vec<u8>,
}

enum Line {
    /// A number, and where the line after it starts.
    Number(Option<i64>, usize),
    /// The line's end has not arrived.
    Incomplete,
}

impl Parser {
    /// The next whole command in `buffer` from `from` on. Its arguments are appended to `spans`.
    ///
    /// `None` when no whole command is there: the caller keeps the bytes from `from` (which is moved past
    /// what asks for nothing, such as empty lines) and calls again when more has come.
    ///
    /// # Errors
    /// [`ProtocolError`] when the bytes cannot become a command; the stream is lost from there on.
    pub fn next(
        &mut self,
        buffer: &mut [u8],
        from: &mut usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Option<CommandSpan>, ProtocolError> {
        loop {
            if self.remaining > 0 {
                return self.arguments(buffer, *from, limits, spans);
            }
            match buffer.get(*from) {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(()) = self.header(buffer, from, limits)? else {
                        return Ok(None);
                    };
                }
                Some(_) => {
                    let Some(line) = inline::line(&buffer[*from..])? else {
                        return Ok(None);
                    };
                    let first = spans.len();
                    inline::split(buffer, *from, line.text, &mut self.unquoted, spans)?;
                    *from += line.next;
                    if spans.len() > first {
                        return Ok(Some(CommandSpan {
                            unquoted: true,
                            ..command(spans, first, *from)
                        }));
                    }
                }
            }
        }
    }

    /// Whether a command has begun and not ended.
    #[must_use]
    pub fn is_within_command(&self) -> bool {
        self.remaining > 0
    }

    /// Reads `*<n>\r\n`. A count of zero or less asks for nothing and is skipped.
    fn header(
        &mut self,
        buffer: &[u8],
        from: &mut usize,
        limits: &Limits,
    ) -> Result<Option<()>, ProtocolError> {
        let (count, next) = match line(buffer, *from + 1) {
            Line::Number(count, next) => (count, next),
            Line::Incomplete if buffer.len() - *from > limits::MAX_INLINE_BYTES => {
                return Err(ProtocolError::TooBigMultibulkCount);
            }
            Line::Incomplete => return Ok(None),
        };
        let count = count
            .filter(|&n| n <= limits::MAX_ARGUMENTS as i64)
            .ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count > limits.arguments as i64 {
            return Err(if limits.authenticated {
                ProtocolError::InvalidMultibulkLength
            } else {
                ProtocolError::UnauthenticatedMultibulkLength
            });
        }
        if count <= 0 {
            *from = next;
        } else {
            self.remaining = count as usize;
            self.understood = next - *from;
        }
        Ok(Some(()))
    }

    /// Reads arguments until the command is whole or the bytes end.
    fn arguments(
        &mut self,
        buffer: &[u8],
        from: usize,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Option<CommandSpan>, ProtocolError> {
        let first = spans.len();
        spans.extend(self.partial.iter().map(|s| Span {
            start: s.start + from as u32,
            len: s.len,
        }));
        let mut at = from + self.understood;
        while self.remaining > 0 {
            let Some((start, len)) = bulk(buffer, at, limits)? else {
                return Ok(self.keep(from, at, first, spans));
            };
            if buffer.len() < start + len + 2 {
                return Ok(self.keep(from, at, first, spans));
            }
            spans.push(Span {
                start: start as u32,
                len: len as u32,
            });
            at = start + len + 2;
            self.remaining -= 1;
        }
        self.partial.clear();
        self.understood = 0;
        Ok(Some(command(spans, first, at)))
    }

    /// Puts the progress aside until more bytes have come.
    fn keep(
        &mut self,
        from: usize,
        at: usize,
        first: usize,
        spans: &mut Vec<Span>,
    ) -> Option<CommandSpan> {
        self.understood = at - from;
        let known = self.partial.len();
        self.partial
            .extend(spans[first + known..].iter().map(|s| Span {
                start: s.start - from as u32,
                len: s.len,
            }));
        spans.truncate(first);
        None
    }
}

fn command(spans: &[Span], first: usize, end: usize) -> CommandSpan {
    CommandSpan {
        first: first as u32,
        count: (spans.len() - first) as u32,
        end,
        unquoted: false,
    }
}

/// Reads `$<n>\r\n` at `at`: where the argument's bytes start, and how many there are.
#[inline]
fn bulk(
    buffer: &[u8],
    at: usize,
    limits: &Limits,
) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some(&dollar) = buffer.get(at) else {
        return Ok(None);
    };
    if dollar != b'$' {
        return Err(ProtocolError::ExpectedDollar(dollar));
    }
    let (length, start) = match line(buffer, at + 1) {
        Line::Number(length, start) => (length, start),
        Line::Incomplete if buffer.len() - at > limits::MAX_INLINE_BYTES => {
            return Err(ProtocolError::TooBigBulkCount);
        }
        Line::Incomplete => return Ok(None),
    };
    match length {
        Some(length) if length >= 0 && length <= limits.bulk_bytes as i64 => {
            Ok(Some((start, length as usize)))
        }
        Some(length) if length > 0 && !limits.authenticated => {
            Err(ProtocolError::UnauthenticatedBulkLength)
        }
        Some(_) | None => Err(ProtocolError::InvalidBulkLength),
    }
}

/// Reads a number that ends in `\r\n`. Short plain numbers, which is all of them in practice, take the
/// first loop; everything else is looked at again with care.
#[inline]
fn line(buffer: &[u8], at: usize) -> Line {
    let mut value = 0i64;
    for (i, &byte) in buffer[at..].iter().take(10).enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if i > 0 && buffer.len() > at + i + 1 => {
                return Line::Number(Some(value), at + i + 2);
            }
            _ => break,
        }
    }
    slow_line(buffer, at)
}

#[cold]
fn slow_line(buffer: &[u8], at: usize) -> Line {
    match memchr(b'\r', &buffer[at..]) {
        Some(len) if buffer.len() > at + len + 1 => {
            let digits = core::str::from_utf8(&buffer[at..at + len]).ok();
            // A leading plus is no part of the protocol.
            let number = digits
                .filter(|d| !d.starts_with('+'))
                .and_then(|d| d.parse().ok());
            Line::Number(number, at + len + 2)
        }
        Some(_) | None => Line::Incomplete,
    }
}

#[cfg(test)]
mod tests;
