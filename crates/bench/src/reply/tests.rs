use super::*;

/// A reply with its borrowed text owned, so that it can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: ReplyKind,
    number: Option<i64>,
    error: String,
}

fn seen(kind: ReplyKind, number: Option<i64>, error: &str) -> Seen {
    Seen {
        kind,
        number,
        error: error.to_owned(),
    }
}

fn read_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Seen>, Malformed> {
    let mut reader = ReplyReader::new(5);
    let mut replies = Vec::new();
    for piece in pieces {
        reader.feed(piece, |reply| {
            replies.push(Seen {
                kind: reply.kind,
                number: reply.number,
                error: String::from_utf8_lossy(reply.error).into_owned(),
            });
        })?;
    }
    Ok(replies)
}

/// Every reply shape in one stream: a body that holds CR LF, a nested array, an OPEN's map.
const STREAM: &[u8] = b"+OK\r\n:-42\r\n$-1\r\n$0\r\n\r\n$7\r\nab\r\ncd\n\r\n*-1\r\n*0\r\n\
-HELD 1500 ms\r\n*2\r\n*2\r\n:1\r\n$1\r\nx\r\n*1\r\n*0\r\n\
*14\r\n$2\r\nid\r\n$3\r\nabc\r\n$7\r\nversion\r\n:3\r\n$5\r\nfence\r\n:71\r\n$7\r\nidle_ms\r\n:1000\r\n\
$6\r\nmax_ms\r\n:-1\r\n$4\r\nuser\r\n$-1\r\n$6\r\nfields\r\n*2\r\n$4\r\ndata\r\n$2\r\nhi\r\n\
*6\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n$3\r\n980\r\n:9\r\n";

fn stream_replies() -> Vec<Seen> {
    vec![
        seen(ReplyKind::Status, None, ""),
        seen(ReplyKind::Integer, Some(-42), ""),
        seen(ReplyKind::Nil, None, ""),
        seen(ReplyKind::Bulk, None, ""),
        seen(ReplyKind::Bulk, None, ""),
        seen(ReplyKind::Nil, None, ""),
        seen(ReplyKind::Array, None, ""),
        seen(ReplyKind::Error, None, "HELD 1500 ms"),
        seen(ReplyKind::Array, None, ""),
        seen(ReplyKind::Array, Some(71), ""),
        seen(ReplyKind::Array, Some(980), ""),
        seen(ReplyKind::Integer, Some(9), ""),
    ]
}

#[test]
fn reads_every_shape_in_one_piece() {
    assert_eq!(read_in_pieces([STREAM]), Ok(stream_replies()));
}

#[test]
fn reads_the_same_when_split_at_every_byte() {
    for cut in 0..=STREAM.len() {
        let (head, tail) = STREAM.split_at(cut);
        assert_eq!(
            read_in_pieces([head, tail]),
            Ok(stream_replies()),
            "cut at {cut}"
        );
    }
}

#[test]
fn reads_the_same_byte_by_byte() {
    assert_eq!(read_in_pieces(STREAM.chunks(1)), Ok(stream_replies()));
}

#[test]
fn keeps_the_start_of_an_error_of_any_length() {
    let mut stream = b"-ERR ".to_vec();
    stream.extend(std::iter::repeat_n(b'x', 100_000));
    stream.extend_from_slice(b"\r\n+OK\r\n");
    let replies = read_in_pieces(stream.chunks(1000)).expect("well formed");
    assert_eq!(replies.len(), 2);
    assert!(replies[0].error.starts_with("ERR xxx"));
    assert!(replies[0].error.len() <= LINE_LIMIT);
    assert_eq!(replies[1].kind, ReplyKind::Status);
}

#[test]
fn a_number_does_not_leak_into_the_next_reply() {
    let stream = b"*6\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n:5\r\n*1\r\n:1\r\n";
    let replies = read_in_pieces([stream.as_slice()]).expect("well formed");
    assert_eq!(replies[0].number, Some(5));
    assert_eq!(replies[1].number, None);
}

#[test]
fn refuses_what_is_not_resp2() {
    let nested = b"*1\r\n".repeat(NESTING_LIMIT + 1);
    let streams: [&[u8]; 8] = [
        b"HTTP/1.1 200 OK\r\n",
        b"\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"*-7\r\n",
        b":1a\r\n",
        b"$99999999999999999999\r\n",
        &nested,
    ];
    for stream in streams {
        assert_eq!(read_in_pieces([stream]), Err(Malformed));
    }
}

#[test]
fn parses_numbers_and_nothing_else() {
    assert_eq!(parse_number(b"0"), Some(0));
    assert_eq!(parse_number(b"-17"), Some(-17));
    assert_eq!(parse_number(b"9223372036854775807"), Some(i64::MAX));
    assert_eq!(parse_number(b"9223372036854775808"), None);
    for wrong in [b"".as_slice(), b"-", b"+1", b"1 ", b"abc"] {
        assert_eq!(parse_number(wrong), None);
    }
}
