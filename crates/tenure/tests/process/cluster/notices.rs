//! What clients of the forwarding port are told before and while nodes come and go.

use std::thread;

use super::rig::Cluster;
use crate::running::between;
use crate::wire::{Client, Reply};

/// Where clients without a cluster reach a node.
fn port(cluster: &Cluster, node: u32) -> String {
    between(&cluster.nodes[&node].ready, "forward ", ")").to_owned()
}

fn listening(port: &str, endpoint: &str) -> Client {
    let mut client = Client::connect(port);
    client.run("HELLO 3");
    let asked = format!("CLIENT MAINT_NOTIFICATIONS ON MOVING-ENDPOINT-TYPE {endpoint}");
    assert!(client.run(&asked).is_ok());
    client
}

/// The next push: its name, what comes behind its number, and its number.
fn pushed(client: &mut Client) -> (String, Vec<Reply>, i64) {
    let Ok(Reply::Array(mut items)) = client.reply() else {
        panic!("a push is expected");
    };
    let rest = items.split_off(2);
    match &items[..] {
        [Reply::Bulk(Some(name)), Reply::Integer(number)] => {
            (String::from_utf8_lossy(name).into_owned(), rest, *number)
        }
        _ => panic!("{items:?}"),
    }
}

/// Reads pushes up to one of this name, and returns its number. A hand-over may have been announced before, or done before it was.
fn until_pushed(client: &mut Client, expected: &str, with: &[Reply]) -> i64 {
    loop {
        let (name, mut rest, number) = pushed(client);
        if name == expected {
            let slots = rest.pop();
            assert!(matches!(slots, Some(Reply::Bulk(Some(_)))), "{slots:?}");
            assert_eq!(rest, with);
            return number;
        }
        assert!(name.starts_with("MIGRAT"), "{name} before {expected}");
    }
}

#[test]
fn who_asks_is_told_before_a_node_ends_and_when_one_fails() {
    let mut cluster = Cluster::start(4, &["--forward", "127.0.0.1:0"]);
    cluster.settle();
    let ports: Vec<String> = (1..=4).map(|node| port(&cluster, node)).collect();
    let mut moving = listening(&ports[0], "internal-ip");
    let mut unaddressed = listening(&ports[0], "none");
    let mut staying = listening(&ports[1], "internal-ip");
    let mut deaf = Client::connect(&ports[0]);
    assert_eq!(deaf.run("PING"), Reply::Status("PONG".into()));
    assert!(
        deaf.run("CLIENT MAINT_NOTIFICATIONS ON")
            .error()
            .is_some_and(|e| e.contains("RESP3"))
    );

    let node = cluster.nodes.remove(&1).expect("it runs");
    node.signal("TERM");
    let (name, rest, number) = pushed(&mut moving);
    let to = match &rest[..] {
        [Reply::Integer(15), Reply::Bulk(Some(to))] => String::from_utf8_lossy(to).into_owned(),
        _ => panic!("{rest:?}"),
    };
    assert!(name == "MOVING" && ports[1..].contains(&to), "{name} {to}");
    assert_eq!(number % (1 << 16), 1, "numbers of nodes differ");
    let (name, rest, _) = pushed(&mut unaddressed);
    assert_eq!(
        (name.as_str(), &rest[..]),
        ("MOVING", &[Reply::Integer(2), Reply::Bulk(None)][..])
    );
    // The node's own clients are served until they have gone.
    assert!(moving.run("SET k v").is_ok());
    // Which does not listen: what moves is told until it has moved.
    let mut moved = Client::connect(&to);
    assert_eq!(moved.run("GET k"), Reply::Bulk(Some(b"v".to_vec())));
    assert!(unaddressed.run("SET k w").is_ok());
    drop((moving, unaddressed));
    assert_eq!(deaf.rest().expect("an orderly end"), b"");
    let (status, log) = node.wait();
    assert!(status.success(), "{log}");

    cluster.start_node(1);
    cluster.settle();
    assert!(cluster.command(&["drain", "3"]).status.success());
    let first = until_pushed(&mut staying, "MIGRATING", &[Reply::Integer(10)]);
    let second = until_pushed(&mut staying, "MIGRATED", &[]);
    cluster.kill(4);
    let third = until_pushed(&mut staying, "FAILING_OVER", &[Reply::Integer(10)]);
    let fourth = until_pushed(&mut staying, "FAILED_OVER", &[]);
    assert!(first < second && second < third && third < fourth);
    assert!(staying.run("CLIENT MAINT_NOTIFICATIONS OFF").is_ok());
    assert!(staying.run("SET k x").is_ok());
}

#[test]
fn who_never_moves_does_not_keep_a_node_from_ending() {
    let mut cluster = Cluster::start(3, &["--forward", "127.0.0.1:0"]);
    let mut idle = listening(&port(&cluster, 2), "external-fqdn");
    let stopping = cluster.nodes.remove(&2).expect("it runs");
    let stopped = thread::spawn(move || stopping.stop());
    assert_eq!(pushed(&mut idle).0, "MOVING");
    assert_eq!(idle.rest().expect("an orderly end"), b"");
    stopped.join().expect("it ended well");
}
