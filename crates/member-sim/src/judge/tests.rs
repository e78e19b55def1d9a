use super::{Blackout, Slack, judge};
use crate::record::{Answer, Ask, Operation, Walk};

fn told(key: &str, ask: Ask, answer: Answer, sent_us: u64, ended_us: u64) -> Operation {
    Operation {
        client: 0,
        key: key.into(),
        sent_us,
        ended_us,
        ask,
        answer,
        is_led: false,
    }
}

fn is_good(operations: &[Operation]) -> bool {
    judge(operations, Slack::default(), &[]).is_ok()
}

fn counted(sent_us: u64, count: u64) -> Operation {
    told(
        "count:1",
        Ask::Increment,
        Answer::Version(count),
        sent_us,
        sent_us + 5,
    )
}

#[test]
fn a_lost_write_is_found() {
    assert!(is_good(&[counted(0, 1), counted(10, 2)]));
    assert!(!is_good(&[counted(0, 1), counted(10, 1)]));
}

fn session(version: u64, value: &str, fence: u64) -> Answer {
    let value = Some(value.into());
    Answer::State {
        version,
        value,
        fence,
    }
}

#[test]
fn a_version_with_two_values_is_found() {
    let read = |value, at| told("session:1", Ask::Read, session(1, value, 0), at, at + 1);
    let create = told(
        "session:1",
        Ask::Create("a".into()),
        session(1, "a", 0),
        0,
        1,
    );
    assert!(is_good(&[create.clone(), read("a", 2), read("a", 4)]));
    assert!(!is_good(&[create, read("b", 4)]));
}

fn opened(fence: u64, at_us: u64) -> Operation {
    told(
        "held:1",
        Ask::Open(10, 0),
        session(0, "", fence),
        at_us,
        at_us + 1,
    )
}

#[test]
fn two_holders_are_found_and_what_clocks_explain_is_not() {
    assert!(is_good(&[opened(5, 0), opened(6, 10_001)]));
    let overlap = [opened(5, 0), opened(6, 8_000)];
    assert!(!is_good(&overlap));
    let slack = Slack {
        early_us: 3_000,
        late_us: 0,
    };
    assert!(judge(&overlap, slack, &[]).is_ok());
    assert!(
        !is_good(&[opened(6, 0), opened(5, 20_000)]),
        "a fence went back"
    );
}

#[test]
fn a_commit_under_a_hold_that_is_over_is_found() {
    let commit = |at_us| {
        let ask = Ask::Commit(5, 0, "a".into());
        told("held:1", ask, Answer::Version(1), at_us, at_us + 1)
    };
    let renew = || told("held:1", Ask::Renew(5, 10), Answer::Done, 5, 6);
    assert!(is_good(&[opened(5, 0), commit(9_000)]));
    assert!(!is_good(&[opened(5, 0), commit(11_000)]));
    assert!(is_good(&[opened(5, 0), renew(), commit(11_000)]));
}

#[test]
fn what_was_gone_and_comes_back_is_found() {
    let put = told("mortal:1", Ask::Put("a".into(), 10), Answer::Done, 0, 100);
    let got = |found: Option<&str>, at| {
        let found = Answer::Value(found.map(str::to_owned));
        told("mortal:1", Ask::Get, found, at, at + 10)
    };
    let slack = Slack {
        early_us: 2_000,
        late_us: 2_000,
    };
    let is_good = |found: &[Operation]| judge(found, slack, &[]).is_ok();
    assert!(is_good(&[
        put.clone(),
        got(Some("a"), 9_000),
        got(None, 9_500)
    ]));
    assert!(!is_good(&[put, got(None, 9_000), got(Some("a"), 9_500)]));
}

