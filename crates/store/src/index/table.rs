//! One sub-table of the index.
//!
//! Buckets are cache lines of eight cells. A cell's *home* is `tag * buckets >> 23`: the order of tags is the
//! order of homes, so another number of buckets needs nothing but the tags to place the cells anew, and a scan
//! in tag order survives it. A cell that finds its home full goes to the next bucket with room; a few spare
//! buckets at the end take what runs over.
//!
//! Invariants, asserted by [`Table::check`]:
//! 1. cells of a bucket stand at its front;
//! 2. every bucket from a cell's home up to, but without, the one it is in is full. So a search ends at the
//!    first bucket with room;
//! 3. the table is at most [`FULL_PERCENT`] full, and has no cell before its home.

use super::buckets::Buckets;
use crate::pages::Pages;

/// Part of a hash that is kept in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(u64);

impl Tag {
    pub(crate) const BITS: u32 = 23;
    pub(crate) const FIRST: Self = Self(0);

    #[inline]
    pub(crate) fn of(hash: u64) -> Self {
        Self(hash & ((1 << Self::BITS) - 1))
    }

    pub(crate) fn from_raw(raw: u64) -> Self {
        Self(raw & ((1 << Self::BITS) - 1))
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    #[inline]
    fn of_cell(cell: u64) -> Self {
        Self(cell >> TAG_SHIFT)
    }
}

const TAG_SHIFT: u32 = 64 - Tag::BITS;
/// See [`super::Reference`]; the bit above it says that the entry is alone.
const REFERENCE_MASK: u64 = ALONE - 1;
const ALONE: u64 = 1 << (TAG_SHIFT - 1);
const CELLS: usize = 8;
/// Fill at which the table grows,
const FULL_PERCENT: usize = 92;
/// by one bucket in so many: with small steps the fill stays near its most, and a step's cost stays small beside that of the
/// inserts between two.
const GROWTH_PART: usize = 16;
/// Fill at which it shrinks to [`REFILL_PERCENT`].
const EMPTY_PERCENT: usize = 40;
const REFILL_PERCENT: usize = 70;
/// Buckets behind the last home.
const SPARE: usize = 2;

#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Bucket([u64; CELLS]);

impl Bucket {
    pub(super) const EMPTY: Self = Self([0; CELLS]);

    #[inline]
    fn is_full(&self) -> bool {
        self.0[CELLS - 1] != 0
    }

    fn len(&self) -> usize {
        self.0.iter().take_while(|cell| **cell != 0).count()
    }

    /// Bit `i` is set if cell `i` has the tag.
    #[inline]
    fn matches(&self, tag: Tag) -> u32 {
        let mut mask = 0;
        for (i, cell) in self.0.iter().enumerate() {
            mask |= u32::from(*cell >> TAG_SHIFT == tag.0 && *cell != 0) << i;
        }
        mask
    }
}

/// A place in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    bucket: u32,
    lane: u32,
}

pub(crate) struct Table {
    /// Homes and [`SPARE`] buckets; empty for a table that never had a cell.
    buckets: Buckets,
    cells: usize,
}

fn home(tag: Tag, homes: usize) -> usize {
    ((tag.0 * homes as u64) >> Tag::BITS) as usize
}

