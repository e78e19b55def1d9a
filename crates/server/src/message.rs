//! What other threads tell the node's thread.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::{Poll, Token, Waker};

use crate::admin::Snapshot;
use crate::disk::Done;

/// A message to the node's thread.
#[derive(Debug)]
pub enum Message {
    /// The disk thread has done something.
    Disk(Done),
    /// The admin port wants to know how things are.
    Observe(tokio::sync::oneshot::Sender<Snapshot>),
    /// Stop accepting, finish, seal the log, end.
    Drain,
}

/// Sends messages to the node's thread and wakes it.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: Sender<Message>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// A mailbox whose messages wake `poll` with `token`.
    pub fn new(poll: &Poll, token: Token) -> io::Result<(Self, Receiver<Message>)> {
        let (sender, receiver) = channel();
        let waker = Arc::new(Waker::new(poll.registry(), token)?);
        Ok((Self { sender, waker }, receiver))
    }

    /// Sends. Returns whether the node's thread is still there to read it.
    pub fn send(&self, message: Message) -> bool {
        self.sender.send(message).is_ok() && self.waker.wake().is_ok()
    }
}
