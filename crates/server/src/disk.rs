//! The disk ops of a node, carried out.
//!
//! A write goes to the operating system's cache and takes a microsecond or two: the node's thread does it
//! itself, so that in the modes that do not wait for a sync a write is acknowledged in the turn that made it.
//! Everything that may wait for the device (creating and reserving, syncing, closing, deleting) is done in
//! order by one other thread, and comes back as a message. With `sync always`, the writes of all turns that
//! pass while a sync is under way share the next one: that is the group commit.
//!
//! Ops on one file are done in order: a write to a file that is still being created waits its turn in that thread, and so do
//! those after it until it is done.
//!
//! A member of a cluster has many copies, each with a folder of its own ([`Folders`]); one thread serves them all, so a folder is there
//! before anything is created in it, and goes after everything that was asked of it ([`tending`]).

mod tending;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use node::{CopyId, DiskTask, FileTask, Input, RestoredCopy};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use store::{DiskError, DiskEvent, DiskOp, SegmentId, StoreConfig, Tuning};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::directory::{
    FileList, Folders, delete, disown, quarantine, segment_path, sync_directory,
};
use crate::message::{Mailbox, Message};
use crate::restore::restore_set_aside;

use self::tending::Tending;

/// A job that takes so long is told of: the group commit, and promises to the cluster, wait for it.
const SLOW: Duration = Duration::from_secs(1);

/// What the disk thread has done.
#[derive(Debug)]
pub enum Done {
    /// Something to a segment file.
    Segment(SegmentDone),
    /// The note of a copy is kept.
    Kept {
        /// Whose.
        copy: CopyId,
        /// Which.
        ticket: u64,
    },
    /// What a copy had set aside is read; `None` if it cannot be.
    Restored(Option<Box<RestoredCopy>>),
    /// A folder is removed, or what was left of it will be at the next start.
    Removed,
}

/// An op on a segment file that the disk thread has done.
#[derive(Debug)]
pub struct SegmentDone {
    copy: CopyId,
    event: DiskEvent,
    /// The file that was created.
    file: Option<Arc<File>>,
}

/// Something for the disk thread to do.
enum Job {
    Segment(SegmentJob),
    Folder(FileTask),
    Restore(CopyId),
}

impl Job {
    fn name(&self) -> &'static str {
        match self {
            Self::Segment(job) => op_name(job.task.op),
            Self::Folder(FileTask::Keep { .. }) => "keep a note",
            Self::Restore(_) => "begin to read what was set aside",
            Self::Folder(FileTask::Remove { .. }) => "remove a folder",
        }
    }
}

/// An op on a segment file, with the file that it is about.
struct SegmentJob {
    task: DiskTask,
    /// `None`: it is opened, if the op needs it.
    file: Option<Arc<File>>,
    /// What to write.
    bytes: Vec<u8>,
}

/// A segment of a copy.
type Segment = (CopyId, SegmentId);

/// Counters of the disk, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskStats {
    /// Writes, and their bytes.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Ops that failed, of all kinds.
    pub errors: u64,
    /// Files created.
    pub creates: u64,
    /// Files deleted.
    pub deletes: u64,
    /// Files moved aside because they are damaged.
    pub quarantines: u64,
    /// Syncs, those of files that were closed too.
    pub syncs: Durations,
}

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// By upper bound: see [`Durations::BOUNDS_US`]; the last is for what took longer.
    pub buckets: [u64; Self::BOUNDS_US.len() + 1],
    /// Altogether, in microseconds.
    pub total_us: u64,
}

impl Durations {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS_US: [u64; 14] = [
        50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
        1_000_000,
    ];

    fn note(&mut self, us: u64) {
        let bucket = Self::BOUNDS_US.partition_point(|&bound| bound < us);
        self.buckets[bucket] += 1;
        self.total_us += us;
    }
}

