//! Reading a segment file back: every byte of it is accounted for.
//!
//! Scanning needs no store, so the shell does it on as many threads as it likes. What is found wrong is of
//! three kinds (`docs/store.md`, "Restart"): a *torn tail*, the unfinished end of a segment that was being
//! written when the process died; *damage*, anything else that does not pass; a *foreign* file, which belongs
//! to another directory or under another name.

use alloc::vec::Vec;

use model::Position;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

use crate::cut::Known;
use crate::disk::SegmentId;
use crate::entry::format::{
    self, HEADER_BYTES, Header, Note, Place, SEGMENT_HEADER, Salt, SegmentHeader,
};
use crate::pages::Region;

/// Bytes of checksums that a search for the end of damage may compute, in segments.
const SEARCH_EFFORT: usize = 64;
/// What a disk writes as one, in bytes.
const SECTOR_BYTES: usize = 512;

/// Reads segments back. Made by [`crate::Restore::scanner`]; goes to any thread.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    pub(crate) directory: u64,
    pub(crate) segment_bytes: usize,
    pub(crate) secrets: RapidSecrets,
}

/// An entry that passed, and the hash of its key's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) offset: usize,
    pub(crate) hash: u64,
}

/// A piece of a file that does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Whose file.
    pub segment: SegmentId,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How long it is, in bytes; 0 where something is missing.
    pub len: usize,
}

/// How a segment's file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Sealed, and cut behind the seal.
    Cut,
    /// Sealed, but there is more file behind the seal.
    Sealed,
    /// Its entries just end: it was being written.
    Open,
}

/// A segment file that was read back.
#[derive(Debug)]
pub struct ScannedSegment {
    pub(crate) id: SegmentId,
    pub(crate) region: Region,
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) file_len: usize,
    /// Nothing was ever written to it.
    pub(crate) empty: bool,
    pub(crate) foreign: bool,
    /// See [`ScannedSegment::disowned`].
    pub(crate) disowned: bool,
    pub(crate) found: Vec<Found>,
    /// The newest position in it.
    pub(crate) newest: Position,
    /// What its notes say.
    pub(crate) known: Known,
    /// Where the entries end in the region.
    pub(crate) tail: usize,
    pub(crate) end: End,
    pub(crate) torn: Option<Range>,
    pub(crate) damage: Vec<Range>,
    /// What stands where the first damage is.
    pub(crate) trace: Trace,
}

/// What is left where something does not pass. Whether that is damage, or was lost with the power before it was synced, shows when it is known
/// how far the log was synced ([`crate::Restore`]).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trace {
    /// The newest position in front of it; `None` where the segment's own header does not pass.
    pub(crate) before: Option<Position>,
    /// There: the oldest position in the file.
    pub(crate) oldest: Option<Position>,
    /// There are zeros, as in a file of which nothing was written there yet; or the disk has failed to take it.
    pub(crate) is_blank: bool,
    /// If what stands there was the header of an entry: the position of that.
    pub(crate) there: Position,
}

impl ScannedSegment {
    /// Whether its file bears the mark of [`crate::DiskOp::Disown`]: then what was read is what the operating system has, and the disk may have less.
    #[must_use]
    pub fn disowned(mut self, disowned: bool) -> Self {
        self.disowned = disowned;
        if disowned {
            self.trace.is_blank = true;
        }
        self
    }

    /// Whether something is damaged that may as well have been lost with the power.
    pub(crate) fn may_be_hollow(&self) -> bool {
        // What a file holds is synced before it is cut.
        let is_cut = self.file_len < self.region.bytes().len();
        !self.damage.is_empty() && (!is_cut || self.disowned)
    }

    /// A whole file without a header and without anything that passes was torn in its very first write: nothing of it was
    /// ever acknowledged.
    fn take_for_empty(&mut self) {
        let torn_at_once = self.header.is_none()
            && self.found.is_empty()
            && self.end == End::Open
            && self.file_len == self.region.bytes().len()
            && self.damage.len() == 1;
        if torn_at_once {
            self.empty = true;
            self.torn = self.damage.pop();
        }
    }

    /// When the segment was begun, for feeding the newest ones first, which saves memory.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.header.map_or(0, |header| header.created_ms)
    }
}

