//! A *leap*: what has changed behind a position, told as one batch, from the log itself.
//!
//! Whoever follows has its batches from a backlog in memory, and after a restart that is empty. But the log still has every entry that was
//! written last, dead or live, until it is cleaned away; positions have no gaps, and each shows itself in an entry that names the key it is about.
//! So where none is missing it is known which keys were touched, and what has become of them the index says.
//!
//! The batches themselves cannot be made again. A touch has changed a deadline where it stands, and what it was before nobody knows any more; a
//! tombstone may be that of a removal or that of a put which was cleaned away; a batch of entries that were moved has no boundaries. Between the
//! two ends there is no state that is known. So a leap is all or nothing, like any batch: whoever takes it has been at the one end and is at the
//! other.
//!
//! Whoever takes it must have nothing in his files that stands behind his own end. After a loss of power there may be: entries behind a hole, which
//! do not count ([`crate::cut`]). They stand at positions that the leap takes, and may be changes of which it has only what others have made of
//! them. A later restart could not tell them from the log.
//!
//! In doubt there is none: a position that is missing, a database that was emptied, more than fits into one batch.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use model::{Position, Version};

use crate::batch::TOMBSTONE_BYTES;
use crate::cut::{Known, Positions};
use crate::entry::format::{Control, Header, What};
use crate::index::Reference;
use crate::segment::Segment;
use crate::store::Store;
use crate::told;
use crate::{Key, Op};

/// Bytes of segments that are looked through at most: with more, a snapshot is hardly more work.
const MOST_LOOKED_AT: usize = 32 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leap {
    /// Position of its first entry.
    pub first: Position,
    /// Position of its last entry: the end of the log.
    pub last: Position,
    /// What [`Store::follow_leap`] takes.
    pub bytes: Vec<u8>,
}

/// The entries that show the positions from one on, by position.
type Shown = BTreeMap<Position, Reference>;

/// What is told of a key, at the position where it stands.
enum Telling {
    /// This entry is its current one, with the deadline of another entry.
    Put(Reference, Reference),
    /// The current one has the deadline of this entry.
    Touch(Reference),
    /// It has none.
    Removed,
}

impl Store {
    /// What has changed behind `from`, up to the end of the log. `None` if the log cannot say, if `from` is no position of it, or if it is more
    /// than a follower could take at once.
    #[must_use]
    pub fn leap_from(&self, from: Position) -> Option<Leap> {
        if !self.tuning.files || from >= self.newest {
            return None;
        }
        let shown = self.shown_from(from)?;
        let first = *shown.range(from.plus(1)..).next()?.0;
        let mut found = Positions::default();
        shown.keys().for_each(|position| found.insert(*position));
        let chain = Known {
            floor: from,
            cuts: self.known.cuts.clone(),
        };
        let is_gapless = shown.contains_key(&from) && chain.end(&found) == self.newest;
        let bytes = is_gapless.then(|| self.tell_leap(from, &shown)).flatten()?;
        Some(Leap {
            first,
            last: self.newest,
            bytes,
        })
    }

    /// What shows the position `from`, and all behind it that are found, unless they are too many or a database was emptied.
    fn shown_from(&self, from: Position) -> Option<Shown> {
        let (mut shown, mut looked_at) = (Shown::new(), 0);
        let segments = self.segments.iter().enumerate();
        let segments = segments.filter_map(|(slot, segment)| Some((slot, segment.as_ref()?)));
        for (slot, segment) in segments.filter(|(_, s)| s.last_position >= from.raw()) {
            looked_at += segment.tail;
            if looked_at > MOST_LOOKED_AT || !self.note_shown(slot, segment, from, &mut shown) {
                return None;
            }
        }
        Some(shown)
    }

    fn note_shown(
        &self,
        slot: usize,
        segment: &Segment,
        from: Position,
        shown: &mut Shown,
    ) -> bool {
        for offset in segment.offsets() {
            let entry = segment.entry(offset);
            let header = Header::read(entry);
            let is_old = header.position < from;
            if is_old || self.is_cut(&header) || !header.shows_position(entry) {
                continue;
            }
            if header.what == What::Control(Control::State) && header.position > from {
                return false;
            }
            // A put may stand beside a tombstone of what it has replaced: then it is what has happened.
            let reference = Reference::new(slot, offset);
            let is_put = matches!(header.what, What::User(_));
            if is_put || !shown.contains_key(&header.position) {
                shown.insert(header.position, reference);
            }
            if shown.len() * TOMBSTONE_BYTES > self.most_leapt() {
                return false;
            }
        }
        true
    }

