//! Memory of freed segments, kept for the next ones.
//!
//! Memory that comes from the system has to be cleared by it first, which costs more than everything else that a write
//! does. A store that overwrites frees segments as fast as it fills them, so a few kept ones serve it. What is kept
//! counts as used, goes first when memory is short, and is given back when nobody wanted it for a while.

use alloc::vec::Vec;

use crate::pages::Region;
use crate::store::Store;

/// Regions that are kept.
const MOST: usize = 1;
/// How long.
const KEPT_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// With the bytes of each that are resident.
    regions: Vec<(Region, usize)>,
    /// When something was last put in.
    put_ms: u64,
}

impl Pool {
    /// Bytes that are resident.
    pub(crate) fn bytes(&self) -> usize {
        self.regions.iter().map(|(_, resident)| resident).sum()
    }

    fn take(&mut self) -> Option<(Region, usize)> {
        self.regions.pop()
    }

    fn put(&mut self, region: Region, resident: usize, now_ms: u64) {
        if self.regions.len() < MOST {
            self.regions.push((region, resident));
            self.put_ms = now_ms;
        }
    }

    /// When [`Pool::expire`] has something to do, in wall-clock milliseconds.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        (!self.regions.is_empty()).then_some(self.put_ms + KEPT_MS)
    }

    /// Gives back what nobody wanted.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        if self.due_ms().is_some_and(|due| due <= now_ms) {
            self.regions.clear();
        }
    }

    /// Gives everything back. Returns how many bytes that were.
    pub(crate) fn empty(&mut self) -> usize {
        let bytes = self.bytes();
        self.regions.clear();
        bytes
    }
}

impl Store {
    /// Memory for a segment, which may follow a full one of its class, and how much of it is resident already.
    pub(crate) fn take_region(&mut self, follows: bool) -> Option<(Region, usize)> {
        self.pool.take().or_else(|| {
            let len = self.tuning.segment_bytes;
            let region = if follows {
                self.pages.allocate_to_fill(len)?
            } else {
                self.pages.allocate(len)?
            };
            Some((region, 0))
        })
    }

    /// Keeps the memory of a freed segment, if memory is not short.
    pub(crate) fn keep_region(&mut self, region: Region, resident: usize) {
        if self.room(false) > 4 * self.tuning.segment_bytes {
            self.pool.put(region, resident, self.now_ms);
        }
    }
}
