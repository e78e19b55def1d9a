//! A disk that tells the truth only as far as a real one does.
//!
//! Each file has what the process has written (*cached*: it survives the death of the process) and what was
//! synced (*durable*: it survives the loss of power). Ops on one file are done in order, ops on different files in
//! any order and after any delay.
//!
//! - The process dies: of each file's ops in flight the first may be done wholly, in part or not at all, and one
//!   after it only if it was done wholly.
//! - The power goes: on top of that, each unsynced piece of 512 bytes to 4 KiB is kept, lost or torn on its own; a file that
//!   was never synced may be gone, and a deleted one may be back.
//! - A write or a sync may fail. After a failed sync the pages count as clean, as in Linux: a later sync
//!   that succeeds does not make them durable (research on fsync failures, ATC 2020). If the process died before it was
//!   told, the next one is. If it was told, the file is disowned at once, as the server does it; such a mark may be lost with the power, one
//!   that was asked for is not.

mod crash;
mod file;

use std::collections::{BTreeMap, VecDeque};

use store::{DiskError, DiskEvent, DiskOp, Restore, SegmentId};

use crate::random::Random;
use crate::rare::{Counts, Rare};
pub use file::File;

/// How often what goes wrong, in parts of ten thousand ops, and how long ops take.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults {
    /// A write fails, having written some of it.
    pub write: u32,
    /// A sync fails.
    pub sync: u32,
    /// A file cannot be made.
    pub create: u32,
    /// Longest time that an op takes, in microseconds.
    pub longest_us: u64,
}

/// An op that was asked for and is not done.
#[derive(Clone, Debug)]
struct Pending {
    op: DiskOp,
    bytes: Vec<u8>,
    issued_us: u64,
    ready_us: u64,
}

/// How a node's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process died; the operating system lives.
    Process,
    /// The machine lost power.
    Power,
}

/// A file as a process finds it.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Whose file.
    pub segment: SegmentId,
    /// Its bytes, up to where all that follow are zero.
    pub written: &'a [u8],
    /// How many there are.
    pub len: usize,
    /// Whether it bears the mark of a file that has failed.
    pub disowned: bool,
}

impl Image<'_> {
    /// Reads it as the server reads a file at a start.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn read(&self, restore: &mut Restore) -> Result<(), String> {
        let mut region = restore.region().ok_or("no memory for a segment")?;
        let len = self.len.min(region.bytes().len());
        let (written, empty) = region.bytes_mut()[..len].split_at_mut(self.written.len().min(len));
        written.copy_from_slice(&self.written[..written.len()]);
        empty.fill(0);
        let scanned = restore.scanner().scan(self.segment, region, len);
        restore.add(scanned.disowned(self.disowned));
        Ok(())
    }
}

/// See the module.
pub struct Disk {
    /// The files as they are.
    files: BTreeMap<SegmentId, File>,
    /// Deleted, and not yet surely so.
    ghosts: BTreeMap<SegmentId, File>,
    queues: BTreeMap<SegmentId, VecDeque<Pending>>,
    segment_bytes: usize,
    random: Random,
    /// What goes wrong.
    pub faults: DiskFaults,
    /// No file can be made while this is set.
    pub full: bool,
    /// When something last went wrong or was in flight that had gone wrong before, in microseconds.
    pub last_fault_us: Option<u64>,
    /// An op has failed since this was last looked at.
    pub has_failed: bool,
}

impl Disk {
    /// An empty disk for segments of this size.
    #[must_use]
    pub fn new(segment_bytes: usize, faults: DiskFaults, random: Random) -> Self {
        Self {
            files: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            queues: BTreeMap::new(),
            segment_bytes,
            random,
            faults,
            full: false,
            last_fault_us: None,
            has_failed: false,
        }
    }

    /// Takes an op, with the bytes of a write.
    pub fn ask(&mut self, op: DiskOp, bytes: &[u8], now_us: u64) {
        let longest = self.faults.longest_us;
        let pending = Pending {
            op,
            bytes: bytes.to_vec(),
            issued_us: now_us,
            ready_us: now_us + self.random.extreme(0, longest),
        };
        self.queues
            .entry(op.segment())
            .or_default()
            .push_back(pending);
    }

    /// The files whose next op may be done by now.
    #[must_use]
    pub fn ready(&self, now_us: u64) -> Vec<SegmentId> {
        let due = |queue: &VecDeque<Pending>| queue.front().is_some_and(|p| p.ready_us <= now_us);
        let ready = self.queues.iter().filter(|(_, queue)| due(queue));
        ready.map(|(segment, _)| *segment).collect()
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.queues.is_empty()
    }

    /// When the oldest op in flight was asked for, in microseconds.
    #[must_use]
    pub fn oldest_issued_us(&self) -> Option<u64> {
        self.queues.values().flatten().map(|p| p.issued_us).min()
    }

    /// When the next op may be done, in microseconds.
    #[must_use]
    pub fn next_ready_us(&self) -> Option<u64> {
        let fronts = self.queues.values().filter_map(VecDeque::front);
        fronts.map(|p| p.ready_us).min()
    }

