//! What is due when: the ends of holds and of waits.

use alloc::collections::BTreeMap;

use model::ConnectionId;
use model::time::Deadline;

use crate::session_key::SessionKey;

/// What happens when a timer is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The hold on this session has expired.
    Hold(SessionKey),
    /// This connection has waited long enough.
    Wait(ConnectionId),
}

/// A timer that was started: its deadline, and a number that no other timer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerId(Deadline, u64);

/// Timers by deadline, those of the same millisecond in the order they were started. Starting, stopping and
/// taking one cost O(log n).
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<TimerId, Timer>,
    next: u64,
}

impl Timers {
    /// Starts a timer. One that never ends is not kept.
    pub(super) fn start(&mut self, deadline: Deadline, timer: Timer) -> TimerId {
        let id = TimerId(deadline, self.next);
        self.next += 1;
        if !deadline.is_never() {
            self.due.insert(id, timer);
        }
        id
    }

    /// Stops a timer. Nothing happens if it was taken already.
    pub(super) fn stop(&mut self, id: TimerId) {
        self.due.remove(&id);
    }

    /// Takes the earliest timer, if its deadline has passed.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Timer> {
        let entry = self.due.first_entry()?;
        entry.key().0.has_passed(now_ms).then(|| entry.remove())
    }

    /// When the earliest timer is due, in wall-clock milliseconds.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.due.keys().next().map(|id| id.0.raw())
    }

    /// Whether the timer runs.
    pub(super) fn has(&self, id: TimerId) -> bool {
        self.due.contains_key(&id)
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}
