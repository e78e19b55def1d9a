//! The forwarding port: any node serves any key, for clients that know no cluster.
//!
//! ```text
//!                       ┌─ client::Client ── plan ─► exchange ──┬─► node 1
//!   client ─ RESP ─────►│    reads, parses      batch   rounds  ├─► node 2      each client has its own
//!          ◄────────────┤  outlet ◄─── merge ◄── replies ◄──────┴─► node 3      connections to nodes
//!                       └─ (bounded)                  routes::Cluster: CLUSTER SLOTS
//! ```
//!
//! To nodes it is a client of Redis Cluster: it learns the map from `CLUSTER SLOTS` and follows `MOVED`, `ASK` and `TRYAGAIN`. To clients it is
//! one server. Each client has its own connections to nodes, opened when they are needed, as a hold, a database, a password belong to
//! a connection.
//!
//! - **Order**: replies leave in the order of the commands. Commands about keys of one slot are executed in the order in which they were
//!   sent: what was not executed is not sent again if a later one of the same slot was ([`fate`]).
//! - **A node that fails**: what was not executed for certain (refused, or never wholly sent) is kept and sent again for a bounded time.
//!   What was sent before the connection broke is sent again only if it reads; else the answer is `-UNKNOWN`.
//! - **Several slots**: `MGET`, `MSET`, `DEL`, `UNLINK`, `EXISTS` and `TOUCH` are split by slot and their replies merged; each slot's part is
//!   one batch, the whole is not. All others get `-CROSSSLOT`.
//! - **Memory**: requests pass from where they were read to the socket without a copy; a large reply passes through as it comes. Both directions
//!   are bounded, and a client that does not read is not read from.

mod choices;
mod client;
mod exchange;
pub mod fate;
mod merge;
pub mod metrics;
mod outlet;
mod patience;
mod plan;
mod reply;
mod routes;
mod scan;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Client;
use crate::metrics::{Metrics, count};

pub use routes::Cluster;

/// How long to leave the queue alone when the system gives no more connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The password that clients need; empty for none. The nodes check it: here it decides what may be sent before.
    pub password: String,
    /// Clients at once.
    pub max_clients: usize,
    /// Bytes of one argument.
    pub bulk_bytes: usize,
    /// Bytes that the requests of all clients may take together.
    pub buffer_bytes: usize,
    /// How long a command that no node has executed is kept.
    pub patience: Duration,
}

/// Serves clients of this listener until `draining` says so; then nobody is accepted, whoever has nothing under way is
/// disconnected, and it returns when all are gone.
pub async fn serve(
    listener: TcpListener,
    cluster: Arc<Cluster>,
    settings: Settings,
    metrics: Arc<Metrics>,
    draining: watch::Receiver<bool>,
) {
    let settings = Arc::new(settings);
    let mut drains = draining.clone();
    let mut clients = JoinSet::new();
    cluster.refresh().await;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if clients.len() >= settings.max_clients => {
                    turn_away(socket, &metrics).await;
                }
                Ok((socket, _)) => {
                    count(&metrics.accepted);
                    let _ = socket.set_nodelay(true);
                    let client = Client::new(
                        socket,
                        Arc::clone(&cluster),
                        Arc::clone(&settings),
                        Arc::clone(&metrics),
                        draining.clone(),
                    );
                    clients.spawn(client.serve());
                }
                Err(error) => {
                    tracing::warn!(%error, "the forwarding port cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
            () = drained(&mut drains) => break,
        }
        metrics
            .clients
            .store(clients.len() as u64, Ordering::Relaxed);
    }
    while clients.join_next().await.is_some() {}
}

async fn turn_away(mut socket: TcpStream, metrics: &Metrics) {
    count(&metrics.turned_away);
    // It fits into the socket's empty buffer; who does not read it does not want it.
    let _ = socket
        .write_all(b"-ERR max number of clients reached\r\n")
        .await;
}

/// Waits until `draining` says so, or nobody is left who could.
async fn drained(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await.map(drop);
}
