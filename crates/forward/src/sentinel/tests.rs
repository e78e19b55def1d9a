use std::sync::Arc;

use model::topology::{Address, ClusterNode, Outlook};
use model::{NodeId, Topology};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{SentinelSettings, serve_sentinel};

fn address(host: &str, port: u16) -> Option<Address> {
    Some(Address {
        host: host.into(),
        port,
    })
}

fn cluster(alive: [bool; 3]) -> Arc<Topology> {
    let node = |(number, alive): (usize, bool)| {
        let host = format!("10.0.0.{number}");
        ClusterNode {
            id: NodeId(number as u32),
            client: Address {
                host: host.clone(),
                port: 7_000,
            },
            forwarding: address(&host, 7_100),
            sentinel: address(&host, 26_379),
            peer_port: 0,
            alive,
            outlook: Outlook::Stays,
        }
    };
    Arc::new(Topology {
        me: NodeId(1),
        revision: 1,
        nodes: alive.into_iter().enumerate().map(node).collect(),
        ranges: Vec::new(),
    })
}

/// A Sentinel port, and how its node changes its mind.
async fn start(password: &str) -> (std::net::SocketAddr, watch::Sender<Arc<Topology>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tell, told) = watch::channel(cluster([true; 3]));
    let settings = SentinelSettings {
        master: "mymaster".into(),
        password: password.into(),
        keepalive: std::time::Duration::ZERO,
    };
    tokio::spawn(serve_sentinel(listener, told, settings));
    (at, tell)
}

async fn expect(socket: &mut TcpStream, reply: &str) {
    let mut bytes = vec![0; reply.len()];
    socket.read_exact(&mut bytes).await.unwrap();
    let got = String::from_utf8(bytes).unwrap().replace("\r\n", "|");
    assert_eq!(got, reply.replace("\r\n", "|"));
}

async fn ask(socket: &mut TcpStream, line: &str, reply: &str) {
    socket
        .write_all(format!("{line}\r\n").as_bytes())
        .await
        .unwrap();
    expect(socket, &reply.replace('|', "\r\n")).await;
}

#[tokio::test]
async fn clients_ask_for_the_master() {
    let (at, tell) = start("").await;
    let mut visitor = TcpStream::connect(at).await.unwrap();
    let of = "SENTINEL get-master-addr-by-name";
    ask(&mut visitor, "PING", "+PONG|").await;
    ask(
        &mut visitor,
        &format!("{of} mymaster"),
        "*2|$8|10.0.0.0|$4|7100|",
    )
    .await;
    ask(&mut visitor, &format!("{of} nope"), "*-1|").await;
    ask(
        &mut visitor,
        "SENTINEL master nope",
        "-ERR No such master with that name|",
    )
    .await;
    ask(&mut visitor, "SENTINEL slaves mymaster", "*0|").await;
    ask(&mut visitor, "ROLE", "*2|$8|sentinel|*1|$8|mymaster|").await;
    let ok = "+OK 3 usable Sentinels. Quorum and failover authorization can be reached|";
    ask(&mut visitor, "SENTINEL ckquorum mymaster", ok).await;
    tell.send_replace(cluster([false, true, true]));
    ask(
        &mut visitor,
        &format!("{of} mymaster"),
        "*2|$8|10.0.0.1|$4|7100|",
    )
    .await;
    tell.send_replace(cluster([false; 3]));
    ask(&mut visitor, &format!("{of} mymaster"), "*-1|").await;
    ask(&mut visitor, "SENTINEL masters", "*0|").await;
    let none = "-NOQUORUM 0 usable Sentinels of 3. A majority cannot be reached|";
    ask(&mut visitor, "SENTINEL ckquorum mymaster", none).await;
}

#[tokio::test]
async fn who_has_subscribed_is_told_of_another_master() {
    let (at, tell) = start("").await;
    let mut visitor = TcpStream::connect(at).await.unwrap();
    ask(
        &mut visitor,
        "SUBSCRIBE +switch-master",
        "*3|$9|subscribe|$14|+switch-master|:1|",
    )
    .await;
    ask(
        &mut visitor,
        "PSUBSCRIBE *down",
        "*3|$10|psubscribe|$5|*down|:2|",
    )
    .await;
    ask(&mut visitor, "PING", "*2|$4|pong|$0||").await;
    tell.send_replace(cluster([false, true, true]));
    let down = "*4|$8|pmessage|$5|*down|$6|+sdown|$29|master mymaster 10.0.0.0 7100|";
    expect(&mut visitor, &down.replace('|', "\r\n")).await;
    let switched = "*3|$7|message|$14|+switch-master|$36|mymaster 10.0.0.0 7100 10.0.0.1 7100|";
    expect(&mut visitor, &switched.replace('|', "\r\n")).await;
    ask(
        &mut visitor,
        "UNSUBSCRIBE",
        "*3|$11|unsubscribe|$14|+switch-master|:1|",
    )
    .await;
    ask(
        &mut visitor,
        "PUNSUBSCRIBE *down",
        "*3|$12|punsubscribe|$5|*down|:0|",
    )
    .await;
    ask(&mut visitor, "PING", "+PONG|").await;
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let (at, _tell) = start("secret").await;
    let mut visitor = TcpStream::connect(at).await.unwrap();
    ask(&mut visitor, "PING", "-NOAUTH Authentication required.|").await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.|";
    ask(&mut visitor, "AUTH wrong", wrong).await;
    let hello = "%6|$6|server|$5|redis|$7|version|$5|7.2.4|$4|mode|$8|sentinel|$5|proto|:3|$2|id|:1|$7|modules|*0|";
    ask(&mut visitor, "HELLO 3 AUTH default secret", hello).await;
    ask(&mut visitor, "SENTINEL get-master-addr-by-name nope", "_|").await;
}
