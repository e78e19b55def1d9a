//! What is counted.

use std::sync::Arc;
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
    /// Bytes of requests that are kept until they are answered, and of replies until they are merged and sent.
    pub buffered_bytes: AtomicU64,
    /// Clients that were cut off because they did not read, or asked for more at once than there is memory for.
    pub cut_off: AtomicU64,
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

/// What somebody keeps, as part of [`Metrics::buffered_bytes`]; forgotten when it is dropped.
#[derive(Debug)]
pub struct Kept {
    metrics: Arc<Metrics>,
    bytes: u64,
}

impl Kept {
    /// Nothing yet.
    #[must_use]
    pub fn nothing(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            bytes: 0,
        }
    }

    /// It is so much now.
    pub fn set(&mut self, bytes: usize) {
        let all = &self.metrics.buffered_bytes;
        all.fetch_add(bytes as u64, Ordering::Relaxed);
        all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes as u64;
    }

    /// It is so much more.
    pub fn add(&mut self, bytes: usize) {
        self.set(self.bytes as usize + bytes);
    }

    /// How much it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// What everybody keeps.
    #[must_use]
    pub fn by_all(&self) -> usize {
        self.metrics.buffered_bytes.load(Ordering::Relaxed) as usize
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Counts one more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
