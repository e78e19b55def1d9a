//! Whoever waits at a member is answered in the end, whatever becomes of the copy, and passes on what others wait for.

use model::ConnectionId;

use crate::number_after;
use crate::world::World;

type Connection = (usize, ConnectionId);

const OPEN: &str = "SESSION.OPEN cart HOLD 60000 WAIT 60000";
/// Commands that are sent behind the one that waits.
const PINGS: usize = 60_000;

/// A client that sends ahead, and is read as the server reads.
struct Ahead {
    connection: Connection,
    left: Vec<u8>,
    /// The node wanted no more, and has not asked again.
    unread: bool,
    answered: String,
}

impl Ahead {
    fn new(world: &mut World, node: usize, first: &str) -> Self {
        let connection = world.connect(node);
        let mut left = format!("{first}\r\n").into_bytes();
        left.extend(b"PING\r\n".repeat(PINGS));
        let mut ahead = Self {
            connection,
            left,
            unread: false,
            answered: String::new(),
        };
        ahead.read(world);
        ahead
    }

    fn left_unread(world: &mut World, node: usize, first: &str) -> Self {
        let ahead = Self::new(world, node, first);
        assert!(ahead.unread, "it waits, and is left unread");
        ahead
    }

    fn read(&mut self, world: &mut World) {
        self.unread &= !world.is_wanted(self.connection);
        while !self.unread && !self.left.is_empty() {
            if world.accepts(self.connection) {
                let piece = self.left.len().min(16 << 10);
                let piece: Vec<u8> = self.left.drain(..piece).collect();
                world.send_bytes(self.connection, &piece);
            } else {
                self.unread = true;
            }
        }
    }

    /// The first answer, when all are there.
    fn first_answer(mut self, world: &mut World) -> String {
        world.until("all that was sent ahead is answered", |world| {
            self.read(world);
            self.answered += &world.take(self.connection);
            self.answered.matches("+PONG\n").count() == PINGS
        });
        let (first, _) = self.answered.split_once("+PONG").expect("an answer");
        first.to_owned()
    }
}

/// Cuts a node off from all others, until it may answer nothing.
fn isolate(world: &mut World, node: usize, others: &[usize]) {
    for other in others {
        world.cut(node, *other);
    }
    world.pass(400);
}

#[test]
fn behind_a_copy_without_a_quorum_until_it_is_refused() {
    let mut world = World::new(3, 1, false);
    let primary = world.primary(0);
    let others = [(primary + 1) % 3, (primary + 2) % 3];
    isolate(&mut world, primary, &others);
    let ahead = Ahead::left_unread(&mut world, primary, "SET k 1");
    let answer = ahead.first_answer(&mut world);
    assert!(answer.starts_with("-NOQUORUM"), "{answer}");
}

#[test]
fn behind_a_copy_without_a_quorum_until_there_is_one() {
    let mut world = World::new(3, 1, false);
    let primary = world.primary(0);
    let others = [(primary + 1) % 3, (primary + 2) % 3];
    isolate(&mut world, primary, &others);
    let ahead = Ahead::left_unread(&mut world, primary, "SET k 1");
    world.heal();
    assert_eq!(ahead.first_answer(&mut world), "+OK\n");
}

/// The node that takes a shard over has a client before it serves.
#[test]
fn behind_a_copy_that_does_not_serve_yet() {
    let mut world = World::new(3, 1, false);
    let next = (world.primary(0) + 1) % 3;
    world.decide(0, &[0, 1, 2], next);
    let ahead = Ahead::left_unread(&mut world, next, "SET k 1");
    assert_eq!(ahead.first_answer(&mut world), "+OK\n");
}

/// The same where it never will: another is decided upon.
#[test]
fn behind_a_copy_that_is_overtaken_by_another() {
    let mut world = World::new(3, 1, false);
    let first = world.primary(0);
    let (next, last) = ((first + 1) % 3, (first + 2) % 3);
    world.cut(next, first);
    world.cut(next, last);
    world.decide(0, &[0, 1, 2], next);
    let ahead = Ahead::left_unread(&mut world, next, "SET k 1");
    world.decide(0, &[0, 1, 2], last);
    let answer = ahead.first_answer(&mut world);
    assert!(answer.starts_with("-MOVED"), "{answer}");
}

