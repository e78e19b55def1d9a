//! Tombstones that a crash may have lost.
//!
//! Each head is a file of its own, so a crash can keep a later write and lose an earlier one in another head:
//! the new value of a key, but not the tombstone, or the flush, of an older one that lives longer. The new value
//! wins for now; but once it has expired, the next restart would bring the old one back. So whoever loses to an
//! entry, or to a tombstone, that expires before it, is a *doubt*; doubts that no tombstone in the log settles
//! are settled by a new one.
//!
//! Such a tombstone rests on all that the restart found, of which some may not be synced and be lost with the power, while the
//! tombstone is kept: then what it covers must be back. So it stands at the last position that was found but does not show
//! that this position is there, and a restart that finds the log to end earlier cuts the tombstone away with the rest.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model::time::Deadline;

use crate::entry::format::{Control, Header, OF_A_RESTART, What};
use crate::expiry::class_of;
use crate::index::Reference;
use crate::log::Spares;
use crate::store::Store;

/// The newest position, and the latest deadline, of what may come back.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    position: u64,
    deadline: Deadline,
}

/// Doubts by the hash of their key.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<u64, Doubt>);

impl Doubts {
    /// An entry of this position and deadline is dead because of something that expires before it.
    pub(super) fn add(&mut self, hash: u64, position: u64, deadline: Deadline) {
        let doubt = self.0.entry(hash).or_insert(Doubt { position, deadline });
        doubt.position = doubt.position.max(position);
        doubt.deadline = doubt.deadline.max(deadline);
    }

    /// Settles all doubts: by what is in the log, or by tombstones that are added to it.
    pub(super) fn settle(mut self, store: &mut Store) {
        let now_ms = store.now_ms;
        self.0.retain(|_, doubt| !doubt.deadline.has_passed(now_ms));
        let references = self.references(store, |segment_tombstones| segment_tombstones > 0);
        for reference in references {
            self.settle_by(store, reference);
        }
        // Any entry of the key will do: they all have the key.
        for reference in self.references(store, |_| true) {
            self.settle_anew(store, reference);
        }
    }

    /// All entries of segments that are `wanted`, by the bytes of their tombstones.
    fn references(&self, store: &Store, wanted: impl Fn(usize) -> bool) -> Vec<Reference> {
        let mut references = Vec::new();
        if self.0.is_empty() {
            return references;
        }
        for (slot, segment) in store.segments.iter().enumerate() {
            let segment = segment
                .as_ref()
                .filter(|segment| wanted(segment.tombstones));
            let offsets = segment.into_iter().flat_map(|segment| segment.offsets());
            references.extend(offsets.map(|offset| Reference::new(slot, offset)));
        }
        references
    }

    fn settle_by(&mut self, store: &Store, reference: Reference) {
        let header = store.header_at(reference);
        if header.what != What::Control(Control::Tombstone) || store.is_cut(&header) {
            return;
        }
        let hash = store.hash_of(&header, store.bytes_at(reference));
        let settled =
            |doubt: &Doubt| header.version >= doubt.position && header.deadline >= doubt.deadline;
        if self.0.get(&hash).is_some_and(settled) {
            self.0.remove(&hash);
        }
    }

    fn settle_anew(&mut self, store: &mut Store, reference: Reference) {
        let header = store.header_at(reference);
        match header.what {
            What::User(_) | What::Control(Control::Tombstone | Control::Touch) => (),
            What::Control(Control::State | Control::Note) => return,
        }
        let key = header.key(store.bytes_at(reference)).to_vec();
        let hash = store.hash_of(&header, store.bytes_at(reference));
        let Some(doubt) = self.0.remove(&hash) else {
            return;
        };
        let current = store.find_at(hash, header.db, header.space, &key);
        let current = current.map(|(_, current)| store.header_at(current));
        let outlived = current.is_some_and(|current| {
            current.deadline >= doubt.deadline || current.position.raw() <= doubt.position
        });
        if !outlived && doubt.position >= store.flushed[usize::from(header.db)] {
            let dead = Header {
                position: model::Position::from_raw(doubt.position),
                deadline: doubt.deadline,
                ..header
            };
            store.add_tombstone(&key, &dead);
        }
    }
}

impl Store {
    /// Adds a tombstone that no batch has asked for.
    fn add_tombstone(&mut self, key: &[u8], dead: &Header) {
        assert_eq!(
            self.newest, self.restored,
            "it goes with all that the restart found"
        );
        let class = class_of(dead.deadline, self.now_ms);
        let slot = self
            .head(class, key.len() + 64, Spares::TakeLast)
            .expect("before the disk has answered, heads are opened on trust");
        let start = self.segment(slot).tail;
        self.append_tombstone(slot, self.newest, key, dead, Some(OF_A_RESTART));
        self.complete(slot, start);
        self.note_tombstone(Reference::new(slot, start));
    }
}