    /// Does the file's next op, or fails it.
    pub fn complete(
        &mut self,
        segment: SegmentId,
        now_us: u64,
        counts: &mut Counts,
    ) -> Option<DiskEvent> {
        let queue = self.queues.get_mut(&segment)?;
        let pending = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&segment);
        }
        let result = self.perform(&pending, counts);
        let syncs = matches!(pending.op, DiskOp::Sync { .. } | DiskOp::Close { .. });
        if result.is_err() && syncs {
            self.disown(segment);
        }
        if matches!(
            pending.op,
            DiskOp::Delete { .. } | DiskOp::Quarantine { .. }
        ) {
            // Its end is reported when the directory is synced.
            self.ghosts.clear();
        }
        if result.is_err() {
            self.last_fault_us = Some(now_us);
        }
        Some(DiskEvent {
            op: pending.op,
            result,
        })
    }

    fn perform(&mut self, pending: &Pending, counts: &mut Counts) -> Result<(), DiskError> {
        let result = self.try_to(pending, counts);
        self.has_failed |= result.is_err();
        result
    }

    fn try_to(&mut self, pending: &Pending, counts: &mut Counts) -> Result<(), DiskError> {
        const IO: DiskError = DiskError::Io(5);
        match pending.op {
            DiskOp::Create { segment } => {
                if self.full {
                    counts.note(Rare::NoSpace);
                    return Err(DiskError::NoSpace);
                }
                if self.random.chance(self.faults.create) {
                    return Err(IO);
                }
                self.files.insert(segment, File::new(self.segment_bytes));
                Ok(())
            }
            DiskOp::Write {
                segment, offset, ..
            } => {
                let fails = self.random.chance(self.faults.write);
                let kept = self.random.index(pending.bytes.len() + 1);
                let file = self.files.get_mut(&segment).ok_or(IO)?;
                if fails {
                    counts.note(Rare::WriteFailed);
                    file.write(offset as usize, &pending.bytes[..kept]);
                    return Err(IO);
                }
                file.write(offset as usize, &pending.bytes);
                Ok(())
            }
            DiskOp::Sync { segment } => self.sync(segment, counts),
            DiskOp::Close { segment, len } => {
                self.sync(segment, counts)?;
                self.files.get_mut(&segment).ok_or(IO)?.cut(len as usize);
                self.sync(segment, counts)
            }
            DiskOp::Disown { segment } => {
                if self.random.chance(self.faults.create) {
                    return Err(IO);
                }
                self.disown(segment);
                if let Some(file) = self.files.get_mut(&segment) {
                    file.disowned_for_good = true;
                }
                Ok(())
            }
            DiskOp::Delete { segment } | DiskOp::Quarantine { segment } => {
                if let Some(file) = self.files.remove(&segment) {
                    self.ghosts.insert(segment, file);
                }
                Ok(())
            }
        }
    }

    fn disown(&mut self, segment: SegmentId) {
        if let Some(file) = self.files.get_mut(&segment) {
            file.disowned = true;
        }
    }

    fn sync(&mut self, segment: SegmentId, counts: &mut Counts) -> Result<(), DiskError> {
        let fails = self.random.chance(self.faults.sync);
        let file = self.files.get_mut(&segment).ok_or(DiskError::Io(5))?;
        if std::mem::take(&mut file.owes_error) || fails {
            counts.note(Rare::SyncFailed);
            file.fail_sync();
            return Err(DiskError::Io(5));
        }
        let first = file.sync();
        if first {
            // Making a file's directory entry durable makes all earlier changes of the directory so.
            self.ghosts.clear();
        }
        Ok(())
    }

    /// The files that there are, oldest segment first, with all their bytes.
    pub fn images(&self) -> impl Iterator<Item = Image<'_>> {
        self.files.iter().map(|(segment, file)| Image {
            segment: *segment,
            written: file.written(),
            len: file.size(),
            disowned: file.disowned,
        })
    }

    /// Puts a whole file back, durable as it is: what a tool of the operator's would do.
    pub fn file_mut(&mut self, segment: SegmentId) -> Option<&mut File> {
        self.files.get_mut(&segment)
    }

    /// Flips a bit in a file that nobody was writing. Returns where, if there is such a file.
    pub fn rot(&mut self, random: &mut Random) -> Option<(SegmentId, usize)> {
        let closed: Vec<SegmentId> = self.closed().collect();
        if closed.is_empty() {
            return None;
        }
        let segment = *random.pick(&closed);
        let at = self.files.get_mut(&segment)?.flip(random)?;
        Some((segment, at))
    }

    /// The segments whose file nobody is writing any more.
    pub fn closed(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let closed = self.files.iter().filter(|(_, file)| file.closed);
        closed.map(|(segment, _)| *segment)
    }

    /// The segments that have a file.
    pub fn segments(&self) -> impl Iterator<Item = SegmentId> + '_ {
        self.files.keys().copied()
    }
}

#[cfg(test)]
mod tests;