#[test]
fn in_a_line_whose_shard_moves_away() {
    let mut world = World::new(3, 1, false);
    let first = world.primary(0);
    let holder = world.connect(first);
    world.ask_over(holder, "SESSION.OPEN cart HOLD 60000 CREATE");
    let ahead = Ahead::new(&mut world, first, OPEN);
    world.decide(0, &[0, 1, 2], (first + 1) % 3);
    let answer = ahead.first_answer(&mut world);
    assert!(answer.starts_with("-MOVED"), "{answer}");
}

/// A hold ends while there is no quorum: whoever's turn it is then cannot take it, and is refused. The turn must not stay with it.
#[test]
fn who_is_refused_when_its_turn_comes_passes_it_on() {
    let mut world = World::new(3, 1, true);
    let primary = world.primary(0);
    let others = [(primary + 1) % 3, (primary + 2) % 3];
    let holder = world.connect(primary);
    world.ask_over(holder, "SESSION.OPEN cart HOLD 1000 CREATE");
    let waiter = world.connect(primary);
    world.tell(waiter, OPEN);
    isolate(&mut world, primary, &others);
    assert_eq!(world.take(waiter), "", "it stands in line");
    world.pass(3_500);
    assert!(world.take(waiter).starts_with("-NOQUORUM"));
    world.heal();
    world.pass(500);
    let next = world.connect(primary);
    let opened = world.ask_over(next, "SESSION.OPEN cart HOLD 60000");
    assert!(number_after(&opened, "fence") > 0, "{opened}");
}

/// The same with another in line, who gets it as soon as there is a quorum.
#[test]
fn who_is_next_in_line_gets_the_turn_of_who_was_refused() {
    let mut world = World::new(3, 1, true);
    let primary = world.primary(0);
    let others = [(primary + 1) % 3, (primary + 2) % 3];
    let holder = world.connect(primary);
    world.ask_over(holder, "SESSION.OPEN cart HOLD 1000 CREATE");
    let (waiter, next) = (world.connect(primary), world.connect(primary));
    world.tell(waiter, OPEN);
    world.tell(next, OPEN);
    isolate(&mut world, primary, &others);
    world.pass(3_500);
    assert!(world.take(waiter).starts_with("-NOQUORUM"));
    assert_eq!(
        world.take(next),
        "",
        "its turn has come: it waits for a quorum"
    );
    world.heal();
    world.pass(500);
    let opened = world.take(next);
    assert!(number_after(&opened, "fence") > 0, "{opened}");
}

/// Whoever was woken and could not run, because its copy had no quorum, asks again when that copy stops to serve, and then stands in
/// another line: it is not to be woken out of that one for having waited for a copy.
#[test]
fn who_waited_for_a_copy_and_stands_in_a_line_since_is_left_there() {
    let mut world = World::new(5, 4, false);
    world.decide(3, &[3, 4, 0], 0);
    world.until_served();
    let (mine, other) = (key_in(&mut world, 0), key_in(&mut world, 3));
    let holder = world.connect(0);
    world.ask_over(holder, &format!("SESSION.OPEN {mine} HOLD 1000 CREATE"));
    let held = world.ask_over(holder, &format!("SESSION.OPEN {other} HOLD 60000 CREATE"));
    let fence = number_after(&held, "fence");
    let waiter = world.connect(0);
    world.tell(waiter, &format!("SESSION.OPEN {mine} HOLD 1000 WAIT 60000"));
    world.tell(
        waiter,
        &format!("SESSION.OPEN {other} HOLD 1000 WAIT 60000"),
    );
    isolate(&mut world, 0, &[1, 2]);
    world.pass(800);
    assert_eq!(
        world.take(waiter),
        "",
        "its turn has come, without a quorum"
    );
    world.decide(0, &[0, 1, 2], 1);
    world.pass(100);
    let moved = world.take(waiter);
    assert!(
        moved.starts_with("-MOVED") && moved.lines().count() == 1,
        "{moved}"
    );
    world.ask_over(holder, &format!("SESSION.RELEASE {other} {fence}"));
    world.pass(100);
    let opened = world.take(waiter);
    assert!(number_after(&opened, "fence") > fence, "{opened}");
}

