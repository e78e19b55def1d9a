//! Two ports for clients that know no cluster: the forwarding port, where any node serves any key, and the [Sentinel port](sentinel),
//! where they ask for a forwarding port that lives.
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
mod congestion;
pub mod examine;
mod exchange;
pub mod fate;
mod keepalive;
mod merge;
pub mod metrics;
mod notices;
mod outlet;
mod patience;
mod plan;
mod reply;
mod routes;
mod scan;
mod sentinel;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Topology;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use crate::client::Client;
use crate::metrics::{Metrics, count};
use crate::notices::Herald;

pub use congestion::spare_congestion_control;
pub use keepalive::keep_alive;
pub use notices::MOVE_WITHIN;
pub use routes::Cluster;
pub use sentinel::{SentinelSettings, serve_sentinel};

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
    /// How long a connection may be silent before it is asked whether its other end is there; zero for ever.
    pub keepalive: Duration,
}

/// Serves clients of this listener until `draining` says so; then nobody is accepted. Who was told to move may do so, for a bounded
/// time; then whoever has nothing under way is disconnected, and it returns when all are gone. `topology` is the cluster as the node beside
/// knows it: clients that asked for it are told what is about to happen.
pub async fn serve(
    listener: TcpListener,
    cluster: Arc<Cluster>,
    settings: Settings,
    metrics: Arc<Metrics>,
    topology: watch::Receiver<Arc<Topology>>,
    mut draining: watch::Receiver<bool>,
) {
    let (close, closing) = watch::channel(false);
    let port = Port {
        cluster,
        settings: Arc::new(settings),
        metrics,
        herald: Arc::new(Herald::new(topology)),
        closing,
    };
    let mut clients = JoinSet::new();
    port.cluster.refresh().await;
    let work = async {
        port.accept(&listener, &mut clients, &mut draining).await;
        drop(listener);
        port.wait_for_moves(&mut clients).await;
        close.send_replace(true);
        while clients.join_next().await.is_some() {}
    };
    tokio::select! {
        () = work => {}
        () = port.herald.run() => unreachable!("it never ends"),
    }
}

/// What clients share.
struct Port {
    cluster: Arc<Cluster>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    herald: Arc<Herald>,
    closing: watch::Receiver<bool>,
}

impl Port {
    async fn accept(
        &self,
        listener: &TcpListener,
        clients: &mut JoinSet<()>,
        draining: &mut watch::Receiver<bool>,
    ) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) if clients.len() >= self.settings.max_clients => {
                        turn_away(socket, &self.metrics).await;
                    }
                    Ok((socket, _)) => {
                        count(&self.metrics.accepted);
                        let _ = socket.set_nodelay(true);
                        spare_congestion_control(&socket);
                        keep_alive(&socket, self.settings.keepalive);
                        clients.spawn(Client::new(socket, self).serve());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the forwarding port cannot accept");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = clients.join_next() => {}
                () = drained(draining) => return,
            }
            self.count(clients);
        }
    }

    /// Lets clients that were told to move do so.
    async fn wait_for_moves(&self, clients: &mut JoinSet<()>) {
        let deadline = Herald::deadline();
        while self.herald.is_waiting() && timeout_at(deadline, clients.join_next()).await.is_ok() {
            self.count(clients);
        }
    }

    fn count(&self, clients: &JoinSet<()>) {
        let count = clients.len() as u64;
        self.metrics.clients.store(count, Ordering::Relaxed);
    }
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
