//! Which segment files there should be, so that a start notices one that somebody has deleted.
//!
//! ```text
//!   FILES   slots of 16 bytes: the number of a segment, and its complement; anything else is a free slot
//!
//!   create a file ─► sync the directory ─► enter it          so whatever stands in the list was there, and had its name on disk
//!   strike it, sync the list ─► delete, or quarantine        so whatever is deleted by the server stands in no list
//! ```
//!
//! A crash in between leaves a file that is in no list: the next start enters it. The other way round there is no moment at which a listed
//! file may be missing, whatever the sync mode. That an entry is lost with the power costs no more than the notice. Slots are written in
//! place, so striking needs no space, which is what deleting is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use store::SegmentId;

/// Its name, beside the directory of segments.
const FILES: &str = "FILES";
const SLOT_BYTES: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct FileList {
    file: File,
    /// Where each stands, by slot.
    slots: BTreeMap<SegmentId, usize>,
    /// Slots that are free, below `end`.
    free: Vec<usize>,
    /// As many slots as there are.
    end: usize,
}

impl FileList {
    /// The list of a directory of segments; an empty one, if there is none yet.
    pub fn open(segments: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(segments.with_file_name(FILES))?;
        let mut bytes = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let mut list = Self {
            file,
            slots: BTreeMap::new(),
            free: Vec::new(),
            end: 0,
        };
        // Half a slot at the end is where the next one goes.
        for slot in bytes.as_chunks::<SLOT_BYTES>().0 {
            match read(slot) {
                Some(segment) if !list.slots.contains_key(&segment) => {
                    list.slots.insert(segment, list.end);
                }
                Some(_) | None => list.free.push(list.end),
            }
            list.end += 1;
        }
        Ok(list)
    }

    /// Strikes what is not among these files, and returns it.
    pub fn strike_missing(&mut self, there: &[SegmentId]) -> io::Result<Vec<SegmentId>> {
        let there: BTreeSet<SegmentId> = there.iter().copied().collect();
        let listed = self.slots.keys().copied();
        let missing: Vec<SegmentId> = listed.filter(|id| !there.contains(id)).collect();
        for segment in &missing {
            self.strike(*segment)?;
        }
        Ok(missing)
    }

    /// There is such a file.
    pub fn enter(&mut self, segment: SegmentId) -> io::Result<()> {
        if self.slots.contains_key(&segment) {
            return Ok(());
        }
        let slot = self.free.last().copied().unwrap_or(self.end);
        self.write(slot, segment.0, !segment.0)?;
        if self.free.pop().is_none() {
            self.end += 1;
        }
        self.slots.insert(segment, slot);
        Ok(())
    }

    /// There will be no such file any more. Survives a loss of power.
    pub fn strike(&mut self, segment: SegmentId) -> io::Result<()> {
        let Some(slot) = self.slots.get(&segment).copied() else {
            return Ok(());
        };
        self.write(slot, 0, 0)?;
        self.file.sync_data()?;
        self.slots.remove(&segment);
        self.free.push(slot);
        Ok(())
    }

    fn write(&self, slot: usize, number: u64, complement: u64) -> io::Result<()> {
        let bytes = u128::from(number) | u128::from(complement) << 64;
        let at = (slot * SLOT_BYTES) as u64;
        self.file.write_all_at(&bytes.to_le_bytes(), at)
    }
}

fn read(slot: &[u8; SLOT_BYTES]) -> Option<SegmentId> {
    let bytes = u128::from_le_bytes(*slot);
    let (number, complement) = (bytes as u64, (bytes >> 64) as u64);
    (complement == !number).then_some(SegmentId(number))
}

#[cfg(test)]
mod tests;
