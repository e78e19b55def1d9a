use super::*;

fn hold(fence: u64, asked: u64, granted: u64, sure_until: u64) -> Hold {
    Hold {
        asked,
        granted,
        sure_until,
        fence,
        committed: None,
    }
}

#[test]
fn one_after_the_other_is_fine() {
    let holds = [hold(1, 0, 10, 20), hold(2, 5, 21, 30), hold(7, 22, 40, 50)];
    assert_eq!(check(&holds), []);
}

#[test]
fn two_at_once_are_found() {
    let holds = [hold(1, 0, 10, 50), hold(2, 15, 20, 30), hold(3, 31, 40, 60)];
    let found = check(&holds);
    assert!(found.contains(&Fault::Overlap {
        first: 0,
        second: 1
    }));
    assert!(found.contains(&Fault::Overlap {
        first: 0,
        second: 2
    }));
}

#[test]
fn a_fence_that_goes_back_is_found() {
    let holds = [hold(5, 0, 10, 20), hold(4, 21, 30, 40)];
    let expected = Fault::FenceWentBack { hold: 1, floor: 5 };
    assert_eq!(check(&holds), [expected]);
}

#[test]
fn a_late_commit_is_found() {
    let mut holds = [hold(1, 0, 10, 20), hold(2, 15, 25, 30)];
    holds[0].committed = Some(24);
    assert_eq!(check(&holds), [], "the other had not been granted yet");
    holds[0].committed = Some(26);
    let expected = Fault::LateCommit { hold: 0, after: 1 };
    assert_eq!(check(&holds), [expected]);
}
