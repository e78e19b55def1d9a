use model::topology::Address;

use super::{Asked, Batch, Request, To};
use crate::merge::Merge;
use crate::routes::Routes;

/// Two primaries with a half of the slots each; or, not whole, one with a half.
fn routes(whole: bool) -> Routes {
    let second: &[u8] = if whole {
        b"*3\r\n:8192\r\n:16383\r\n*2\r\n$1\r\nb\r\n:2\r\n"
    } else {
        b""
    };
    let count: &[u8] = if whole { b"*2\r\n" } else { b"*1\r\n" };
    let first = b"*3\r\n:0\r\n:8191\r\n*2\r\n$1\r\na\r\n:1\r\n";
    let from = Address {
        host: "a".into(),
        port: 1,
    };
    Routes::parse(&[count, first, second].concat(), &from).expect("a map")
}

/// A batch of one command.
fn batch_of(line: &str, routes: &Routes) -> Batch {
    let mut bytes = format!("{line}\r\n").into_bytes();
    let (mut from, mut spans) = (0, Vec::new());
    let limits = resp::Limits::UNAUTHENTICATED;
    let mut parser = resp::Parser::default();
    let parsed = parser.next(&mut bytes, &mut from, &limits, &mut spans);
    parsed.expect("it is a command").expect("it is whole");
    let arguments = command::Arguments::new(&bytes, &spans);
    let asked = Asked {
        arguments,
        spec: command::spec_of(command::prepare(arguments)),
        bytes: None,
    };
    let mut batch = Batch::default();
    batch.add(&asked, routes);
    batch
}

/// Where the parts of a command go, and how their replies are merged.
fn planned(line: &str, routes: &Routes) -> (Vec<String>, Merge) {
    let mut batch = batch_of(line, routes);
    let told = batch.parts.iter().map(|part| {
        let Request::Made(bytes) = &part.request else {
            panic!("an inline command is made anew");
        };
        let to = match &part.to {
            To::Slot(slot) => slot.to_string(),
            To::Home => "home".into(),
            To::Node(address) => address.host.clone(),
            To::Everybody => "everybody".into(),
        };
        let text = String::from_utf8_lossy(bytes).replace("\r\n", " ");
        let words = text.split(' ').filter(|w| !w.starts_with(['*', '$']));
        let words: Vec<&str> = words.collect();
        format!("{to}: {}", words.join(" ").trim())
    });
    (told.collect(), batch.answers.remove(0).merge)
}

#[test]
fn commands_go_where_their_keys_are() {
    let (routes, text) = (routes(true), |(told, _): (Vec<String>, Merge)| {
        told.join("; ")
    });
    assert_eq!(text(planned("GET foo", &routes)), "12182: GET foo");
    assert_eq!(
        text(planned("session.open foo", &routes)),
        "12182: session.open foo"
    );
    assert_eq!(text(planned("PING", &routes)), "home: PING");
    assert_eq!(text(planned("NOSUCH foo", &routes)), "home: NOSUCH foo");
    let split = "12182: MSET foo 1 {foo}x 3; 5061: MSET bar 2";
    assert_eq!(text(planned("MSET foo 1 bar 2 {foo}x 3", &routes)), split);
    let (told, merge) = planned("MGET foo bar {foo}x", &routes);
    assert_eq!(told.join("; "), "12182: MGET foo {foo}x; 5061: MGET bar");
    assert_eq!(merge, Merge::Places(vec![vec![1, 3], vec![2]]));
    assert!(matches!(
        planned("RENAME foo bar", &routes).1,
        Merge::Ready(_)
    ));
}

#[test]
fn commands_about_everything_go_everywhere() {
    let all = planned("DBSIZE", &routes(true));
    assert_eq!(
        all,
        (vec!["a: DBSIZE".into(), "b: DBSIZE".into()], Merge::Sum)
    );
    let scan = planned("SCAN 1 COUNT 5", &routes(true));
    let merge = Merge::Scan {
        shard: 1,
        shards: 2,
    };
    assert_eq!(scan, (vec!["8192: SCAN 0 COUNT 5 SLOT 8192".into()], merge));
    let own = planned("SCAN 77 SLOT 9000", &routes(true));
    assert_eq!(own, (vec!["9000: SCAN 77 SLOT 9000".into()], Merge::One));
    // A part of everything would pass for all of it.
    for line in ["DBSIZE", "KEYS a*", "SCAN 0", "FLUSHALL"] {
        let (told, _) = planned(line, &routes(false));
        assert_eq!(told, [format!("everybody: {line}")]);
    }
}

#[test]
fn how_long_a_command_waits_is_read_from_its_words() {
    let waits = |line: &str| {
        let batch = batch_of(line, &routes(true));
        batch.parts[0].waits.map(|wait| wait.as_millis())
    };
    assert_eq!(waits("SESSION.OPEN s HOLD 9 wait 1500 CREATE"), Some(1_500));
    assert_eq!(waits("SESSION.OPEN s HOLD 9 USER WAIT WAIT 20"), Some(20));
    assert_eq!(waits("SESSION.OPEN s WAIT"), Some(0));
    assert_eq!(waits("GET WAIT"), None);
}
