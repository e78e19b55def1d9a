use super::*;

/// A clean history: two clients, a counter, a session that is written and held.
fn clean() -> History {
    let mut history = History::default();
    let mut at = 0;
    let mut did = |client: &str, key: &str, ask: Ask, answer: Answer| {
        at += 10;
        history.operations.push(Operation {
            client: client.into(),
            key: key.into(),
            sent: at,
            ended: at + 5,
            ask,
            answer,
            by: String::new(),
        });
    };
    let state = |version: u64, value: &str, fence: u64| Answer::State {
        version,
        value: Some(value.into()),
        fence,
    };
    did("a", "n", Ask::Increment, Answer::Version(1));
    did("b", "n", Ask::Increment, Answer::Unknown("reset".into()));
    did("a", "n", Ask::Increment, Answer::Version(3));
    did("b", "n", Ask::Count, Answer::Version(3));
    let value = String::from("v1");
    did("a", "s", Ask::Create { value }, state(1, "v1", 0));
    did("b", "s", Ask::Read, state(1, "v1", 0));
    let value = String::from("v2");
    let expected = 1;
    did("b", "s", Ask::Write { expected, value }, Answer::Version(2));
    did("a", "s", Ask::Open { hold_ms: 1 }, state(2, "v2", 7));
    let value = String::from("v3");
    let (fence, expected) = (7, 2);
    let commit = Ask::Commit {
        fence,
        expected,
        value,
    };
    did("a", "s", commit, Answer::Version(3));
    did("b", "s", Ask::Open { hold_ms: 1 }, state(3, "v3", 9));
    did("b", "s", Ask::Release { fence: 9 }, Answer::Done);
    history
}

/// The faults after one planted error.
fn with(plant: impl FnOnce(&mut Vec<Operation>)) -> Vec<String> {
    let mut history = clean();
    plant(&mut history.operations);
    let verdict = judge(&history);
    assert!(!verdict.is_good(), "the planted error was not found");
    verdict.faults
}

#[test]
fn a_clean_history_is_good() {
    let verdict = judge(&clean());
    assert_eq!(verdict.faults, Vec::<String>::new());
    assert_eq!(
        (verdict.lost, verdict.answered, verdict.unknown),
        (0, 10, 1)
    );
    assert_eq!(verdict.holds, 2);
}

#[test]
fn a_lost_increment_is_found() {
    let faults = with(|all| all[3].answer = Answer::Version(2));
    assert!(faults[0].contains("was told 2 after 3"), "{faults:?}");
}

#[test]
fn an_increment_from_nowhere_is_found() {
    let faults = with(|all| all[1].answer = Answer::Refused("no".into()));
    assert!(faults[0].contains("nobody can have made it"), "{faults:?}");
}

#[test]
fn a_wrong_value_is_found() {
    let faults = with(|all| {
        all[5].answer = Answer::State {
            version: 1,
            value: Some("other".into()),
            fence: 0,
        };
    });
    assert!(faults[0].contains("version 1 is"), "{faults:?}");
}

#[test]
fn a_lost_session_is_found() {
    let faults = with(|all| {
        all[9].answer = Answer::State {
            version: 0,
            value: None,
            fence: 9,
        };
    });
    assert!(faults[0].contains("was told 0 after 3"), "{faults:?}");
}

#[test]
fn two_holders_are_found() {
    // The first one neither commits nor releases, and its hold is long.
    let faults = with(|all| {
        all[7].ask = Ask::Open { hold_ms: 1_000 };
        all.remove(8);
        all[8].answer = Answer::State {
            version: 2,
            value: Some("v2".into()),
            fence: 9,
        };
    });
    assert!(faults[0].contains("was granted while"), "{faults:?}");
}

#[test]
fn a_write_under_a_hold_is_found() {
    let faults = with(|all| all[8].answer = Answer::Version(4));
    assert!(
        faults.iter().any(|fault| fault.contains("in between")),
        "{faults:?}"
    );
}

#[test]
fn a_history_survives_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history");
    let mut history = clean();
    history.events.push(crate::record::Event {
        at: 3,
        what: "node 1 was killed".into(),
    });
    history.save(&path).expect("it is written");
    assert_eq!(History::load(&path).expect("it is read"), history);
}
