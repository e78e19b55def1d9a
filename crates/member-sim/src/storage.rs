//! The data directory of one member: a folder for each copy, with its note and a disk of its own for its segments.
//!
//! What is done to folders is done in order, by one thread, each after a time of its own; a crash cuts that off anywhere. A note is replaced
//! whole or not at all, on a full disk too; one that need not be synced at once may be lost with the power for a while. But a full disk has room for one more folder only if that was made ahead (`docs/replication.md`,
//! "Room for vows"). A folder that was removed without the directory's being synced may be back after a loss of power.

use std::collections::{BTreeMap, VecDeque};

use model::{Incarnation, Now};
use node::{CopyId, DiskTask, FileTask, Input, Membership, Noted, RestoredCopy};
use sim::disk::{Crash, Disk, DiskFaults, Image};
use sim::random::Random;
use store::{Restore, RestoreReport, SegmentId, Store};

/// What is on the disk of one copy.
struct Folder {
    notes: Notes,
    disk: Disk,
}

/// The note of a copy: the one that survives a loss of power, and later ones that may not, each with when it was kept.
#[derive(Default)]
struct Notes {
    synced: Option<Vec<u8>>,
    later: VecDeque<(u64, Vec<u8>)>,
}

/// Reading what was set aside takes at most so long.
const LONGEST_READ_US: u64 = 2_000_000;
/// A note is synced so long after it was kept, in microseconds.
const NOTE_SYNCED_US: u64 = 500_000;

impl Notes {
    fn last(&self) -> Option<&Vec<u8>> {
        self.later
            .back()
            .map(|(_, note)| note)
            .or(self.synced.as_ref())
    }

    /// What survives a loss of power by now.
    fn settle(&mut self, at_us: u64) {
        while let Some((_, note)) = self
            .later
            .pop_front_if(|(kept_us, _)| *kept_us + NOTE_SYNCED_US <= at_us)
        {
            self.synced = Some(note);
        }
    }

    fn keep(&mut self, note: Vec<u8>, at_once: bool, at_us: u64) {
        self.settle(at_us);
        if at_once {
            self.later.clear();
            self.synced = Some(note);
        } else {
            self.later.push_back((at_us, note));
        }
    }

    /// A loss of power leaves one of those that may be left.
    fn lose_power(&mut self, at_us: u64, random: &mut Random) {
        self.settle(at_us);
        let left = random.index(self.later.len() + 1);
        for (_, note) in std::mem::take(&mut self.later).into_iter().take(left) {
            self.synced = Some(note);
        }
    }
}

/// See the module.
pub struct Storage {
    folders: BTreeMap<CopyId, Folder>,
    /// Removed last, and not yet surely so.
    ghost: Option<(CopyId, Folder)>,
    jobs: VecDeque<(u64, FileTask)>,
    /// What there was no room for, in order.
    put_off: Vec<FileTask>,
    /// Copies that were set aside and are being read, and until when.
    reading: Vec<(u64, CopyId)>,
    /// Whether the folder of the next copy is there.
    spare: bool,
    faults: DiskFaults,
    full: bool,
    /// It is full as soon as another copy is to be kept.
    fills_at_next_copy: bool,
    /// Its disk has failed writes, or may have: what it holds of a process that died since may be damaged.
    is_suspect: bool,
    random: Random,
    segment_bytes: usize,
    /// What the disks have met.
    pub counts: sim::Counts,
    /// How often a folder was back.
    pub returned: u64,
    /// How often a note was kept on a full disk, and how often that of a new copy.
    pub kept_though_full: [u64; 2],
}

/// How often, in ten thousand, a disk that has failed has changed something that was on it when the process ends.
const ROT: u32 = 5_000;

impl Storage {
    /// An empty directory.
    #[must_use]
    pub fn new(segment_bytes: usize, longest_us: u64, random: Random) -> Self {
        Self {
            folders: BTreeMap::new(),
            ghost: None,
            jobs: VecDeque::new(),
            put_off: Vec::new(),
            reading: Vec::new(),
            spare: false,
            faults: DiskFaults {
                longest_us,
                ..DiskFaults::default()
            },
            full: false,
            fills_at_next_copy: false,
            is_suspect: false,
            random,
            segment_bytes,
            counts: sim::Counts::default(),
            returned: 0,
            kept_though_full: [0; 2],
        }
    }

    /// Takes a task on a folder.
    pub fn tend_folder(&mut self, task: FileTask, at_us: u64) {
        if let FileTask::Keep { copy, .. } = task {
            self.make_folder(copy);
            if self.fills_at_next_copy && self.spare && self.is_new(copy) {
                self.set_full(true);
            }
        }
        let before_us = self.jobs.back().map_or(at_us, |(due_us, _)| *due_us);
        let took_us = self.random.extreme(0, self.faults.longest_us);
        self.jobs.push_back((before_us.max(at_us) + took_us, task));
    }

