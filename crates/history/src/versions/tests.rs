use super::*;

fn made(version: u64, sent: u64, told: u64) -> Request {
    Request {
        sent,
        told: Some(told),
        what: What::Made(version),
    }
}

fn saw(version: u64, sent: u64, told: u64) -> Request {
    Request {
        sent,
        told: Some(told),
        what: What::Saw(version),
    }
}

fn unknown(sent: u64) -> Request {
    Request {
        sent,
        told: None,
        what: What::Unknown,
    }
}

#[test]
fn requests_that_overlap_may_be_in_any_order() {
    let line = [
        made(2, 0, 100),
        made(1, 50, 60),
        saw(1, 0, 70),
        saw(0, 0, 5),
    ];
    assert_eq!(check(&line), []);
    assert_eq!(lost(&line), 0);
}

#[test]
fn a_stale_read_is_found() {
    let line = [made(1, 0, 10), made(2, 11, 20), saw(1, 21, 30)];
    let expected = Fault::WentBack {
        request: 2,
        version: 1,
        floor: 2,
    };
    assert_eq!(check(&line), [expected]);
    assert_eq!(lost(&line), 1);
}

#[test]
fn acknowledged_writes_that_are_lost_are_counted() {
    // The counter was at 3, a failover took it back to 1.
    let line = [
        made(1, 0, 10),
        made(2, 11, 20),
        made(3, 21, 30),
        made(2, 31, 40),
        saw(2, 41, 50),
    ];
    assert_eq!(lost(&line), 2);
    assert!(check(&line).contains(&Fault::MadeTwice {
        version: 2,
        first: 1,
        second: 3
    }));
}

#[test]
fn a_write_without_an_answer_explains_one_version() {
    let line = [made(1, 0, 10), unknown(11), saw(2, 30, 40), made(3, 41, 50)];
    assert_eq!(check(&line), []);
    let line = [made(1, 0, 10), unknown(11), saw(3, 30, 40)];
    assert_eq!(check(&line), [Fault::FromNowhere { version: 3 }]);
}

#[test]
fn a_write_without_an_answer_does_not_act_before_it_is_sent() {
    let line = [saw(1, 0, 10), unknown(11)];
    assert_eq!(check(&line), [Fault::FromNowhere { version: 1 }]);
    // Nor can it have made a version that is older than what was told of before.
    let line = [made(2, 0, 10), unknown(11)];
    assert_eq!(check(&line), [Fault::FromNowhere { version: 1 }]);
}

#[test]
fn nothing_is_seen_before_it_is_written() {
    let line = [saw(1, 0, 10), made(1, 11, 20)];
    let found = check(&line);
    assert!(found.contains(&Fault::FromTheFuture {
        request: 1,
        version: 1
    }));
}

#[test]
fn what_may_have_been_done_later_is_no_fault() {
    // Sent at 5, done long after: three reads before do not see it, the last one does.
    let line = [
        unknown(5),
        saw(0, 6, 7),
        saw(0, 8, 9),
        saw(0, 10, 11),
        saw(1, 100, 101),
    ];
    assert_eq!(check(&line), []);
}