/// Some key of a shard.
fn key_in(world: &mut World, shard: u16) -> String {
    for number in 0..200 {
        let key = format!("cart:{number}");
        let slot = world.ask(0, &format!("CLUSTER KEYSLOT {key}"));
        let slot: u16 = slot.trim().trim_start_matches(':').parse().expect("a slot");
        if world.shard_of(slot) == shard {
            return key;
        }
    }
    panic!("no key in shard {shard}");
}

/// A command that was answered after it had waited for a copy has used none of the time that the next one may wait.
#[test]
fn patience_begins_anew_after_a_turn_was_waited_for() {
    let mut world = World::new(3, 1, true);
    let primary = world.primary(0);
    let others = [(primary + 1) % 3, (primary + 2) % 3];
    let holder = world.connect(primary);
    world.ask_over(holder, "SESSION.OPEN cart HOLD 6000 CREATE");
    isolate(&mut world, primary, &others);
    let waiter = world.connect(primary);
    world.tell(waiter, OPEN);
    world.pass(200);
    world.heal();
    world.pass(3_000);
    assert_eq!(world.take(waiter), "", "it stands in line");
    isolate(&mut world, primary, &others);
    world.pass(2_800);
    assert_eq!(
        world.take(waiter),
        "",
        "its turn has come, without a quorum"
    );
    world.heal();
    world.pass(500);
    let opened = world.take(waiter);
    assert!(number_after(&opened, "fence") > 0, "{opened}");
}

/// A write that the end of a file has no room for.
fn long_set() -> Vec<u8> {
    let value = "v".repeat(400_000);
    format!("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$400000\r\n{value}\r\n").into_bytes()
}

/// A client whose write waits for a log that takes nothing, as the disk of the primary has no room for another file; and that primary.
fn behind_a_full_disk() -> (World, usize, Connection) {
    let mut world = World::new(3, 1, true);
    let primary = world.primary(0);
    world.set_full(primary, true);
    let client = world.connect(primary);
    for _ in 0..40 {
        world.send_bytes(client, &long_set());
        world.pass(20);
        let told = world.take(client);
        if told.is_empty() {
            return (world, primary, client);
        }
        assert_eq!(told, "+OK\n");
    }
    panic!("the log takes more than there were files for");
}

#[test]
fn behind_a_log_that_takes_nothing_until_another_copy_leads() {
    let (mut world, primary, client) = behind_a_full_disk();
    world.decide(0, &[0, 1, 2], (primary + 1) % 3);
    world.pass(300);
    let told = world.take(client);
    assert!(told.starts_with("-MOVED"), "{told}");
}

/// Nobody leads in its place: it is told what is wrong, and whoever comes later is told at once.
#[test]
fn behind_a_log_that_takes_nothing_until_it_is_told_why() {
    let (mut world, primary, client) = behind_a_full_disk();
    world.pass(1_000);
    assert_eq!(world.take(client), "", "another may lead soon");
    world.pass(700);
    let told = world.take(client);
    assert!(told.starts_with("-MISCONF"), "{told}");
    world.send_bytes(client, &long_set());
    world.tell(client, "STRLEN key");
    world.pass(20);
    let told = world.take(client);
    assert!(
        told.starts_with("-MISCONF") && told.ends_with(":400000\n"),
        "{told}"
    );
    world.set_full(primary, false);
    world.pass(2_000);
    assert_eq!(world.ask_over(client, "SET key 1"), "+OK\n");
}
