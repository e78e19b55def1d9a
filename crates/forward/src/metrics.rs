//! What is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, for whoever shows them.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients that are connected.
    pub clients: AtomicU64,
    /// Clients that were accepted.
    pub accepted: AtomicU64,
    /// Clients that were turned away because there were too many.
    pub turned_away: AtomicU64,
    /// Bytes of requests that are kept until they are answered.
    pub buffered_bytes: AtomicU64,
    /// Commands.
    pub commands: AtomicU64,
    /// Parts of commands that were sent again.
    pub retries: AtomicU64,
    /// Parts that were answered with an error because no node took them in time.
    pub gave_up: AtomicU64,
    /// Parts whose outcome nobody knows: the connection broke after they were sent.
    pub unknown: AtomicU64,
    /// Connections to nodes that were opened.
    pub opened: AtomicU64,
    /// Connections to nodes that broke while they were used.
    pub broken: AtomicU64,
}

/// Counts one more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
