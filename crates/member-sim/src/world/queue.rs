//! What is to happen, in the order of time; at one time, in the order in which it was decided.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::Event;

#[derive(Debug)]
struct Queued {
    at_us: u64,
    number: u64,
    event: Event,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Queued>>,
    next: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at_us: u64, event: Event) {
        let number = self.next;
        self.next += 1;
        self.heap.push(Reverse(Queued {
            at_us,
            number,
            event,
        }));
    }

    /// What happens next, and when, unless that is later.
    pub(super) fn pop_until(&mut self, until_us: u64) -> Option<(u64, Event)> {
        let Reverse(first) = self.heap.peek()?;
        if first.at_us > until_us {
            return None;
        }
        let Reverse(first) = self.heap.pop()?;
        Some((first.at_us, first.event))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}
