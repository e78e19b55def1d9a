//! What is written to one client: a task of its own sends it, so that a client may go on sending while it does not read, up to a limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::limits::OUTPUT_PAUSE_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

/// The client reads no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// One end for who writes; the other end is a task.
pub struct Outlet {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is more to send, or no more will come.
    more: Notify,
    /// There is less to send than before, or nobody to send to.
    less: Notify,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    finished: bool,
    gone: bool,
}

impl Outlet {
    /// Begins to send to this client.
    pub fn start(socket: OwnedWriteHalf) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(send(Arc::clone(&shared), socket));
        Self { shared, task }
    }

    /// Adds bytes; while more than the limit are unsent, waits.
    pub async fn push(&self, bytes: &[u8]) -> Result<(), Gone> {
        loop {
            let less = self.shared.less.notified();
            {
                let mut state = self.shared.lock();
                if state.gone {
                    return Err(Gone);
                }
                if state.bytes.len() <= OUTPUT_PAUSE_BYTES {
                    state.bytes.extend_from_slice(bytes);
                    self.shared.more.notify_one();
                    return Ok(());
                }
            }
            less.await;
        }
    }

    /// Sends what is left, then ends.
    pub async fn finish(self) {
        self.shared.lock().finished = true;
        self.shared.more.notify_one();
        // The task ends when everything is sent, or cannot be.
        let _ = self.task.await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        shared.less.notify_waiters();
        if socket.write_all(&sending).await.is_err() {
            shared.lock().gone = true;
            shared.less.notify_waiters();
            return;
        }
        sending.clear();
        sending.shrink_to(64 << 10);
    }
}