    /// Bytes that a follower may need for a leap. It needs a little more room than for any other batch, as it may know of more cuts.
    fn most_leapt(&self) -> usize {
        self.max_batch() / 2
    }

    fn tell_leap(&self, from: Position, shown: &Shown) -> Option<Vec<u8>> {
        let mut tellings = BTreeMap::new();
        let mut names = BTreeSet::new();
        for (position, reference) in shown.range(from.plus(1)..).rev() {
            let entry = self.bytes_at(*reference);
            let header = Header::read(entry);
            let key = header.key(entry);
            if names.insert((header.db, header.space, key)) {
                let (at, telling) = self.telling(from, shown, *position, *reference);
                tellings.insert(at, telling);
            }
        }
        let (mut bytes, mut needed, mut largest) = (Vec::new(), 0, 0);
        for (position, reference) in shown.range(from.plus(1)..) {
            let telling = tellings.get(position);
            let before = bytes.len();
            self.tell_one(&mut bytes, *position, *reference, telling);
            // As it is planned there: each may need a tombstone, and what is touched may have to be written again.
            needed += bytes.len() - before + TOMBSTONE_BYTES + self.header_at(*reference).key_len;
            if let Some(Telling::Put(of, _) | Telling::Touch(of)) = telling {
                largest = largest.max(self.header_at(*of).len);
            }
            if let Some(Telling::Touch(_)) = telling {
                needed += largest;
            }
            if needed > self.most_leapt() {
                return None;
            }
        }
        Some(bytes)
    }

    /// What is to be told of the key of this entry, the last one that names it, and at which position.
    fn telling(
        &self,
        from: Position,
        shown: &Shown,
        position: Position,
        named: Reference,
    ) -> (Position, Telling) {
        let header = self.header_at(named);
        let entry = self.bytes_at(named);
        let hash = self.hash_of(&header, entry);
        let found = self.find_at(hash, header.db, header.space, header.key(entry));
        let current = found.map(|(_, at)| (at, self.header_at(at)));
        let current = current.filter(|(_, current)| !self.is_flushed(current));
        match (current, header.what) {
            (Some((at, current)), _) if current.position > from => {
                (current.position, Telling::Put(at, at))
            }
            (Some((at, _)), _) => (position, Telling::Touch(at)),
            // It has expired and is removed here. Whoever follows sees to that when it is time there.
            (None, What::User(_)) => (position, Telling::Put(named, named)),
            (None, What::Control(Control::Touch)) => {
                let of = Position::from_raw(header.version);
                match shown.get(&of).filter(|_| of > from) {
                    Some(put) => (of, Telling::Put(*put, named)),
                    None => (position, Telling::Touch(named)),
                }
            }
            (None, What::Control(Control::Tombstone | Control::State | Control::Note)) => {
                (position, Telling::Removed)
            }
        }
    }

    /// Tells what there is to tell at this position, which this entry shows: that it is taken, and for which key, if there is nothing.
    fn tell_one(
        &self,
        bytes: &mut Vec<u8>,
        position: Position,
        shows: Reference,
        telling: Option<&Telling>,
    ) {
        let entry = self.bytes_at(shows);
        let header = Header::read(entry);
        let key: Key<'_> = self.key(self.db_at(header.db), header.space, header.key(entry));
        let Some(telling) = telling else {
            return told::write_passed(bytes, position, &key);
        };
        match *telling {
            Telling::Put(put, of) => {
                let entry = self.bytes_at(put);
                let (header, deadline) = (Header::read(entry), self.header_at(of).deadline);
                if let What::User(kind) = header.what {
                    let head = (kind, Version::from_raw(header.version), deadline);
                    told::write_put(bytes, position, &key, head, &[header.value(entry)]);
                }
            }
            Telling::Touch(of) => {
                let deadline = self.header_at(of).deadline;
                told::write(bytes, position, &Op::Touch { key, deadline });
            }
            Telling::Removed => told::write_removed(bytes, position, &key),
        }
    }
}
