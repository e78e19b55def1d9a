//! Reading replies without keeping them.
//!
//! A load generator needs very little of a reply: whether it was an error, an integer's value, and of
//! a `SESSION.OPEN` its fence. So the [`ReplyReader`] is a small state machine over the RESP2 grammar
//! that steps over bodies instead of collecting them. It keeps only what a packet boundary can cut: the
//! header line it is in, how much of a body is still to come, and the arrays that are open. It takes
//! bytes in pieces of any size and allocates nothing once it has run for a moment.

#[cfg(test)]
mod tests;

/// Bytes of one header line that are kept; the rest of a longer one (an error's text) is dropped.
const LINE_LIMIT: usize = 256;
/// Arrays inside arrays that are followed before the stream counts as malformed.
const NESTING_LIMIT: usize = 16;
/// Digits of the longest number that fits 64 bits, with its sign.
const NUMBER_LIMIT: usize = 20;

/// What a reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// `+OK`
    Status,
    /// `-ERR ...`
    Error,
    /// `:1`
    Integer,
    /// `$5`
    Bulk,
    /// `$-1` or `*-1`
    Nil,
    /// `*3`
    Array,
}

/// One complete reply, as little of it as traffic needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What it was.
    pub kind: ReplyKind,
    /// An integer reply's value; of an array, the number at the reader's chosen place.
    pub number: Option<i64>,
    /// An error's text without the dash, at most [`LINE_LIMIT`] bytes; empty otherwise.
    pub error: &'a [u8],
}

/// The bytes are not RESP2: the connection cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// A header line, up to its newline.
    Line,
    /// A bulk body; `left` counts its closing CR LF too.
    Body { left: usize },
}

/// An array whose last element has not arrived.
#[derive(Clone, Copy, Debug)]
struct OpenArray {
    elements: u64,
    arrived: u64,
}

/// An incremental RESP2 parser for one connection.
///
/// Invariants: `expect` is `Body` only inside a bulk; every open array has `arrived < elements`;
/// `kept` is empty between two elements.
#[derive(Debug)]
pub struct ReplyReader {
    expect: Expect,
    kept: Vec<u8>,
    arrays: Vec<OpenArray>,
    chosen: u64,
    number: Option<i64>,
}

impl ReplyReader {
    /// A reader that reports, of each array reply, the number found as element `chosen` (from 0), be
    /// it an integer or a bulk string of digits.
    pub fn new(chosen: u64) -> Self {
        Self {
            expect: Expect::Line,
            kept: Vec::with_capacity(LINE_LIMIT),
            arrays: Vec::with_capacity(NESTING_LIMIT),
            chosen,
            number: None,
        }
    }

    /// Takes the next bytes of the stream and calls `on_reply` for each reply they complete.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_reply: impl FnMut(&Reply<'_>),
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            bytes = match self.expect {
                Expect::Line => self.take_line(bytes, &mut on_reply)?,
                Expect::Body { left } => self.take_body(bytes, left, &mut on_reply),
            };
        }
        Ok(())
    }

    fn take_line<'b>(
        &mut self,
        bytes: &'b [u8],
        on_reply: &mut impl FnMut(&Reply<'_>),
    ) -> Result<&'b [u8], Malformed> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.keep(bytes);
            return Ok(&[]);
        };
        if self.kept.is_empty() {
            self.take_header(&bytes[..end], on_reply)?;
        } else {
            self.keep(&bytes[..end]);
            let mut line = std::mem::take(&mut self.kept);
            self.take_header(&line, on_reply)?;
            line.clear();
            self.kept = line;
        }
        Ok(&bytes[end + 1..])
    }

    fn take_body<'b>(
        &mut self,
        bytes: &'b [u8],
        left: usize,
        on_reply: &mut impl FnMut(&Reply<'_>),
    ) -> &'b [u8] {
        let taken = left.min(bytes.len());
        if self.is_chosen() && self.kept.len() <= NUMBER_LIMIT {
            self.keep(&bytes[..taken]);
        }
        self.expect = Expect::Body { left: left - taken };
        if taken == left {
            self.expect = Expect::Line;
            if self.is_chosen() {
                self.number = parse_number(self.kept.trim_ascii_end());
            }
            self.kept.clear();
            self.complete(ReplyKind::Bulk, None, &[], on_reply);
        }
        &bytes[taken..]
    }

    fn take_header(
        &mut self,
        line: &[u8],
        on_reply: &mut impl FnMut(&Reply<'_>),
    ) -> Result<(), Malformed> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (&mark, rest) = line.split_first().ok_or(Malformed)?;
        match mark {
            b'+' => self.complete(ReplyKind::Status, None, &[], on_reply),
            b'-' => self.complete(ReplyKind::Error, None, rest, on_reply),
            b':' => {
                let number = parse_number(rest).ok_or(Malformed)?;
                if self.is_chosen() {
                    self.number = Some(number);
                }
                self.complete(ReplyKind::Integer, Some(number), &[], on_reply);
            }
            b'$' => match parse_number(rest).ok_or(Malformed)? {
                -1 => self.complete(ReplyKind::Nil, None, &[], on_reply),
                length => {
                    let length = usize::try_from(length).map_err(|_| Malformed)?;
                    let left = length.checked_add(2).ok_or(Malformed)?;
                    self.expect = Expect::Body { left };
                }
            },
            b'*' => match parse_number(rest).ok_or(Malformed)? {
                -1 => self.complete(ReplyKind::Nil, None, &[], on_reply),
                0 => self.complete(ReplyKind::Array, None, &[], on_reply),
                elements => self.open_array(elements)?,
            },
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn open_array(&mut self, elements: i64) -> Result<(), Malformed> {
        let elements = u64::try_from(elements).map_err(|_| Malformed)?;
        if self.arrays.len() == NESTING_LIMIT {
            return Err(Malformed);
        }
        self.arrays.push(OpenArray {
            elements,
            arrived: 0,
        });
        Ok(())
    }

    /// An element is complete: so is every array that it was the last of, and, outside all arrays, a
    /// reply.
    fn complete(
        &mut self,
        kind: ReplyKind,
        number: Option<i64>,
        error: &[u8],
        on_reply: &mut impl FnMut(&Reply<'_>),
    ) {
        let mut reply = Reply {
            kind,
            number,
            error,
        };
        while let Some(array) = self.arrays.last_mut() {
            array.arrived += 1;
            if array.arrived < array.elements {
                return;
            }
            self.arrays.pop();
            reply = Reply {
                kind: ReplyKind::Array,
                number: None,
                error: &[],
            };
        }
        if reply.kind == ReplyKind::Array {
            reply.number = self.number.take();
        }
        on_reply(&reply);
    }

    /// Whether the element that is arriving is the one whose number is wanted.
    fn is_chosen(&self) -> bool {
        matches!(self.arrays.as_slice(), [array] if array.arrived == self.chosen)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT - self.kept.len().min(LINE_LIMIT);
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// The decimal number that `digits` spells, with an optional minus; `None` for anything else.
pub fn parse_number(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, digits),
    };
    if digits.is_empty() || digits.len() >= NUMBER_LIMIT {
        return None;
    }
    let mut number: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number
            .checked_mul(10)?
            .checked_add(i64::from(digit - b'0'))?;
    }
    Some(if negative { -number } else { number })
}
