//! The parser, given whole commands, every split of them, and nonsense.

use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::{Limits, Parser, ProtocolError};

const LIMITS: Limits = Limits {
    arguments: 1 << 20,
    bulk_bytes: 1 << 20,
    authenticated: true,
};

/// Feeds `pieces` one after the other, keeping what is not consumed, as a connection does.
fn feed(pieces: &[&[u8]], limits: &Limits) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let (mut parser, mut kept, mut commands) = (Parser::default(), Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut from = 0;
        let mut spans = vec![];
        while let Some(command) = parser.next(&mut kept, &mut from, limits, &mut spans)? {
            let arguments = &spans[command.first as usize..][..command.count as usize];
            commands.push(arguments.iter().map(|s| s.of(&kept).to_vec()).collect());
            from = command.end;
        }
        kept.drain(..from);
    }
    Ok(commands)
}

fn words(text: &[&[&str]]) -> Vec<Vec<Vec<u8>>> {
    text.iter()
        .map(|c| c.iter().map(|w| w.as_bytes().to_vec()).collect())
        .collect()
}

#[test]
fn a_pipeline_split_anywhere_parses_the_same() {
    let stream = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\n\r\n\r\n\r\nPING  'a b'\r\n*0\r\n*-1\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\nECHO \"\\x41\\n\"\n";
    let expected = words(&[
        &["SET", "k", "v\r\n\r\n"],
        &["PING", "a b"],
        &["GET", ""],
        &["ECHO", "A\n"],
    ]);
    assert_eq!(feed(&[stream], &LIMITS).unwrap(), expected);
    for i in 0..stream.len() {
        for j in i..stream.len() {
            let pieces = [&stream[..i], &stream[i..j], &stream[j..]];
            assert_eq!(
                feed(&pieces, &LIMITS).unwrap(),
                expected,
                "split at {i} and {j}"
            );
        }
    }
}

#[test]
fn each_byte_of_a_long_command_is_looked_at_once() {
    let count = 20_000;
    let mut stream = format!("*{count}\r\n").into_bytes();
    for _ in 0..count {
        stream.extend_from_slice(b"$1\r\nx\r\n");
    }
    let pieces: Vec<&[u8]> = stream.chunks(7).collect();
    assert_eq!(feed(&pieces, &LIMITS).unwrap()[0].len(), count);
}

#[test]
fn nonsense_is_named_as_redis_names_it() {
    let long = "x".repeat(70_000);
    let cases: [(&[u8], &str); 10] = [
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$2000000\r\n", "invalid bulk length"),
        (b"*1\r\n!3\r\n", "expected '$', got '!'"),
        (b"PING 'abc\r\n", "unbalanced quotes in request"),
        (b"PING \"a\"b\r\n", "unbalanced quotes in request"),
        (long.as_bytes(), "too big inline request"),
    ];
    for (bytes, text) in cases {
        assert_eq!(feed(&[bytes], &LIMITS).unwrap_err().to_string(), text);
    }
    for (start, text) in [
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
    ] {
        let bytes = format!("{start}{}", "1".repeat(70_000));
        assert_eq!(
            feed(&[bytes.as_bytes()], &LIMITS).unwrap_err().to_string(),
            text
        );
    }
}

#[test]
fn limits_before_authentication() {
    let limits = Limits::UNAUTHENTICATED;
    let text = |bytes: &[u8]| feed(&[bytes], &limits).unwrap_err().to_string();
    assert_eq!(text(b"*11\r\n"), "unauthenticated multibulk length");
    assert_eq!(text(b"*1\r\n$16385\r\n"), "unauthenticated bulk length");
    assert_eq!(
        feed(&[b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"], &limits).unwrap(),
        words(&[&["AUTH", "x"]])
    );
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut parser = Parser::default();
    let (mut from, mut spans) = (0, Vec::new());
    let mut bytes = b"*1000000\r\n$1000000\r\n".to_vec();
    assert_eq!(
        parser.next(&mut bytes, &mut from, &LIMITS, &mut spans),
        Ok(None)
    );
    assert!(parser.partial.capacity() == 0 && spans.capacity() == 0);
}
