//! Where a server is in its life, as the admin port reports it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// ```text
///   Restoring ──► Serving ──SIGTERM──► Draining ──► (exit)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The data directory is being read; nobody is served yet.
    Restoring,
    /// Clients are served.
    Serving,
    /// Nobody is accepted any more, what was begun is finished.
    Draining,
}

impl Phase {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restoring => "restoring",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// The current phase, shared between threads.
#[derive(Clone, Debug)]
pub struct SharedPhase(Arc<AtomicU8>);

impl SharedPhase {
    /// Begins with [`Phase::Restoring`].
    pub fn new() -> Self {
        Self(Arc::new(AtomicU8::new(Phase::Restoring as u8)))
    }

    /// The current phase.
    pub fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Restoring,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// Goes on to the next one.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}
