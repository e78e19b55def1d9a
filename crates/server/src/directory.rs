//! The data directory: who owns it, what is in it, how it was left.
//!
//! ```text
//!   LOCK        locked by the server that uses the directory; holds its process number
//!   FORMAT      which format the rest is in, and a random number that every segment of this directory bears
//!   NODE        in a cluster: this node's number, and which life of its data this is (`identity`)
//!   metadata.redb  the cluster map, with meta = embedded
//!   EPOCH       the epoch of the last start: positions of a later start are greater
//!   CLEAN       there after a clean shutdown: no file may then be torn
//!   segments/   the log, one file a segment, named by the segment's number in hexadecimal; the disk has failed to take one whose
//!               ending is `disowned`: a start reads it, and writes it anew
//!   FILES       which of them there should be (`file_list`)
//!   copies/     of a member of a cluster: a folder for each copy, with its segments/, FILES, and, in NOTE, what it has promised;
//!               `spare` becomes that of the next one
//!   quarantine/ damaged segment files that were replaced: for the operator to look at, never read again
//! ```
//!
//! What has to be written when the disk is full has its room already (`twins`, `slots`; `docs/replication.md`, "Room for vows").

mod file_list;
mod slots;
mod twins;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use node::CopyId;
use store::SegmentId;
use tracing::warn;

pub use self::file_list::FileList;
pub use self::slots::MOST_UNSYNCED;
pub use self::twins::replace;
use self::twins::write_once;

/// The mark of a clean end.
const CLEAN: &str = "CLEAN";
/// How `FORMAT` begins. A newer server that changes the layout changes the number.
const FORMAT: &str = "tenure data directory, format 1\nid ";
/// Ending of a segment's file.
const SEGMENT_ENDING: &str = "segment";
/// Ending of a segment's file to which an op has failed ([`store::DiskOp::Disown`]).
const DISOWNED_ENDING: &str = "disowned";

/// A data directory that this process owns.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Whether the last server that used it ended as it should. True for a new directory.
    pub was_clean: bool,
    /// What tells its segments from those of any other directory.
    pub id: u64,
    /// The epoch of the last start; 0 for a new directory.
    pub last_epoch: u32,
    /// Locked as long as this lives.
    _lock: File,
}

/// Why a directory cannot be used: one line, with what to do.
#[derive(Debug)]
pub struct DirectoryError(String);

impl std::fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Directory {
    /// Makes the directory if it is not there, and takes it.
    ///
    /// # Errors
    /// It cannot be made or written, another server has it, or it is in a format that is not known.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let failed = |what: &str, error: io::Error| {
            DirectoryError(format!(
                "dir {}: cannot {what}: {error}; give --dir a directory that this user may write",
                path.display()
            ))
        };
        fs::create_dir_all(path.join("segments")).map_err(|e| failed("make it", e))?;
        let lock = lock(path).map_err(|error| match error {
            LockError::Taken(owner) => DirectoryError(format!(
                "dir {}: another server (process {owner}) uses it; stop that one, or give --dir another directory",
                path.display()
            )),
            LockError::Io(error) => failed("lock it", error),
        })?;
        let id = read_format(path)?;
        let was_clean = path.join(CLEAN).exists() || is_new(path);
        let last_epoch = read_epoch(path)?;
        sync_directory(path).map_err(|e| failed("sync it", e))?;
        Ok(Self {
            path: path.to_owned(),
            id,
            was_clean,
            last_epoch,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the segment files are.
    pub fn segments_path(&self) -> PathBuf {
        self.path.join("segments")
    }

    /// Records that this start works in `epoch`, so that it is known after a loss of power.
    pub fn record_epoch(&self, epoch: u32) -> io::Result<()> {
        replace(&self.path, "EPOCH", &format!("{epoch}\n"))
    }

    /// To be called before anything is written that an unclean end could tear. A start that fails before has changed nothing: the next one is
    /// to find the directory as it was left.
    pub fn begin(&self) -> io::Result<()> {
        unless_missing(fs::remove_file(self.path.join(CLEAN)))?;
        sync_directory(&self.path)
    }

    /// Records that everything is written and synced, and nobody will write any more.
    pub fn mark_clean(&self) -> io::Result<()> {
        // Its being there says it all.
        File::create(self.path.join(CLEAN))?;
        sync_directory(&self.path)
    }
}

/// Where the files of copies are.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    directory: PathBuf,
}

/// The file that holds the note of a copy.
const NOTE: &str = "NOTE";
/// The folder that the next copy gets.
const SPARE: &str = "spare";

impl Folders {
    /// Those of a data directory.
    #[must_use]
    pub fn of(directory: &Directory) -> Self {
        Self {
            directory: directory.path.clone(),
        }
    }

    fn all(&self) -> PathBuf {
        self.directory.join("copies")
    }