/// The disk of one node.
pub struct Disk {
    /// Where the segment files are.
    folders: Folders,
    /// Files that are open for writing.
    files: BTreeMap<Segment, Arc<File>>,
    /// Segments whose files are being created.
    creating: BTreeSet<Segment>,
    /// Writes that wait in the thread, by segment.
    waiting: BTreeMap<Segment, usize>,
    /// `None`: there is no disk, and every op is done as soon as it is asked for.
    jobs: Option<Sender<Job>>,
    /// Ops that the thread has and has not answered.
    underway: usize,
    /// Counters.
    pub stats: DiskStats,
    /// The last error, until something succeeds that could have failed alike.
    trouble: Option<DiskError>,
    /// Kept so that the thread's panic would be known: it has none.
    _thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// A disk whose files lie in `folders`, each created with `segment_bytes` of space, and whose events go to `mailbox`. `copies` says how the stores of
    /// copies are made, for a member of a cluster.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        folders: Folders,
        segment_bytes: usize,
        copies: Option<(StoreConfig, Tuning)>,
        mailbox: Mailbox,
        clock: Clock,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let mut worker = Worker {
            folders: folders.clone(),
            tending: Tending::new(folders.clone()),
            lists: BTreeMap::new(),
            segment_bytes,
            copies,
            mailbox,
            clock,
        };
        let thread = std::thread::Builder::new()
            .name("tenure-disk".into())
            .spawn(move || worker.work(&queue))?;
        Ok(Self {
            folders,
            jobs: Some(jobs),
            _thread: Some(thread),
            ..Self::nowhere()
        })
    }

    /// No disk: for a server that keeps its sessions in memory only.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            folders: Folders::default(),
            files: BTreeMap::new(),
            creating: BTreeSet::new(),
            waiting: BTreeMap::new(),
            jobs: None,
            underway: 0,
            stats: DiskStats::default(),
            trouble: None,
            _thread: None,
        }
    }

    /// Does a write at once and says how it ended; has any other op done, which [`Disk::done`] will say.
    /// `bytes` is what to write.
    pub fn perform(&mut self, task: DiskTask, bytes: &[u8]) -> Option<DiskEvent> {
        let op = task.op;
        if self.jobs.is_none() {
            return Some(DiskEvent { op, result: Ok(()) });
        }
        let segment = (task.copy, op.segment());
        let mut job = SegmentJob {
            task,
            file: self.files.get(&segment).cloned(),
            bytes: Vec::new(),
        };
        match op {
            DiskOp::Write { .. }
                if self.creating.contains(&segment) || self.waiting.contains_key(&segment) =>
            {
                job.bytes = bytes.to_vec();
                *self.waiting.entry(segment).or_default() += 1;
            }
            DiskOp::Write { offset, .. } => {
                let result = self.write(segment, offset, bytes);
                let event = DiskEvent { op, result };
                self.judge(&event);
                return Some(event);
            }
            DiskOp::Create { .. } => {
                self.creating.insert(segment);
            }
            DiskOp::Sync { .. } => {}
            DiskOp::Close { .. }
            | DiskOp::Disown { .. }
            | DiskOp::Delete { .. }
            | DiskOp::Quarantine { .. } => {
                self.files.remove(&segment);
            }
        }
        self.ask(Job::Segment(job));
        None
    }

    /// Has something done to the folder of a copy. [`Disk::done`] says when.
    pub fn tend_folder(&mut self, task: FileTask) {
        if let FileTask::Remove { copy } = &task {
            self.files.retain(|(of, _), _| of != copy);
        }
        self.ask(Job::Folder(task));
    }

    /// Has what a copy had set aside read, beside everything else. [`Disk::done`] gives it.
    pub fn restore(&mut self, copy: CopyId) {
        self.files.retain(|(of, _), _| *of != copy);
        self.ask(Job::Restore(copy));
    }

    fn ask(&mut self, job: Job) {
        if let Some(jobs) = &self.jobs {
            self.underway += 1;
            jobs.send(job)
                .expect("the disk thread ends only after its queue");
        }
    }

    /// Takes note of what the thread did, in a job that took so long, and says what the node is to hear of it.
    pub fn done(&mut self, done: Done, took: Duration) -> Option<Input<'static>> {
        self.underway -= 1;
        match done {
            Done::Segment(done) => Some(Input::Disk {
                copy: done.copy,
                event: self.segment_done(done, took),
            }),
            Done::Kept { copy, ticket } => Some(Input::Kept { copy, ticket }),
            Done::Restored(found) => found.map(Input::Restored),
            Done::Removed => None,
        }
    }

    fn segment_done(&mut self, done: SegmentDone, took: Duration) -> DiskEvent {
        let copy = done.copy;
        match done.event.op {
            DiskOp::Create { segment } => {
                self.stats.creates += 1;
                self.creating.remove(&(copy, segment));
                if let Some(file) = done.file {
                    self.files.insert((copy, segment), file);
                }
            }
            DiskOp::Sync { .. } | DiskOp::Close { .. } => {
                self.stats.syncs.note(took.as_micros() as u64);
            }
            DiskOp::Disown { .. } => {}
            DiskOp::Delete { .. } => self.stats.deletes += 1,
            DiskOp::Quarantine { .. } => self.stats.quarantines += 1,
            DiskOp::Write { segment, len, .. } => {
                self.has_written((copy, segment));
                self.stats.writes += 1;
                self.stats.written_bytes += u64::from(len);
            }
        }
        self.judge(&done.event);
        done.event
    }

    /// The thread has done a write that had to wait.
    fn has_written(&mut self, segment: Segment) {
        if let Some(left) = self.waiting.get_mut(&segment) {
            *left -= 1;
            if *left == 0 {
                self.waiting.remove(&segment);
            }
        }
    }

    /// Whether every op has been answered.
    pub fn is_quiet(&self) -> bool {
        self.underway == 0
    }

    fn write(&mut self, segment: Segment, offset: u32, bytes: &[u8]) -> Result<(), DiskError> {
        let written = self
            .file(segment)
            .and_then(|file| file.write_all_at(bytes, u64::from(offset)));
        let result = written.map_err(|error| disk_error(&error));
        self.stats.writes += 1;
        self.stats.written_bytes += bytes.len() as u64;
        result
    }

    /// Counts errors, and tells when trouble begins and ends.
    fn judge(&mut self, event: &DiskEvent) {
        match event.result {
            Ok(()) if self.trouble.is_none() => {}
            Ok(()) => {
                // Deleting works on a full disk too.
                if matches!(event.op, DiskOp::Create { .. } | DiskOp::Write { .. }) {
                    self.trouble = None;
                    info!("the disk takes the log again");
                }
            }
            Err(error) => {
                self.stats.errors += 1;
                if self.trouble.replace(error) != Some(error) {
                    let segment = format!("{:016x}", event.op.segment().0);
                    error!(op = op_name(event.op), segment, "{}", trouble_text(error));
                }
            }
        }
    }

    /// What is wrong with the disk at present.
    pub fn trouble(&self) -> Option<DiskError> {
        self.trouble
    }

    /// The segment's file, open for writing. One from before this start is opened when it is first needed.
    fn file(&mut self, segment: Segment) -> io::Result<Arc<File>> {
        if let Some(file) = self.files.get(&segment) {
            return Ok(file.clone());
        }
        let file = open(&self.folders.segments(segment.0), segment.1)?;
        self.files.insert(segment, file.clone());
        Ok(file)
    }
}

