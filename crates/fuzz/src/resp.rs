//! The request parser.

use resp::{Limits, Parser};

const LIMITS: Limits = Limits {
    arguments: 1_024,
    bulk_bytes: 1 << 16,
    authenticated: true,
};

/// What was understood: the commands' words, and the error that ended it.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    commands: Vec<Vec<Vec<u8>>>,
    error: Option<String>,
}

/// Bytes that arrive in pieces are understood as if they had come at once. The first byte says how large the
/// pieces are.
///
/// # Panics
/// If they are not.
pub fn resp(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else {
        return;
    };
    for limits in [LIMITS, Limits::UNAUTHENTICATED] {
        let whole = understand(bytes, bytes.len().max(1), &limits);
        for piece in [1, usize::from(size).max(2)] {
            assert_eq!(
                whole,
                understand(bytes, piece, &limits),
                "in pieces of {piece}"
            );
        }
    }
}

fn understand(bytes: &[u8], piece: usize, limits: &Limits) -> Understood {
    let (mut parser, mut buffer, mut spans) = (Parser::default(), Vec::new(), Vec::new());
    let mut understood = Understood {
        commands: Vec::new(),
        error: None,
    };
    for part in bytes.chunks(piece) {
        buffer.extend_from_slice(part);
        let mut from = 0;
        loop {
            spans.clear();
            match parser.next(&mut buffer, &mut from, limits, &mut spans) {
                Ok(Some(command)) => {
                    assert!(command.count as usize <= limits.arguments.max(buffer.len()));
                    assert!(command.end <= buffer.len() && command.end > from.min(command.end - 1));
                    let words = spans.iter().map(|span| span.of(&buffer).to_vec());
                    understood.commands.push(words.collect());
                    from = command.end;
                }
                Ok(None) => break,
                Err(error) => {
                    understood.error = Some(error.to_string());
                    return understood;
                }
            }
        }
        buffer.drain(..from);
    }
    understood
}
