//! What is to happen, in the order of time; at one time, in the order in which it was decided.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Event;

/// When (64 bits), the how manieth (40), and where (24): one number, which is compared in no time.
type Entry = u128;

const PLACE_BITS: u32 = 24;
const NEXT_BITS: u32 = 40;

/// See the module. Events are large and stay where they are: what is sorted says where.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
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
        assert!(place < 1 << PLACE_BITS && self.next < 1 << NEXT_BITS);
        let order = u128::from(at_us) << NEXT_BITS | u128::from(self.next);
        self.heap.push(Reverse(order << PLACE_BITS | place as u128));
        self.next += 1;
    }

    /// What happens next, and when, unless that is later.
    pub(super) fn pop_until(&mut self, until_us: u64) -> Option<(u64, Event)> {
        let Reverse(entry) = *self.heap.peek()?;
        let at_us = (entry >> (NEXT_BITS + PLACE_BITS)) as u64;
        let place = (entry & ((1 << PLACE_BITS) - 1)) as usize;
        if at_us > until_us {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        Some((at_us, self.events[place].take()?))
    }
}
