//! The memory of one sub-table: a row of buckets that becomes longer where it is.
//!
//! A table that moved whenever it grew would leave its old place behind, into which none of the others fits that have grown, too: in
//! the allocator's memory such holes took a third of what the index did. So a table of more than [`FEW`] buckets takes a region that has room for
//! at least twice as many, of which only the pages that it has touched cost anything, and uses these whole. One of fewer is a piece of the allocator's.

use alloc::alloc::{Layout, handle_alloc_error};
use core::ops::{Deref, DerefMut};

use super::table::Bucket;
use crate::pages::{PAGE_BYTES, Pages, Region, from_heap};

const BUCKET_BYTES: usize = size_of::<Bucket>();
const PAGE: usize = PAGE_BYTES / BUCKET_BYTES;
/// A table of no more buckets takes no pages of its own.
const FEW: usize = PAGE / 4;
/// Room that a table has at least, if it has pages of its own.
const LEAST_ROOM: usize = 16 * PAGE;

/// See the module.
pub(super) struct Buckets {
    region: Region,
    len: usize,
}

impl Buckets {
    /// None, which takes no memory.
    pub(super) fn none() -> Self {
        Self {
            region: Region::empty::<Bucket>(),
            len: 0,
        }
    }

    /// How many buckets a table gets that needs `len` of them.
    pub(super) fn rounded(len: usize) -> usize {
        if len <= FEW {
            len
        } else {
            len.next_multiple_of(PAGE)
        }
    }

    /// `len` empty buckets, rounded.
    pub(super) fn new(len: usize, pages: &mut dyn Pages) -> Self {
        let len = Self::rounded(len);
        let room = if len <= FEW {
            len
        } else {
            (2 * len).next_power_of_two().max(LEAST_ROOM)
        };
        let own = (len > FEW).then(|| pages.allocate_table(room * BUCKET_BYTES));
        // The system may have no more mappings, and the allocator memory.
        let region = own
            .flatten()
            .or_else(|| from_heap::<BUCKET_BYTES>(room * BUCKET_BYTES));
        let mut buckets = Self {
            // As a vector that finds no memory.
            region: region.unwrap_or_else(|| handle_alloc_error(Layout::new::<Bucket>())),
            len: 0,
        };
        assert!(
            buckets
                .region
                .bytes()
                .as_ptr()
                .cast::<Bucket>()
                .is_aligned()
        );
        assert!(buckets.room() >= len);
        buckets.lengthen(len);
        buckets
    }

    /// Buckets that there is room for.
    pub(super) fn room(&self) -> usize {
        self.region.bytes().len() / BUCKET_BYTES
    }

    /// Adds empty buckets, for which there is room, up to `len` of them.
    pub(super) fn lengthen(&mut self, len: usize) {
        assert!(len <= self.room());
        let old = core::mem::replace(&mut self.len, len);
        self[old..].fill(Bucket::EMPTY);
    }

    /// Bytes that are resident.
    pub(super) fn bytes(&self) -> usize {
        self.len * BUCKET_BYTES
    }
}

impl Deref for Buckets {
    type Target = [Bucket];

    #[inline]
    fn deref(&self) -> &[Bucket] {
        let start = self.region.bytes().as_ptr().cast::<Bucket>();
        // SAFETY: the region begins where a bucket may, and is initialised and has room for `len` of them, as `new` and `lengthen` have
        // seen to; a bucket is numbers, of which any bytes make one. It is ours alone, so nobody else writes to it.
        unsafe { core::slice::from_raw_parts(start, self.len) }
    }
}

impl DerefMut for Buckets {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Bucket] {
        let start = self.region.bytes_mut().as_mut_ptr().cast::<Bucket>();
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(start, self.len) }
    }
}
