//! Small files that can be replaced on a full disk.
//!
//! ```text
//!   NAME       what counts
//!   NAME.new   its twin: what counted before, or what was being written when somebody died; never read
//!
//!   replace:   write the twin where it stands, in blocks that it has ─► sync it ─► exchange the names ─► sync the directory
//! ```
//!
//! So nothing is taken from the file system that the two do not have already, and at every step `NAME` is whole: the old one or the new
//! one. A copy-on-write file system takes new blocks all the same, and one that cannot exchange names (NFS) gives the twin's up for a
//! moment: there a full disk may still refuse.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::sync_directory;

/// What the name of a twin ends with.
pub(super) const TWIN: &str = ".new";

/// Replaces a small file so that after a loss of power it is the old or the new one.
pub fn replace(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let (bytes, file) = (text.as_bytes(), directory.join(name));
    let twin = directory.join(format!("{name}{TWIN}"));
    // If whoever exchanged them last did not come to this, the disk may know the twin by the file's name.
    sync_directory(directory)?;
    write_in_place(&twin, bytes)?;
    if !exchange(&twin, &file)? {
        fs::rename(&twin, &file)?;
        // Room for the next time. If there is none, that will be tried again then.
        let _ = write_in_place(&twin, bytes);
    }
    sync_directory(directory)
}

/// Writes a file that is never replaced: after a loss of power it is there or not.
pub(super) fn write_once(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = directory.join(format!("{name}{TWIN}"));
    write_in_place(&new, text.as_bytes())?;
    fs::rename(new, directory.join(name))?;
    sync_directory(directory)
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// Exchanges two names. Returns false where that cannot be: there is no file yet, or the file system does not know how.
fn exchange(twin: &Path, file: &Path) -> io::Result<bool> {
    match renameat_with(CWD, twin, CWD, file, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
