//! The log: making room for what is to be written, and appending it to heads.

use model::Position;

use crate::Refused;
use crate::batch::control;
use crate::disk::{DiskError, SegmentId};
use crate::entry::format::{
    Control, HEADER_BYTES, Header, Note, SEAL_BYTES, SEGMENT_HEADER, Salt, SegmentHeader,
};
use crate::index::{MAX_SLOTS, Reference};
use crate::pages::whole_pages;
use crate::segment::Segment;
use crate::store::Store;

impl Store {
    /// Longest batch, in bytes.
    pub(crate) fn max_batch(&self) -> usize {
        self.tuning.segment_bytes - SEGMENT_HEADER - SEAL_BYTES
    }

    /// Memory that only what frees memory may use: a segment and a part of the limit for deletes, touches and holds, and a segment for
    /// the cleaner.
    pub(crate) fn reserve_bytes(&self) -> usize {
        let limit = self.config.memory_bytes;
        (2 * self.tuning.segment_bytes + limit / 128).min(limit / 8)
    }

    /// The cleaner's part of the reserve: with it any segment can be rewritten, however full memory is.
    pub(crate) fn cleaner_bytes(&self) -> usize {
        self.tuning.segment_bytes.min(self.reserve_bytes() / 2)
    }

    /// Bytes of memory that are left.
    pub(crate) fn room(&self, reserve: bool) -> usize {
        let limit = self.config.memory_bytes;
        if reserve {
            // What frees memory must go on when a restart has found more than there may be.
            (limit + self.excess).saturating_sub(self.used())
        } else {
            limit.saturating_sub(self.used() + self.reserve_bytes())
        }
    }

    /// By how much the reserve lies above the limit.
    pub(crate) fn above_limit(&self) -> usize {
        (self.used() + self.reserve_bytes()).saturating_sub(self.config.memory_bytes)
    }

    /// A head of the class that has room for `bytes`.
    pub(crate) fn reserve(
        &mut self,
        class: usize,
        bytes: usize,
        reserve: bool,
    ) -> Result<usize, Refused> {
        if let Some(error) = self.files.broken {
            return Err(Refused::LogUnavailable(error));
        }
        // What may be touched anew: the bytes, and the cells.
        self.make_room(bytes + 128, reserve)?;
        self.head(class, bytes, Spares::KeepOne)
    }

    /// The head of the class, or a new one, with room for `bytes`.
    pub(crate) fn head(
        &mut self,
        class: usize,
        bytes: usize,
        spares: Spares,
    ) -> Result<usize, Refused> {
        let fits = |slot: &usize| {
            self.segment(*slot).tail + bytes + SEAL_BYTES <= self.tuning.segment_bytes
        };
        if let Some(slot) = self.heads[class].filter(fits) {
            return Ok(slot);
        }
        let id = self.take_spare(spares).map_err(|wait| match wait {
            None => Refused::LogBusy,
            Some(error) => Refused::LogUnavailable(error),
        })?;
        let Some(slot) = self.new_segment(id, class) else {
            self.put_spare_back(id);
            return Err(Refused::OutOfMemory);
        };
        if let Some(full) = self.heads[class].replace(slot) {
            self.seal_segment(full);
        }
        Ok(slot)
    }

    fn new_segment(&mut self, id: SegmentId, class: usize) -> Option<usize> {
        let follows = self.heads[class].is_some();
        let (region, touched) = self.take_region(follows)?;
        let salt = Salt::new(self.tuning.directory, id);
        let mut segment = Segment::new(region, id, salt, class);
        segment.resident = segment.resident.max(touched);
        segment.created_ms = self.now_ms;
        segment.file.unwritten_from = Some(self.appended);
        segment.file.unsynced_from = Some(self.appended);
        let slot = self.add_segment(segment)?;
        self.write_header(slot);
        self.activate(slot);
        Some(slot)
    }

    pub(crate) fn add_segment(&mut self, segment: Segment) -> Option<usize> {
        let slot = match self.free_slots.pop() {
            Some(slot) => slot,
            None if self.segments.len() < MAX_SLOTS => {
                self.segments.push(None);
                self.segments.len() - 1
            }
            None => return None,
        };
        self.resident += segment.resident;
        self.files.open.insert(segment.id, slot);
        self.segments[slot] = Some(segment);
        Some(slot)
    }

    pub(crate) fn write_header(&mut self, slot: usize) {
        let (directory, epoch) = (self.tuning.directory, self.newest.epoch());
        let bytes = self.tuning.segment_bytes as u32;
        let segment = self.segment_mut(slot);
        let header = SegmentHeader {
            class: segment.class as u32,
            segment: segment.id,
            directory,
            created_ms: segment.created_ms,
            epoch,
            bytes,
        };
        header.write(segment.region.bytes_mut());
    }

