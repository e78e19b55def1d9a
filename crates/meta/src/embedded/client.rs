//! A peer of an embedded store: one connection to a question, so that there is nothing to mix up and nothing to repair.

use std::{io, sync::Arc};

use cluster::metadata::{Listing, Outcome, Revision, Transaction};
use tokio::{net::TcpStream, time::timeout};

use super::frame::{Frame, MAX_ANSWER_BYTES};
use super::keep_alive;
use crate::{MetaStore, TIMEOUT, Watch, trouble::Trouble};

/// Where the store is served.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    secret: Vec<u8>,
    trouble: Arc<Trouble>,
}

impl Client {
    /// A peer that asks `address` (`host:port`, or `tenure://host:port`).
    #[must_use]
    pub fn new(address: &str, secret: &[u8]) -> Self {
        let address = address.strip_prefix("tenure://").unwrap_or(address);
        Self {
            address: address.into(),
            secret: secret.to_vec(),
            trouble: Arc::default(),
        }
    }

    async fn ask(&self, question: Frame) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Frame::Hello(self.secret.clone()).send(&mut stream).await?;
        question.send(&mut stream).await?;
        Ok(stream)
    }

    async fn answer_to(&self, question: Frame) -> io::Result<Frame> {
        let asked = async {
            let mut stream = self.ask(question).await?;
            Frame::receive(&mut stream, MAX_ANSWER_BYTES).await
        };
        let answer = timeout(TIMEOUT, asked).await;
        let answer = answer.unwrap_or_else(|late| Err(late.into()));
        match &answer {
            Ok(_) => self.trouble.clear(),
            Err(error) => self.trouble.note(explain(&self.address, error)),
        }
        answer
    }
}

/// Why there was no answer, for an operator. Whoever does not know the secret is not told so: the connection just ends.
fn explain(address: &str, error: &io::Error) -> String {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut, UnexpectedEof};
    let kind = error.kind();
    if kind == ConnectionRefused {
        format!(
            "nothing listens at {address}: is the server with meta = embedded, or `tenure meta`, running there?"
        )
    } else if [UnexpectedEof, ConnectionReset].contains(&kind) {
        format!(
            "{address} ends the connection without an answer: is TENURE_CLUSTER_SECRET the same there, and is it a tenure metadata store?"
        )
    } else if kind == TimedOut {
        format!("{address} does not answer in time")
    } else {
        format!("{address}: {error}")
    }
}

impl MetaStore for Client {
    async fn transact(&self, transaction: &Transaction) -> Outcome {
        match self.answer_to(Frame::Transact(transaction.clone())).await {
            Ok(Frame::Transacted(outcome)) => outcome,
            Ok(_) | Err(_) => Outcome::Unknown,
        }
    }

    async fn list(&self) -> Option<Listing> {
        match self.answer_to(Frame::List).await {
            Ok(Frame::Listed(listing)) => Some(listing),
            Ok(_) | Err(_) => None,
        }
    }

    async fn watch(&self, after: Revision) -> Watch {
        let (sender, watch) = Watch::new();
        let Ok(Ok(mut stream)) = timeout(TIMEOUT, self.ask(Frame::Watch(after))).await else {
            return watch;
        };
        if keep_alive(&stream).is_err() {
            return watch;
        }
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    frame = Frame::receive(&mut stream, MAX_ANSWER_BYTES) => {
                        let Ok(Frame::Changed(change)) = frame else { return };
                        if sender.try_send(change).is_err() {
                            return;
                        }
                    }
                    () = sender.closed() => return,
                }
            }
        });
        watch
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.last()
    }
}