impl Scanner {
    /// Reads the file of `id`, whose first `file_len` bytes were put into `region`.
    ///
    /// # Panics
    /// If the file is longer than the region: cut what is behind, and say so in `file_len`.
    #[must_use]
    pub fn scan(&self, id: SegmentId, region: Region, file_len: usize) -> ScannedSegment {
        assert!(file_len <= region.bytes().len());
        let header = SegmentHeader::read(&region.bytes()[..file_len]);
        let foreign = header.is_some_and(|h| h.segment != id || h.directory != self.directory);
        let empty = is_zero(&region.bytes()[..file_len]);
        let mut scanned = ScannedSegment {
            id,
            region,
            header,
            file_len,
            empty,
            foreign,
            disowned: false,
            found: Vec::new(),
            newest: Position::ZERO,
            known: Known::default(),
            tail: SEGMENT_HEADER,
            end: End::Open,
            torn: None,
            damage: Vec::new(),
            trace: Trace::default(),
        };
        if !empty && !foreign {
            let mut walk = Walk::new(self, &scanned);
            walk.run();
            let Walk {
                found,
                newest,
                known,
                damage,
                torn,
                tail,
                end,
                trace,
                ..
            } = walk;
            scanned.trace = trace;
            (scanned.found, scanned.damage, scanned.torn) = (found, damage, torn);
            (scanned.tail, scanned.end) = (tail, end);
            (scanned.newest, scanned.known) = (newest, known);
            if scanned.header.is_none() {
                scanned.trace.before = None;
                scanned.trace.oldest = oldest(&scanned);
            }
            scanned.take_for_empty();
            if !scanned.damage.is_empty() {
                pull_together(&mut scanned);
            }
        }
        scanned
    }

    fn hash(&self, header: &Header, entry: &[u8]) -> u64 {
        rapidhash_v3_micro_inline::<true, false>(header.key(entry), &self.secrets)
    }
}

/// A walk through a segment's bytes.
struct Walk<'a> {
    scanner: &'a Scanner,
    id: SegmentId,
    bytes: &'a [u8],
    salt: Salt,
    highest_epoch: u32,
    at: usize,
    found: Vec<Found>,
    newest: Position,
    known: Known,
    /// Entries of `found` before the batch that is being read, the newest position of them, and where it begins.
    complete: usize,
    newest_complete: Position,
    batch: Option<usize>,
    damage: Vec<Range>,
    trace: Trace,
    torn: Option<Range>,
    tail: usize,
    end: End,
}

impl<'a> Walk<'a> {
    fn new(scanner: &'a Scanner, scanned: &'a ScannedSegment) -> Self {
        let mut walk = Self {
            scanner,
            id: scanned.id,
            bytes: &scanned.region.bytes()[..scanned.file_len],
            salt: Salt::new(scanner.directory, scanned.id),
            // Later epochs may begin while a segment is open, but not many.
            highest_epoch: scanned
                .header
                .map_or(1 << 16, |header| header.epoch + (1 << 12)),
            at: SEGMENT_HEADER.min(scanned.file_len),
            found: Vec::with_capacity(scanned.file_len / 256),
            newest: Position::ZERO,
            known: Known::default(),
            complete: 0,
            newest_complete: Position::ZERO,
            batch: None,
            damage: Vec::new(),
            trace: Trace::default(),
            torn: None,
            tail: SEGMENT_HEADER,
            end: End::Open,
        };
        if scanned.header.is_none() {
            walk.damaged(0, SEGMENT_HEADER.min(scanned.file_len));
        }
        walk
    }

    fn damaged(&mut self, from: usize, to: usize) {
        if self.damage.is_empty() {
            self.trace = self.trace_at(from);
        }
        self.damage.push(Range {
            segment: self.id,
            offset: from,
            len: to - from,
        });
    }

    fn trace_at(&self, at: usize) -> Trace {
        let rest = &self.bytes[at..];
        // What a disk loses it loses by sectors.
        let sector = (at + 1).next_multiple_of(SECTOR_BYTES) - at;
        let header = rest.get(..HEADER_BYTES).filter(|_| at >= SEGMENT_HEADER);
        let header = header.map(Header::read);
        let is_likely = |header: &Header| header.position.epoch() <= self.highest_epoch;
        Trace {
            before: Some(self.newest_complete),
            oldest: None,
            is_blank: is_zero(&rest[..rest.len().min(sector)]),
            there: header
                .filter(is_likely)
                .map_or(Position::ZERO, |header| header.position),
        }
    }

    fn run(&mut self) {
        while self.end == End::Open {
            match self.entry(self.at) {
                Some((header, place)) => self.take(&header, place),
                None => {
                    if !self.skip() {
                        break;
                    }
                }
            }
        }
        self.finish();
    }

    /// The entry at `at`, if one passes there.
    fn entry(&self, at: usize) -> Option<(Header, Place)> {
        let rest = self.bytes.get(at..)?;
        if rest.len() < HEADER_BYTES {
            return None;
        }
        let entry = &rest[..format::entry_len(rest)];
        if entry.is_empty() {
            return None;
        }
        let place = format::verify(entry, self.salt)?;
        Some((Header::read(entry), place))
    }