    /// Without its note it does not count: a start takes it for one that was never finished.
    fn make_folder(&mut self, copy: CopyId) {
        if self.folders.contains_key(&copy) {
            return;
        }
        let random = Random::new(self.random.bits(), "disk of a copy");
        let mut disk = Disk::new(self.segment_bytes, self.faults.clone(), random);
        disk.full = self.full;
        let notes = Notes::default();
        self.folders.insert(copy, Folder { notes, disk });
    }

    /// Takes an op on a segment file, with the bytes of a write.
    pub fn perform(&mut self, task: DiskTask, bytes: &[u8], at_us: u64) {
        if let Some(folder) = self.folders.get_mut(&task.copy) {
            folder.disk.ask(task.op, bytes, at_us);
        }
    }

    /// Begins to read what a copy had set aside.
    pub fn read(&mut self, copy: CopyId, at_us: u64) {
        let took_us = self.random.extreme(0, LONGEST_READ_US);
        self.reading.push((at_us + took_us, copy));
    }

    /// What has been read by now of what copies had set aside.
    pub fn next_read(
        &mut self,
        terms: &Membership,
        now: Now,
        at_us: u64,
    ) -> Option<Input<'static>> {
        let due = |(due_us, copy): &(u64, CopyId)| {
            let folder = self.folders.get(copy);
            // Not before everything that was asked about its files is done.
            *due_us <= at_us && folder.is_none_or(|f| f.disk.next_ready_us().is_none())
        };
        let index = self.reading.iter().position(due)?;
        let (_, copy) = self.reading.swap_remove(index);
        let folder = self.folders.get(&copy)?;
        let (store, report) = restored(terms, &folder.disk, now);
        let found = RestoredCopy {
            copy,
            note: folder.notes.last().cloned()?,
            store,
            damaged: false,
        };
        report.is_whole().then(|| Input::Restored(Box::new(found)))
    }

    /// What is done by now, for the node to hear of, one after the other; `None` when that is all.
    pub fn next_done(&mut self, at_us: u64) -> Option<Input<'static>> {
        while let Some((due_us, task)) = self.jobs.pop_front_if(|(due_us, _)| *due_us <= at_us) {
            if let Some(kept) = self.attempt(task, due_us) {
                return Some(kept);
            }
        }
        for (copy, folder) in &mut self.folders {
            if folder.disk.next_ready_us().is_none_or(|us| us > at_us) {
                continue;
            }
            let ready = folder.disk.ready(at_us);
            let Some(segment) = ready.first() else {
                continue;
            };
            let event = folder.disk.complete(*segment, at_us, &mut self.counts);
            return event.map(|event| Input::Disk { copy: *copy, event });
        }
        None
    }

    /// Does a task, or puts it off: what has no room, what is about the same copy, and the removal of what a note that waits may replace.
    fn attempt(&mut self, task: FileTask, at_us: u64) -> Option<Input<'static>> {
        let waits = match &task {
            FileTask::Keep { copy, .. } => {
                let before =
                    |task: &FileTask| matches!(task, FileTask::Keep { copy: of, .. } if of == copy);
                self.put_off.iter().any(before) || !self.has_room(*copy)
            }
            FileTask::Remove { .. } => !self.put_off.is_empty(),
        };
        if waits {
            self.put_off.push(task);
            return None;
        }
        self.finish(task, at_us)
    }

    fn is_new(&self, copy: CopyId) -> bool {
        let folder = self.folders.get(&copy);
        folder.is_some_and(|folder| folder.notes.last().is_none())
    }

    fn has_room(&self, copy: CopyId) -> bool {
        !self.full || self.spare || !self.is_new(copy)
    }

    fn finish(&mut self, task: FileTask, at_us: u64) -> Option<Input<'static>> {
        match task {
            FileTask::Keep {
                copy,
                ticket,
                note,
                at_once,
            } => {
                let is_new = self.is_new(copy);
                self.kept_though_full[usize::from(is_new)] += u64::from(self.full);
                self.spare = !self.full || self.spare && !is_new;
                let notes = &mut self.folders.get_mut(&copy)?.notes;
                notes.keep(note, at_once, at_us);
                Some(Input::Kept { copy, ticket })
            }
            FileTask::Remove { copy } => {
                self.spare = true;
                self.ghost = self.folders.remove(&copy).map(|folder| (copy, folder));
                None
            }
        }
    }

    /// When something will be done next.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        let job = self.jobs.front().map(|(due_us, _)| *due_us);
        let disks = self.folders.values();
        let read = self.reading.iter().map(|(due_us, _)| *due_us);
        disks
            .filter_map(|f| f.disk.next_ready_us())
            .chain(job)
            .chain(read)
            .min()
    }

    /// The process ends, or the power.
    pub fn crash(&mut self, how: Crash, at_us: u64) {
        let done = self.random.index(self.jobs.len() + 1);
        for (_, task) in std::mem::take(&mut self.jobs).into_iter().take(done) {
            // Nobody is there to be told.
            let _ = self.attempt(task, at_us);
        }
        self.put_off.clear();
        self.reading.clear();
        let ghost = self.ghost.take();
        if how == Crash::Power
            && let Some((copy, folder)) = ghost
            && self.random.chance(5_000)
        {
            self.returned += 1;
            self.folders.insert(copy, folder);
        }
        for folder in self.folders.values_mut() {
            folder.disk.crash(how, &mut self.counts);
            if how == Crash::Power {
                folder.notes.lose_power(at_us, &mut self.random);
            }
        }
        if self.is_suspect && self.random.chance(ROT) {
            self.rot();
        }
    }

    /// A bit flips in a file of one of the copies that have any which nobody was writing.
    fn rot(&mut self) {
        let disks = self.folders.values_mut().map(|folder| &mut folder.disk);
        let mut disks: Vec<_> = disks.filter(|d| d.closed().next().is_some()).collect();
        if !disks.is_empty() {
            let at = self.random.index(disks.len());
            disks[at].rot(&mut self.random);
        }
    }

    /// Writes and syncs fail from now on, this often in ten thousand.
    pub fn set_failing(&mut self, often: u32) {
        self.is_suspect |= often > 0;
        (self.faults.write, self.faults.sync, self.faults.create) = (often, often, often);
        for folder in self.folders.values_mut() {
            let longest_us = folder.disk.faults.longest_us;
            folder.disk.faults = DiskFaults {
                longest_us,
                ..self.faults.clone()
            };
        }
    }

    /// There is no room for another file from when one more copy is to be kept, whose folder was made ahead.
    pub const fn fill_at_next_copy(&mut self) {
        self.fills_at_next_copy = true;
    }

    /// Whether there is no room for another file.
    pub fn set_full(&mut self, full: bool) {
        (self.full, self.fills_at_next_copy) = (full, false);
        for folder in self.folders.values_mut() {
            folder.disk.full = full;
        }
        if !full {
            for task in self.put_off.drain(..).rev() {
                self.jobs.push_front((0, task));
            }
        }
    }

    /// Nothing of what it had is there any more.
    pub fn replace(&mut self) {
        self.folders.clear();
        self.ghost = None;
        (self.spare, self.is_suspect) = (false, false);
    }

    /// Whether what a process that died had written may be damaged.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// Whether a folder that was removed may be back after a loss of power.
    #[must_use]
    pub const fn has_ghost(&self) -> bool {
        self.ghost.is_some()
    }

    /// What it holds from now on is none of what was there when the disk failed.
    pub const fn trust(&mut self) {
        self.is_suspect = false;
    }

    /// Whether a loss of power leaves of this copy what its note says, whichever note it leaves.
    #[must_use]
    pub fn is_whole_without_power(&mut self, copy: CopyId, whose: Incarnation, at_us: u64) -> bool {
        let Some(Folder { notes, .. }) = self.folders.get_mut(&copy) else {
            return false;
        };
        notes.settle(at_us);
        let later = notes.later.iter().map(|(_, note)| Some(note));
        let mut all = later.chain([notes.synced.as_ref()]);
        all.all(|note| {
            let note = note.and_then(|note| Noted::read(note));
            note.is_some_and(|note| note.is_whole && note.life == whose)
        })
    }

    /// What the copies are after a start, as the server takes them in: the newest folder first; and whether each has all that was written.
    #[must_use]
    pub fn restore(&mut self, terms: &Membership, now: Now) -> Vec<(RestoredCopy, bool)> {
        self.folders
            .retain(|_, folder| folder.notes.last().is_some());
        let folders = self.folders.iter().rev();
        let copies = folders.map(|(copy, folder)| {
            let (store, report) = restored(terms, &folder.disk, now);
            let copy = RestoredCopy {
                copy: *copy,
                note: folder.notes.last().cloned().unwrap_or_default(),
                store,
                damaged: !report.is_beginning(),
            };
            (copy, report.is_whole())
        });
        copies.collect()
    }
}

fn restored(terms: &Membership, disk: &Disk, now: Now) -> (Store, RestoreReport) {
    const MEMORY: &str = "the heap's pages do not end";
    let images: BTreeMap<SegmentId, Image<'_>> = disk.images().map(|i| (i.segment, i)).collect();
    let mut restore = Restore::new(terms.store(), terms.tuning(), (terms.pages)());
    for image in images.values().rev() {
        image.read(&mut restore).expect(MEMORY);
    }
    for segment in restore.put_off() {
        images[&segment].read(&mut restore).expect(MEMORY);
    }
    restore.finish(now.unix_ms)
}