/// The disk thread.
struct Worker {
    folders: Folders,
    tending: Tending,
    /// Of the copies that have needed one so far.
    lists: BTreeMap<CopyId, FileList>,
    segment_bytes: usize,
    /// How the stores of copies are made; `None` where there are no copies.
    copies: Option<(StoreConfig, Tuning)>,
    mailbox: Mailbox,
    clock: Clock,
}

impl Worker {
    /// Does jobs in order until there can be no more.
    fn work(&mut self, queue: &Receiver<Job>) {
        while let Some(job) = self.next_job(queue) {
            let (began, what) = (
                self.clock.elapsed(),
                job.as_ref().map_or("what was put off", Job::name),
            );
            let done = match job {
                Some(Job::Segment(job)) => vec![Done::Segment(self.segment(job))],
                Some(Job::Restore(copy)) => {
                    self.lists.remove(&copy);
                    self.begin_restoring(copy)
                }
                Some(Job::Folder(task)) => {
                    if let FileTask::Remove { copy } = &task {
                        self.lists.remove(copy);
                    }
                    let done = self.tending.tend(task, self.clock.elapsed());
                    done.into_iter().collect()
                }
                None => self.tending.catch_up(self.clock.elapsed()),
            };
            let took = self.clock.elapsed() - began;
            if took >= SLOW {
                warn!(
                    what,
                    ms = took.as_millis(),
                    "the disk is slow: what waits for it waits as long"
                );
            }
            for done in done {
                if !self.mailbox.send(Message::Disk(done, took)) {
                    return;
                }
            }
        }
    }

