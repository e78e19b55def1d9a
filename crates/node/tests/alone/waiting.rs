//! Whoever waits is served in the end, or gives up what others wait for: no state is left by nothing.

use command::Settings;
use model::ConnectionId;
use node::Input;
use store::SyncMode;

use crate::served::{Served, command};
use crate::topology;

/// Two clients, and one that is only there to do something for them.
const FIRST: usize = 0;
const SECOND: usize = 1;
const OTHER: usize = 2;

/// All three, before a session that the third holds.
fn held(settings: Settings) -> Served {
    let mut served = Served::with(3, SyncMode::EverySecond, settings);
    served.received(
        OTHER,
        &command(&["SESSION.CREATE", "ID", "s", "HOLD", "60000"]),
    );
    turn(&mut served);
    served
}

fn open(wait_ms: &str) -> Vec<u8> {
    command(&["SESSION.OPEN", "s", "HOLD", "1000", "WAIT", wait_ms])
}

/// What each client is sent in a turn in which the disk does all it is asked for.
fn turn(served: &mut Served) -> [String; 3] {
    served.end_turn();
    served.disk_works();
    let mut told = [String::new(), String::new(), String::new()];
    for (to, bytes) in served.sent() {
        let client = served.connections.iter().position(|id| *id == to);
        told[client.expect("a client")].push_str(&String::from_utf8_lossy(&bytes));
    }
    told
}

/// The session is let go: whoever is first in line has it then.
fn broken(served: &mut Served) -> [String; 3] {
    served.received(OTHER, &command(&["SESSION.BREAK", "s"]));
    turn(served)
}

/// The first client has sent this, which does not run yet, and so much behind it that the rest, and the end of the connection, are left unread.
fn left_unread(served: &mut Served, first: &[u8]) -> ConnectionId {
    let connection = served.connections[FIRST];
    served.received(FIRST, first);
    served.received(FIRST, &command(&["PING"]).repeat(40_000));
    assert!(!served.node.accepts_input(connection), "it is left unread");
    connection
}

/// Let go, the session is the second client's, and the first is gone.
fn second_has_it(served: &mut Served) {
    let told = broken(served);
    assert!(told[SECOND].contains("fence"), "{told:?}");
    assert_eq!(served.closed(), [served.connections[FIRST]]);
}

#[test]
fn who_has_ended_while_clients_are_paused_does_not_wait_afterwards() {
    let mut served = held(Settings::default());
    served.received(OTHER, &command(&["CLIENT", "PAUSE", "60000"]));
    served.received(FIRST, &open("60000"));
    let connection = served.connections[FIRST];
    served.handle(Input::Ended { connection });
    served.received(OTHER, &command(&["CLIENT", "UNPAUSE"]));
    served.received(SECOND, &open("60000"));
    second_has_it(&mut served);
}

/// Whoever stands in a line is read on, so that its end is seen, until it has sent so much that it is as if its time were over; what stands behind
/// its command then runs.
#[test]
fn who_sends_much_behind_its_place_in_a_line_has_it_no_longer() {
    let ping = command(&["PING"]);
    let settings = Settings {
        line_ahead_bytes: open("60000").len() + 40_000 * ping.len(),
        ..Settings::default()
    };
    let mut served = held(settings);
    let connection = served.connections[FIRST];
    served.received(FIRST, &open("60000"));
    served.received(FIRST, &ping.repeat(39_999));
    served.received(SECOND, &open("60000"));
    assert_eq!(turn(&mut served), ["", "", ""]);
    assert!(served.node.accepts_input(connection), "it is read on");
    served.received(FIRST, &ping);
    let told = turn(&mut served);
    let answers: Vec<_> = told[FIRST].lines().collect();
    assert_eq!((answers[0], answers.len()), ("-HELD 60000", 40_001));
    assert!(answers[1..].iter().all(|answer| *answer == "+PONG"));
    let told = broken(&mut served);
    assert!(told[SECOND].contains("fence"), "{told:?}");
    assert_eq!(told[FIRST], "");
    assert!(served.closed().is_empty());
}

/// What does not run yet may be left unread, and with it the end of the connection: so it may be seen before the command stands in a line.
#[test]
fn who_ends_unread_before_it_waits_does_not_wait() {
    let mut served = held(Settings::default());
    served.received(OTHER, &command(&["CLIENT", "PAUSE", "60000"]));
    let connection = left_unread(&mut served, &open("60000"));
    served.handle(Input::Ending { connection });
    served.received(OTHER, &command(&["CLIENT", "UNPAUSE"]));
    served.received(SECOND, &open("60000"));
    second_has_it(&mut served);
}

/// Whoever ends and waits for no other is still answered: all that it has sent is read.
#[test]
fn who_ends_unread_is_answered_if_it_waits_for_nobody() {
    let mut served = held(Settings::default());
    served.received(OTHER, &command(&["CLIENT", "PAUSE", "60000"]));
    let connection = left_unread(&mut served, &command(&["GET", "k"]));
    served.handle(Input::Ending { connection });
    served.received(OTHER, &command(&["CLIENT", "UNPAUSE"]));
    assert_eq!(served.wanted(), [connection]);
    served.received(FIRST, &command(&["PING"]));
    served.handle(Input::Ended { connection });
    let told = turn(&mut served);
    assert_eq!(told[FIRST].matches("+PONG").count(), 40_001);
    assert_eq!(served.closed(), [connection]);
}

/// A client in line is pushed so much that its further commands wait until it reads. It does not read; its turn comes all the same,
/// and passes on when the hold ends.
#[test]
fn a_turn_comes_whatever_is_left_unread() {
    let settings = Settings {
        output_pause_bytes: 64,
        ..Settings::default()
    };
    let mut served = held(settings);
    served.node.set_topology(topology::seen_by(1));
    served.received(FIRST, &command(&["HELLO", "3"]));
    turn(&mut served);
    served.received(FIRST, &command(&["CLIENT", "MAINT_NOTIFICATIONS", "ON"]));
    assert_eq!(turn(&mut served)[FIRST], "+OK\r\n");
    served.received(FIRST, &open("60000"));
    served.received(SECOND, &open("60000"));
    served.node.set_topology(topology::about_to_leave());
    served.node.set_topology(topology::after_a_move());
    let unread = served.node.unsent(served.connections[FIRST]).len();
    assert!(unread > 64, "{unread} bytes are unread");
    served.received(OTHER, &command(&["SESSION.BREAK", "s"]));
    served.received(OTHER, &command(&["SESSION.BREAK", "s"]));
    served.end_turn();
    served.disk_works();
    let second = served.connections[SECOND];
    let told = String::from_utf8_lossy(served.node.output(second)).into_owned();
    assert!(told.contains("fence"), "{told}");
}

/// What commands want that run after the end of a turn, as a disk event has let them, is not left until something else happens.
#[test]
fn what_runs_after_the_end_of_a_turn_is_not_left_there() {
    let mut served = Served::new(2, SyncMode::EverySecond);
    served.received(FIRST, &command(&["SET", "other", "1"]));
    turn(&mut served);
    let value = "v".repeat(1 << 20);
    served.received(FIRST, &command(&["SET", "k", &value]).repeat(64));
    let mut answered = 0;
    for _ in 0..1_000 {
        served.end_turn();
        served.asked_disk_works();
        for (_, bytes) in served.sent() {
            answered += bytes.windows(5).filter(|w| w == b"+OK\r\n").count();
        }
        if !served.node.is_busy() {
            break;
        }
    }
    assert_eq!(answered, 64, "the rest waits for something else to happen");
}