#[test]
fn what_ends_too_early_or_too_late_is_found() {
    let put = told("mortal:1", Ask::Put("a".into(), 10), Answer::Done, 0, 100);
    let got = |found: Option<&str>, at| {
        let found = Answer::Value(found.map(str::to_owned));
        told("mortal:1", Ask::Get, found, at, at + 100)
    };
    assert!(is_good(&[
        put.clone(),
        got(Some("a"), 9_000),
        got(None, 10_200)
    ]));
    assert!(!is_good(&[put.clone(), got(None, 9_000)]));
    assert!(!is_good(&[put, got(Some("a"), 10_200)]));
}

fn own(ask: Ask, answer: Answer, at_us: u64) -> Operation {
    told("own:1", ask, answer, at_us, at_us + 1)
}

#[test]
fn a_session_that_is_not_as_its_client_left_it_is_found() {
    let born = || own(Ask::Bear("a".into(), "u".into()), session(1, "a", 0), 0);
    let write = || own(Ask::Write(1, "b".into()), Answer::Version(2), 10);
    let read = |version, value, at| own(Ask::Read, session(version, value, 0), at);
    let gone = |at| {
        let nothing = Answer::State {
            version: 0,
            value: None,
            fence: 0,
        };
        own(Ask::Read, nothing, at)
    };
    assert!(is_good(&[born(), write(), read(2, "b", 20)]));
    assert!(!is_good(&[born(), write(), read(1, "a", 20)]));
    assert!(!is_good(&[born(), write(), gone(20)]));
    let ended = |count| own(Ask::Destroy, Answer::Ended(count), 30);
    assert!(is_good(&[born(), ended(1), gone(40)]));
    assert!(!is_good(&[born(), ended(1), read(1, "a", 40)]));
    let unknown = own(Ask::Destroy, Answer::Unknown, 30);
    assert!(is_good(&[born(), unknown, gone(40)]), "nobody knows");
}

#[test]
fn an_id_that_ends_too_late_is_found() {
    let born = own(Ask::Bear("a".into(), "u".into()), session(1, "a", 0), 0);
    let rotated = own(Ask::Rotate(10), Answer::Renamed("new".into()), 100);
    let old = |at| own(Ask::ReadOld, session(1, "a", 0), at);
    assert!(is_good(&[born.clone(), rotated.clone(), old(5_000)]));
    assert!(!is_good(&[born, rotated, old(10_200)]));
}

#[test]
fn who_leads_a_shard_leaves_out_no_session_of_a_user() {
    let born = own(Ask::Bear("a".into(), "u".into()), session(1, "a", 0), 0);
    let listed = |ids: &[&str], is_led| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let operation = own(Ask::List("u".into()), Answer::Ids(ids), 10);
        Operation {
            is_led,
            ..operation
        }
    };
    let rotated = own(Ask::Rotate(10), Answer::Renamed("new".into()), 5);
    assert!(is_good(&[born.clone(), listed(&["own:1"], true)]));
    assert!(is_good(&[born.clone(), listed(&[], false)]));
    assert!(!is_good(&[born.clone(), listed(&[], true)]));
    assert!(!is_good(&[born.clone(), listed(&["other"], false)]));
    assert!(!is_good(&[
        born.clone(),
        rotated,
        listed(&["own:1"], false)
    ]));
    let revoked = |count, is_led| {
        let operation = own(Ask::Revoke("u".into()), Answer::Ended(count), 10);
        Operation {
            is_led,
            ..operation
        }
    };
    assert!(is_good(&[born.clone(), revoked(0, false)]));
    assert!(!is_good(&[born.clone(), revoked(0, true)]));
    assert!(!is_good(&[
        born,
        revoked(1, true),
        listed(&["own:1"], true)
    ]));
}

#[test]
fn a_walk_that_does_not_find_a_session_is_found() {
    let born = own(Ask::Bear("a".into(), "u".into()), session(1, "a", 0), 0);
    let walked = |ids: &[&str]| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        own(Ask::Walk(Walk::default()), Answer::Ids(ids), 10)
    };
    assert!(is_good(&[born.clone(), walked(&["own:1"])]));
    assert!(!is_good(&[born.clone(), walked(&[])]));
    assert!(!is_good(&[born, walked(&["other"])]));
}

