//! Nodes that are members of a cluster, whole: clients, replicas, stores and files.

mod aside;
mod chance;
mod chaos;
mod history;
mod waiting;
mod world;

use std::collections::BTreeSet;

use replica::How;
use world::World;

/// Values of this length make a log that no backlog keeps.
fn long(seed: usize) -> String {
    format!("{seed:04}").repeat(1_000)
}

fn bulk(text: &str) -> String {
    format!("${}\n{text}\n", text.len())
}

fn set_all(world: &mut World, keys: std::ops::Range<usize>) {
    for key in keys {
        let set = format!("SET key:{key} {}", long(key));
        assert_eq!(world.follow(&set), "+OK\n");
    }
}

fn assert_all(world: &mut World, keys: std::ops::Range<usize>) {
    for key in keys {
        let got = world.follow(&format!("GET key:{key}"));
        assert_eq!(got, bulk(&long(key)), "key:{key}");
    }
}

/// The number behind a line of a session's reply.
fn number_after(reply: &str, name: &str) -> u64 {
    let lines: Vec<&str> = reply.lines().collect();
    let at = lines.iter().position(|line| *line == name);
    let value = lines[at.unwrap_or_else(|| panic!("no {name} in {reply}")) + 1];
    value.trim_start_matches(':').parse().expect("a number")
}

#[test]
fn a_write_is_redirected_to_its_primary_and_survives_it() {
    for files in [false, true] {
        let mut world = World::new(3, 4, files);
        set_all(&mut world, 0..40);
        world.kill(0);
        world.fail_over(0);
        world.until_served();
        assert_all(&mut world, 0..40);
        assert_eq!(world.follow("SET after 1"), "+OK\n");
    }
}

#[test]
fn a_standby_that_was_cut_off_catches_up_from_the_backlog() {
    let mut world = World::new(3, 1, false);
    world.cut(0, 2);
    world.cut(1, 2);
    set_all(&mut world, 0..20);
    world.heal();
    world.pass(500);
    world.kill(0);
    world.kill(1);
    // It is alone with what it has: a set of its own, to look at it.
    world.start_anew(0);
    world.until("the standby has everything", |world| {
        let copies = world
            .node(2)
            .shards()
            .map(|(_, shard)| shard.store().len(model::Db::ZERO));
        copies.sum::<u64>() == 20
    });
}

#[test]
fn a_new_member_is_filled_while_writes_go_on() {
    for files in [false, true] {
        let mut world = World::without_shards(4, files);
        // A backlog that keeps less than is written.
        world.replica.backlog_bytes = 64 << 10;
        world.replica.uncommitted_bytes = 64 << 10;
        for number in 0..4 {
            world.kill(number);
            world.start(number);
        }
        world.create(1);
        set_all(&mut world, 0..200);
        assert_eq!(world.follow("DEL key:7"), ":1\n");
        let (a, b, c) = (0, 1, 2);
        world.decide(0, &[a, b, 3], a);
        world.until_served();
        let mut key = 200;
        world.until("the new member counts", |world| {
            set_all(world, key..key + 1);
            assert_eq!(world.follow(&format!("DEL key:{}", key - 190)), ":1\n");
            key += 1;
            let copies = world.copies(a);
            copies[0].complete == 0b111
        });
        world.kill(a);
        world.kill(b);
        world.start(b);
        world.decide(0, &[b, 3], 3);
        world.until_served();
        assert_eq!(world.primary(0), 3);
        for old in 7..=7 {
            assert_eq!(world.follow(&format!("GET key:{old}")), "$-1\n");
        }
        assert_eq!(world.follow(&format!("GET key:{}", key - 191)), "$-1\n");
        assert_all(&mut world, key - 190..key);
        assert_eq!(world.node(c).shards().count(), 0, "who left holds nothing");
    }
}

