//! A first look at a request, before it is parsed.

/// How many arguments the request says it has, and its second one, which is the key of most commands. `None` if the request is
/// not whole up to there, or not of the form that clients send. What this finds is a hint: nothing is checked.
#[must_use]
#[inline]
pub fn peek(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (count, rest) = number(bytes, b'*')?;
    let (command_len, rest) = number(rest, b'$')?;
    let (key_len, rest) = number(rest.get(command_len.checked_add(2)?..)?, b'$')?;
    Some((count, rest.get(..key_len)?))
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
    use super::peek;

    #[test]
    fn finds_the_second_argument_of_whole_requests_only() {
        let request = b"*3\r\n$3\r\nSET\r\n$4\r\nsess\r\n$1\r\nx\r\n";
        assert_eq!(peek(request), Some((3, &b"sess"[..])));
        assert_eq!(peek(&request[..22]), Some((3, &b"sess"[..])));
        for len in 0..21 {
            assert_eq!(peek(&request[..len]), None, "{len}");
        }
        for odd in [
            &b"PING\r\n"[..],
            b"*2\r\n$99999999\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"*-1\r\n",
        ] {
            assert_eq!(peek(odd), None);
        }
    }
}
