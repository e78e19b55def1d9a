//! Serves a keeper to peers.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use cluster::metadata::Revision;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::{
    frame::{Frame, MAX_HELLO_BYTES, MAX_QUESTION_BYTES},
    keep_alive,
    keeper::Keeper,
};

/// Peers that may be connected at a time: a question and a watch of each node, and some.
const MOST_CONNECTIONS: usize = 4 * model::limits::MAX_NODES as usize;
/// How long a peer may take for a frame, and to take one.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to leave the queue alone when the system gives no more connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What has not failed for so long works again: where files are short, some are accepted and some are not.
const CALM: Duration = Duration::from_secs(1);

/// How it is served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What a peer has to show; empty: nothing. Without one only loopback addresses are listened on.
    pub secret: Vec<u8>,
}

/// A listening server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    keeper: Keeper,
    secret: Arc<Vec<u8>>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// If that is not possible, or would let anybody in.
    pub async fn bind(settings: Settings, keeper: Keeper) -> io::Result<Self> {
        if settings.secret.is_empty() && !settings.listen.ip().is_loopback() {
            let message = "without a secret the metadata store listens on loopback only";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let listener = TcpListener::bind(settings.listen).await?;
        Ok(Self {
            listener,
            keeper,
            secret: Arc::new(settings.secret),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever: that a connection cannot be accepted, as there is no file descriptor left, is tried again. `tell` is
    /// told when that begins, and when it is over.
    ///
    /// # Errors
    /// Connections are not counted any more, which does not happen while it serves.
    pub async fn run(self, tell: impl Fn(Accepting)) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut failed: Option<Instant> = None;
        loop {
            let place = places
                .clone()
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if failed.replace(Instant::now()).is_none() {
                        tell(Accepting::Fails(error));
                    }
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if failed.take_if(|at| at.elapsed() >= CALM).is_some() {
                tell(Accepting::Again);
            }
            let (keeper, secret) = (self.keeper.clone(), self.secret.clone());
            tokio::spawn(async move {
                // A peer that breaks the protocol or goes away has nothing more to be told.
                let _ = answer(stream, &keeper, &secret).await;
                drop(place);
            });
        }
    }
}

/// What becomes of who connects, when it changes.
#[derive(Debug)]
pub enum Accepting {
    /// Nobody can be accepted, for this reason; it is tried again and again.
    Fails(io::Error),
    /// Connections are accepted as before.
    Again,
}

impl fmt::Display for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails(error) => write!(f, "connections cannot be accepted: {error}"),
            Self::Again => f.write_str("connections are accepted again"),
        }
    }
}

async fn answer(mut stream: TcpStream, keeper: &Keeper, secret: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let hello = timeout(PATIENCE, Frame::receive(&mut stream, MAX_HELLO_BYTES)).await??;
    if !matches!(&hello, Frame::Hello(shown) if is_same(shown, secret)) {
        return Ok(());
    }
    let question = timeout(PATIENCE, Frame::receive(&mut stream, MAX_QUESTION_BYTES)).await??;
    match question {
        Frame::Transact(transaction) => {
            let outcome = keeper.transact(transaction).await;
            send(Frame::Transacted(outcome), &mut stream).await
        }
        Frame::List => match keeper.list().await {
            Some(listing) => send(Frame::Listed(listing), &mut stream).await,
            None => Ok(()),
        },
        Frame::Watch(after) => tell_changes(stream, keeper, after).await,
        Frame::Hello(_)
        | Frame::Transacted(_)
        | Frame::Listed(_)
        | Frame::Changed(_)
        | Frame::Lost => Ok(()),
    }
}

async fn send(frame: Frame, stream: &mut TcpStream) -> io::Result<()> {
    timeout(PATIENCE, frame.send(stream)).await?
}

/// In a time that does not depend on where they differ.
fn is_same(shown: &[u8], secret: &[u8]) -> bool {
    let differences = shown
        .iter()
        .zip(secret)
        .fold(0, |all, (a, b)| all | (a ^ b));
    shown.len() == secret.len() && differences == 0
}

async fn tell_changes(mut stream: TcpStream, keeper: &Keeper, after: Revision) -> io::Result<()> {
    keep_alive(&stream)?;
    let (mut told, mut latest, mut anything) = (after, keeper.revision(), [0]);
    loop {
        latest.mark_unchanged();
        let Some(Ok(changes)) = keeper.changes_after(told).await else {
            return send(Frame::Lost, &mut stream).await;
        };
        for change in changes {
            told = change.revision;
            send(Frame::Changed(change), &mut stream).await?;
        }
        tokio::select! {
            more = latest.changed() => if more.is_err() {
                return send(Frame::Lost, &mut stream).await;
            },
            // A watcher never says anything more: whatever it sends, or that it went away, is the watch's end.
            _ = stream.peek(&mut anything) => return Ok(()),
        }
    }
}
