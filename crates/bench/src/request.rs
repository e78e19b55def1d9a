//! Writing requests.
//!
//! A request is bytes that never change, a key, and perhaps a value. The unchanging bytes are formatted
//! once, in a [`Template`]; a request then costs a copy, a key's digits and the value's copy.

use crate::keys::KeyNames;

/// Requests that all begin alike: the array header, the arguments before the key, the key's header.
#[derive(Clone, Debug)]
pub struct Template {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Template {
    /// The template of a command whose arguments are `before`, the key, `open` arguments that the
    /// caller appends between [`Template::begin`] and [`Template::end`], and `after`.
    pub fn new(names: &KeyNames, before: &[&str], open: usize, after: &[&str]) -> Self {
        let mut head = Vec::new();
        append_header(
            b'*',
            (before.len() + 1 + open + after.len()) as u64,
            &mut head,
        );
        for argument in before {
            append_bulk(argument.as_bytes(), &mut head);
        }
        append_header(b'$', names.length() as u64, &mut head);
        let mut tail = Vec::new();
        for argument in after {
            append_bulk(argument.as_bytes(), &mut tail);
        }
        Self { head, tail }
    }

    /// Appends everything up to and with the key.
    pub fn begin(&self, names: &KeyNames, key: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        names.append(key, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends what follows the open arguments.
    pub fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tail);
    }

    /// Appends a request that has no open argument.
    pub fn append(&self, names: &KeyNames, key: u64, out: &mut Vec<u8>) {
        self.begin(names, key, out);
        self.end(out);
    }
}

/// Appends a whole command.
pub fn append_command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    append_header(b'*', arguments.len() as u64, out);
    for argument in arguments {
        append_bulk(argument, out);
    }
}

/// Appends one bulk string.
pub fn append_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    append_header(b'$', bytes.len() as u64, out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number as a bulk string.
pub fn append_number(number: i64, out: &mut Vec<u8>) {
    append_bulk(itoa::Buffer::new().format(number).as_bytes(), out);
}

fn append_header(mark: u8, count: u64, out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_writes_what_the_plain_command_would() {
        let names = KeyNames::new("sess:", 32);
        let template = Template::new(&names, &["SET"], 1, &["EX", "1800"]);
        let mut request = Vec::new();
        template.begin(&names, 9, &mut request);
        append_bulk(b"value", &mut request);
        template.end(&mut request);

        let mut key = Vec::new();
        names.append(9, &mut key);
        let mut plain = Vec::new();
        append_command(&[b"SET", &key, b"value", b"EX", b"1800"], &mut plain);
        assert_eq!(request, plain);
        assert!(plain.starts_with(b"*5\r\n$3\r\nSET\r\n$37\r\nsess:"));
    }

    #[test]
    fn numbers_are_written_as_text() {
        let mut out = Vec::new();
        append_number(-12, &mut out);
        assert_eq!(out, b"$3\r\n-12\r\n");
    }
}
