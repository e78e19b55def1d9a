//! Where each key's current entry is: an open hash table of 8-byte cells.
//!
//! A cell is `tag:23 | alone:1 | segment slot:17 | offset:23`; zero is an empty cell (no entry stands at offset 0). The
//! table is a fixed number of sub-tables, chosen by the hash's high bits, so that growing one is a small step.
//! See [`table`] for one of them. The index never looks at entries: whether a cell with the right tag is the
//! right one is for the caller to say.
//!
//! A scan's cursor is (sub-table, tag): neither changes when the sub-table is resized.

mod buckets;
mod table;

use alloc::vec::Vec;

use self::table::Table;
pub(crate) use self::table::Tag;
use crate::pages::Pages;

/// Where an entry is in memory: a segment's slot and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference(u64);

const OFFSET_BITS: u32 = model::limits::SEGMENT_OFFSET_BITS;
/// Segments that a store can have in memory.
pub(crate) const MAX_SLOTS: usize = 1 << 17;

impl Reference {
    #[inline]
    pub(crate) fn new(slot: usize, offset: usize) -> Self {
        debug_assert!(slot < MAX_SLOTS && offset < 1 << OFFSET_BITS && offset > 0);
        Self((slot as u64) << OFFSET_BITS | offset as u64)
    }

    #[inline]
    pub(crate) fn slot(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    #[inline]
    pub(crate) fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize
    }
}

/// A place in the index, good until the index changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellAt {
    table: usize,
    at: table::At,
}

pub(crate) struct Index {
    tables: Vec<Table>,
    /// How far to shift a hash to get the number of its sub-table.
    shift: u32,
    bytes: usize,
    cells: usize,
}

impl Index {
    /// An empty index of about `tables` sub-tables.
    pub(crate) fn new(tables: usize) -> Self {
        let tables = tables.next_power_of_two().clamp(2, 1 << 20);
        let mut index = Self {
            tables: Vec::new(),
            shift: 64 - tables.trailing_zeros(),
            bytes: 0,
            cells: 0,
        };
        index.tables.resize_with(tables, Table::new);
        index.bytes = index.tables.iter().map(Table::bytes).sum();
        index
    }

    #[inline]
    fn table_of(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.tables.len() * size_of::<Table>()
    }

    /// Cells in use.
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.tables[self.table_of(hash)].prefetch(Tag::of(hash));
    }

    /// The first cell that has this hash's tag and home: most likely its entry.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<Reference> {
        self.tables[self.table_of(hash)]
            .guess(Tag::of(hash))
            .map(Reference)
    }

    /// The cell with this hash's tag that is `right`.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: u64,
        mut right: impl FnMut(Reference) -> bool,
    ) -> Option<(CellAt, Reference)> {
        let table = self.table_of(hash);
        let (at, cell) =
            self.tables[table].find(Tag::of(hash), |reference| right(Reference(reference)))?;
        Some((CellAt { table, at }, Reference(cell)))
    }

    /// The cell of this very entry, if it is its key's current one.
    #[inline]
    pub(crate) fn find_reference(&self, hash: u64, reference: Reference) -> Option<CellAt> {
        self.find(hash, |r| r == reference).map(|(at, _)| at)
    }

    /// Adds a cell. See [`Index::is_alone`].
    #[inline]
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        reference: Reference,
        alone: bool,
        pages: &mut dyn Pages,
    ) {
        let table = self.table_of(hash);
        let table = &mut self.tables[table];
        self.bytes -= table.bytes();
        table.insert(Tag::of(hash), reference.0, alone, pages);
        self.bytes += table.bytes();
        self.cells += 1;
    }

    /// Makes a cell lead to another entry.
    #[inline]
    pub(crate) fn replace(&mut self, at: CellAt, reference: Reference) {
        self.tables[at.table].replace(at.at, reference.0);
    }

    /// Whether every older version of this key that lies in some file has a tombstone of its own: then a
    /// tombstone of this entry is needed only as long as the file that this entry is in.
    #[inline]
    pub(crate) fn is_alone(&self, at: CellAt) -> bool {
        self.tables[at.table].is_alone(at.at)
    }

    #[inline]
    pub(crate) fn set_alone(&mut self, at: CellAt, alone: bool) {
        self.tables[at.table].set_alone(at.at, alone);
    }

    /// Takes a cell away.
    #[inline]
    pub(crate) fn remove(&mut self, at: CellAt, pages: &mut dyn Pages) {
        let table = &mut self.tables[at.table];
        self.bytes -= table.bytes();
        table.remove(at.at, pages);
        self.bytes += table.bytes();
        self.cells -= 1;
    }

    /// Takes all cells away.
    pub(crate) fn clear(&mut self) {
        for table in &mut self.tables {
            *table = Table::new();
        }
        self.bytes = self.tables.iter().map(Table::bytes).sum();
        self.cells = 0;
    }

    /// Visits all cells of some consecutive tags from `cursor` on, and returns the cursor of the next tag, 0
    /// after the last. Visits at least one home bucket, and about `budget` cells.
    pub(crate) fn scan(&self, cursor: u64, budget: usize, mut visit: impl FnMut(Reference)) -> u64 {
        let mut table = (cursor >> Tag::BITS) as usize;
        let mut tag = Tag::from_raw(cursor & ((1 << Tag::BITS) - 1));
        let mut visited = 0;
        while let Some(current) = self.tables.get(table) {
            let next = current.scan(tag, |reference| {
                visited += 1;
                visit(Reference(reference));
            });
            (table, tag) = match next {
                Some(tag) => (table, tag),
                None => (table + 1, Tag::FIRST),
            };
            // An empty bucket is work, too.
            visited += 1;
            if visited >= budget && table < self.tables.len() {
                return (table as u64) << Tag::BITS | tag.raw();
            }
        }
        0
    }

    /// Number of sub-tables, for choosing a place at random.
    pub(crate) fn cursor_at_random(&self, random: u64) -> u64 {
        let table = (random >> 32) as usize % self.tables.len();
        (table as u64) << Tag::BITS | (random & ((1 << Tag::BITS) - 1))
    }

    /// Asserts the invariants of every sub-table.
    pub(crate) fn check(&self) {
        let cells: usize = self.tables.iter().map(Table::check).sum();
        assert_eq!(cells, self.cells, "cells counted and cells found");
        let bytes: usize = self.tables.iter().map(Table::bytes).sum();
        assert_eq!(bytes, self.bytes, "bytes counted and bytes held");
    }
}

#[cfg(test)]
mod tests;
