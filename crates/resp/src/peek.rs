//! A first look at a request, before it is parsed.

/// Of each request: how many arguments it says it has, and its second one, which is the key of most commands. Ends at the first
/// request that is not whole, has fewer arguments, or is not of the form that clients send. What this finds is a hint: nothing is checked.
#[inline]
#[must_use]
pub fn glance(bytes: &[u8]) -> Glance<'_> {
    Glance { rest: bytes }
}

/// See [`glance`].
#[derive(Clone, Debug)]
pub struct Glance<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Glance<'a> {
    type Item = (usize, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (count, rest) = number(core::mem::take(&mut self.rest), b'*')?;
        let (key_len, rest) = number(bulk(rest)?, b'$')?;
        let key = rest.get(..key_len)?;
        let behind_key = rest.get(key_len + 2..);
        let behind = behind_key.and_then(|rest| (2..count).try_fold(rest, |rest, _| bulk(rest)));
        self.rest = behind.unwrap_or_default();
        Some((count, key))
    }
}

/// What is behind a bulk string.
#[inline]
fn bulk(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = number(bytes, b'$')?;
    rest.get(len + 2..)
}

/// The number in a line that begins with `mark`, and what is behind the line.
#[inline]
fn number(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let digits = bytes.strip_prefix(&[mark])?;
    let mut number = 0usize;
    for (at, byte) in digits.iter().take(8).enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b'\r' => return Some((number, digits.get(at + 2..)?)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::glance;

    fn all(bytes: &[u8]) -> Vec<(usize, &[u8])> {
        glance(bytes).collect()
    }

    #[test]
    fn finds_the_second_argument_of_each_request() {
        let set = b"*3\r\n$3\r\nSET\r\n$4\r\nsess\r\n$1\r\nx\r\n";
        let get = b"*2\r\n$3\r\nGET\r\n$2\r\nab\r\n";
        let both = [&set[..], get].concat();
        assert_eq!(all(&both), [(3, &b"sess"[..]), (2, b"ab")]);
        let twice = [&both[..], &both].concat();
        assert_eq!(all(&twice).len(), 4);
    }

    #[test]
    fn ends_where_a_request_is_not_whole() {
        let set = b"*3\r\n$3\r\nSET\r\n$4\r\nsess\r\n$1\r\nx\r\n";
        let both = [&set[..], b"*2\r\n$3\r\nGET\r\n$2\r\nab\r\n"].concat();
        for len in 0..=both.len() {
            let keys = usize::from(len >= 21) + usize::from(len >= set.len() + 19);
            assert_eq!(all(&both[..len]).len(), keys, "{len}");
        }
    }

    #[test]
    fn finds_nothing_in_what_clients_do_not_send() {
        for odd in [
            &b"PING\r\n"[..],
            b"*2\r\n$99999999\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"*-1\r\n",
        ] {
            assert!(all(odd).is_empty());
        }
        assert_eq!(all(b"*9999999\r\n$1\r\na\r\n$1\r\nb").len(), 1);
    }
}
