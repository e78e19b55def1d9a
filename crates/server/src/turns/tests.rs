//! The loop by itself: a node in memory, and clients over loopback.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream as Client};

use command::Settings;
use mio::Poll;
use mio::net::TcpStream;
use model::{ConnectionId, Position};
use node::{Node, Outbox};
use shard::{Shard, ShardSettings};
use store::{HeapPages, Store, StoreConfig, SyncMode, Tuning};

use super::{LoopState, MESSAGES, Shell};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::message::Mailbox;
use crate::phase::SharedPhase;
use crate::sockets::Sockets;

fn shell() -> Shell {
    let config = StoreConfig {
        memory_bytes: 256 << 20,
        sync: SyncMode::None,
        seed: 7,
    };
    let tuning = Tuning {
        files: false,
        ..Tuning::default()
    };
    let store = Store::with(config, tuning, Box::new(HeapPages));
    let shard = Shard::new(store, Position::new(1, 1), ShardSettings::default());
    let clock = Clock::start();
    let poll = Poll::new().unwrap();
    let (_, inbox) = Mailbox::new(&poll, MESSAGES).unwrap();
    Shell {
        node: Node::new(shard, Settings::default(), [7; 32], clock.now()),
        plane: None,
        clock,
        poll,
        listeners: Vec::new(),
        inbox,
        disk: Disk::nowhere(),
        phase: SharedPhase::new(),
        sockets: Sockets::default(),
        outbox: Outbox::default(),
        state: LoopState::default(),
        now: clock.now(),
    }
}

/// A client of it.
fn connect(shell: &mut Shell) -> (Client, ConnectionId) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = Client::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, address) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    shell.greet(TcpStream::from_std(accepted), &address.to_string());
    let clients = shell.node.clients().iter();
    let connection = clients.last().expect("it was accepted").id;
    (client, connection)
}

/// Whoever is to be read again for two reasons may be read twice before what was gathered is handed in: what came first is handed in first.
#[test]
fn bytes_keep_their_order_whoever_is_read_twice() {
    let mut shell = shell();
    let (mut client, connection) = connect(&mut shell);
    client
        .write_all(b"*2\r\n$4\r\nECHO\r\n$100000\r\n")
        .unwrap();
    shell.read(connection);
    assert_eq!(
        shell.state.gathered.len(),
        1,
        "it waits for what others send"
    );
    let long = [&[b'x'; 100_000][..], b"\r\n"].concat();
    client.write_all(&long).unwrap();
    while shell.node.clients().iter().all(|c| c.output_bytes == 0) {
        shell.read(connection);
    }
    shell.hand_in();
    shell.flush();
    let mut answer = vec![0; 100_011];
    client.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"$100000\r\nxxx"), "{:?}", &answer[..40]);
}
