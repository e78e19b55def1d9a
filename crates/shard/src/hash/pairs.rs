//! Fields and values in a row: `field_len:varint field value_len:varint value`, again and again.

use alloc::vec::Vec;

/// Appends one pair.
pub(crate) fn push(out: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    for part in [field, value] {
        push_varint(out, part.len());
        out.extend_from_slice(part);
    }
}

/// Bytes that a pair takes.
pub(crate) fn size(field: &[u8], value: &[u8]) -> usize {
    [field, value]
        .iter()
        .map(|part| varint_size(part.len()) + part.len())
        .sum()
}

/// Appends a number, seven bits a byte, the lowest first.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint_size(number: usize) -> usize {
    (number.max(1).ilog2() / 7 + 1) as usize
}

/// The number at the start of `bytes`, and what comes after it.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> (usize, &[u8]) {
    let (mut number, mut shift) = (0, 0);
    for (i, &byte) in bytes.iter().enumerate() {
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (number, &bytes[i + 1..]);
        }
        shift += 7;
    }
    panic!("a packed hash ends within a number");
}

/// The pairs of a row.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// The pairs in these bytes.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    fn part(&mut self) -> &'a [u8] {
        let (len, rest) = varint(self.rest);
        let (part, rest) = rest.split_at(len);
        self.rest = rest;
        part
    }

    /// The value of a field.
    pub(crate) fn find(mut self, field: &[u8]) -> Option<&'a [u8]> {
        self.find_map(|(name, value)| (name == field).then_some(value))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| (self.part(), self.part()))
    }
}
