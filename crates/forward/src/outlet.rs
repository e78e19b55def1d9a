//! What is written to one client: a task of its own sends it, so that a client may go on sending while it does not read, up to a limit.
//!
//! Who does not read at all waits for nothing but himself, until what all clients have left unread, together with their requests, is more
//! than there is memory for. Then whoever leaves more than a little unread is cut off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::limits::OUTPUT_PAUSE_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::metrics::{Kept, Metrics, count};

/// What nobody is cut off for, and the room that a buffer keeps when it is empty.
pub const LITTLE_BYTES: usize = 64 << 10;
/// How often whoever waits for a client to read looks whether there is still memory for that.
const LOOK: Duration = Duration::from_millis(100);

/// How long whoever is to be told the rest, and the end, may read nothing of it.
const LINGER: Duration = Duration::from_secs(10);

/// The client reads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// One end for who writes; the other end is a task.
pub struct Outlet {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
    metrics: Arc<Metrics>,
    /// Bytes that all clients may keep together.
    most: usize,
}

struct Shared {
    state: Mutex<State>,
    /// There is more to send, or no more will come.
    more: Notify,
    /// There is less to send than before, or nobody to send to.
    less: Notify,
}

struct State {
    bytes: Vec<u8>,
    /// Of these, and of those that are being sent.
    kept: Kept,
    finished: bool,
    gone: bool,
}

impl Outlet {
    /// Begins to send to this client. All clients may keep `most` bytes together.
    pub fn start(socket: OwnedWriteHalf, metrics: &Arc<Metrics>, most: usize) -> Self {
        let state = State {
            bytes: Vec::new(),
            kept: Kept::nothing(metrics),
            finished: false,
            gone: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            more: Notify::new(),
            less: Notify::new(),
        });
        Self {
            task: tokio::spawn(send(Arc::clone(&shared), socket)),
            shared,
            metrics: Arc::clone(metrics),
            most,
        }
    }

    /// Adds bytes; while more than the limit are unsent, waits.
    pub async fn push(&self, bytes: &[u8]) -> Result<(), Gone> {
        loop {
            let less = self.shared.less.notified();
            if self.try_push(bytes)? {
                return Ok(());
            }
            // Whether it was woken or not, it looks again.
            let _ = timeout(LOOK, less).await;
        }
    }

    /// Whether there was room.
    fn try_push(&self, bytes: &[u8]) -> Result<bool, Gone> {
        let mut state = self.shared.lock();
        let unread = state.kept.bytes();
        if unread > LITTLE_BYTES && state.kept.by_all() > self.most && !state.gone {
            count(&self.metrics.cut_off);
            state.gone = true;
            self.task.abort();
        }
        if state.gone {
            return Err(Gone);
        }
        let room = unread <= OUTPUT_PAUSE_BYTES;
        if room {
            state.bytes.extend_from_slice(bytes);
            state.kept.add(bytes.len());
            self.shared.more.notify_one();
        }
        Ok(room)
    }

    /// Sends what is left, then ends; at once if the client reads nothing of it for a while.
    pub async fn finish(mut self) {
        self.shared.lock().finished = true;
        self.shared.more.notify_one();
        let mut unread = usize::MAX;
        // The task ends when everything is sent, or cannot be.
        while timeout(LINGER, &mut self.task).await.is_err() {
            let left = self.shared.lock().kept.bytes();
            if left >= unread {
                self.task.abort();
            }
            unread = left;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's system has taken so many bytes; none: it takes no more.
    fn taken(&self, bytes: usize) {
        let mut state = self.lock();
        let left = state.kept.bytes() - bytes;
        state.kept.set(left);
        state.gone |= bytes == 0;
        drop(state);
        self.less.notify_waiters();
    }
}

async fn send(shared: Arc<Shared>, mut socket: OwnedWriteHalf) {
    let mut sending = Vec::new();
    loop {
        let finished = {
            let mut state = shared.lock();
            std::mem::swap(&mut state.bytes, &mut sending);
            state.finished
        };
        if sending.is_empty() {
            if finished {
                return;
            }
            shared.more.notified().await;
            continue;
        }
        let mut left = &sending[..];
        while !left.is_empty() {
            let taken = socket.write(left).await.unwrap_or(0);
            shared.taken(taken);
            if taken == 0 {
                return;
            }
            left = &left[taken..];
        }
        sending.clear();
        sending.shrink_to(LITTLE_BYTES);
    }
}
