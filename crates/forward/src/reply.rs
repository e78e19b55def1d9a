//! Looking into replies that are small and whole: the few that are merged, mended or understood here.

use resp::ReplyScanner;

/// The number behind the mark, and what comes after that line.
fn header(raw: &[u8]) -> Option<(i64, &[u8])> {
    let end = raw.windows(2).position(|pair| pair == b"\r\n")?;
    let number = std::str::from_utf8(raw.get(1..end)?).ok()?;
    Some((number.parse().ok()?, &raw[end + 2..]))
}

/// The elements of an array, a set or a map, as they stand. `None` if it is none of these, or nothing at all.
pub fn elements(raw: &[u8]) -> Option<Vec<&[u8]>> {
    let per_entry = match raw.first()? {
        b'*' | b'~' | b'>' => 1,
        b'%' => 2,
        _ => return None,
    };
    let (entries, mut rest) = header(raw)?;
    let count = usize::try_from(entries).ok()?.checked_mul(per_entry)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let (len, ended) = ReplyScanner::default().advance(rest).ok()?;
        let element = ended.then(|| &rest[..len])?;
        found.push(element);
        rest = &rest[len..];
    }
    Some(found)
}

/// The bytes of a string, be it simple, bulk or text for people.
pub fn string(raw: &[u8]) -> Option<&[u8]> {
    match raw.first()? {
        b'+' => raw.get(1..)?.strip_suffix(b"\r\n"),
        b'$' => {
            let (len, rest) = header(raw)?;
            rest.get(..usize::try_from(len).ok()?)
        }
        b'=' => {
            let (len, rest) = header(raw)?;
            rest.get(4..usize::try_from(len).ok()?)
        }
        _ => None,
    }
}

/// An integer.
pub fn integer(raw: &[u8]) -> Option<i64> {
    (*raw.first()? == b':').then_some(())?;
    header(raw).map(|(number, _)| number)
}

/// The text of an error, without its mark and its line end.
pub fn error(raw: &[u8]) -> Option<&str> {
    let text = raw.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
    Some(std::str::from_utf8(text).unwrap_or("ERR"))
}

/// Whether this says that there is nothing.
pub fn is_null(raw: &[u8]) -> bool {
    matches!(raw, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n")
}

/// An error reply.
pub fn error_reply(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    resp::write_error(&mut out, text);
    out
}

/// A command as clients send it.
pub fn encode<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    // Commands are written alike in both versions.
    let mut reply = resp::Reply::new(&mut out, resp::Protocol::V2);
    reply.array(words.len());
    for word in words {
        reply.bulk(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{elements, error, integer, string};

    #[test]
    fn elements_are_found_whatever_is_in_them() {
        let found = elements(b"*3\r\n:1\r\n*1\r\n$1\r\na\r\n$-1\r\n").expect("an array");
        assert_eq!(found, [&b":1\r\n"[..], b"*1\r\n$1\r\na\r\n", b"$-1\r\n"]);
        let found = elements(b"%1\r\n+a\r\n:1\r\n").expect("a map");
        assert_eq!(found, [&b"+a\r\n"[..], b":1\r\n"]);
        assert_eq!(elements(b"*-1\r\n"), None);
        assert_eq!(elements(b"*2\r\n:1\r\n"), None, "it is not whole");
    }

    #[test]
    fn scalars_are_read() {
        assert_eq!(string(b"$3\r\nabc\r\n"), Some(&b"abc"[..]));
        assert_eq!(string(b"+OK\r\n"), Some(&b"OK"[..]));
        assert_eq!(string(b"=7\r\ntxt:abc\r\n"), Some(&b"abc"[..]));
        assert_eq!(string(b"$-1\r\n"), None);
        assert_eq!(integer(b":-5\r\n"), Some(-5));
        assert_eq!(error(b"-MOVED 1 a:2\r\n"), Some("MOVED 1 a:2"));
    }
}
