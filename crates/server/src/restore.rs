//! Reading the data directory at a start, and what a copy has set aside.
//!
//! Threads read files and check every byte of them, which is most of the work; the node's thread takes what they
//! found into the store, one segment at a time. Newest files come first, so that what is dead by now is known to be
//! dead as early as possible and takes no memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use node::{CopyId, Noted, RestoredCopy};
use store::{
    Range, Region, Restore, RestoreReport, ScannedSegment, Scanner, SegmentId, Store, StoreConfig,
    Tuning,
};
use tracing::{error, info, warn};

use crate::clock::{Clock, unix_ms};
use crate::config::Config;
use crate::directory::{FileList, Folders, NoteFile, SegmentFile, segment_files};
use crate::pages::MappedPages;

/// Segments that each thread may be ahead of the store.
const AHEAD: usize = 2;
/// How often a log line tells how far it is, where no bar can.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A file to read, and the memory to read it into.
struct Job {
    of: SegmentFile,
    region: Region,
}

/// Reads all segment files of a directory into `restore`, with so many threads.
///
/// # Errors
/// A file cannot be read, or there is no memory. Damage is not an error: it is in the report.
pub fn restore(
    restore: Restore,
    segments: &Path,
    threads: usize,
    clock: Clock,
) -> io::Result<(Store, RestoreReport)> {
    read_all(restore, segments, threads, Progress::bar, clock)
}

fn read_all(
    mut restore: Restore,
    segments: &Path,
    threads: usize,
    progress: fn(u64, Clock) -> Progress,
    clock: Clock,
) -> io::Result<(Store, RestoreReport)> {
    let files = segment_files(segments)?;
    let there: Vec<SegmentId> = files.iter().map(|file| file.id).collect();
    let began = clock.elapsed();
    let mut progress = progress(files.len() as u64, clock);
    if !files.is_empty() {
        info!(files = files.len(), threads, "restoring");
    }
    let threads = threads.min(files.len());
    std::thread::scope(|scope| {
        let (jobs, queue) = channel();
        let (results, scanned) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let (queue, results, scanner) = (queue.clone(), results.clone(), restore.scanner());
            scope.spawn(move || work(&queue, &results, scanner));
        }
        drop(results);
        let ahead = threads * AHEAD;
        let first = files.clone();
        feed(&mut restore, first, ahead, &jobs, &scanned, &mut progress)?;
        // What was written in the last seconds waits until it is known where the log ends.
        let again: BTreeSet<SegmentId> = restore.put_off().into_iter().collect();
        let again = files.into_iter().filter(|file| again.contains(&file.id));
        feed(
            &mut restore,
            again.collect(),
            ahead,
            &jobs,
            &scanned,
            &mut progress,
        )
    })?;
    progress.end();
    let (store, mut report) = restore.finish(unix_ms());
    report.missing.extend(missing(segments, &there)?);
    tell(&report, clock.elapsed() - began);
    Ok((store, report))
}

/// The files that there should be and are not. From now on nobody expects them.
fn missing(segments: &Path, there: &[SegmentId]) -> io::Result<Vec<SegmentId>> {
    let mut list = FileList::open(segments)?;
    let missing = list.strike_missing(there)?;
    for segment in there {
        match list.enter(*segment) {
            // A directory of before there were lists, on a full disk: what cannot be entered would not be missed.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
            entered => entered?,
        }
    }
    Ok(missing)
}

/// Threads that read files at a start.
#[must_use]
pub fn threads(config: &Config) -> usize {
    match config.restore_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    }
}

/// What was found of copies.
#[derive(Default)]
pub struct Found {
    /// The copies of whatever life of the node, the newest first; and whether each has all that was written.
    pub copies: Vec<(RestoredCopy, bool)>,
    /// Copies whose notes are damaged: nobody knows what they are, nor of which life.
    pub nameless: Vec<CopyId>,
}

/// What the data directory has of copies.
///
/// # Errors
/// A file cannot be read, or there is no memory.
pub fn restore_copies(
    terms: (StoreConfig, Tuning),
    folders: &Folders,
    threads: usize,
    clock: Clock,
) -> io::Result<Found> {
    let mut found = Found::default();
    for (copy, note) in folders.notes()? {
        let note = match note {
            NoteFile::Says(note) if Noted::read(&note).is_some() => note,
            NoteFile::Says(_) | NoteFile::Damaged => {
                error!(
                    copy = copy.0,
                    "the note of a copy cannot be understood: what the copy holds is of no use"
                );
                found.nameless.push(copy);
                continue;
            }
            NoteFile::Absent => {
                folders.remove(copy)?;
                continue;
            }
        };
        let segments = folders.segments(copy);
        let read = read_all(begin(terms), &segments, threads, Progress::bar, clock)?;
        found.copies.push(as_copy(copy, note, read));
    }
    Ok(found)
}

fn begin((config, tuning): (StoreConfig, Tuning)) -> Restore {
    Restore::new(config, tuning, Box::new(MappedPages))
}

/// A copy, and whether it has all that was written.
fn as_copy(
    copy: CopyId,
    note: Vec<u8>,
    (store, report): (Store, RestoreReport),
) -> (RestoredCopy, bool) {
    let (is_whole, damaged) = (report.is_whole(), !report.is_beginning());
    match (is_whole, damaged) {
        (_, true) => error!(copy = copy.0, "a copy has lost something"),
        (false, false) => info!(copy = copy.0, "a copy has lost the end of its log"),
        (true, false) => {}
    }
    let copy = RestoredCopy {
        copy,
        note,
        store,
        damaged,
    };
    (copy, is_whole)
}

