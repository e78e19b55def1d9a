//! The Sentinel port: where clients that are configured with Sentinels ask for the address of a master, and are told of another one.
//!
//! The master that they are told is a forwarding port: of all nodes that are believed to live and have one, that of the node with the lowest
//! number, so that all nodes say the same. When it dies, the next one is told, to those who have subscribed at once. There are no
//! replicas to tell: a forwarding port always answers as a master does, and clients that prefer a replica take the master if there is none.

mod answers;
mod events;
mod rows;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use model::Topology;
use model::topology::ClusterNode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use visitor::Visitor;

/// Visitors at once. They ask and go, or wait for news; more than a few for each client process is a mistake.
const MOST_VISITORS: usize = 10_000;

/// What an operator sets.
#[derive(Clone, Debug)]
pub struct SentinelSettings {
    /// The master's name, as clients are configured with.
    pub master: String,
    /// The password that visitors need; empty for none.
    pub password: String,
    /// How long a connection may be silent before it is asked whether its other end is there; zero for ever.
    pub keepalive: Duration,
}

/// The node whose forwarding port is the master.
pub fn master(topology: &Topology) -> Option<&ClusterNode> {
    let mut nodes = topology.nodes.iter();
    nodes.find(|node| node.is_well() && node.forwarding.is_some())
}

/// Answers visitors of this listener for ever; `topology` is the cluster as this node knows it.
pub async fn serve_sentinel(
    listener: TcpListener,
    topology: watch::Receiver<Arc<Topology>>,
    settings: SentinelSettings,
) {
    let settings = Arc::new(settings);
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if visitors.len() < MOST_VISITORS => {
                    visitors.spawn(visit(socket, topology.clone(), Arc::clone(&settings)));
                }
                // Whoever is one too many is not told why: this is no place for crowds.
                Ok((_, _)) => {}
                Err(error) => {
                    tracing::warn!(%error, "the Sentinel port cannot accept");
                    sleep(crate::ACCEPT_PAUSE).await;
                }
            },
            Some(_) = visitors.join_next() => {}
        }
    }
}

async fn visit(
    socket: TcpStream,
    topology: watch::Receiver<Arc<Topology>>,
    settings: Arc<SentinelSettings>,
) {
    let _ = socket.set_nodelay(true);
    crate::keep_alive(&socket, settings.keepalive);
    // However it ends, the visitor notices.
    let _ = Visitor::new(settings, topology).serve(socket).await;
}

#[cfg(test)]
mod tests;
