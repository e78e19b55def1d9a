//! The table of holds, by itself: orders of events that commands reach only with luck.

use alloc::collections::VecDeque;
use alloc::vec;

use super::*;

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);
const C: ConnectionId = ConnectionId(3);

const S: Named<'static> = Named {
    db: Db::ZERO,
    id: b"s",
};

fn at(ms: u64) -> Deadline {
    Deadline::at(ms).unwrap()
}

fn hold(fence: u64, owner: ConnectionId, deadline: Deadline) -> Hold {
    Hold {
        fence: Fence(fence),
        position: Position::from_raw(fence),
        deadline,
        owner: Some(owner),
        by: HeldBy::Session,
    }
}

#[test]
fn a_turn_is_kept_for_the_one_who_was_woken() {
    let mut holds = Holds::new(1);
    holds.take(S, hold(1, A, at(100)));
    holds.wait(S, B, at(50)).unwrap();
    holds.wait(S, C, at(60)).unwrap();
    assert!(holds.end(S, End::Released(Some(A))));
    assert_eq!(holds.take_woken(), vec![(B, Attempt::Woken)]);
    assert_eq!(holds.standing(10, S), Standing::Turn(B));
    // Its wait is over: time does not take the turn away.
    holds.run_timers(55, 10);
    assert_eq!(holds.standing(55, S), Standing::Turn(B));
    holds.take(S, hold(2, B, at(200)));
    holds.check_invariants();
    assert_eq!(holds.waiters(S), 1);
    holds.run_timers(60, 10);
    assert_eq!(holds.take_woken(), vec![(C, Attempt::TimedOut)]);
    holds.check_invariants();
}

#[test]
fn who_closes_after_it_was_woken_gives_its_turn_to_the_next() {
    let mut holds = Holds::new(1);
    holds.take(S, hold(1, A, at(100)));
    holds.wait(S, B, at(50)).unwrap();
    holds.wait(S, C, at(60)).unwrap();
    holds.end(S, End::Broken);
    holds.connection_closed(B);
    let woken = holds.take_woken();
    assert_eq!(woken, vec![(B, Attempt::Woken), (C, Attempt::Woken)]);
    holds.connection_closed(C);
    assert_eq!(holds.standing(1, S), Standing::Free);
    assert!(holds.is_empty());
    holds.check_invariants();
}

#[test]
fn a_hold_that_is_over_is_over_before_maintenance_says_so() {
    let mut holds = Holds::new(1);
    holds.take(S, hold(1, A, at(100)));
    holds.wait(S, B, at(500)).unwrap();
    assert!(matches!(holds.standing(99, S), Standing::Held(_)));
    assert_eq!(holds.standing(100, S), Standing::Turn(B));
    assert!(!holds.run_timers(100, 10), "the timer went with the hold");
    assert_eq!(holds.counts().expired, 1);
}

#[test]
fn a_lock_that_was_not_released_by_its_owner_has_lapsed() {
    let lock = |fence, owner| Hold {
        by: HeldBy::Lock,
        ..hold(fence, owner, at(100))
    };
    let mut holds = Holds::new(1);
    holds.take(S, lock(1, A));
    holds.end(S, End::Released(Some(A)));
    assert!(!holds.has_lapsed(A, S));
    holds.take(S, lock(2, A));
    holds.end(S, End::Released(Some(B)));
    assert!(holds.has_lapsed(A, S), "someone else released it");
    holds.take(S, lock(3, A));
    assert!(!holds.has_lapsed(A, S), "it has it again");
    holds.take_over(S, lock(4, B));
    assert!(holds.has_lapsed(A, S) && !holds.has_lapsed(B, S));
    holds.connection_closed(A);
    assert!(!holds.has_lapsed(A, S));
    holds.check_invariants();
}

#[test]
fn lapsed_locks_of_a_long_lived_connection_are_bounded() {
    let mut holds = Holds::new(1);
    let most = super::lapsed::MOST as u32;
    for n in 0..most + 10 {
        let id = n.to_le_bytes();
        let session = Named {
            db: Db::ZERO,
            id: &id,
        };
        let lock = Hold {
            by: HeldBy::Lock,
            ..hold(u64::from(n), A, at(100))
        };
        holds.take(session, lock);
        holds.end(session, End::Expired);
    }
    let lapsed = |n: u32| {
        let id = n.to_le_bytes();
        let session = Named {
            db: Db::ZERO,
            id: &id,
        };
        holds.has_lapsed(A, session)
    };
    assert!(!lapsed(9) && lapsed(10) && lapsed(most + 9));
}

/// Many waiters come, time out, close and are served at random: each is told exactly once, and those who are served
/// are served in the order in which they came.
#[test]
fn nobody_is_forgotten_and_nobody_overtakes() {
    for seed in 1..200u64 {
        let mut random = seed;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut holds = Holds::new(seed);
        let (mut now, mut line, mut came) = (0, VecDeque::new(), 10);
        holds.take(S, hold(1, A, at(5)));
        for fence in 2..300 {
            now += next(3);
            match next(5) {
                0 | 1 => {
                    let (connection, until) = (ConnectionId(came), now + 1 + next(20));
                    came += 1;
                    if holds.standing(now, S) == Standing::Free {
                        holds.take(S, hold(fence, connection, at(now + 1 + next(9))));
                    } else {
                        holds.wait(S, connection, at(until)).unwrap();
                        line.push_back(connection);
                    }
                }
                2 => drop(holds.end(S, End::Released(None))),
                3 if !line.is_empty() => {
                    let index = next(line.len() as u64) as usize;
                    let gone: ConnectionId = line.remove(index).unwrap();
                    holds.connection_closed(gone);
                }
                _ => while holds.run_timers(now, 1) {},
            }
            for (connection, attempt) in holds.take_woken() {
                match attempt {
                    Attempt::Woken => {
                        assert_eq!(line.pop_front(), Some(connection), "seed {seed}");
                        holds.take(S, hold(fence, connection, at(now + 1 + next(9))));
                    }
                    Attempt::TimedOut => {
                        let index = line.iter().position(|c| *c == connection);
                        line.remove(index.expect("told once"));
                    }
                    Attempt::First | Attempt::Cancelled => panic!("seed {seed}: {attempt:?}"),
                }
            }
            holds.check_invariants();
            assert_eq!(holds.waiters(S), line.len(), "seed {seed}");
        }
    }
}