#[test]
fn holds_users_and_fences_survive_a_failover() {
    let mut world = World::new(3, 1, false);
    let created = world.follow("SESSION.CREATE ID cart USER alice FIELDS 1 items apple");
    assert!(created.contains("items"), "{created}");
    let primary = world.primary(0);
    let holder = world.connect(primary);
    let opened = world.ask_over(holder, "SESSION.OPEN cart HOLD 60000");
    let fence = number_after(&opened, "fence");
    let waiter = world.connect(primary);
    world.tell(waiter, "SESSION.OPEN cart HOLD 60000 WAIT 60000");
    world.pass(50);
    assert_eq!(world.take(waiter), "", "it stands in line");

    world.kill(primary);
    world.fail_over(primary);
    world.until_served();
    let held = world.follow("HSET cart items pear");
    assert!(held.starts_with("-HELD"), "{held}");
    let listed = world.follow("SESSION.LIST USER alice");
    assert!(listed.contains("cart"), "{listed}");
    let committed = world.follow(&format!(
        "SESSION.COMMIT cart {fence} SET 1 items pear KEEP 60000"
    ));
    assert_eq!(committed, ":2\n");
    assert_eq!(
        world.follow(&format!("SESSION.RELEASE cart {fence}")),
        "+OK\n"
    );
    let next = world.follow("SESSION.OPEN cart HOLD 60000");
    assert!(number_after(&next, "fence") > fence, "{next}");
    assert!(next.contains("pear"), "{next}");
}

/// Three nodes that guard sessions, also by locks.
fn guarded(shards: u16) -> World {
    let mut world = World::without_shards(3, false);
    world.settings.guards = vec![shard::Guard {
        prefix: b"sess:".to_vec(),
        no_resurrection_ms: Some(60_000),
        lock_suffix: Some(b"_LOCK".to_vec()),
    }];
    for number in 0..3 {
        world.kill(number);
        world.start(number);
    }
    world.create(shards);
    world
}

/// Connections stay open while their node does not lead, for a moment or for long: what a late write under a lock may do does not change by that.
#[test]
fn a_lock_is_its_connections_when_the_same_node_leads_again() {
    let mut world = guarded(1);
    let (all, first) = ([0, 1, 2], world.primary(0));
    let other = (first + 1) % 3;
    let (kept, late) = (world.connect(first), world.connect(first));
    let ask = |world: &mut World, connection, command: &str| {
        let reply = world.ask_over(connection, command);
        reply.trim_end().to_owned()
    };
    assert_eq!(
        ask(&mut world, kept, "SET sess:{a}_LOCK 1 NX PX 60000"),
        "+OK"
    );
    assert_eq!(
        ask(&mut world, late, "SET sess:{b}_LOCK 1 NX PX 60000"),
        "+OK"
    );

    // Only the set changes.
    world.decide(0, &all, first);
    world.until_served();
    assert_eq!(ask(&mut world, kept, "SET sess:{a} 1"), "+OK");
    assert_eq!(ask(&mut world, late, "SET sess:{b} 1"), "+OK");

    // Another node leads, and the lock passes on.
    world.decide(0, &all, other);
    world.until_served();
    let next = world.connect(other);
    assert_eq!(ask(&mut world, next, "DEL sess:{b}_LOCK"), ":1");
    assert_eq!(
        ask(&mut world, next, "SET sess:{b}_LOCK 2 NX PX 60000"),
        "+OK"
    );
    assert_eq!(ask(&mut world, next, "SET sess:{b} 2"), "+OK");
    assert_eq!(ask(&mut world, next, "DEL sess:{b}_LOCK"), ":1");
    world.decide(0, &all, first);
    world.until_served();
    assert_eq!(ask(&mut world, kept, "SET sess:{a} 2"), "+OK");
    let fenced = ask(&mut world, late, "SET sess:{b} 3");
    assert!(fenced.starts_with("-FENCED"), "{fenced}");

    // What is remembered of connections does not outlive the copy.
    world.decide(0, &[1, 2], other);
    world.until_served();
    world.until("the copy is gone", |world| {
        world.node(first).shards().count() == 0
    });
    world.pass(50);
    assert_eq!(
        (world.take(kept), world.take(late)),
        ("(closed)".into(), "(closed)".into())
    );
}

