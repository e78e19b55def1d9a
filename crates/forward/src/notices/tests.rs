use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::topology::{Address, ClusterNode, Outlook, SlotRange};
use model::{NodeId, Topology};
use tokio::sync::watch;

use super::{Herald, Notice, Watcher};

fn address(number: u32, port: u16) -> Address {
    Address {
        host: format!("10.0.0.{number}"),
        port,
    }
}

fn node(number: u32) -> ClusterNode {
    ClusterNode {
        id: NodeId(number),
        client: address(number, 7_000),
        forwarding: Some(address(number, 7_100)),
        sentinel: None,
        peer_port: 0,
        alive: true,
        outlook: Outlook::Stays,
    }
}

fn range(first: u16, last: u16, primary: u32) -> SlotRange {
    SlotRange {
        first,
        last,
        epoch: 1,
        serving: true,
        primary: NodeId(primary),
        standbys: Vec::new(),
        quorum: 1,
    }
}

/// Three nodes as node 1 sees them; 1 and 2 lead a half each.
fn cluster() -> Topology {
    Topology {
        me: NodeId(1),
        revision: 1,
        nodes: vec![node(1), node(2), node(3)],
        ranges: vec![range(0, 8_191, 1), range(8_192, 16_383, 2)],
    }
}

fn leaves(topology: &mut Topology, index: usize) {
    topology.nodes[index].outlook = Outlook::Leaves;
}

/// What is told, for people.
fn told(watcher: &mut Watcher, topology: &Topology) -> Vec<String> {
    let notices = watcher.take(topology).into_iter();
    let text = |notice| match notice {
        Notice::Same(bytes) => String::from_utf8_lossy(&bytes).replace("\r\n", "|"),
        Notice::Moving { number, to } => {
            let ports = to.iter().map(|a| format!("{}:{}", a.host, a.port));
            format!("{number} to {}", ports.collect::<Vec<_>>().join(" "))
        }
    };
    notices.map(text).collect()
}

#[test]
fn a_hand_over_is_announced_and_ended() {
    let (mut watcher, mut now) = (Watcher::new(), cluster());
    assert_eq!(told(&mut watcher, &now), [""; 0]);
    leaves(&mut now, 1);
    assert_eq!(
        told(&mut watcher, &now),
        [">4|$9|MIGRATING|:65537|:10|$10|8192-16383|"]
    );
    assert_eq!(told(&mut watcher, &now), [""; 0], "once");
    (now.revision, now.ranges[1].primary, now.ranges[1].serving) = (2, NodeId(3), false);
    assert_eq!(told(&mut watcher, &now), [""; 0], "nobody serves it yet");
    now.ranges[1].serving = true;
    assert_eq!(
        told(&mut watcher, &now),
        [">3|$8|MIGRATED|:131073|$10|8192-16383|"]
    );
}

#[test]
fn what_begins_in_anothers_stead_is_told_though_the_reason_was_not_seen() {
    let (mut watcher, mut now) = (Watcher::new(), cluster());
    (now.ranges[1].primary, now.ranges[1].serving) = (NodeId(3), false);
    assert_eq!(
        told(&mut watcher, &now),
        [">4|$9|MIGRATING|:65537|:10|$10|8192-16383|"]
    );
    (now.revision, now.ranges[1].serving) = (2, true);
    assert_eq!(
        told(&mut watcher, &now),
        [">3|$8|MIGRATED|:131073|$10|8192-16383|"]
    );
    now.nodes[1].alive = false;
    assert_eq!(told(&mut watcher, &now), [""; 0], "it leads nothing");
    (now.ranges[1].primary, now.ranges[1].serving) = (NodeId(1), false);
    let failing = [">4|$12|FAILING_OVER|:196609|:10|$10|8192-16383|"];
    assert_eq!(told(&mut watcher, &now), failing);
    now.ranges[1].serving = true;
    assert_eq!(
        told(&mut watcher, &now),
        [">3|$11|FAILED_OVER|:262145|$10|8192-16383|"]
    );
}

#[test]
fn a_failover_is_told_and_ended_even_in_the_middle_of_a_hand_over() {
    let (mut watcher, mut now) = (Watcher::new(), cluster());
    now.nodes[1].outlook = Outlook::Drains;
    assert_eq!(
        told(&mut watcher, &now),
        [">4|$9|MIGRATING|:65537|:10|$10|8192-16383|"]
    );
    now.ranges[0].primary = NodeId(3);
    now.nodes[2].alive = false;
    let both = [
        ">3|$8|MIGRATED|:131073|$10|8192-16383|",
        ">4|$12|FAILING_OVER|:196609|:10|$6|0-8191|",
    ];
    assert_eq!(told(&mut watcher, &now), both);
    now.ranges[0].primary = NodeId(1);
    let both = [
        ">3|$11|FAILED_OVER|:262145|$6|0-8191|",
        ">4|$9|MIGRATING|:327681|:10|$10|8192-16383|",
    ];
    assert_eq!(told(&mut watcher, &now), both, "the other still goes on");
}

#[test]
fn who_leaves_sends_its_clients_to_those_who_stay_and_tells_them_nothing_else() {
    let (mut watcher, mut now) = (Watcher::new(), cluster());
    now.nodes[0].outlook = Outlook::Drains;
    let both = ["65537 to 10.0.0.2:7100 10.0.0.3:7100"];
    assert_eq!(told(&mut watcher, &now), both);
    now.nodes[2].alive = false;
    assert_eq!(told(&mut watcher, &now), [""; 0]);
    leaves(&mut now, 0);
    let again = ["131073 to 10.0.0.2:7100"];
    assert_eq!(told(&mut watcher, &now), again, "first drained, then ended");
    now.nodes[1].forwarding = None;
    (watcher, now.nodes[0].outlook) = (Watcher::new(), Outlook::Drains);
    assert_eq!(told(&mut watcher, &now), [""; 0], "there is nowhere to go");
}

#[tokio::test]
async fn connections_of_one_host_move_together_and_who_wants_no_address_gets_none() {
    let (tell, topology) = watch::channel(Arc::new(cluster()));
    let herald = Herald::new(topology);
    let host = |last| Some(IpAddr::from(Ipv4Addr::new(192, 168, 0, last)));
    let mut listeners: Vec<_> = (0..16).map(|n| herald.listen(host(n / 2), true)).collect();
    let mut without = herald.listen(host(0), false);
    assert!(herald.is_waiting());
    let mut now = cluster();
    leaves(&mut now, 0);
    tell.send_replace(Arc::new(now));
    let mut told = Vec::new();
    let tests = async {
        for listener in &mut listeners {
            let text = String::from_utf8(listener.next().await).expect("text");
            told.push(text.replace("\r\n", "|"));
        }
        let moving = b">4\r\n$6\r\nMOVING\r\n:65537\r\n:2\r\n_\r\n";
        assert_eq!(without.next().await, moving);
        let mut late = herald.listen(host(0), false);
        assert_eq!(late.try_next().as_deref(), Some(&moving[..]));
        assert_eq!(late.try_next(), None, "once");
    };
    tokio::select! {
        () = tests => {}
        () = herald.run() => unreachable!("it never ends"),
    }
    let to = |node: u32| format!(">4|$6|MOVING|:65537|:15|$13|10.0.0.{node}:7100|");
    assert!(told.chunks(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    assert!(told.contains(&to(2)) && told.contains(&to(3)), "{told:?}");
    assert_eq!(without.try_next(), None);
    drop((listeners, without));
    assert!(!herald.is_waiting(), "nobody is left");
}