    fn folder(&self, copy: CopyId) -> PathBuf {
        match copy {
            CopyId::ALONE => self.directory.clone(),
            CopyId(number) => self.all().join(format!("{number:08x}")),
        }
    }

    /// Where the segment files of a copy are.
    pub fn segments(&self, copy: CopyId) -> PathBuf {
        self.folder(copy).join("segments")
    }

    /// Replaces the note of a copy: if `at_once`, so that it survives a loss of power; otherwise [`Folders::sync_note`] makes that so, which has
    /// to be before [`MOST_UNSYNCED`] more. The folder of a new one is the spare one: on a full disk none could be made.
    pub fn keep_note(&self, copy: CopyId, note: &[u8], at_once: bool) -> io::Result<()> {
        let folder = self.folder(copy);
        if !folder.join("segments").exists() {
            self.make_spare()?;
            fs::rename(self.all().join(SPARE), &folder)?;
            sync_directory(&self.all())?;
        }
        slots::write(&folder, NOTE, note, at_once)
    }

    /// Makes the note of a copy survive a loss of power.
    pub fn sync_note(&self, copy: CopyId) -> io::Result<()> {
        slots::sync(&self.folder(copy), NOTE)
    }

    /// Makes the folder of the next copy, unless it is there: with room for its notes.
    pub fn make_spare(&self) -> io::Result<()> {
        let spare = self.all().join(SPARE);
        let segments = spare.join("segments");
        if !segments.exists() {
            fs::create_dir_all(&segments)?;
            sync_directory(&self.directory)?;
        }
        let note = spare.join(NOTE);
        let has_room = fs::metadata(&note).is_ok_and(|m| m.len() == slots::FILE_BYTES as u64);
        if !has_room {
            let file = File::create(&note)?;
            file.write_all_at(&[0; slots::FILE_BYTES], 0)?;
            // Its length, and that it is empty: what is written then is all there is.
            file.sync_all()?;
            sync_directory(&spare)?;
        }
        Ok(())
    }

    /// Removes a folder with all that is in it. Its note goes first: without it nothing else counts.
    pub fn remove(&self, copy: CopyId) -> io::Result<()> {
        let folder = self.folder(copy);
        match fs::remove_file(folder.join(NOTE)) {
            Ok(()) => sync_directory(&folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes all notes that there are survive a loss of power.
    pub fn sync_notes(&self) -> io::Result<()> {
        for (copy, note) in self.notes()? {
            // Half of a folder that could not be removed.
            if note == NoteFile::Absent {
                continue;
            }
            let folder = self.folder(copy);
            File::open(folder.join(NOTE))?.sync_all()?;
            sync_directory(&folder)?;
        }
        Ok(())
    }

    /// The note of a copy.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn note(&self, copy: CopyId) -> io::Result<NoteFile> {
        read_note(&self.folder(copy).join(NOTE))
    }

    /// All copies that have a folder, with their notes. The newest first.
    ///
    /// # Errors
    /// A note cannot be read. What its copy holds must not be taken for nothing.
    pub fn notes(&self) -> io::Result<Vec<(CopyId, NoteFile)>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(self.all()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name == SPARE {
                continue;
            }
            let is_folder = entry.file_type()?.is_dir();
            let number = name
                .to_str()
                .and_then(|name| u32::from_str_radix(name, 16).ok())
                .filter(|_| is_folder);
            let Some(copy) = number.map(CopyId) else {
                warn!(name = %name.display(), "not the folder of a copy; it is left alone");
                continue;
            };
            found.push((copy, self.note(copy)?));
        }
        found.sort_unstable_by_key(|(copy, _)| std::cmp::Reverse(*copy));
        Ok(found)
    }
}

/// What is found of a copy's note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteFile {
    /// None was ever written, or it was removed: the folder is of no use.
    Absent,
    /// It was written and is damaged.
    Damaged,
    /// What it says.
    Says(Vec<u8>),
}

fn read_note(path: &Path) -> io::Result<NoteFile> {
    match slots::read(path) {
        Ok(Some((_, text))) => Ok(NoteFile::Says(text)),
        Ok(None) => Ok(NoteFile::Absent),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NoteFile::Absent),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(NoteFile::Damaged),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        )),
    }
}

/// The file of a segment, in the directory of segments.
pub fn segment_path(segments: &Path, segment: SegmentId) -> PathBuf {
    segments.join(format!("{:016x}.{SEGMENT_ENDING}", segment.0))
}

/// A segment file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Whose file.
    pub id: SegmentId,
    /// Where it is.
    pub path: PathBuf,
    /// Whether an op on it has failed, so that the disk may have less of it than the operating system shows.
    pub disowned: bool,
}