/// A lock is known where its key is. So it guards a session in the same shard, as it surely does with a hash tag in common, before and after
/// a failover.
#[test]
fn a_lock_key_guards_its_session_across_a_failover() {
    let mut world = guarded(3);
    assert_eq!(world.follow("SET sess:{a} cart"), "+OK\n");
    assert_eq!(world.follow("SET sess:{b} cart"), "+OK\n");
    assert_eq!(world.follow("DEL sess:{b}"), ":1\n");
    let lock = "SET sess:{a}_LOCK token NX PX 3000";
    assert_eq!(world.follow(lock), "+OK\n");
    let held = world.follow("SET sess:{a} late");
    assert!(held.starts_with("-HELD"), "{held}");
    let shard =
        |world: &World, tag: &str| world.shard_of(model::slot::Slot::of(tag.as_bytes()).number());
    for tag in ["a", "b"] {
        let primary = world.primary(shard(&world, tag));
        world.kill(primary);
        world.fail_over(primary);
        world.until_served();
        world.start_anew(primary);
        for shard in 0..3 {
            let leads = world.primary(shard);
            world.decide(shard, &[0, 1, 2], leads);
        }
        world.until_served();
        world.until("all copies are complete", |world| {
            (0..3).all(|node| {
                world
                    .copies(node)
                    .iter()
                    .all(|copy| world.primary(copy.shard.0) != node || copy.complete == 0b111)
            })
        });
        let held = world.follow("SET sess:{a} late");
        assert!(held.starts_with("-HELD"), "{held}");
        let gone = world.follow("SET sess:{b} back");
        assert!(gone.starts_with("-GONE"), "{gone}");
        assert_eq!(world.follow("GET sess:{a}"), bulk("cart"));
    }
    world.pass(4_000);
    assert_eq!(world.follow("SET sess:{a} next"), "+OK\n");
    let gone = world.follow("SET sess:{b} back");
    assert!(gone.starts_with("-GONE"), "{gone}");
}

