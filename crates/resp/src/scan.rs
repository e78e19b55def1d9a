//! Where a reply ends: for whoever passes replies on without looking into them.

use memchr::memchr;

/// Follows one reply at a time through a stream of RESP2 or RESP3, in pieces of any size. It keeps some numbers and allocates nothing.
///
/// Invariant: between two replies `at` is [`At::Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyScanner {
    at: At,
    /// Elements of the reply that are still to come, the one that is arriving included; none between two replies.
    left: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first byte of an element.
    Mark,
    /// The number behind a mark that promises a length.
    Length {
        mark: u8,
        value: u64,
        digits: u8,
        negative: bool,
    },
    /// The rest of a line that says all there is.
    Line,
    /// So many bytes of a body, its line end included.
    Body(u64),
}

/// The bytes are no reply: nothing more can be made of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Digits of the longest length that is believed.
const MOST_DIGITS: u8 = 12;

impl Default for ReplyScanner {
    fn default() -> Self {
        Self {
            at: At::Mark,
            left: 0,
        }
    }
}

impl ReplyScanner {
    /// Takes the next bytes of the stream up to the end of the reply: how many those are, and whether it ended there.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut used = 0;
        while used < bytes.len() {
            used += self.step(&bytes[used..])?;
            if self.left == 0 {
                return Ok((used, true));
            }
        }
        Ok((used, false))
    }

    /// Whether a reply has begun and not ended.
    #[must_use]
    pub fn is_within_reply(&self) -> bool {
        self.left > 0
    }

    /// Takes some bytes of `bytes`, which has one at least.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match self.at {
            At::Mark => {
                self.mark(bytes[0])?;
                Ok(1)
            }
            At::Length { .. } => {
                self.digit(bytes[0])?;
                Ok(1)
            }
            At::Line => Ok(match memchr(b'\n', bytes) {
                Some(end) => {
                    self.element_ended();
                    end + 1
                }
                None => bytes.len(),
            }),
            At::Body(left) => {
                let taken = left.min(bytes.len() as u64);
                self.at = At::Body(left - taken);
                if taken == left {
                    self.element_ended();
                }
                Ok(taken as usize)
            }
        }
    }

    fn mark(&mut self, mark: u8) -> Result<(), Malformed> {
        self.left = self.left.max(1);
        self.at = match mark {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => At::Line,
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|' => At::Length {
                mark,
                value: 0,
                digits: 0,
                negative: false,
            },
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), Malformed> {
        let At::Length {
            mark,
            value,
            digits,
            negative,
        } = &mut self.at
        else {
            return Err(Malformed);
        };
        match byte {
            b'-' if *digits == 0 && !*negative => *negative = true,
            b'0'..=b'9' if *digits < MOST_DIGITS => {
                *value = *value * 10 + u64::from(byte - b'0');
                *digits += 1;
            }
            b'\r' => {}
            b'\n' if *digits > 0 => {
                let (mark, value, negative) = (*mark, *value, *negative);
                self.length(mark, value, negative);
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn length(&mut self, mark: u8, value: u64, negative: bool) {
        let (bodies, elements) = match mark {
            b'$' | b'=' | b'!' => (Some(value + 2), 0),
            b'%' | b'|' => (None, value * 2),
            _ => (None, value),
        };
        match bodies {
            _ if negative => self.element_ended(),
            Some(body) => self.at = At::Body(body),
            None => {
                self.left += elements;
                if mark == b'|' {
                    // Attributes stand before the element that they are about.
                    self.at = At::Mark;
                } else {
                    self.element_ended();
                }
            }
        }
    }

    fn element_ended(&mut self) {
        self.at = At::Mark;
        self.left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, ReplyScanner};

    const REPLIES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"$5\r\nhel\r\n\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
        b"%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n%0\r\n",
        b"~1\r\n$2\r\nxx\r\n",
        b">2\r\n+MOVING\r\n:1\r\n",
        b"|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n",
    ];

    #[test]
    fn a_reply_ends_where_it_ends_however_it_is_cut() {
        for reply in REPLIES {
            let stream = [reply, &b"+next\r\n"[..]].concat();
            let whole = ReplyScanner::default().advance(&stream);
            assert_eq!(whole, Ok((reply.len(), true)), "{reply:?}");
            let mut scanner = ReplyScanner::default();
            for at in 0..reply.len() {
                let ended = at + 1 == reply.len();
                assert_eq!(scanner.advance(&reply[at..=at]), Ok((1, ended)));
                assert_eq!(scanner.is_within_reply(), !ended);
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for wrong in [
            &b"GET\r\n"[..],
            b"$x\r\n",
            b"$\r\n",
            b"*--1\r\n",
            b"$9999999999999\r\n",
            b"$?\r\n",
        ] {
            assert_eq!(
                ReplyScanner::default().advance(wrong),
                Err(Malformed),
                "{wrong:?}"
            );
        }
    }
}