#[test]
fn an_id_that_is_made_again_too_early_or_too_late_is_found() {
    let raised = |key: &str, answer: &Answer, at_us| {
        told(key, Ask::Raise(10, 0), answer.clone(), at_us, at_us + 5)
    };
    let born = own(Ask::Bear("a".into(), "u".into()), session(1, "a", 0), 0);
    let ended = own(Ask::Destroy, Answer::Ended(1), 100);
    let put = told("mortal:1", Ask::Put("a".into(), 10), Answer::Done, 0, 100);
    // Gone at 100, or when its 10 ms are over, and guarded for 10 ms more.
    for (key, before, gone_us) in [
        ("own:1", vec![born, ended], 100),
        ("mortal:1", vec![put], 10_000),
    ] {
        let is_good = |answer: &Answer, at_us: u64| {
            let last = raised(key, answer, gone_us + at_us);
            is_good(&[before.clone(), vec![last]].concat())
        };
        assert!(is_good(&Answer::Refused, 9_000), "{key}");
        assert!(!is_good(&Answer::Done, 9_000), "{key}");
        assert!(is_good(&Answer::Done, 11_000), "{key}");
        assert!(!is_good(&Answer::Refused, 11_000), "{key}");
    }
}

#[test]
fn an_update_that_is_lost_under_a_lock_is_found() {
    let under = |version, at_us| {
        let answer = Answer::Version(version);
        told("locked:{1}", Ask::Under(version), answer, at_us, at_us + 5)
    };
    assert!(is_good(&[under(1, 0), under(2, 10)]));
    assert!(!is_good(&[under(1, 0), under(2, 10), under(2, 20)]));
}

fn paired(client: usize, value: &str, answer: Answer, sent_us: u64, ended_us: u64) -> Operation {
    let write = told("pair:1", Ask::Pair(value.into()), answer, sent_us, ended_us);
    Operation { client, ..write }
}

fn both(one: &str, other: &str, sent_us: u64, ended_us: u64) -> Operation {
    let half = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let found = Answer::Halves(half(one), half(other));
    told("pair:1", Ask::Both, found, sent_us, ended_us)
}

#[test]
fn halves_of_different_writes_are_found() {
    let write = |value, at_us| paired(0, value, Answer::Done, at_us, at_us + 5);
    let before = [write("a", 0), write("b", 10)];
    let is_good = |read| is_good(&[before.clone().to_vec(), vec![read]].concat());
    assert!(is_good(both("b", "b", 20, 21)));
    assert!(!is_good(both("a", "b", 20, 21)));
    assert!(!is_good(both("b", "", 20, 21)));
}

#[test]
fn a_pair_that_was_overwritten_or_not_written_is_found() {
    let write = |value, at_us| paired(0, value, Answer::Done, at_us, at_us + 5);
    let read = |value, at_us| both(value, value, at_us, at_us + 1);
    assert!(is_good(&[write("a", 0), read("a", 10)]));
    assert!(!is_good(&[write("a", 0), write("b", 10), read("a", 20)]));
    assert!(!is_good(&[write("a", 0), read("", 10)]), "it is lost");
    assert!(!is_good(&[write("a", 0), read("c", 10)]), "nobody wrote it");
    assert!(!is_good(&[read("a", 0), write("a", 10)]), "from the future");
    // Writes that overlap may have been done in either order, but not in both.
    let other = paired(1, "b", Answer::Done, 2, 12);
    assert!(is_good(&[write("a", 0), other.clone(), read("a", 20)]));
    assert!(is_good(&[write("a", 0), other, read("b", 20)]));
}