    /// Reads what a copy had set aside, beside what else is to be done: all that was asked of its files is.
    fn begin_restoring(&self, copy: CopyId) -> Vec<Done> {
        let (folders, copies) = (self.folders.clone(), self.copies);
        let (mailbox, clock) = (self.mailbox.clone(), self.clock);
        let read = move || {
            let began = clock.elapsed();
            let found = copies.map(|terms| restore_set_aside(terms, &folders, copy, clock));
            let found = match found {
                Some(Ok(found)) => Some(Box::new(found)),
                Some(Err(error)) => {
                    error!(%error, copy = copy.0, "what a copy had set aside cannot be taken back");
                    None
                }
                None => None,
            };
            mailbox.send(Message::Disk(
                Done::Restored(found),
                clock.elapsed() - began,
            ));
        };
        let begun = std::thread::Builder::new()
            .name("tenure-restore".into())
            .spawn(read);
        match begun {
            Ok(_) => Vec::new(),
            Err(error) => {
                error!(%error, copy = copy.0, "what a copy had set aside cannot be taken back");
                vec![Done::Restored(None)]
            }
        }
    }

    /// The next job; `Some(None)` if something that was put off is due; `None` at the end.
    fn next_job(&self, queue: &Receiver<Job>) -> Option<Option<Job>> {
        match self.tending.wait(self.clock.elapsed()) {
            None => queue.recv().ok().map(Some),
            Some(Duration::ZERO) => Some(None),
            Some(wait) => match queue.recv_timeout(wait) {
                Ok(job) => Some(Some(job)),
                Err(RecvTimeoutError::Timeout) => Some(None),
                Err(RecvTimeoutError::Disconnected) => None,
            },
        }
    }

    fn segment(&mut self, job: SegmentJob) -> SegmentDone {
        let DiskTask { copy, op } = job.task;
        let (file, result) = match self.carry_out(&job) {
            Ok(file) => (file, Ok(())),
            Err(error) => {
                self.distrust(copy, op);
                // If its folder could not be made, that is why.
                let trouble = self.tending.trouble(copy);
                (None, Err(trouble.unwrap_or_else(|| disk_error(&error))))
            }
        };
        SegmentDone {
            copy,
            event: DiskEvent { op, result },
            file,
        }
    }

    /// What a sync has lost the next process could not know, if this one were killed now. If the file cannot be marked, the store asks for it
    /// until it can be, and relies on no other file before.
    fn distrust(&self, copy: CopyId, op: DiskOp) {
        if let DiskOp::Sync { segment } | DiskOp::Close { segment, .. } = op
            && let Err(error) = disown(&self.folders.segments(copy), segment)
        {
            warn!(segment = format!("{:016x}", segment.0), %error, "a file that could not be synced cannot be marked yet");
        }
    }

