//! The metadata store, for real: what `cluster` asks for ([`cluster::metadata`]), carried to where it is kept.
//!
//! ```text
//!   agent ── Ask ──► courier ──► MetaStore ──► embedded: a file in one process, served to its peers
//!         ◄─ Answer ─┘                    └──► etcd
//! ```
//!
//! Two implementations, one meaning: `tests/conformance.rs` runs the same suite against both, and against the simulator's.
//! Whatever goes wrong with a question, the answer is *unknown* or nothing: never a guess.

use std::{future::Future, time::Duration};

use cluster::metadata::{Change, Listing, Outcome, Revision, Transaction};
use tokio::sync::mpsc;

pub mod courier;
pub mod embedded;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod trouble;

/// How long an answer is waited for; the agent gives up at the same time.
pub const TIMEOUT: Duration = Duration::from_millis(cluster::timing::STORE_TIMEOUT_MS);

/// Changes of a watch that may wait to be taken. A reader that is further behind loses the watch and lists again.
const WATCH_BACKLOG: usize = 1_024;

/// A store of the cluster's records.
pub trait MetaStore: Send + Sync + 'static {
    /// Carries a transaction out, if its compares hold. Answers within about [`TIMEOUT`].
    fn transact(&self, transaction: &Transaction) -> impl Future<Output = Outcome> + Send;

    /// Lists everything, linearizably; `None` if no answer came.
    fn list(&self) -> impl Future<Output = Option<Listing>> + Send;

    /// Tells every change after this revision, in order, each once, for as long as the watch lasts.
    fn watch(&self, after: Revision) -> impl Future<Output = Watch> + Send;

    /// Why the last question was not answered, for an operator; `None` if it was, or if nothing more is known.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// A watch that was begun. Dropping it ends it.
#[derive(Debug)]
pub struct Watch(mpsc::Receiver<Change>);

impl Watch {
    /// A watch, and the end that feeds it.
    #[must_use]
    pub fn new() -> (mpsc::Sender<Change>, Self) {
        let (sender, receiver) = mpsc::channel(WATCH_BACKLOG);
        (sender, Self(receiver))
    }

    /// The next change; `None` when the watch is over and only a new list helps.
    pub async fn next(&mut self) -> Option<Change> {
        self.0.recv().await
    }
}