#[test]
fn a_write_of_a_pair_that_nobody_knows_of_may_be_done_once() {
    let write = |value, at_us| paired(0, value, Answer::Done, at_us, at_us + 5);
    let read = |value, at_us| both(value, value, at_us, at_us + 1);
    let unknown = || paired(1, "b", Answer::Unknown, 10, 15);
    assert!(is_good(&[write("a", 0), unknown(), read("a", 20)]));
    assert!(is_good(&[write("a", 0), unknown(), read("b", 20)]));
    assert!(is_good(&[
        write("a", 0),
        unknown(),
        read("a", 20),
        read("b", 30)
    ]));
    let and_again = [write("a", 0), unknown(), write("c", 20), read("b", 30)];
    assert!(is_good(&and_again), "it came late");
    let refused = paired(1, "b", Answer::Refused, 10, 15);
    assert!(!is_good(&[write("a", 0), refused, read("b", 20)]));
}

fn arisen() -> Operation {
    told("idle:1", Ask::Arise(10, 50), session(1, "", 0), 0, 100)
}

fn seen(ask: Ask, is_there: bool, at_us: u64) -> Operation {
    let found = Answer::State {
        version: u64::from(is_there),
        value: None,
        fence: 0,
    };
    told("idle:1", ask, found, at_us, at_us + 100)
}

#[test]
fn a_session_that_ends_while_it_is_used_is_found() {
    assert!(is_good(&[arisen(), seen(Ask::Read, true, 9_000)]));
    assert!(!is_good(&[arisen(), seen(Ask::Read, false, 9_000)]));
    assert!(is_good(&[arisen(), seen(Ask::Read, false, 10_200)]));
    assert!(!is_good(&[arisen(), seen(Ask::Read, true, 10_200)]));
    for using in [Ask::ReadTouch, Ask::Use, Ask::Touch(None)] {
        let used = || seen(using.clone(), true, 9_000);
        let later = |is_there, at_us| seen(Ask::Read, is_there, at_us);
        assert!(is_good(&[arisen(), used(), later(true, 18_000)]));
        assert!(!is_good(&[arisen(), used(), later(false, 18_000)]));
        assert!(!is_good(&[arisen(), used(), later(true, 19_200)]));
    }
}

#[test]
fn a_session_that_outlives_its_absolute_end_or_comes_back_is_found() {
    let touched = |ms, at_us| seen(Ask::Touch(Some(ms)), true, at_us);
    let read = |is_there, at_us| seen(Ask::Read, is_there, at_us);
    let long = touched(100, 5_000);
    assert!(is_good(&[arisen(), long.clone(), read(true, 49_000)]));
    assert!(is_good(&[arisen(), long.clone(), read(false, 50_200)]));
    assert!(!is_good(&[arisen(), long, read(true, 50_200)]));
    let slack = Slack {
        early_us: 2_000,
        late_us: 2_000,
    };
    let back = [arisen(), read(false, 9_000), read(true, 9_500)];
    assert!(judge(&back, slack, &[]).is_err());
}

#[test]
fn a_deadline_that_is_not_the_one_that_was_set_is_found() {
    let expiring = Answer::Ended(1);
    let expire = told("idle:1", Ask::Expire(30), expiring, 5_000, 5_100);
    let left = |ms| told("idle:1", Ask::Left, Answer::Left(Some(ms)), 6_000, 6_100);
    assert!(is_good(&[arisen(), left(4)]));
    assert!(!is_good(&[arisen(), left(5)]));
    assert!(!is_good(&[arisen(), left(3)]));
    assert!(is_good(&[arisen(), expire.clone(), left(29)]));
    assert!(!is_good(&[arisen(), expire, left(4)]));
}

#[test]
fn after_a_blackout_that_may_have_taken_something_nothing_is_said() {
    let blackout = |synced_us| Blackout {
        at_us: 8_500,
        synced_us,
    };
    let gone = [arisen(), seen(Ask::Read, false, 9_000)];
    let lost = |synced_us| judge(&gone, Slack::default(), &[blackout(synced_us)]);
    assert!(lost(50).is_ok(), "it was not synced");
    assert!(lost(5_000).is_err());
    let over = told("idle:1", Ask::Use, session(0, "", 0), 8_000, 9_000);
    let over = [arisen(), over];
    assert!(judge(&over, Slack::default(), &[blackout(5_000)]).is_ok());
}