/// The smallest tag whose home is `bucket`.
fn first_tag(bucket: usize, homes: usize) -> Tag {
    Tag(((bucket as u64) << Tag::BITS).div_ceil(homes as u64))
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            buckets: Buckets::none(),
            cells: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buckets.bytes()
    }

    #[inline]
    fn homes(&self) -> usize {
        self.buckets.len().saturating_sub(SPARE)
    }

    #[inline]
    fn home(&self, tag: Tag) -> usize {
        home(tag, self.homes())
    }

    #[inline]
    pub(crate) fn prefetch(&self, tag: Tag) {
        if let Some(bucket) = self.buckets.get(self.home(tag)) {
            crate::prefetch::line(core::ptr::from_ref(bucket).cast());
        }
    }

    #[inline]
    pub(crate) fn guess(&self, tag: Tag) -> Option<u64> {
        let bucket = self.buckets.get(self.home(tag))?;
        let mask = bucket.matches(tag);
        (mask != 0).then(|| bucket.0[mask.trailing_zeros() as usize] & REFERENCE_MASK)
    }

    #[inline]
    pub(crate) fn find(&self, tag: Tag, mut right: impl FnMut(u64) -> bool) -> Option<(At, u64)> {
        let home = self.home(tag);
        for (i, bucket) in self.buckets.get(home..)?.iter().enumerate() {
            let mut mask = bucket.matches(tag);
            while mask != 0 {
                let lane = mask.trailing_zeros();
                let reference = bucket.0[lane as usize] & REFERENCE_MASK;
                if right(reference) {
                    let bucket = (home + i) as u32;
                    return Some((At { bucket, lane }, reference));
                }
                mask &= mask - 1;
            }
            if !bucket.is_full() {
                return None;
            }
        }
        None
    }

    /// Adds a cell. The table may grow.
    #[inline]
    pub(crate) fn insert(&mut self, tag: Tag, reference: u64, alone: bool, pages: &mut dyn Pages) {
        if (self.cells + 1) * 100 > self.homes() * CELLS * FULL_PERCENT {
            self.grow(pages);
        }
        while !self.place(tag.0 << TAG_SHIFT | reference | if alone { ALONE } else { 0 }) {
            self.grow(pages);
        }
        self.cells += 1;
    }

    /// Puts a cell into the first bucket with room from its home on; false if there is none.
    #[inline]
    fn place(&mut self, cell: u64) -> bool {
        let home = self.home(Tag::of_cell(cell));
        for bucket in &mut self.buckets[home..] {
            if !bucket.is_full() {
                let lane = bucket.len();
                bucket.0[lane] = cell;
                return true;
            }
        }
        false
    }

    #[cold]
    fn grow(&mut self, pages: &mut dyn Pages) {
        let homes = self.homes() + self.homes().div_ceil(GROWTH_PART).max(1);
        let len = Buckets::rounded(homes + SPARE);
        if len <= self.buckets.room() {
            self.stretch(len);
        } else {
            self.rebuild(homes, pages);
        }
    }

    /// Grows to `len` buckets where it is: all buckets move up by what it grows, and then the cells of one after the other down to where they
    /// belong. None of them meets one that has not moved yet: as many buckets as the table grows by lie between at first; a cell's home moves up by no
    /// more than that; and if the buckets from its home up to where it comes from were full, more cells than they hold would have come from them.
    fn stretch(&mut self, len: usize) {
        let old = self.buckets.len();
        let by = len - old;
        self.buckets.lengthen(len);
        self.buckets.copy_within(..old, by);
        self.buckets[..by].fill(Bucket::EMPTY);
        for at in by..len {
            let bucket = core::mem::replace(&mut self.buckets[at], Bucket::EMPTY);
            for cell in bucket.0.into_iter().take_while(|cell| *cell != 0) {
                let placed = self.place(cell);
                assert!(placed, "a cell moves up by no more than the table grows");
            }
        }
    }

    /// Moves to other memory, of so many homes, or a little more if the end runs over.
    fn rebuild(&mut self, mut homes: usize, pages: &mut dyn Pages) {
        loop {
            let buckets = Buckets::new(homes + SPARE, pages);
            let old = core::mem::replace(&mut self.buckets, buckets);
            let cells = || old.iter().flat_map(|b| b.0).filter(|c| *c != 0);
            if cells().all(|cell| self.place(cell)) {
                return;
            }
            self.buckets = old;
            homes += homes.div_ceil(GROWTH_PART);
        }
    }

    #[inline]
    pub(crate) fn replace(&mut self, at: At, reference: u64) {
        let cell = &mut self.buckets[at.bucket as usize].0[at.lane as usize];
        *cell = *cell & !REFERENCE_MASK | reference;
    }

    #[inline]
    pub(crate) fn is_alone(&self, at: At) -> bool {
        self.buckets[at.bucket as usize].0[at.lane as usize] & ALONE != 0
    }

    #[inline]
    pub(crate) fn set_alone(&mut self, at: At, alone: bool) {
        let cell = &mut self.buckets[at.bucket as usize].0[at.lane as usize];
        *cell = *cell & !ALONE | if alone { ALONE } else { 0 };
    }

    /// Takes a cell away. The table may shrink.
    pub(crate) fn remove(&mut self, at: At, pages: &mut dyn Pages) {
        let (mut hole, mut lane) = (at.bucket as usize, at.lane as usize);
        while let Some((bucket, with)) = self.take_out(hole, lane) {
            (hole, lane) = (bucket, with);
        }
        self.cells -= 1;
        if self.homes() > 2 && self.cells * 100 < self.homes() * CELLS * EMPTY_PERCENT {
            self.shrink(pages);
        }
    }

    #[cold]
    fn shrink(&mut self, pages: &mut dyn Pages) {
        let homes = (self.cells * 100).div_ceil(CELLS * REFILL_PERCENT).max(1);
        if Buckets::rounded(homes + SPARE) < self.buckets.len() {
            self.rebuild(homes, pages);
        }
    }

    /// Empties a cell. If the bucket was full, a cell of a later bucket that had found it so comes back into
    /// it; returns that cell's place, to be emptied next.
    fn take_out(&mut self, bucket: usize, lane: usize) -> Option<(usize, usize)> {
        let was_full = self.buckets[bucket].is_full();
        let last = self.buckets[bucket].len() - 1;
        let cells = &mut self.buckets[bucket].0;
        cells[lane] = cells[last];
        cells[last] = 0;
        if !was_full {
            return None;
        }
        let (from, lane) = self.overflowed(bucket)?;
        self.buckets[bucket].0[last] = self.buckets[from].0[lane];
        Some((from, lane))
    }

    /// A cell behind `bucket` whose home is not behind it.
    fn overflowed(&self, bucket: usize) -> Option<(usize, usize)> {
        for (i, later) in self.buckets.iter().enumerate().skip(bucket + 1) {
            let at = |cell: &u64| *cell != 0 && self.home(Tag::of_cell(*cell)) <= bucket;
            if let Some(lane) = later.0.iter().position(at) {
                return Some((i, lane));
            }
            if !later.is_full() {
                return None;
            }
        }
        None
    }

    /// Visits every cell whose home is that of `from` and whose tag is not before `from`. Returns the first tag
    /// of the next home, `None` behind the last.
    pub(crate) fn scan(&self, from: Tag, mut visit: impl FnMut(u64)) -> Option<Tag> {
        let homes = self.homes();
        if homes == 0 {
            return None;
        }
        let home = self.home(from);
        for bucket in &self.buckets[home..] {
            for cell in bucket.0.into_iter().filter(|c| *c != 0) {
                let tag = Tag::of_cell(cell);
                if tag >= from && self.home(tag) == home {
                    visit(cell & REFERENCE_MASK);
                }
            }
            if !bucket.is_full() {
                break;
            }
        }
        (home + 1 < homes).then(|| first_tag(home + 1, homes))
    }

    /// Asserts the invariants and returns the number of cells.
    pub(crate) fn check(&self) -> usize {
        let mut cells = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            let len = bucket.len();
            assert!(bucket.0[len..].iter().all(|c| *c == 0), "cells in front");
            cells += len;
            for cell in &bucket.0[..len] {
                let home = self.home(Tag::of_cell(*cell));
                assert!(home <= i, "no cell before its home");
                let between = &self.buckets[home..i];
                assert!(between.iter().all(Bucket::is_full), "no gap before a cell");
            }
        }
        assert_eq!(cells, self.cells);
        assert!(cells * 100 <= self.homes() * CELLS * FULL_PERCENT);
        cells
    }
}
