//! The arguments of one command, as they arrived.

use resp::Span;

use crate::Failure;

/// A command's words: the name first, as the client wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Arguments<'a> {
    /// The arguments that `spans` name in `buffer`; at least one.
    #[must_use]
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Self {
        assert!(!spans.is_empty(), "a command has a name");
        Self { buffer, spans }
    }

    /// What [`Arguments::new`] was given.
    #[inline]
    pub(crate) fn parts(&self) -> (&'a [u8], &'a [Span]) {
        (self.buffer, self.spans)
    }

    /// How many there are, the name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Never: a command has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The argument at `index`, which the command's arity or the caller has checked to be there.
    #[inline]
    #[must_use]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.buffer)
    }

    /// The argument at `index`, if there is one.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| span.of(self.buffer))
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let buffer = self.buffer;
        self.spans[index..].iter().map(move |span| span.of(buffer))
    }

    /// The command that begins with the word at `index`, which is there.
    #[must_use]
    pub fn skip(&self, index: usize) -> Self {
        Self::new(self.buffer, &self.spans[index..])
    }

    /// Whether the argument at `index` is this word, in any case.
    #[must_use]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index)
            .is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The argument at `index` as a whole number.
    ///
    /// # Errors
    /// [`Failure::NotAnInteger`].
    pub fn integer(&self, index: usize) -> Result<i64, Failure> {
        integer(self.at(index)).ok_or(Failure::NotAnInteger)
    }
}

/// A whole number as Redis reads it: no spaces, no plus, no leading zeros, no `-0`.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}
