//! What must hold for any bytes that nodes answer with and clients ask with: for the fuzzer.

use command::Arguments;
use model::limits::MAX_ARGUMENTS;
use model::topology::Address;
use resp::{Limits, Parser, ReplyScanner};

use crate::merge::{self, Merge};
use crate::plan::{Asked, Batch, Request};
use crate::routes::Routes;

/// A reply of three nodes with a third of the slots each.
const SLOTS: &[u8] = b"*3\r\n*3\r\n:0\r\n:5460\r\n*2\r\n$1\r\na\r\n:1\r\n*3\r\n:5461\r\n:10922\r\n*2\r\n$1\r\nb\r\n:2\r\n*3\r\n:10923\r\n:16383\r\n*2\r\n$1\r\nc\r\n:3\r\n";

/// Whatever a node says, what is made of it is one whole reply.
///
/// # Panics
/// If it is not.
pub fn replies(raw: &[u8]) {
    // It is the client's copy of any reply that is looked at: the scanner has found it whole.
    if !is_one_reply(raw) {
        return;
    }
    let places = vec![vec![1, 3], vec![2]];
    let merges = [
        Merge::Sum,
        Merge::AllSucceeded,
        Merge::Concatenate,
        Merge::FirstThere,
        Merge::Places(places),
        Merge::Scan {
            shard: 1,
            shards: 3,
        },
        Merge::List { count: 2 },
        Merge::Info,
    ];
    for merge in merges {
        let merged = merge.merge(vec![raw.to_vec(), raw.to_vec()]);
        assert!(is_one_reply(&merged), "{merge:?} made {merged:?}");
    }
    let hello = merge::hello(raw);
    assert!(hello.is_none_or(|raw| is_one_reply(&raw)));
    // A map, or none.
    let _ = Routes::parse(raw, &asked_at());
}

/// Whatever a client sends, each command has one answer, made of parts of its own that are whole commands.
///
/// # Panics
/// If it has not.
pub fn requests(bytes: &[u8]) {
    let routes = Routes::parse(SLOTS, &asked_at()).expect("it is a map");
    let limits = Limits {
        arguments: MAX_ARGUMENTS,
        bulk_bytes: 1 << 20,
        authenticated: true,
    };
    let (mut bytes, mut from) = (bytes.to_vec(), 0);
    let (mut parser, mut batch, mut commands) = (Parser::default(), Batch::default(), 0);
    loop {
        let mut spans = Vec::new();
        let parsed = parser.next(&mut bytes, &mut from, &limits, &mut spans);
        let Ok(Some(span)) = parsed else {
            break;
        };
        let arguments = Arguments::new(&bytes, &spans);
        let asked = Asked {
            arguments,
            spec: command::spec_of(command::prepare(arguments)),
            bytes: None,
        };
        let mut one = Batch::default();
        one.add(&asked, &routes);
        batch.append(one);
        (from, commands) = (span.end, commands + 1);
    }
    check(&batch, commands);
}

fn check(batch: &Batch, commands: usize) {
    assert_eq!(batch.answers.len(), commands, "each is answered once");
    let mut next = 0;
    for answer in &batch.answers {
        assert_eq!(answer.parts.start, next, "no part is left out");
        next = answer.parts.end;
        let has_reply = matches!(answer.merge, Merge::Ready(_));
        assert!(has_reply == answer.parts.is_empty(), "{answer:?}");
    }
    assert_eq!(next, batch.parts.len());
    for part in &batch.parts {
        let Request::Made(bytes) = &part.request else {
            unreachable!("there is nothing sent to point into");
        };
        // Commands are written as replies are.
        assert!(is_one_reply(bytes), "{bytes:?}");
    }
}

fn is_one_reply(raw: &[u8]) -> bool {
    matches!(ReplyScanner::default().advance(raw), Ok((used, true)) if used == raw.len())
}

fn asked_at() -> Address {
    Address {
        host: "h".into(),
        port: 1,
    }
}
