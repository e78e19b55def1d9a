//! One way to end everything early: the end of a run, or a signal.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by all threads of a run by copying it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// Everybody ends, and who pauses wakes up.
    pub fn set(&self) {
        let (stopped, wake) = &*self.state;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_all();
    }

    /// Whether it is time to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this time pass, unless it is time to end. Tells whether it is.
    pub fn pause(&self, time: Duration) -> bool {
        let (stopped, wake) = &*self.state;
        let guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = wake.wait_timeout_while(guard, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// From now on SIGINT and SIGTERM set it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn on_signals(&self) -> anyhow::Result<()> {
        let mut signals = signal_hook::iterator::Signals::new([
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
        ])?;
        let stop = self.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                stop.set();
            }
        });
        Ok(())
    }
}
