//! What is to happen, in the order of time; at one time, in the order in which it was decided.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Event;

/// See the module. Events are large and stay where they are: what is sorted says where.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// When, the how manieth, and where.
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    next: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at_us: u64, event: Event) {
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(None);
        }
        self.events[place] = Some(event);
        self.heap.push(Reverse((at_us, self.next, place)));
        self.next += 1;
    }

    /// What happens next, and when, unless that is later.
    pub(super) fn pop_until(&mut self, until_us: u64) -> Option<(u64, Event)> {
        let Reverse((at_us, _, place)) = *self.heap.peek()?;
        if at_us > until_us {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        Some((at_us, self.events[place].take()?))
    }
}
