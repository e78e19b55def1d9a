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

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use model::limits::SEGMENT_BYTES;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use store::{DiskError, DiskEvent, DiskOp, SegmentId};
use tracing::{error, info};

use crate::clock::Clock;
use crate::directory::{quarantine, segment_path, sync_directory};
use crate::message::{Mailbox, Message};

/// An op that the disk thread has done.
#[derive(Debug)]
pub struct Done {
    event: DiskEvent,
    /// The file that was created.
    file: Option<Arc<File>>,
    /// How long it took, in microseconds.
    took_us: u64,
}

/// An op for the disk thread, with the file that it is about.
struct Job {
    op: DiskOp,
    /// `None`: it is opened, if the op needs it.
    file: Option<Arc<File>>,
    /// What to write.
    bytes: Vec<u8>,
}

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
    /// The directory of the segment files.
    segments: PathBuf,
    /// Files that are open for writing.
    files: BTreeMap<SegmentId, Arc<File>>,
    /// Segments whose files are being created.
    creating: BTreeSet<SegmentId>,
    /// Writes that wait in the thread, by segment.
    waiting: BTreeMap<SegmentId, usize>,
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
    /// A disk whose files lie in `segments`, and whose events go to `mailbox`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(segments: PathBuf, mailbox: Mailbox, clock: Clock) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let directory = segments.clone();
        let thread = std::thread::Builder::new()
            .name("tenure-disk".into())
            .spawn(move || work(&directory, &queue, &mailbox, clock))?;
        Ok(Self {
            segments,
            jobs: Some(jobs),
            _thread: Some(thread),
            ..Self::nowhere()
        })
    }

    /// No disk: for a server that keeps its sessions in memory only.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            segments: PathBuf::new(),
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
    pub fn perform(&mut self, op: DiskOp, bytes: &[u8]) -> Option<DiskEvent> {
        if self.jobs.is_none() {
            return Some(DiskEvent { op, result: Ok(()) });
        }
        let segment = op.segment();
        let mut job = Job {
            op,
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
            DiskOp::Close { .. } | DiskOp::Delete { .. } | DiskOp::Quarantine { .. } => {
                self.files.remove(&segment);
            }
        }
        self.underway += 1;
        if let Some(jobs) = &self.jobs {
            jobs.send(job)
                .expect("the disk thread ends only after its queue");
        }
        None
    }

    /// Takes note of what the thread did.
    pub fn done(&mut self, done: Done) -> DiskEvent {
        self.underway -= 1;
        match done.event.op {
            DiskOp::Create { segment } => {
                self.stats.creates += 1;
                self.creating.remove(&segment);
                if let Some(file) = done.file {
                    self.files.insert(segment, file);
                }
            }
            DiskOp::Sync { .. } | DiskOp::Close { .. } => self.stats.syncs.note(done.took_us),
            DiskOp::Delete { .. } => self.stats.deletes += 1,
            DiskOp::Quarantine { .. } => self.stats.quarantines += 1,
            DiskOp::Write { segment, len, .. } => {
                self.has_written(segment);
                self.stats.writes += 1;
                self.stats.written_bytes += u64::from(len);
            }
        }
        self.judge(&done.event);
        done.event
    }

    /// The thread has done a write that had to wait.
    fn has_written(&mut self, segment: SegmentId) {
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

    fn write(&mut self, segment: SegmentId, offset: u32, bytes: &[u8]) -> Result<(), DiskError> {
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
    fn file(&mut self, segment: SegmentId) -> io::Result<Arc<File>> {
        if let Some(file) = self.files.get(&segment) {
            return Ok(file.clone());
        }
        let file = open(&self.segments, segment)?;
        self.files.insert(segment, file.clone());
        Ok(file)
    }
}

/// The disk thread: does jobs in order until there can be no more.
fn work(segments: &Path, queue: &Receiver<Job>, mailbox: &Mailbox, clock: Clock) {
    for job in queue {
        let began = clock.elapsed();
        let (file, result) = match carry_out(segments, &job) {
            Ok(file) => (file, Ok(())),
            Err(error) => (None, Err(disk_error(&error))),
        };
        let took_us = (clock.elapsed() - began).as_micros() as u64;
        let event = DiskEvent { op: job.op, result };
        if !mailbox.send(Message::Disk(Done {
            event,
            file,
            took_us,
        })) {
            return;
        }
    }
}

fn carry_out(segments: &Path, job: &Job) -> io::Result<Option<Arc<File>>> {
    let file = || match &job.file {
        Some(file) => Ok(file.clone()),
        None => open(segments, job.op.segment()),
    };
    match job.op {
        DiskOp::Create { segment } => return create(segments, segment).map(|f| Some(Arc::new(f))),
        DiskOp::Write { offset, .. } => file()?.write_all_at(&job.bytes, u64::from(offset))?,
        DiskOp::Sync { .. } => file()?.sync_data()?,
        DiskOp::Close { len, .. } => {
            let file = file()?;
            file.set_len(u64::from(len))?;
            file.sync_data()?;
        }
        DiskOp::Delete { segment } => delete(segments, segment)?,
        DiskOp::Quarantine { segment } => quarantine(segments, segment)?,
    }
    Ok(None)
}

/// The file of a segment that exists, for writing.
fn open(segments: &Path, segment: SegmentId) -> io::Result<Arc<File>> {
    let file = OpenOptions::new()
        .write(true)
        .open(segment_path(segments, segment))?;
    Ok(Arc::new(file))
}

fn delete(segments: &Path, segment: SegmentId) -> io::Result<()> {
    match std::fs::remove_file(segment_path(segments, segment)) {
        Ok(()) => sync_directory(segments),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates a segment's file with all its space, and makes its name survive a loss of power.
fn create(segments: &Path, segment: SegmentId) -> io::Result<File> {
    let path = segment_path(segments, segment);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let reserved =
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SEGMENT_BYTES as u64) {
            // A file system that cannot reserve: a write may then find it full, which is handled too.
            Err(Errno::OPNOTSUPP) => file.set_len(SEGMENT_BYTES as u64),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(()),
        };
    let synced = reserved.and_then(|()| sync_directory(segments));
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
