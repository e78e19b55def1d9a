//! The admin port: health, readiness and metrics over HTTP; and the signals.
//!
//! All of it runs on one thread of its own with a small runtime, so the data path pays nothing: when somebody
//! asks, the node's thread is sent a message, copies its counters into a [`Snapshot`], and goes on; the text
//! is written here.

mod cluster;
mod figures;
mod metrics;
mod snapshot;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use model::limits::DEFAULT_KEEPALIVE_S;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::message::{Mailbox, Message};
use crate::phase::{Phase, SharedPhase};

pub use figures::Figures;
pub use snapshot::Snapshot;

/// How long the node's thread may take to answer. It answers between two turns, which take microseconds: one
/// that has not answered after this is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the admin thread knows.
#[derive(Clone)]
pub struct Admin {
    /// To ask the node's thread.
    pub mailbox: Mailbox,
    /// Where the server is in its life.
    pub phase: SharedPhase,
    /// What whoever commands the cluster has to know, if anything.
    pub secret: String,
    /// Whether only this machine reaches the port.
    pub is_private: bool,
    /// Whether this server is to be a member of a cluster.
    pub is_member: bool,
}

/// Takes the address of the admin port.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Starts the thread. Without a listener it only minds the signals. Returns its runtime, for others who wait for something.
///
/// # Errors
/// The thread or its runtime cannot be made.
pub fn start(admin: Admin, listener: Option<TcpListener>) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = {
        // Registered before anything else goes on, so that no signal takes its default way.
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    let handle = runtime.handle().clone();
    let work = move || {
        runtime.spawn(mind_signals(admin.clone(), signals));
        runtime.block_on(serve(admin, listener));
    };
    std::thread::Builder::new()
        .name("tenure-admin".into())
        .spawn(work)?;
    Ok(handle)
}

type Signals = (tokio::signal::unix::Signal, tokio::signal::unix::Signal);

/// The first signal drains, the second ends the process at once.
async fn mind_signals(admin: Admin, (mut terminate, mut interrupt): Signals) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let name = next().await;
    if admin.phase.get() == Phase::Restoring {
        info!(
            signal = name,
            "stopped while restoring; nothing was changed"
        );
        std::process::exit(0);
    }
    info!(signal = name, "shutting down; a second signal ends at once");
    admin.phase.set(Phase::Draining);
    admin.mailbox.send(Message::Drain);
    let name = next().await;
    warn!(signal = name, "ended at once by a second signal");
    std::process::exit(1);
}

async fn serve(admin: Admin, listener: Option<TcpListener>) {
    let listener = listener.and_then(|l| tokio::net::TcpListener::from_std(l).ok());
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/cluster", get(cluster::survey))
        .route("/cluster/{command}/{number}", post(cluster::operate))
        .with_state(admin);
    let listener = listener.tap_io(|socket| {
        forward::keep_alive(socket, Duration::from_secs(DEFAULT_KEEPALIVE_S));
    });
    if let Err(error) = axum::serve(listener, router).await {
        warn!(%error, "the admin port is gone");
    }
    std::future::pending().await
}

/// Healthy: the process answers, and the node's thread turns (or has not begun to).
async fn healthz(State(admin): State<Admin>) -> Response {
    if admin.phase.get() == Phase::Restoring {
        return (StatusCode::OK, "ok: restoring\n").into_response();
    }
    match observe(&admin).await {
        Some(_) => (StatusCode::OK, "ok\n").into_response(),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the node's thread does not answer\n",
        )
            .into_response(),
    }
}

/// Ready: clients are served. A member of a cluster is ready when the others know it.
async fn readyz(State(admin): State<Admin>) -> Response {
    let phase = admin.phase.get();
    let (status, text) = match phase {
        Phase::Serving if admin.is_member && !is_known(&admin).await => {
            (StatusCode::SERVICE_UNAVAILABLE, "joining")
        }
        Phase::Serving => (StatusCode::OK, phase.name()),
        Phase::Restoring | Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, phase.name()),
    };
    (status, format!("{text}\n")).into_response()
}

/// Whether the cluster knows this node in its present life.
async fn is_known(admin: &Admin) -> bool {
    let snapshot = observe(admin).await;
    let figures = snapshot.and_then(|snapshot| snapshot.figures);
    figures.is_some_and(|figures| figures.is_active)
}

async fn metrics_text(State(admin): State<Admin>) -> Response {
    let phase = admin.phase.get();
    let snapshot = match phase {
        Phase::Restoring => None,
        Phase::Serving | Phase::Draining => observe(&admin).await,
    };
    let text = metrics::text(phase, snapshot.as_ref());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// Asks the node's thread how things are. `None`: it does not answer.
async fn observe(admin: &Admin) -> Option<Snapshot> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    if !admin.mailbox.send(Message::Observe(answer)) {
        return None;
    }
    tokio::time::timeout(PATIENCE, answered).await.ok()?.ok()
}
