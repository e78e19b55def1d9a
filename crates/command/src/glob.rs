//! Glob patterns, as `KEYS`, `SCAN MATCH` and `CONFIG GET` use them.
//!
//! `*` any bytes, `?` one byte, `[a-c]` and `[^a-c]` one of a set, `\x` the byte itself. A set that is not closed ends
//! with the pattern. Matching goes back at most to the last star, so it costs at most pattern times text.

/// Whether the whole text matches.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |a, b| a == b)
}

/// The same, where letters match in any case.
#[must_use]
pub fn matches_any_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, |a, b| a.eq_ignore_ascii_case(&b))
}

fn run(pattern: &[u8], text: &[u8], same: fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star, if what follows it does not match here.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
            continue;
        }
        let step = text.get(t).and_then(|&byte| one(&pattern[p..], byte, same));
        match (step, retry) {
            (Some(len), _) => {
                p += len;
                t += 1;
            }
            (None, _) if t == text.len() && p == pattern.len() => return true,
            (None, Some((after_star, from))) if from < text.len() => {
                (p, t) = (after_star, from + 1);
                retry = Some((after_star, from + 1));
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte against the start of the pattern: the length of what it matched.
fn one(pattern: &[u8], byte: u8, same: fn(u8, u8) -> bool) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let (fits, len) = set(&pattern[1..], byte, same);
            fits.then_some(len + 1)
        }
        b'\\' if pattern.len() > 1 => same(pattern[1], byte).then_some(2),
        plain => same(plain, byte).then_some(1),
    }
}

/// Whether a byte is in the set that begins here (after the bracket), and the length of the set.
fn set(pattern: &[u8], byte: u8, same: fn(u8, u8) -> bool) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let (mut at, mut found) = (usize::from(negated), false);
    while let Some(&first) = pattern.get(at) {
        match (first, pattern.get(at + 1), pattern.get(at + 2)) {
            (b']', _, _) => {
                at += 1;
                break;
            }
            (b'\\', Some(&escaped), _) => {
                found |= same(escaped, byte);
                at += 2;
            }
            (low, Some(b'-'), Some(&high)) => {
                let (low, high) = (low.min(high), low.max(high));
                let in_range = |b: u8| (low..=high).contains(&b);
                let other_case = byte ^ 0x20;
                let folds = byte.is_ascii_alphabetic() && same(byte, other_case);
                found |= in_range(byte) || folds && in_range(other_case);
                at += 3;
            }
            (plain, _, _) => {
                found |= same(plain, byte);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_any_case};

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*c*f", "abcde", false),
            ("sess:?", "sess:1", true),
            ("sess:?", "sess:", false),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("[\\]]", "]", true),
            ("[abc", "b", true),
            ("**a", "ba", true),
            ("a\\", "a\\", true),
            ("*[0-9]", "x5", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(matches_any_case(b"MAX[A-Z]em*", b"maxmemory"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = b"a*a*a*a*a*a*a*a*a*a*a*a*b".repeat(4);
        assert!(!matches(&pattern, &[b'a'; 5000]));
    }
}
