//! What other threads tell the node's thread.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use cluster::AskId;
use cluster::coordinator::Command;
use cluster::metadata::Answer;
use mio::{Poll, Token, Waker};

use crate::admin::Snapshot;
use crate::disk::Done;
use crate::plane::Operated;
use crate::survey::Survey;

/// A message to the node's thread.
#[derive(Debug)]
pub enum Message {
    /// The disk thread has done something, in a job that took so long.
    Disk(Done, Duration),
    /// The admin port wants to know how things are.
    Observe(tokio::sync::oneshot::Sender<Snapshot>),
    /// The metadata store says something.
    Answered(AskId, Answer),
    /// An operator wants something of the cluster.
    Operate(Command, tokio::sync::oneshot::Sender<Operated>),
    /// An operator wants to see the cluster. Only a member answers.
    Survey(tokio::sync::oneshot::Sender<Survey>),
    /// Have others lead what this node leads, stop accepting, finish, seal the log, end.
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