/// What a copy has set aside, while the server runs.
///
/// # Errors
/// A file cannot be read, there is no memory, or something of it is lost.
pub fn restore_set_aside(
    terms: (StoreConfig, Tuning),
    folders: &Folders,
    copy: CopyId,
    clock: Clock,
) -> io::Result<RestoredCopy> {
    let NoteFile::Says(note) = folders.note(copy)? else {
        return Err(io::Error::other("its note cannot be understood"));
    };
    info!(copy = copy.0, "what a copy had set aside is taken back");
    let segments = folders.segments(copy);
    let read = read_all(begin(terms), &segments, 1, Progress::lines, clock)?;
    match as_copy(copy, note, read) {
        (copy, true) => Ok(copy),
        (_, false) => Err(io::Error::other("it is not all there any more")),
    }
}

/// Keeps the threads busy, and takes in what they found.
fn feed(
    restore: &mut Restore,
    files: Vec<SegmentFile>,
    ahead: usize,
    jobs: &Sender<Job>,
    scanned: &Receiver<io::Result<ScannedSegment>>,
    progress: &mut Progress,
) -> io::Result<()> {
    let mut files = files.into_iter();
    let mut underway = 0;
    loop {
        while underway < ahead
            && let Some(of) = files.next()
        {
            let region = restore.region().ok_or(io::ErrorKind::OutOfMemory)?;
            jobs.send(Job { of, region })
                .expect("the threads read until the queue ends");
            underway += 1;
        }
        if underway == 0 {
            return Ok(());
        }
        let segment = scanned.recv().expect("each job is answered")?;
        underway -= 1;
        restore.add(segment);
        progress.step();
    }
}

/// One thread: reads and checks files until there are no more.
fn work(
    queue: &Mutex<Receiver<Job>>,
    results: &Sender<io::Result<ScannedSegment>>,
    scanner: Scanner,
) {
    loop {
        let next = queue
            .lock()
            .expect("no thread panics with the queue")
            .recv();
        let Ok(job) = next else {
            return;
        };
        let path = job.of.path.clone();
        let result = read(job, scanner)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())));
        if results.send(result).is_err() {
            return;
        }
    }
}

fn read(mut job: Job, scanner: Scanner) -> io::Result<ScannedSegment> {
    let file = File::open(&job.of.path)?;
    let len = file.metadata()?.len();
    let most = job.region.bytes().len();
    if len > most as u64 {
        warn!(file = %job.of.path.display(), len, "longer than a segment; what is behind is not read");
    }
    let len = len.min(most as u64) as usize;
    file.read_exact_at(&mut job.region.bytes_mut()[..len], 0)?;
    let scanned = scanner.scan(job.of.id, job.region, len);
    Ok(scanned.disowned(job.of.disowned))
}

/// One line for what was found, and one for each thing that needs a look.
fn tell(report: &RestoreReport, took: Duration) {
    let place = |range: &Range| format!("{:016x}:{}+{}", range.segment.0, range.offset, range.len);
    for range in &report.torn {
        info!(
            at = place(range),
            "dropped the unfinished end of a segment: nothing in it was acknowledged as synced"
        );
    }
    if report.cut > 0 {
        info!(
            entries = report.cut,
            "dropped what was written after something that the crash has lost: nothing in it was acknowledged as synced"
        );
    }
    for range in &report.damaged {
        error!(
            at = place(range),
            "damage in a segment file: the file goes to quarantine, whatever is readable in it is served"
        );
    }
    for range in &report.hollow {
        warn!(
            at = place(range),
            "a piece of a segment file does not pass that had perhaps not been synced: lost with the machine's power, or else damage; the file goes to quarantine, whatever is readable in it is served"
        );
    }
    for segment in &report.foreign {
        error!(
            segment = format!("{:016x}", segment.0),
            "a segment file of another directory: it goes to quarantine, nothing of it is served"
        );
    }
    for segment in &report.missing {
        error!(
            segment = format!("{:016x}", segment.0),
            "a segment file is missing"
        );
    }
    info!(
        sessions = report.live,
        entries = report.entries,
        segments = report.segments,
        bytes = report.bytes,
        ms = took.as_millis() as u64,
        mb_per_s = (report.bytes as f64 / 1e6 / took.as_secs_f64().max(1e-6)) as u64,
        torn = report.torn.len(),
        hollow = report.hollow.len(),
        damaged = report.damaged.len() + report.foreign.len() + report.missing.len(),
        "restored"
    );
}

/// How far it is: a bar for a person, a line now and then for a log.
struct Progress {
    bar: ProgressBar,
    clock: Clock,
    told: Duration,
}

impl Progress {
    fn lines(files: u64, clock: Clock) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_length(files);
        Self::with(bar, clock)
    }

    fn bar(files: u64, clock: Clock) -> Self {
        let bar = ProgressBar::new(files);
        let style =
            ProgressStyle::with_template("restoring [{bar:40}] {pos}/{len} segments, {eta} left")
                .expect("the template is valid");
        bar.set_style(style.progress_chars("=> "));
        Self::with(bar, clock)
    }

    fn with(bar: ProgressBar, clock: Clock) -> Self {
        Self {
            bar,
            clock,
            told: clock.elapsed(),
        }
    }

    fn step(&mut self) {
        self.bar.inc(1);
        let now = self.clock.elapsed();
        if self.bar.is_hidden() && now - self.told > TELL_EVERY {
            self.told = now;
            info!(
                done = self.bar.position(),
                of = self.bar.length(),
                "restoring"
            );
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