    fn take(&mut self, header: &Header, place: Place) {
        let start = self.at;
        self.at += header.len;
        match (place, self.batch) {
            (Place::First, Some(batch)) => {
                // The rest of the batch before is missing.
                self.found.truncate(self.complete);
                self.damaged(batch, start);
            }
            (Place::Later, None) => {
                // The beginning of this batch is missing.
                self.damaged(start, self.at);
                return;
            }
            (Place::First, None) | (Place::Later, Some(_)) => (),
        }
        if header.note() == Some(Note::Seal) {
            self.tail = self.at;
            self.batch = None;
            self.end = if self.at == self.bytes.len() {
                End::Cut
            } else {
                End::Sealed
            };
            return;
        }
        self.newest = self.newest.max(header.position);
        let entry = &self.bytes[start..self.at];
        if header.note() == Some(Note::Clock) {
            self.known.learn(&format::read_known(header.value(entry)));
        }
        let hash = self.scanner.hash(header, entry);
        self.found.push(Found {
            offset: start,
            hash,
        });
        if header.more {
            self.batch = Some(if place == Place::First {
                start
            } else {
                self.batch.unwrap_or(start)
            });
        } else {
            self.batch = None;
            self.complete = self.found.len();
            self.newest_complete = self.newest;
            self.tail = self.at;
        }
    }

    /// Nothing passes here: goes on where something does again. False if nothing does.
    fn skip(&mut self) -> bool {
        let Some(next) = self.search() else {
            return false;
        };
        let from = self.batch.take().unwrap_or(self.at);
        self.found.truncate(self.complete);
        self.damaged(from, next);
        self.at = next;
        true
    }

    /// The next offset at which an entry passes.
    fn search(&self) -> Option<usize> {
        let mut effort = SEARCH_EFFORT * self.scanner.segment_bytes;
        let mut at = self.at + 1;
        while at + HEADER_BYTES <= self.bytes.len() {
            let rest = &self.bytes[at..];
            if rest[4..8] == [0; 4] {
                // No length: most likely the zeros behind the last entry.
                at += if is_zero(&rest[..rest.len().min(4096)]) {
                    4096 - HEADER_BYTES
                } else {
                    1
                };
                continue;
            }
            if self.is_plausible(rest) {
                effort = effort.saturating_sub(format::entry_len(rest));
                if self.entry(at).is_some() {
                    return Some(at);
                }
            }
            if effort == 0 {
                return None;
            }
            at += 1;
        }
        None
    }

    /// Whether a header could begin here: spares computing checksums over megabytes of nothing.
    fn is_plausible(&self, rest: &[u8]) -> bool {
        let len = format::entry_len(rest);
        let header = Header::read(rest);
        len >= HEADER_BYTES
            && header.key_len <= len - HEADER_BYTES
            && header.position.epoch() <= self.highest_epoch
    }

    /// Says what is to be said about the bytes behind the last entry.
    fn finish(&mut self) {
        if self.batch.take().is_some() {
            self.found.truncate(self.complete);
        }
        let rest = &self.bytes[self.tail.min(self.bytes.len())..];
        let used = used_len(rest);
        let range = Range {
            segment: self.id,
            offset: self.tail,
            len: used,
        };
        let short = self.bytes.len() < self.scanner.segment_bytes;
        match self.end {
            End::Cut => (),
            End::Sealed => self.torn = (used > 0).then_some(range),
            // Files are cut only behind their seal: this one was cut by somebody else.
            End::Open if short => self.damage.push(range),
            End::Open => self.torn = (used > 0).then_some(range),
        }
    }
}

/// The oldest position of what passed.
fn oldest(scanned: &ScannedSegment) -> Option<Position> {
    let entries = scanned.found.iter();
    let positions = entries.map(|one| Header::read(&scanned.region.bytes()[one.offset..]).position);
    positions.min()
}

/// Up to where there is anything but zeros: word by word, as most of a segment may be empty.
fn used_len(bytes: &[u8]) -> usize {
    let (first, words) = bytes.as_rchunks::<8>();
    let end = |bytes: &[u8]| {
        bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1)
    };
    match words.iter().rposition(|word| *word != [0; 8]) {
        Some(at) => first.len() + at * 8 + end(&words[at]),
        None => end(first),
    }
}

/// Moves the entries that passed together, so that the region holds nothing else. They stand alone from then
/// on.
fn pull_together(scanned: &mut ScannedSegment) {
    let salt_less = |entry: &[u8]| Header::read(entry).len;
    let mut write = SEGMENT_HEADER;
    let bytes = scanned.region.bytes_mut();
    for found in &mut scanned.found {
        let len = salt_less(&bytes[found.offset..]);
        bytes.copy_within(found.offset..found.offset + len, write);
        found.offset = write;
        write += len;
    }
    scanned.tail = write;
    scanned.end = End::Open;
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    let zero = |chunk: &[u8; 64]| chunk.iter().fold(0, |or, byte| or | byte) == 0;
    chunks.iter().all(zero) && rest.iter().all(|byte| *byte == 0)
}
