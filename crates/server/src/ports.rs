//! The ports for clients that know no cluster: forwarding, and Sentinel. They run on a thread of their own, as clients of the nodes: the
//! data path does not know them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use forward::metrics::Metrics;
use forward::{Cluster, MOVE_WITHIN, SentinelSettings, Settings, serve, serve_sentinel};
use model::Topology;
use model::topology::Address;
use tokio::sync::watch;
use tracing::warn;

use crate::config::Config;
use crate::serve::{StartError, address_error, system};
use crate::settings;

/// How long clients of the forwarding port may take to come to an end when the server does: to move, and to be answered.
const END: Duration = Duration::from_secs(2 + MOVE_WITHIN.as_secs());

/// Addresses that are taken and not served yet.
pub struct Ports {
    forward: Option<TcpListener>,
    sentinel: Option<TcpListener>,
}

/// The ports being served.
pub struct ServedPorts {
    /// What the forwarding port counts.
    pub metrics: Arc<Metrics>,
    end: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Ports {
    /// Takes the addresses, so that a conflict shows early.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let (forward, sentinel) = (config.cluster.forward, config.cluster.sentinel);
        Ok(Self {
            forward: forward.map(|at| bind("forward", at)).transpose()?,
            sentinel: sentinel.map(|at| bind("sentinel", at)).transpose()?,
        })
    }

    /// Where the forwarding port is, if there is one.
    pub fn forward(&self) -> Option<SocketAddr> {
        self.forward.as_ref()?.local_addr().ok()
    }

    /// Where the Sentinel port is, if there is one.
    pub fn sentinel(&self) -> Option<SocketAddr> {
        self.sentinel.as_ref()?.local_addr().ok()
    }

    /// What the ready line says of them.
    pub fn about(&self) -> String {
        let told = [("forward", self.forward()), ("sentinel", self.sentinel())];
        let told = told.iter().filter_map(|(name, at)| Some((name, (*at)?)));
        told.map(|(name, at)| format!(", {name} {at}")).collect()
    }

    /// Begins to serve. `node` is where the node beside listens, `topology` the cluster as it knows it.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub fn start(
        self,
        config: &Config,
        max_clients: usize,
        node: SocketAddr,
        topology: watch::Receiver<Arc<Topology>>,
    ) -> Result<ServedPorts, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| system("start the forwarding port", &error))?;
        let (end, ending) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let cluster = Arc::new(Cluster::new(
            reachable(node),
            Vec::new(),
            config.password.clone(),
        ));
        let keepalive = Duration::from_secs(config.tcp_keepalive_s);
        let settings = Settings {
            password: config.password.clone(),
            max_clients,
            bulk_bytes: config.max_value_bytes as usize,
            buffer_bytes: settings::forward_bytes(config) as usize,
            patience: Duration::from_millis(config.cluster.forward_wait_ms),
            keepalive,
        };
        let sentinel = SentinelSettings {
            master: config.cluster.sentinel_master.clone(),
            password: config.password.clone(),
            keepalive,
        };
        let counted = Arc::clone(&metrics);
        let work = async move {
            if let Some(listener) = self.sentinel.and_then(asynchronous) {
                tokio::spawn(serve_sentinel(listener, topology.clone(), sentinel));
            }
            match self.forward.and_then(asynchronous) {
                Some(listener) => {
                    serve(listener, cluster, settings, counted, topology, ending).await;
                }
                None => until(ending).await,
            }
        };
        let thread = std::thread::Builder::new()
            .name("tenure-forward".into())
            .spawn(move || runtime.block_on(work))
            .map_err(|error| system("start the forwarding port", &error))?;
        Ok(ServedPorts {
            metrics,
            end,
            thread,
        })
    }
}

impl ServedPorts {
    /// Lets clients finish what is under way, for a bounded time.
    pub fn end(self) {
        self.end.send_replace(true);
        let until = crate::clock::Clock::start();
        while !self.thread.is_finished() && until.elapsed() < END {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if !self.thread.is_finished() {
            warn!(
                "clients of the forwarding port are cut off: they did not come to an end in time"
            );
        }
    }
}

async fn until(mut ending: watch::Receiver<bool>) {
    // Without a sender nobody wants it to go on.
    let _ = ending.wait_for(|ending| *ending).await;
}

fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address);
    let bound = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|error| address_error(key, &address.to_string(), &error))
}

fn asynchronous(listener: TcpListener) -> Option<tokio::net::TcpListener> {
    let listener: io::Result<_> = tokio::net::TcpListener::from_std(listener);
    listener
        .inspect_err(|error| warn!(%error, "a port for clients that know no cluster is gone"))
        .ok()
}

/// The address under which this process reaches a listener of its own.
fn reachable(address: SocketAddr) -> Address {
    let ip = match address {
        SocketAddr::V4(at) if at.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip(),
    };
    Address {
        host: ip.to_string(),
        port: address.port(),
    }
}