    /// Ends a segment: nothing is appended to it any more.
    pub(crate) fn seal_segment(&mut self, slot: usize) {
        assert!(!self.segment(slot).sealed);
        for head in &mut self.heads {
            head.take_if(|head| *head == slot);
        }
        let start = self.segment(slot).tail;
        let header = control(Control::Note, self.newest, Note::Seal as u64, 0);
        self.append(slot, &header, b"", &[]);
        self.complete(slot, start);
        let segment = self.segment_mut(slot);
        segment.sealed = true;
        segment.file_len = segment.tail;
        // The memory was another segment's before, and that was longer.
        let (resident, needed) = (segment.resident, whole_pages(segment.tail));
        segment.region.give_back(segment.tail, resident);
        segment.resident = needed;
        self.resident -= resident - needed;
    }

    /// Appends an entry to a segment that has room for it. Its checksum comes with [`Store::complete`].
    #[inline]
    pub(crate) fn append(
        &mut self,
        slot: usize,
        header: &Header,
        key: &[u8],
        value: &[&[u8]],
    ) -> Reference {
        let segment = self.segment_mut(slot);
        let start = segment.tail;
        let entry = &mut segment.region.bytes_mut()[start..start + header.len];
        header.write(entry);
        let (into, rest) = entry[HEADER_BYTES..].split_at_mut(key.len());
        into.copy_from_slice(key);
        write_parts(rest, value);
        self.grow(slot, header);
        Reference::new(slot, start)
    }

    /// Appends a copy of an entry under another header of the same lengths.
    pub(crate) fn append_copy(
        &mut self,
        from: Reference,
        slot: usize,
        header: &Header,
    ) -> Reference {
        let start = self.segment(slot).tail;
        let (offset, end) = (from.offset(), from.offset() + header.len);
        if from.slot() == slot {
            let bytes = self.segment_mut(slot).region.bytes_mut();
            bytes.copy_within(offset..end, start);
        } else {
            let [from, to] = self
                .segments
                .get_disjoint_mut([from.slot(), slot])
                .expect("two different slots that exist");
            let from = from.as_ref().expect("the entry's segment is in memory");
            let to = to.as_mut().expect("the head is in memory");
            let into = &mut to.region.bytes_mut()[start..start + header.len];
            into.copy_from_slice(&from.region.bytes()[offset..end]);
        }
        header.write(&mut self.segment_mut(slot).region.bytes_mut()[start..]);
        self.grow(slot, header);
        Reference::new(slot, start)
    }

    #[inline]
    fn grow(&mut self, slot: usize, header: &Header) {
        let segment = self.segment_mut(slot);
        segment.tail += header.len;
        let tail = segment.region.bytes().as_ptr().wrapping_add(segment.tail);
        crate::prefetch::ahead_of_appends(tail, header.len);
        segment.note(header);
        let resident = whole_pages(segment.tail).max(segment.resident);
        let more = resident - segment.resident;
        segment.resident = resident;
        self.resident += more;
    }

    /// Ends all heads, so that after a restart any damage to them is known from a torn tail. For a clean
    /// shutdown: until what [`Store::take_disk_ops`] then gives is done. Then once more, for a last note that tells that
    /// all of it is: then a restart will not take any damage for a loss of power.
    pub fn seal(&mut self) {
        if self.floor.is_news() {
            self.clock = None;
            self.tell_time_alone();
        }
        for slot in self.heads.into_iter().flatten() {
            self.seal_segment(slot);
        }
    }

    /// Whether nothing was appended since [`Store::seal`].
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.heads.iter().all(Option::is_none)
    }

    /// The latest time that the log was told, in wall-clock milliseconds.
    #[must_use]
    pub fn latest_ms(&self) -> u64 {
        self.clock_ms
    }

    /// The newest position that a restart has found, be it behind a hole and not part of the log: [`Store::follow_leap`] needs a log that has come
    /// so far.
    #[must_use]
    pub fn found(&self) -> Position {
        self.found
    }

    /// The newest position that was ever appended.
    #[must_use]
    pub fn newest(&self) -> Position {
        self.newest
    }
}

/// Writes the parts of a value one after the other.
#[inline]
fn write_parts(mut into: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let (place, after) = into.split_at_mut(part.len());
        place.copy_from_slice(part);
        into = after;
    }
}

/// How many spare files whoever takes one must leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spares {
    /// Writers leave one for the cleaner, which needs one to free any.
    KeepOne,
    /// The cleaner and the replacement of a failed file.
    TakeLast,
}

/// Why there is no spare file: one is on its way, or none can be made.
pub(crate) type Wait = Option<DiskError>;