/// Sessions of a user, some in each of three shards; how many by shard.
fn sessions_of_alice(world: &mut World) -> [i64; 3] {
    let mut counts = [0; 3];
    for number in 0..12 {
        let id = format!("session:{number}");
        let slot = model::slot::Slot::of(id.as_bytes()).number();
        counts[usize::from(world.shard_of(slot))] += 1;
        let created = world.follow(&format!("SESSION.CREATE ID {id} USER alice"));
        assert!(created.contains(&id), "{created}");
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    counts
}

/// "Logged out everywhere" must not leave out what is being taken over at this moment.
#[test]
fn a_command_about_all_keys_waits_for_a_shard_that_this_node_is_to_lead() {
    let mut world = World::new(3, 3, false);
    let [first, second, _] = sessions_of_alice(&mut world);
    world.kill(0);
    world.fail_over(0);
    assert_eq!((world.primary(0), world.serves(1, 0)), (1, false));
    let size = world.ask(1, "DBSIZE");
    assert_eq!(size, format!(":{}\n", first + second));
    world.kill(2);
    world.pass(1_000);
    let revoked = world.ask(1, "SESSION.REVOKE USER alice");
    assert!(revoked.starts_with("-NOQUORUM"), "{revoked}");
    assert!(
        world.ask(1, "INFO").contains("# Keyspace"),
        "an operator is told"
    );
}

/// What it is to lead it does not know yet: nothing would be a wrong answer.
#[test]
fn a_command_about_all_keys_is_refused_before_there_is_a_map() {
    let mut world = World::new(3, 3, true);
    sessions_of_alice(&mut world);
    world.kill(0);
    world.start_without_map(0);
    for command in [
        "SESSION.REVOKE USER alice",
        "SESSION.LIST USER alice",
        "DBSIZE",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "FLUSHALL",
    ] {
        let refused = world.ask(0, command);
        assert!(refused.starts_with("-CLUSTERDOWN"), "{command}: {refused}");
    }
    assert!(
        world.ask(0, "INFO").contains("# Keyspace"),
        "an operator is told"
    );
    world.tell_map();
    let later = world.ask(0, "SESSION.REVOKE USER alice");
    assert!(later.starts_with("-TRYAGAIN"), "{later}");
}

/// The map still names its earlier life, so clients come to it: they are not to be told that there is nothing, nor sent here once more.
#[test]
fn who_has_begun_a_new_life_answers_for_what_it_led_only_when_another_leads() {
    let mut world = World::new(3, 3, false);
    let [first, second, _] = sessions_of_alice(&mut world);
    world.kill(0);
    world.start_anew(0);
    let mut keys = (0..12).map(|number| format!("session:{number}"));
    let is_first =
        |key: &String| world.shard_of(model::slot::Slot::of(key.as_bytes()).number()) == 0;
    let key = keys.find(is_first).expect("it has some");
    for command in ["SESSION.REVOKE USER alice", "DBSIZE", &format!("GET {key}")] {
        let later = world.ask(0, command);
        assert!(later.starts_with("-TRYAGAIN"), "{command}: {later}");
    }
    world.fail_over(0);
    assert_eq!(world.ask(0, "DBSIZE"), ":0\n");
    let revoked = world.ask(1, "SESSION.REVOKE USER alice");
    assert_eq!(revoked, format!(":{}\n", first + second));
}

#[test]
fn a_user_is_revoked_in_a_shard_that_is_just_taken_over() {
    let mut world = World::new(3, 3, false);
    let [first, second, third] = sessions_of_alice(&mut world);
    world.kill(0);
    world.fail_over(0);
    let revoked = world.ask(1, "SESSION.REVOKE USER alice");
    assert_eq!(revoked, format!(":{}\n", first + second));
    let revoked = world.ask(2, "SESSION.REVOKE USER alice");
    assert_eq!(revoked, format!(":{third}\n"));
    for number in 0..12 {
        let left = world.follow(&format!("EXISTS session:{number}"));
        assert_eq!(left, ":0\n", "session:{number}");
    }
}

#[test]
fn a_planned_hand_over_refuses_nobody() {
    let mut world = World::new(3, 1, false);
    set_all(&mut world, 0..5);
    let old = world.primary(0);
    let waiter = world.connect(old);
    let held = world.ask(old, "SESSION.OPEN cart HOLD 60000 CREATE");
    let fence = number_after(&held, "fence");
    world.tell(waiter, "SESSION.OPEN cart HOLD 60000 WAIT 60000");
    let writers: Vec<_> = (0..10).map(|_| world.connect(old)).collect();
    for (at, writer) in writers.iter().enumerate() {
        world.tell(*writer, &format!("SET during:{at} 1"));
    }
    let new = (old + 1) % 3;
    world.decide(0, &[0, 1, 2], new);
    for (at, writer) in writers.iter().enumerate() {
        world.tell(*writer, &format!("SET late:{at} 1"));
    }
    world.until_served();
    world.pass(10);
    for writer in writers {
        let reply = world.take(writer);
        let fit = |line: &str| line == "+OK" || line.starts_with("-MOVED");
        assert!(
            reply.lines().all(fit) && reply.lines().count() == 2,
            "{reply}"
        );
    }
    assert!(
        world.take(waiter).starts_with("-MOVED"),
        "who stood in line asks elsewhere"
    );
    for at in 0..10 {
        assert_eq!(world.follow(&format!("GET during:{at}")), "$1\n1\n");
    }
    assert_eq!(
        world.follow(&format!("SESSION.RELEASE cart {fence}")),
        "+OK\n"
    );
}

/// Whom it would name may not know yet, and would send the client back: some clients give up after four redirections, which take a millisecond.
#[test]
fn who_leads_no_more_names_its_successor_when_that_knows() {
    let mut world = World::new(3, 1, false);
    let old = world.primary(0);
    let new = (old + 1) % 3;
    world.decide_untold(0, &[0, 1, 2], new);
    world.tell_map_to(old);
    let early = world.connect(old);
    world.tell(early, "SET key 1");
    world.pass(50);
    assert_eq!(world.take(early), "", "it waits");
    let back = world.ask(new, "SET key 1");
    assert_eq!(World::redirected(&back), Some(old), "{back}");

    world.tell_map_to(new);
    world.pass(50);
    let now = world.take(early);
    assert_eq!(World::redirected(&now), Some(new), "{now}");
    assert_eq!(world.ask(new, "SET key 1"), "+OK\n");
}

#[test]
fn without_a_quorum_writes_and_reads_wait_and_are_refused() {
    let mut world = World::new(3, 1, true);
    set_all(&mut world, 0..3);
    let primary = world.primary(0);
    for other in (0..3).filter(|n| *n != primary) {
        world.kill(other);
    }
    world.pass(400);
    let writer = world.connect(primary);
    world.tell(writer, "SET key:1 2");
    let reader = world.connect(primary);
    world.tell(reader, "GET key:1");
    world.pass(500);
    assert_eq!(
        (world.take(writer), world.take(reader)),
        (String::new(), String::new())
    );
    world.pass(2_000);
    assert!(world.take(writer).starts_with("-NOQUORUM"));
    assert!(world.take(reader).starts_with("-NOQUORUM"));

    // One comes back: a command that still waits is answered.
    world.tell(writer, "SET key:2 waited");
    world.start((primary + 1) % 3);
    world.pass(500);
    assert_eq!(world.take(writer), "+OK\n");
}

/// Time stands still for commands that only read while there is no quorum; what is written when it returns has to live for its time from then.
#[test]
fn what_is_written_when_the_quorum_returns_lives_for_its_time() {
    let mut world = World::new(3, 1, true);
    set_all(&mut world, 0..3);
    let primary = world.primary(0);
    for other in (0..3).filter(|n| *n != primary) {
        world.kill(other);
    }
    let early = world.connect(primary);
    world.tell(early, "SET key:1 2");
    world.pass(4_000);
    let late = world.connect(primary);
    world.tell(late, "SET mortal x PX 3000");
    world.start((primary + 1) % 3);
    world.pass(500);
    assert_eq!(world.take(late), "+OK\n");
    let left = number(&world.ask(primary, "PTTL mortal"));
    assert!((2_400..=3_000).contains(&left), "{left} ms are left");
}

#[test]
fn commands_without_a_key_are_about_the_primaries_of_the_node() {
    let mut world = World::new(3, 16, false);
    for key in 0..100 {
        assert_eq!(world.follow(&format!("SET key:{key} {key}")), "+OK\n");
    }
    let sizes: Vec<u64> = (0..3).map(|n| number(&world.ask(n, "DBSIZE"))).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 100);
    let mut found = BTreeSet::new();
    for (node, size) in sizes.iter().enumerate() {
        let keys = scan(&mut world, node);
        assert_eq!(keys.len() as u64, *size, "each once, where nothing changes");
        found.extend(keys);
    }
    assert_eq!(found.len(), 100);
    let cross = world.follow("MSET key:1 1 key:2 2");
    assert!(cross.starts_with("-CROSSSLOT"), "{cross}");
    assert_eq!(world.follow("MSET {a}1 1 {a}2 2"), "+OK\n");
    assert_eq!(world.ask(0, "FLUSHALL"), "+OK\n");
    assert_eq!(world.ask(0, "DBSIZE"), ":0\n");
    let info = world.ask(1, "INFO keyspace");
    assert!(info.contains("db0:keys="), "{info}");
    let made = world.ask(1, "SESSION.CREATE");
    assert!(made.contains("version"), "an id of its own slots: {made}");
    assert!(world.ask(1, "SWAPDB 0 1").starts_with("-ERR"));
}

