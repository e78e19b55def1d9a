//! What the allocator keeps although nobody uses it.
//!
//! The tables of an index that grows move through ever larger pieces of the heap, and leave holes that none of them fits into again: a quarter of what they take. The
//! allocator gives them back only when it is told to, which takes the serving thread a moment. So it is told once, when an index has stopped growing.

use tracing::debug;

use crate::clock::Clock;

/// An index that grows by less than one part in so many within a second has stopped growing;
const CALM_PART: usize = 64;
/// one that has changed by one part in so many since is worth another look.
const NEWS_PART: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Heap {
    /// Bytes of the index a second ago,
    seen: usize,
    /// and when holes were last given back.
    trimmed: usize,
}

impl Heap {
    /// To be called once a second.
    pub fn look(&mut self, index_bytes: usize, clock: Clock) {
        if self.is_time(index_bytes) {
            let began = clock.elapsed();
            trim();
            let took_us = (clock.elapsed() - began).as_micros() as u64;
            debug!(index_bytes, took_us, "holes in the heap are given back");
        }
    }

    fn is_time(&mut self, index_bytes: usize) -> bool {
        let grown = index_bytes.abs_diff(std::mem::replace(&mut self.seen, index_bytes));
        let news = index_bytes.abs_diff(self.trimmed);
        let is_time = grown <= index_bytes / CALM_PART && news > self.trimmed / NEWS_PART;
        if is_time {
            self.trimmed = index_bytes;
        }
        is_time
    }
}

/// Other allocators than that of glibc see to it by themselves.
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the allocator's own locks, and no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_once_when_an_index_has_stopped_growing() {
        let mut heap = Heap::default();
        assert!(!heap.is_time(1_000));
        assert!(!heap.is_time(2_000));
        assert!(!heap.is_time(3_000));
        assert!(heap.is_time(3_010), "it has stopped");
        assert!(!heap.is_time(3_010), "nothing is new");
        assert!(!heap.is_time(3_060), "hardly anything is");
        assert!(!heap.is_time(1_000), "it shrinks");
        assert!(heap.is_time(1_000));
    }

    #[test]
    fn an_empty_index_has_no_holes() {
        let mut heap = Heap::default();
        assert!(!heap.is_time(0));
        assert!(!heap.is_time(0));
    }
}