impl SegmentFile {
    /// `None` if that is not how a segment file is named.
    fn at(path: PathBuf) -> Option<Self> {
        let (digits, ending) = path.file_name()?.to_str()?.split_once('.')?;
        let id = SegmentId(u64::from_str_radix(digits, 16).ok()?);
        let disowned = ending == DISOWNED_ENDING;
        let whole = path.with_file_name(format!("{:016x}.{ending}", id.0)) == path;
        let named = whole && (disowned || ending == SEGMENT_ENDING);
        named.then_some(Self { id, path, disowned })
    }
}

/// The segment files of a directory of segments, the newest first.
pub fn segment_files(segments: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(segments)? {
        let path = entry?.path();
        match SegmentFile::at(path.clone()) {
            Some(file) => files.push(file),
            None => warn!(file = %path.display(), "not a segment file; it is left alone"),
        }
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.id));
    Ok(files)
}

fn disowned_path(segments: &Path, segment: SegmentId) -> PathBuf {
    segment_path(segments, segment).with_extension(DISOWNED_ENDING)
}

/// Marks a file to which an op has failed. The mark need not survive a loss of power, so the directory is not synced.
pub fn disown(segments: &Path, segment: SegmentId) -> io::Result<()> {
    let from = segment_path(segments, segment);
    unless_missing(fs::rename(from, disowned_path(segments, segment)))
}

/// Deletes a segment file, whatever it is called. One that is not there is done with.
pub fn delete(segments: &Path, segment: SegmentId) -> io::Result<()> {
    for path in [
        segment_path(segments, segment),
        disowned_path(segments, segment),
    ] {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) => return sync_directory(segments),
        }
    }
    Ok(())
}

/// Moves a damaged segment file aside, under a name that no other has.
pub fn quarantine(segments: &Path, segment: SegmentId) -> io::Result<()> {
    let aside = segments.with_file_name("quarantine");
    fs::create_dir_all(&aside)?;
    let mut to = segment_path(&aside, segment);
    let mut number = 1;
    while to.exists() {
        to = to.with_extension(format!("{SEGMENT_ENDING}.{number}"));
        number += 1;
    }
    unless_missing(fs::rename(disowned_path(segments, segment), &to))?;
    unless_missing(fs::rename(segment_path(segments, segment), &to))?;
    sync_directory(&aside)?;
    sync_directory(segments)
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes what was created or deleted in a directory survive a loss of power.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

enum LockError {
    Taken(String),
    Io(io::Error),
}

fn lock(path: &Path) -> Result<File, LockError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("LOCK"))
        .map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only for the message.
            let _ = file.read_to_string(&mut owner);
            return Err(LockError::Taken(owner.trim().to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
    }
    // In the place of the last number, which a full disk has room for.
    let number = format!("{}\n", std::process::id());
    file.rewind().map_err(LockError::Io)?;
    file.write_all(number.as_bytes()).map_err(LockError::Io)?;
    file.set_len(number.len() as u64).map_err(LockError::Io)?;
    Ok(file)
}

/// Reads the directory's number, or makes one up for a new directory.
fn read_format(path: &Path) -> Result<u64, DirectoryError> {
    let error = |what: String| DirectoryError(format!("dir {}: {what}", path.display()));
    match fs::read_to_string(path.join("FORMAT")) {
        Ok(text) => text
            .strip_prefix(FORMAT)
            .and_then(|id| u64::from_str_radix(id.trim_end(), 16).ok())
            .ok_or_else(|| {
                error(format!(
                    "FORMAT says `{}`, and this server knows only `{}<number>`; use the server that wrote it, or another --dir",
                    text.trim().replace('\n', " "),
                    FORMAT.replace('\n', " ")
                ))
            }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let id = getrandom::u64().map_err(|e| error(format!("no random numbers: {e}")))?;
            write_once(path, "FORMAT", &format!("{FORMAT}{id:016x}\n"))
                .map_err(|e| error(format!("cannot write in it: {e}")))?;
            Ok(id)
        }
        Err(e) => Err(error(format!("cannot read FORMAT: {e}"))),
    }
}

/// Whether no server has used it yet: one that serves alone leaves an epoch, a member of a cluster says who it is.
fn is_new(path: &Path) -> bool {
    !["EPOCH", "NODE"]
        .iter()
        .any(|name| path.join(name).exists())
}

fn read_epoch(path: &Path) -> Result<u32, DirectoryError> {
    if !path.join("EPOCH").exists() {
        return Ok(0);
    }
    let text = fs::read_to_string(path.join("EPOCH")).unwrap_or_default();
    text.trim().parse().map_err(|_| {
        DirectoryError(format!(
            "dir {}: EPOCH is damaged (`{}`); write the number of the last start into it, or a greater one: fences must not go back",
            path.display(),
            text.trim()
        ))
    })
}

#[cfg(test)]
mod tests;
