//! A small text that is replaced often, in room that it has: the note of a copy.
//!
//! ```text
//!   NOTE, one page:   slot 0 │ slot 1 │ ... │ slot 7      each 512 bytes
//!   slot:             number u64, length u16, text, CRC32C of all this
//! ```
//!
//! What counts is the slot with the highest number of those that pass. The next text goes to the next slot, so it takes nothing from the file
//! system, and needs no sync before: as long as fewer than all other slots were written since the last sync, one that is on disk is left
//! whatever a loss of power makes of the others.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crc::crc32c;

use super::sync_directory;
use super::twins::TWIN;

/// Bytes of a slot: what a disk writes as one.
const SLOT_BYTES: usize = 512;
/// Slots of a file.
const SLOTS: usize = 8;
/// Bytes of the file.
pub(super) const FILE_BYTES: usize = SLOTS * SLOT_BYTES;
/// Texts that may be written without a sync: one slot is left that is synced.
pub const MOST_UNSYNCED: usize = SLOTS - 2;

const HEADER_BYTES: usize = 10;
const CRC_BYTES: usize = 4;

/// The text that was written last, with its number. `None`: there never was one. A shorter file is of before there were slots, and all of it
/// is the text. A file that was written and of which no slot passes is [`io::ErrorKind::InvalidData`].
pub(super) fn read(path: &Path) -> io::Result<Option<(u64, Vec<u8>)>> {
    let bytes = fs::read(path)?;
    if bytes.len() < FILE_BYTES {
        let is_text = bytes.iter().any(|byte| *byte != 0);
        return Ok(is_text.then_some((0, bytes)));
    }
    let slots = bytes.chunks_exact(SLOT_BYTES).filter_map(slot);
    match slots.max_by_key(|(number, _)| *number) {
        // A loss of power leaves one that is synced: this is damage.
        None if bytes.iter().any(|byte| *byte != 0) => Err(io::ErrorKind::InvalidData.into()),
        last => Ok(last),
    }
}

fn slot(bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    let len = u16::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let end = HEADER_BYTES + usize::from(len);
    let checksum = bytes.get(end..)?.first_chunk::<CRC_BYTES>()?;
    let passes = number > 0 && crc32c([&bytes[..end]]) == u32::from_le_bytes(*checksum);
    passes.then(|| (number, bytes[HEADER_BYTES..end].to_vec()))
}

/// Writes the next text. Unless it is synced at once, a loss of power may leave the one before.
///
/// # Panics
/// If it does not fit into a slot.
pub(super) fn write(folder: &Path, name: &str, text: &[u8], at_once: bool) -> io::Result<()> {
    let path = folder.join(name);
    let known = match read(&path) {
        Err(error) if is_absent(&error) => None,
        known => known?,
    };
    let number = known.map_or(0, |(number, _)| number) + 1;
    let slot = drawn(number, text);
    let at = (number as usize % SLOTS * SLOT_BYTES) as u64;
    let file = match OpenOptions::new().write(true).open(&path) {
        Ok(file) if file.metadata()?.len() == FILE_BYTES as u64 => file,
        _ => return begin(folder, name, &slot, at),
    };
    file.write_all_at(&slot, at)?;
    if at_once {
        file.sync_data()?;
    }
    Ok(())
}

/// Whether there is nothing that could be lost by the next text.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData
    )
}

fn drawn(number: u64, text: &[u8]) -> Vec<u8> {
    assert!(text.len() <= SLOT_BYTES - HEADER_BYTES - CRC_BYTES);
    let mut slot = number.to_le_bytes().to_vec();
    slot.extend((text.len() as u16).to_le_bytes());
    slot.extend_from_slice(text);
    slot.extend(crc32c([&slot[..]]).to_le_bytes());
    slot
}

/// There was no such file, or one of before there were slots: what it said stays until the new one is there.
fn begin(folder: &Path, name: &str, slot: &[u8], at: u64) -> io::Result<()> {
    let new = folder.join(format!("{name}{TWIN}"));
    let file = File::create(&new)?;
    file.write_all_at(&[0; FILE_BYTES], 0)?;
    file.write_all_at(slot, at)?;
    file.sync_all()?;
    fs::rename(new, folder.join(name))?;
    sync_directory(folder)
}

/// Makes what was written survive a loss of power.
pub(super) fn sync(folder: &Path, name: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(folder.join(name))?
        .sync_data()
}

#[cfg(test)]
mod tests;
