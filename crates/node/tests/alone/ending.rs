//! A node that ends: what is under way is answered, and behind the end of its log nothing is written.

use command::Settings;
use model::{Db, Now};
use store::SyncMode;

use crate::served::{NOW, Served, command};

fn served(clients: usize) -> Served {
    let mut served = Served::with(clients, SyncMode::EverySecond, Settings::default());
    served.end_turn();
    served
}

/// A turn in which the disk does all it is asked for.
fn turn(served: &mut Served) {
    served.end_turn();
    served.disk_works();
}

/// The log is ended, and all of it is on disk.
fn seal(served: &mut Served) {
    for _ in 0..2 {
        served.node.seal();
        turn(served);
    }
}

fn text(served: &mut Served) -> String {
    let sent = served.sent().into_iter();
    sent.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

/// One client that has sent more than the log has files for, and behind that a command.
fn behind_a_busy_log() -> Served {
    let mut served = served(1);
    served.disk_works();
    let value = "v".repeat(1 << 20);
    served.received(0, &command(&["SET", "k", &value]).repeat(64));
    served.received(0, &command(&["SET", "last", "v"]));
    served.node.drain();
    served
}

/// How many keys there are.
fn keys(served: &Served) -> u64 {
    served.node.shard().store().len(Db::ZERO)
}

#[test]
fn a_command_that_waits_for_the_log_is_answered_before_the_end() {
    let mut served = behind_a_busy_log();
    let mut answers = String::new();
    while !served.node.is_drained() {
        turn(&mut served);
        answers += &text(&mut served);
    }
    assert_eq!(answers, "+OK\r\n".repeat(65));
    seal(&mut served);
    assert!(served.node.is_sealed());
    assert_eq!(keys(&served), 2);
}

/// Of what was executed, the answers still leave.
#[test]
fn a_command_that_still_waits_for_the_log_at_its_end_is_not_executed() {
    let mut served = behind_a_busy_log();
    let executed = served.node.unsent(served.connections[0]).to_vec();
    assert!(
        (1..64).contains(&(executed.len() / 5)),
        "{}",
        executed.len()
    );
    seal(&mut served);
    assert_eq!(text(&mut served).len(), executed.len());
    assert_eq!(keys(&served), 1, "something is behind the end");
    assert!(served.node.is_sealed());
    assert_eq!(served.closed(), served.connections);
}

/// Nor one that comes then, or waited for its turn.
#[test]
fn nobody_is_served_behind_the_end() {
    let mut served = served(3);
    served.disk_works();
    let open = ["SESSION.OPEN", "s", "HOLD", "1000", "CREATE"];
    served.received(0, &command(&open));
    turn(&mut served);
    assert!(text(&mut served).contains("fence"));
    let wait = ["SESSION.OPEN", "s", "HOLD", "1000", "WAIT", "60000"];
    served.received(1, &command(&wait));
    served.node.drain();
    assert!(
        served.node.is_drained(),
        "who waits for others is not waited for"
    );
    served.node.seal();
    served.received(2, &command(&["SET", "k", "v"]));
    served.now = Now {
        unix_ms: NOW.unix_ms + 2_000,
        mono_us: NOW.mono_us + 2_000_000,
    };
    seal(&mut served);
    assert_eq!(text(&mut served), "");
    assert!(served.node.is_sealed());
    let mut closed = served.closed();
    closed.sort();
    assert_eq!(closed, served.connections);
}

/// What expires then, the next start finds out by itself.
#[test]
fn nothing_is_tidied_behind_the_end() {
    let mut served = served(1);
    served.disk_works();
    served.received(0, &command(&["SET", "k", "v", "PX", "10"]));
    turn(&mut served);
    served.node.drain();
    seal(&mut served);
    assert!(served.node.is_sealed());
    for _ in 0..10 {
        served.now.unix_ms += 1_000;
        served.now.mono_us += 1_000_000;
        turn(&mut served);
    }
    assert!(served.node.is_sealed(), "something was written");
}
