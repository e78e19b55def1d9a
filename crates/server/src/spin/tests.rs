use super::{SPIN_US, Spin};

/// Turns with this wait, each with requests of `connections` connections.
fn turns(spin: &mut Spin, from: u64, count: u64, waited_us: u64, connections: u32) {
    let mut window = 0;
    for turn in from..from + count {
        if Spin::window(turn) != window {
            window = Spin::window(turn);
            (0..connections).for_each(|_| spin.first_active());
        }
        spin.turned(turn, waited_us);
    }
}

#[test]
fn a_lone_busy_connection_is_worth_it_and_an_idle_one_is_not() {
    let mut spin = Spin::default();
    assert!(!spin.is_worth_it());
    turns(&mut spin, 0, 64, 30, 1);
    assert!(spin.is_worth_it());
    turns(&mut spin, 64, 1, 10_000, 1);
    assert!(!spin.is_worth_it());
}

#[test]
fn many_connections_are_not_worth_it_even_if_each_turn_serves_one() {
    let mut spin = Spin::default();
    turns(&mut spin, 0, 640, 10, 50);
    assert!(!spin.is_worth_it());
    turns(&mut spin, 640, 128, 10, 4);
    assert!(spin.is_worth_it());
}

#[test]
fn asking_in_vain_soon_ends() {
    let mut spin = Spin::default();
    turns(&mut spin, 0, 64, 10, 1);
    turns(&mut spin, 64, 1, SPIN_US + 10, 1);
    assert!(!spin.is_worth_it());
}
