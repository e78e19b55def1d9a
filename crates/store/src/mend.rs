//! A log that has gone on where it should not have: it is taken back to where it parted from the one that counts, and goes on from there.
//!
//! What stands behind the parting, the *strays*, stays where it is until it is cleaned away. For the running store each key that a stray has
//! touched has no entry any more: what it was before is not looked for, as whoever has the log that counts writes it once more. For a restart
//! the first batch behind the parting is of a later epoch, and tells the cut ([`crate::cut`]); but what the keys were before it is in the files,
//! and so may be what kept that dead. So a tombstone is written for each of them that covers all there was, for ever.
//!
//! It stands at the parting and does not show that position, as what it says is no op of the log. It counts by the log's end: the
//! copy is nobody's until a batch behind the parting is persisted, and so is the tombstone then.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use model::Position;
use model::time::Deadline;

use crate::entry::format::{Control, Header, OF_A_MENDING, What};
use crate::expiry::NEVER;
use crate::segment::Segment;
use crate::store::Store;
use crate::told::{self, About, Told};
use crate::{Key, Refused, batch};

/// Which keys have been touched, each once.
pub struct Touched {
    keys: BTreeSet<(u8, u8, Vec<u8>)>,
    told: Vec<u8>,
}

impl Touched {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    /// Takes in the keys that these changes are about. Returns whether that can be said of all of them: of a database that was emptied
    /// it cannot.
    pub fn add(&mut self, store: &Store, changes: Told<'_>) -> bool {
        changes.about().all(|about| match about {
            About::Put { db, space, key, .. }
            | About::Removed { db, space, key }
            | About::Touched { db, space, key } => {
                self.add_key(&store.key(db, space, key));
                true
            }
            About::Database(_) => false,
            About::Nothing => true,
        })
    }

    fn add_key(&mut self, key: &Key<'_>) {
        let name = (key.db.number(), key.space as u8, Vec::from(key.bytes));
        if self.keys.insert(name) {
            told::write_removed(&mut self.told, Position::ZERO, key);
        }
    }

    /// Bytes that telling of them takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.told.len()
    }

    /// Tells of them, as of keys that were removed.
    #[must_use]
    pub fn into_told(self) -> Vec<u8> {
        self.told
    }
}

impl Default for Touched {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// The keys that the batches behind `parting` have touched, from the log itself, if they take no more bytes than `most`. It holds what
    /// was written last, dead or not, until that is cleaned away: `None` if a position is missing, or if a database was emptied. Nor can it be said
    /// of a parting that this log may never have had: whose epoch is over in it, and whose entry is not there.
    #[must_use]
    pub fn touched_behind(&self, parting: Position, most: usize) -> Option<Touched> {
        let end = self.newest;
        let mut touched = Touched::new();
        let mut positions = BTreeSet::new();
        let segments = self.segments.iter().flatten();
        for segment in segments.filter(|segment| segment.last_position > parting.raw()) {
            if !self.note_touched(segment, parting, &mut touched, &mut positions) {
                return None;
            }
            if touched.bytes() > most {
                return None;
            }
        }
        // What strays has one epoch: only its primary has it. In that epoch this log has all that is before its end; of an earlier one it has
        // only what the epoch began with. The log that counts may have more of that one: it may come from relics.
        let first = if parting.epoch() == end.epoch() {
            parting.plus(1)
        } else if self.shows(parting) {
            Position::new(end.epoch(), 1)
        } else {
            return None;
        };
        let count = (end.raw() + 1).checked_sub(first.raw())?;
        let is_all = positions.range(first.raw()..).count() as u64 == count;
        (is_all && self.tuning.files).then_some(touched)
    }

    /// Whether the log is known to have this position.
    fn shows(&self, position: Position) -> bool {
        let segments = self.segments.iter().flatten();
        let mut segments = segments.filter(|segment| segment.last_position >= position.raw());
        let is_there = |segment: &Segment| {
            segment.offsets().any(|offset| {
                let entry = segment.entry(offset);
                let header = Header::read(entry);
                header.position == position && !self.is_cut(&header) && header.shows_position(entry)
            })
        };
        position == Position::ZERO || segments.any(is_there)
    }

    /// Returns whether all entries of this segment behind the parting are about single keys.
    fn note_touched(
        &self,
        segment: &Segment,
        parting: Position,
        touched: &mut Touched,
        positions: &mut BTreeSet<u64>,
    ) -> bool {
        for offset in segment.offsets() {
            let entry = segment.entry(offset);
            let header = Header::read(entry);
            if header.position <= parting || self.is_cut(&header) {
                continue;
            }
            match header.what {
                What::Control(Control::Note) => continue,
                What::Control(Control::State) => return false,
                What::User(_) | What::Control(Control::Tombstone | Control::Touch) => {}
            }
            let key = self.key(self.db_at(header.db), header.space, header.key(entry));
            touched.add_key(&key);
            if header.shows_position(entry) {
                positions.insert(header.position.raw());
            }
        }
        true
    }

    /// The log goes on behind `parting`, and what stands there now does not count: it has touched `keys`, which have no entry any more. See the module.
    /// What comes next is of a later epoch than anything that strays.
    ///
    /// # Errors
    /// [`Refused`]: the same is to be tried again.
    ///
    /// # Panics
    /// If the log does not go that far.
    pub fn mend(&mut self, parting: Position, keys: Told<'_>) -> Result<(), Refused> {
        assert!(
            parting <= self.newest,
            "a log is mended where it has parted"
        );
        let end = *self.strayed.get_or_insert(self.newest);
        (self.newest, self.found) = (parting, self.found.max(end));
        for entry in keys.entries() {
            let key = told::key_of(self, &entry);
            self.forget(&key, end)?;
        }
        Ok(())
    }

    /// The key has no entry, and none comes back of those up to `end`.
    fn forget(&mut self, key: &Key<'_>, end: Position) -> Result<(), Refused> {
        if self.tuning.files {
            let bytes = batch::TOMBSTONE_BYTES + key.bytes.len();
            let slot = self.reserve(NEVER, bytes, true)?;
            let start = self.segment(slot).tail;
            let dead = Header {
                db: self.place(key.db),
                space: key.space,
                deadline: Deadline::NEVER,
                ..batch::control(Control::Tombstone, end, 0, 0)
            };
            self.append_tombstone(slot, self.newest, key.bytes, &dead, Some(OF_A_MENDING));
            self.complete(slot, start);
        }
        if let Some((at, reference)) = self.find(key) {
            let header = self.header_at(reference);
            self.index.remove(at, &mut *self.pages);
            self.count_out(reference.slot(), &header);
        }
        Ok(())
    }
}
