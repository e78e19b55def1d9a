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

use alloc::vec::Vec;
use core::cmp::Reverse;

use model::{Position, Version};

use crate::batch::TOMBSTONE_BYTES;
use crate::cut::{Known, Positions};
use crate::entry::format::{Control, HEADER_BYTES, Header, What};
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

/// An entry that shows its position.
struct Showing {
    position: Position,
    at: Reference,
    key_len: usize,
    is_put: bool,
}

impl Showing {
    /// What a follower needs at least: it is told of the position and the key, and may need a tombstone.
    const fn least_bytes(&self) -> usize {
        HEADER_BYTES + TOMBSTONE_BYTES + 2 * self.key_len
    }
}

/// What shows the positions behind one.
struct Shown {
    /// That one is shown as well.
    begins: bool,
    all: Vec<Showing>,
    least_bytes: usize,
    most_bytes: usize,
}

impl Shown {
    /// Whether they are not too many yet. What was moved is found twice, so it is known when there is one entry for each position.
    fn add(&mut self, showing: Showing) -> bool {
        self.least_bytes += showing.least_bytes();
        self.all.push(showing);
        self.least_bytes <= 2 * self.most_bytes || self.settle()
    }

    /// Leaves one entry for each position, in ascending order. Whether they are not too many.
    fn settle(&mut self) -> bool {
        // A put may stand beside a tombstone of what it has replaced: then it is what has happened.
        self.all.sort_by_key(|s| (s.position, !s.is_put));
        self.all.dedup_by_key(|s| s.position);
        self.least_bytes = self.all.iter().map(Showing::least_bytes).sum();
        self.least_bytes <= self.most_bytes
    }

    /// Where the one stands that shows this position.
    fn find(&self, position: Position) -> Option<usize> {
        self.all
            .binary_search_by_key(&position, |s| s.position)
            .ok()
    }
}

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
        let first = shown.all.first()?.position;
        let mut found = Positions::default();
        found.insert(from);
        shown.all.iter().for_each(|s| found.insert(s.position));
        let chain = Known {
            floor: from,
            cuts: self.known.cuts.clone(),
        };
        let is_gapless = shown.begins && chain.end(&found) == self.newest;
        let bytes = is_gapless.then(|| self.tell_leap(&shown)).flatten()?;
        Some(Leap {
            first,
            last: self.newest,
            bytes,
        })
    }

    /// Whether the position `from` is shown, and what shows all behind it that are found, unless they are too many or a database was emptied.
    fn shown_from(&self, from: Position) -> Option<Shown> {
        let mut shown = Shown {
            begins: false,
            all: Vec::new(),
            least_bytes: 0,
            most_bytes: self.most_leapt(),
        };
        let mut looked_at = 0;
        let segments = self.segments.iter().enumerate();
        let segments = segments.filter_map(|(slot, segment)| Some((slot, segment.as_ref()?)));
        for (slot, segment) in segments.filter(|(_, s)| s.last_position >= from.raw()) {
            looked_at += segment.tail;
            if looked_at > MOST_LOOKED_AT || !self.note_shown(slot, segment, from, &mut shown) {
                return None;
            }
        }
        shown.settle().then_some(shown)
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
            if header.position == from {
                shown.begins = true;
                continue;
            }
            if header.what == What::Control(Control::State) {
                return false;
            }
            let showing = Showing {
                position: header.position,
                at: Reference::new(slot, offset),
                key_len: header.key_len,
                is_put: matches!(header.what, What::User(_)),
            };
            if !shown.add(showing) {
                return false;
            }
        }
        true
    }

    /// Bytes that a follower may need for a leap. It needs a little more room than for any other batch, as it may know of more cuts.
    fn most_leapt(&self) -> usize {
        self.max_batch() / 2
    }

    fn tell_leap(&self, shown: &Shown) -> Option<Vec<u8>> {
        let tellings = self.tellings(shown)?;
        let (mut bytes, mut needed, mut largest) = (Vec::new(), 0, 0);
        for (showing, telling) in shown.all.iter().zip(&tellings) {
            let before = bytes.len();
            self.tell_one(&mut bytes, showing.position, showing.at, telling.as_ref());
            // As it is planned there: each may need a tombstone, and what is touched may have to be written again.
            needed += bytes.len() - before + TOMBSTONE_BYTES + showing.key_len;
            if let Some(Telling::Put(of, _) | Telling::Touch(of)) = telling {
                largest = largest.max(self.header_at(*of).len);
            }
            if let Some(Telling::Touch(_)) = telling {
                needed += largest;
            }
            if needed > shown.most_bytes {
                return None;
            }
        }
        Some(bytes)
    }

    /// What is told at each of the positions: of each key once. `None` if it would be too much.
    fn tellings(&self, shown: &Shown) -> Option<Vec<Option<Telling>>> {
        let key_of = |at: Reference| {
            let entry = self.bytes_at(at);
            let header = Header::read(entry);
            (header.db, header.space, header.key(entry))
        };
        let hashed = shown.all.iter().enumerate().map(|(place, showing)| {
            let entry = self.bytes_at(showing.at);
            (self.hash_of(&Header::read(entry), entry), place)
        });
        let mut hashed: Vec<(u64, usize)> = hashed.collect();
        hashed.sort_unstable_by_key(|&(hash, place)| (hash, Reverse(place)));
        let mut tellings = Vec::new();
        tellings.resize_with(shown.all.len(), || None);
        let mut least_bytes = shown.least_bytes;
        for alike in hashed.chunk_by(|a, b| a.0 == b.0) {
            // Of one key, nearly always. The last entry that names it comes first.
            let mut keys = Vec::new();
            for &(hash, place) in alike {
                let key = key_of(shown.all[place].at);
                if keys.contains(&key) {
                    continue;
                }
                keys.push(key);
                let (at, telling) = self.telling(hash, shown, place);
                if let Telling::Put(put, _) = telling {
                    least_bytes += self.header_at(put).len - HEADER_BYTES - key.2.len();
                }
                tellings[at] = Some(telling);
            }
            if least_bytes > shown.most_bytes {
                return None;
            }
        }
        Some(tellings)
    }

    /// What is to be told of the key of this entry, the last one that names it, and at which place.
    fn telling(&self, hash: u64, shown: &Shown, place: usize) -> (usize, Telling) {
        let named = shown.all[place].at;
        let header = self.header_at(named);
        let entry = self.bytes_at(named);
        let found = self.find_at(hash, header.db, header.space, header.key(entry));
        let current = found.map(|(_, at)| (at, self.header_at(at)));
        let current = current.filter(|(_, current)| !self.is_flushed(current));
        if let Some((at, current)) = current {
            // Whatever is not shown was there before.
            return match shown.find(current.position) {
                Some(its) => (its, Telling::Put(at, at)),
                None => (place, Telling::Touch(at)),
            };
        }
        match header.what {
            // It has expired and is removed here. Whoever follows sees to that when it is time there.
            What::User(_) => (place, Telling::Put(named, named)),
            What::Control(Control::Touch) => match shown.find(Position::from_raw(header.version)) {
                Some(put) => (put, Telling::Put(shown.all[put].at, named)),
                None => (place, Telling::Touch(named)),
            },
            What::Control(Control::Tombstone | Control::State | Control::Note) => {
                (place, Telling::Removed)
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
