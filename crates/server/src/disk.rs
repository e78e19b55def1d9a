//! The disk ops of a node, carried out.
//!
//! A write goes to the operating system's cache and takes a microsecond or two: the node's thread does it
//! itself, so that in the modes that do not wait for a sync a write is acknowledged in the turn that made it.
//! Everything that may wait for the device (creating and reserving, syncing, closing, deleting) is done in
//! order by one other thread, and comes back as a message. With `sync always`, the writes of all turns that
//! pass while a sync is under way share the next one: that is the group commit.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use model::limits::SEGMENT_BYTES;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use store::{DiskError, DiskEvent, DiskOp, SegmentId};

use crate::clock::Clock;
use crate::directory::{segment_path, sync_directory};
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
    file: Option<Arc<File>>,
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
    /// Files that are open for writing.
    files: BTreeMap<SegmentId, Arc<File>>,
    jobs: Sender<Job>,
    /// Ops that the thread has and has not answered.
    underway: usize,
    /// Counters.
    pub stats: DiskStats,
    /// Kept so that the thread's panic would be known: it has none.
    _thread: JoinHandle<()>,
}

impl Disk {
    /// A disk whose files lie in `segments`, and whose events go to `mailbox`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(segments: PathBuf, mailbox: Mailbox, clock: Clock) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("tenure-disk".into())
            .spawn(move || work(&segments, &queue, &mailbox, clock))?;
        Ok(Self {
            files: BTreeMap::new(),
            jobs,
            underway: 0,
            stats: DiskStats::default(),
            _thread: thread,
        })
    }

    /// Does a write at once and says how it ended; has any other op done, which [`Disk::done`] will say.
    /// `bytes` is what to write.
    pub fn perform(&mut self, op: DiskOp, bytes: &[u8]) -> Option<DiskEvent> {
        let file = match op {
            DiskOp::Write {
                segment, offset, ..
            } => {
                let result = self.write(segment, offset, bytes);
                return Some(DiskEvent { op, result });
            }
            DiskOp::Create { .. } => None,
            DiskOp::Sync { segment } => self.files.get(&segment).cloned(),
            DiskOp::Close { segment, .. } | DiskOp::Delete { segment } => {
                self.files.remove(&segment)
            }
        };
        self.underway += 1;
        self.jobs
            .send(Job { op, file })
            .expect("the disk thread ends only after its queue");
        None
    }

    /// Takes note of what the thread did.
    pub fn done(&mut self, done: Done) -> DiskEvent {
        self.underway -= 1;
        match done.event.op {
            DiskOp::Create { segment } => {
                self.stats.creates += 1;
                if let Some(file) = done.file {
                    self.files.insert(segment, file);
                }
            }
            DiskOp::Sync { .. } | DiskOp::Close { .. } => self.stats.syncs.note(done.took_us),
            DiskOp::Delete { .. } => self.stats.deletes += 1,
            DiskOp::Write { .. } => {}
        }
        self.note_error(&done.event);
        done.event
    }

    /// Whether every op has been answered.
    pub fn is_quiet(&self) -> bool {
        self.underway == 0
    }

    fn write(&mut self, segment: SegmentId, offset: u32, bytes: &[u8]) -> Result<(), DiskError> {
        let result = match self.files.get(&segment) {
            Some(file) => file
                .write_all_at(bytes, u64::from(offset))
                .map_err(|e| disk_error(&e)),
            None => Err(DiskError::Io(Errno::BADF.raw_os_error())),
        };
        self.stats.writes += 1;
        match result {
            Ok(()) => self.stats.written_bytes += bytes.len() as u64,
            Err(_) => self.stats.errors += 1,
        }
        result
    }

    fn note_error(&mut self, event: &DiskEvent) {
        if event.result.is_err() {
            self.stats.errors += 1;
        }
    }
}

/// The disk thread: does jobs in order until there can be no more.
fn work(segments: &std::path::Path, queue: &Receiver<Job>, mailbox: &Mailbox, clock: Clock) {
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

fn carry_out(segments: &std::path::Path, job: &Job) -> io::Result<Option<Arc<File>>> {
    let open = || {
        job.file
            .as_deref()
            .ok_or_else(|| io::Error::from(Errno::BADF))
    };
    match job.op {
        DiskOp::Create { segment } => create(segments, segment).map(|file| Some(Arc::new(file))),
        DiskOp::Sync { .. } => open()?.sync_data().map(|()| None),
        DiskOp::Close { len, .. } => {
            let file = open()?;
            file.set_len(u64::from(len))?;
            file.sync_data().map(|()| None)
        }
        DiskOp::Delete { segment } => match std::fs::remove_file(segment_path(segments, segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(None),
        },
        DiskOp::Write { .. } => unreachable!("the node's thread writes itself"),
    }
}

/// Creates a segment's file with all its space, and makes its name survive a loss of power.
fn create(segments: &std::path::Path, segment: SegmentId) -> io::Result<File> {
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

fn disk_error(error: &io::Error) -> DiskError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => DiskError::NoSpace,
        Some(errno) => DiskError::Io(errno.raw_os_error()),
        // Only a write that wrote nothing has no number.
        None => DiskError::Io(Errno::IO.raw_os_error()),
    }
}
