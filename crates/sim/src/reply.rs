//! Replies as a client understands them.

/// One reply, of either protocol version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:n`
    Integer(i64),
    /// `$n bytes`, and a verbatim string's text.
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null,
    /// An array, a set, a push, or a map as its keys and values in turn.
    Array(Vec<Reply>),
}

impl Reply {
    /// Reads one reply from the start of `bytes`: it, and how many bytes it takes. `None` if it is not all there.
    ///
    /// # Errors
    /// What is wrong with bytes that are no reply.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return Ok(None);
        };
        let (kind, after) = (bytes[0], end + 2);
        let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
        let number = || {
            line.parse::<i64>()
                .map_err(|_| format!("no number in reply line {line:?}"))
        };
        match kind {
            b'+' => Ok(Some((Self::Simple(line), after))),
            b'-' => Ok(Some((Self::Error(line), after))),
            b':' => Ok(Some((Self::Integer(number()?), after))),
            b',' => Ok(Some((Self::Bulk(line.into_bytes()), after))),
            b'#' => Ok(Some((Self::Integer(i64::from(line == "t")), after))),
            b'_' => Ok(Some((Self::Null, after))),
            b'$' | b'=' => {
                let Ok(len) = usize::try_from(number()?) else {
                    return Ok(Some((Self::Null, after)));
                };
                if bytes.len() < after + len + 2 {
                    return Ok(None);
                }
                let skipped = if kind == b'=' { 4 } else { 0 };
                let text = bytes[after + skipped..after + len].to_vec();
                Ok(Some((Self::Bulk(text), after + len + 2)))
            }
            b'*' | b'~' | b'>' => Self::parts(bytes, after, number()?),
            b'%' => Self::parts(bytes, after, number()? * 2),
            other => Err(format!("a reply begins with byte {other:#04x}")),
        }
    }

    fn parts(bytes: &[u8], mut at: usize, count: i64) -> Result<Option<(Self, usize)>, String> {
        if count < 0 {
            return Ok(Some((Self::Null, at)));
        }
        let mut parts = Vec::new();
        for _ in 0..count {
            match Self::parse(&bytes[at..])? {
                Some((part, len)) => {
                    parts.push(part);
                    at += len;
                }
                None => return Ok(None),
            }
        }
        Ok(Some((Self::Array(parts), at)))
    }

    /// `+OK`
    #[must_use]
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// The first word of an error, or nothing.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Error(text) => text.split(' ').next(),
            Self::Simple(_) | Self::Integer(_) | Self::Bulk(_) | Self::Null | Self::Array(_) => {
                None
            }
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(*n),
            Self::Simple(_) | Self::Error(_) | Self::Bulk(_) | Self::Null | Self::Array(_) => None,
        }
    }

    /// The bytes, if it is a string.
    #[must_use]
    pub fn bulk(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            Self::Simple(_) | Self::Error(_) | Self::Integer(_) | Self::Null | Self::Array(_) => {
                None
            }
        }
    }

    /// The parts, if it has any.
    #[must_use]
    pub fn array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(parts) => Some(parts),
            Self::Simple(_) | Self::Error(_) | Self::Integer(_) | Self::Bulk(_) | Self::Null => {
                None
            }
        }
    }

    /// What a map (an array of keys and values in turn) has under this key.
    #[must_use]
    pub fn under(&self, key: &str) -> Option<&Self> {
        self.array()?
            .chunks_exact(2)
            .find(|pair| pair[0].bulk() == Some(key.as_bytes()))
            .map(|pair| &pair[1])
    }
}

#[cfg(test)]
mod tests {
    use super::Reply;

    #[test]
    fn understands_both_protocols() {
        let whole = b"%2\r\n$1\r\na\r\n:1\r\n+b\r\n*2\r\n_\r\n$-1\r\n";
        let (reply, len) = Reply::parse(whole).unwrap().unwrap();
        assert_eq!(len, whole.len());
        assert_eq!(reply.under("a"), Some(&Reply::Integer(1)));
        assert_eq!(
            reply.array().unwrap()[3],
            Reply::Array(vec![Reply::Null, Reply::Null])
        );
        for cut in 0..whole.len() {
            assert_eq!(Reply::parse(&whole[..cut]), Ok(None));
        }
        assert!(Reply::parse(b"?\r\n").is_err());
    }
}