    fn carry_out(&mut self, job: &SegmentJob) -> io::Result<Option<Arc<File>>> {
        let segments = self.folders.segments(job.task.copy);
        let file = || match &job.file {
            Some(file) => Ok(file.clone()),
            None => open(&segments, job.task.op.segment()),
        };
        match job.task.op {
            DiskOp::Create { segment } => {
                let file = create(&segments, segment, self.segment_bytes)?;
                let entered = self
                    .list(job.task.copy)
                    .and_then(|list| list.enter(segment));
                if let Err(error) = entered {
                    // As in `create`.
                    let _ = std::fs::remove_file(segment_path(&segments, segment));
                    return Err(error);
                }
                return Ok(Some(Arc::new(file)));
            }
            DiskOp::Write { offset, .. } => file()?.write_all_at(&job.bytes, u64::from(offset))?,
            DiskOp::Sync { .. } => file()?.sync_data()?,
            DiskOp::Disown { segment } => {
                disown(&segments, segment)?;
                // So that the power does not take the mark; but a disk that fails may not do that either, and the mark is there.
                let _ = sync_directory(&segments);
            }
            DiskOp::Close { len, .. } => {
                let file = file()?;
                // Synced before it is cut: whatever the power leaves, a file that is cut has its seal.
                file.sync_data()?;
                file.set_len(u64::from(len))?;
                file.sync_data()?;
            }
            DiskOp::Delete { segment } => {
                self.list(job.task.copy)?.strike(segment)?;
                delete(&segments, segment)?;
            }
            DiskOp::Quarantine { segment } => {
                self.list(job.task.copy)?.strike(segment)?;
                quarantine(&segments, segment)?;
            }
        }
        Ok(None)
    }

    /// Which files of this copy there should be.
    fn list(&mut self, copy: CopyId) -> io::Result<&mut FileList> {
        match self.lists.entry(copy) {
            Entry::Occupied(list) => Ok(list.into_mut()),
            Entry::Vacant(place) => {
                let list = FileList::open(&self.folders.segments(copy))?;
                Ok(place.insert(list))
            }
        }
    }
}

/// The file of a segment that exists, for writing.
fn open(segments: &Path, segment: SegmentId) -> io::Result<Arc<File>> {
    let file = OpenOptions::new()
        .write(true)
        .open(segment_path(segments, segment))?;
    Ok(Arc::new(file))
}

/// Creates a segment's file with all its space, and makes its name and its length survive a loss of power: a file that is shorter than a
/// segment was cut behind its seal, or by somebody else.
fn create(segments: &Path, segment: SegmentId, bytes: usize) -> io::Result<File> {
    let path = segment_path(segments, segment);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let reserved = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes as u64) {
        // A file system that cannot reserve: a write may then find it full, which is handled too.
        Err(Errno::OPNOTSUPP) => file.set_len(bytes as u64),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    };
    let synced = reserved
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory(segments));
    if let Err(error) = synced {
        // The half-made file would only take space that is missing.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(file)
}

fn op_name(op: DiskOp) -> &'static str {
    match op {
        DiskOp::Create { .. } => "create",
        DiskOp::Write { .. } => "write",
        DiskOp::Sync { .. } => "sync",
        DiskOp::Close { .. } => "close",
        DiskOp::Disown { .. } => "disown",
        DiskOp::Delete { .. } => "delete",
        DiskOp::Quarantine { .. } => "quarantine",
    }
}

fn trouble_text(error: DiskError) -> String {
    match error {
        DiskError::NoSpace => {
            "the disk has no space left for the log: writes are refused until it has, reads go on"
                .into()
        }
        DiskError::Io(number) => format!(
            "the disk fails ({}): the data moves on to other files; writes are refused until that has worked, reads go on",
            io::Error::from_raw_os_error(number)
        ),
    }
}

fn disk_error(error: &io::Error) -> DiskError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => DiskError::NoSpace,
        Some(errno) => DiskError::Io(errno.raw_os_error()),
        // Only a write that wrote nothing has no number.
        None => DiskError::Io(Errno::IO.raw_os_error()),
    }
}

#[cfg(test)]
mod tests;