/// A SCAN of one shard goes on at whoever leads it next, which has never been scanned, and finds all that is there throughout.
#[test]
fn a_scan_of_a_shard_outlives_its_primary() {
    for files in [false, true] {
        let mut world = World::new(3, 2, files);
        for key in 0..300 {
            assert_eq!(world.follow(&format!("SET {{0}}key:{key} {key}")), "+OK\n");
        }
        let slot = number(&world.ask(0, "CLUSTER KEYSLOT 0"));
        let shard = world.shard_of(slot as u16);
        let (mut cursor, mut keys, mut pages) = ("0".to_owned(), BTreeSet::new(), 0);
        loop {
            let page = world.follow(&format!("SCAN {cursor} COUNT 30 SLOT {slot}"));
            let (next, found) = page_of(&page);
            keys.extend(found);
            pages += 1;
            match pages {
                2 => {
                    let primary = world.primary(shard);
                    world.kill(primary);
                    world.fail_over(primary);
                    world.until_served();
                    if files {
                        world.start(primary);
                    }
                }
                4 if files => {
                    let next = (world.primary(shard) + 1) % 3;
                    (0..3).for_each(|node| world.kill(node));
                    (0..3).for_each(|node| world.start(node));
                    world.decide(shard, &[0, 1, 2], next);
                    world.until_served();
                }
                _ => {}
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert!(pages > 5, "{pages} pages");
        let missing: Vec<u32> = (0..300)
            .filter(|n| !keys.contains(&format!("{{0}}key:{n}")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        let up = (0..3).filter(|node| world.is_up(*node));
        let up: Vec<usize> = up.collect();
        let elsewhere = up.iter().filter(|node| {
            let reply = world.ask(**node, &format!("SCAN 0 SLOT {slot}"));
            World::redirected(&reply) == Some(world.primary(shard))
        });
        assert_eq!(
            elsewhere.count(),
            up.len() - 1,
            "who does not lead it says who does"
        );
    }
}

/// A slot's keys are asked of the node that leads its shard; the others have none.
#[test]
fn keys_of_a_slot_are_where_its_shard_is() {
    let mut world = World::new(3, 16, false);
    for key in 0..100 {
        assert_eq!(world.follow(&format!("SET {{tag}}{key} {key}")), "+OK\n");
        assert_eq!(world.follow(&format!("SET other:{key} {key}")), "+OK\n");
    }
    let slot = number(&world.ask(0, "CLUSTER KEYSLOT tag"));
    let mut ask = |what: &str| -> Vec<String> {
        let nodes = 0..3;
        nodes
            .map(|node| world.ask(node, &format!("CLUSTER {what}")))
            .collect()
    };
    let mut counts = ask(&format!("COUNTKEYSINSLOT {slot}"));
    counts.sort();
    assert_eq!(counts, [":0\n", ":0\n", ":100\n"]);
    let found = ask(&format!("GETKEYSINSLOT {slot} 7")).concat();
    assert_eq!(found.matches("{tag}").count(), 7, "{found}");
    for wrong in [
        "COUNTKEYSINSLOT 16384",
        "COUNTKEYSINSLOT x",
        "GETKEYSINSLOT 1",
    ] {
        assert!(ask(wrong)[0].starts_with("-ERR"), "{wrong}");
    }
}

/// What a copy keeps to send again is memory of its node's, as what its store has.
#[test]
fn batches_that_are_kept_count_towards_the_memory() {
    let used = |backlog_bytes: usize| -> Vec<usize> {
        let mut world = World::without_shards(3, false);
        world.replica.backlog_bytes = backlog_bytes;
        world.replica.uncommitted_bytes = backlog_bytes;
        for node in 0..3 {
            world.kill(node);
            world.start(node);
        }
        world.create(1);
        set_all(&mut world, 0..100);
        world.pass(1_000);
        let nodes = 0..3;
        nodes
            .map(|node| {
                world
                    .node(node)
                    .shards()
                    .map(|(_, shard)| shard.used_bytes())
                    .sum()
            })
            .collect()
    };
    let (little, much) = (used(16 << 10), used(8 << 20));
    for (little, much) in little.iter().zip(&much) {
        let values = 100 * long(0).len();
        assert!(*much >= little + values - (64 << 10), "{little} and {much}");
    }
}

fn number(reply: &str) -> u64 {
    let digits = reply.trim().trim_start_matches(':');
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number: {reply}"))
}

fn scan(world: &mut World, node: usize) -> Vec<String> {
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let reply = world.ask(node, &format!("SCAN {cursor}"));
        let (next, found) = page_of(&reply);
        keys.extend(found);
        if next == "0" {
            return keys;
        }
        cursor = next;
    }
}

/// The cursor to go on with, and the keys of a page.
fn page_of(reply: &str) -> (String, Vec<String>) {
    let mut lines = reply
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with(['$', '*']));
    let cursor = lines.next();
    let cursor = cursor.unwrap_or_else(|| panic!("no page: {reply}"));
    (cursor.to_owned(), lines.map(str::to_owned).collect())
}

#[test]
fn all_nodes_start_again_with_what_they_had() {
    let mut world = World::new(3, 4, true);
    set_all(&mut world, 0..40);
    assert_eq!(world.follow("DEL key:3"), ":1\n");
    let held = world.follow("SESSION.OPEN cart HOLD 600000 CREATE");
    let fence = number_after(&held, "fence");
    for number in 0..3 {
        world.kill(number);
    }
    for number in 0..3 {
        world.start(number);
    }
    for shard in 0..4 {
        let primary = world.primary(shard);
        world.decide(shard, &[0, 1, 2], (primary + 1) % 3);
    }
    world.until_served();
    assert_eq!(world.follow("GET key:3"), "$-1\n");
    assert_all(&mut world, 4..40);
    assert_eq!(
        world.follow(&format!("SESSION.RELEASE cart {fence}")),
        "+OK\n"
    );
}

#[test]
fn a_node_restarts_and_follows_again_without_being_filled_anew() {
    let mut world = World::new(3, 1, true);
    set_all(&mut world, 0..10);
    let standby = (world.primary(0) + 1) % 3;
    world.kill(standby);
    set_all(&mut world, 10..20);
    world.start(standby);
    let copy = |world: &World| world.node(standby).copy_ids();
    let before = copy(&world);
    world.until("it has everything", |world| {
        let copies = world
            .node(standby)
            .shards()
            .map(|(_, shard)| shard.replica().is_synced());
        copies.into_iter().all(|synced| synced)
    });
    assert_eq!(copy(&world), before, "it goes on with the same files");
    set_all(&mut world, 20..30);
}

/// All nodes start again, so no backlog is left, and one had missed a few writes: it goes on with the files that it has.
#[test]
fn nodes_that_start_again_with_different_ends_catch_up_from_their_logs() {
    let mut world = World::new(3, 1, true);
    set_all(&mut world, 0..40);
    assert_eq!(world.follow("SET short 1 PX 60000"), "+OK\n");
    let primary = world.primary(0);
    let [behind, other] = [1, 2].map(|n| (primary + n) % 3);
    world.pass(200);
    world.kill(behind);
    set_all(&mut world, 38..44);
    assert_eq!(world.follow("DEL key:3"), ":1\n");
    assert_eq!(world.follow("PEXPIRE short 600000"), ":1\n");
    assert_eq!(world.follow("HSET {cart} items pear"), ":1\n");
    world.pass(200);
    world.kill(primary);
    world.kill(other);
    (0..3).for_each(|node| world.start(node));
    let ids = |world: &World, node: usize| world.node(node).copy_ids();
    let before = [0, 1, 2].map(|node| ids(&world, node));
    world.whole.clear();
    world.decide(0, &[0, 1, 2], primary);
    world.until_served();
    world.until("all count", |world| {
        world.copies(primary)[0].complete == 0b111
    });
    let after = [0, 1, 2].map(|node| ids(&world, node));
    assert_eq!(after, before, "all go on with the same files");
    assert_eq!(world.whole, [(behind, How::Leapt)]);

    world.kill(primary);
    world.decide(0, &[0, 1, 2], behind);
    world.until_served();
    // By a time at which it would have expired by the deadline that it had before.
    world.pass(61_000);
    assert_eq!(world.follow("GET short"), "$1\n1\n");
    assert_eq!(world.follow("GET key:3"), "$-1\n");
    assert_all(&mut world, 4..44);
    assert_eq!(world.follow("HGET {cart} items"), "$4\npear\n");
}

#[test]
fn expired_keys_stay_expired_over_a_failover() {
    let mut world = World::new(3, 1, false);
    assert_eq!(world.follow("SET short 1 PX 1500"), "+OK\n");
    assert_eq!(world.follow("SET long 1 PX 60000"), "+OK\n");
    world.pass(1_600);
    assert_eq!(world.follow("GET short"), "$-1\n");
    let primary = world.primary(0);
    world.kill(primary);
    world.fail_over(primary);
    world.until_served();
    assert_eq!(world.follow("GET short"), "$-1\n");
    assert_eq!(world.follow("GET long"), "$1\n1\n");
    let ttl = number(&world.follow("PTTL long"));
    assert!((50_000..58_500).contains(&ttl), "{ttl}");
}

/// The metadata store has lost what it had. Whoever starts then knows from its files what it was told, and takes nothing older for it, however often it starts.
#[test]
fn what_a_copy_was_told_outlives_a_map_that_has_lost_it() {
    let mut world = World::new(3, 1, true);
    set_all(&mut world, 0..4);
    let old = world.config(0);
    let primary = world.primary(0);
    let standby = (primary + 1) % 3;
    world.decide(0, &[0, 1, 2], (primary + 2) % 3);
    world.until_served();
    world.until("it is told that the new one serves", |world| {
        world.config(0).phase() == model::Phase::Serving
    });
    world.pass(200);
    let latest = world.config(0);
    world.go_back(0, old);
    for _ in 0..2 {
        world.kill(standby);
        world.start(standby);
        let told = world.copies(standby)[0]
            .ahead
            .expect("it knows more than the map");
        assert_eq!((told.config, told.promised), (Some(latest), latest.epoch()));
    }
}
