//! Verifying every invariant, for tests and the simulator: looks at everything, so it is slow.

use alloc::collections::BTreeMap;

use crate::Space;
use crate::entry::format::{self, HEADER_BYTES, Header, Place, What};
use crate::index::Reference;
use crate::pages::whole_pages;
use crate::segment::Segment;
use crate::store::{Count, Store};

#[derive(Default)]
struct Live {
    bytes: usize,
    entries: usize,
}

impl Store {
    /// Asserts every invariant of the store.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        self.index.check();
        let (live, counts) = self.check_cells();
        assert_eq!(counts, self.counts, "counts of the databases");
        let mut resident = 0;
        for (slot, segment) in self.segments.iter().enumerate() {
            let Some(segment) = segment else {
                assert!(
                    !live.contains_key(&slot),
                    "no cell leads to a freed segment"
                );
                continue;
            };
            resident += segment.resident;
            self.check_segment(slot, segment);
            let live = live
                .get(&slot)
                .map_or((0, 0), |live| (live.bytes, live.entries));
            assert_eq!(
                live,
                (segment.live_bytes, segment.live_entries),
                "live in a segment"
            );
        }
        assert_eq!(resident, self.resident, "resident bytes");
        assert_eq!(
            self.files.open.len(),
            self.segments.iter().flatten().count()
        );
        for (due, slot) in &self.calendar {
            assert_eq!(self.segment(*slot).sweep_ms, Some(*due), "the calendar");
        }
    }

    fn check_cells(&self) -> (BTreeMap<usize, Live>, [Count; 16]) {
        let mut live: BTreeMap<usize, Live> = BTreeMap::new();
        let mut counts = [Count::default(); 16];
        let mut cells = 0;
        let end = self.index.scan(0, usize::MAX, |reference| {
            cells += 1;
            let header = self.check_cell(reference);
            let segment = live.entry(reference.slot()).or_default();
            segment.bytes += header.len;
            segment.entries += 1;
            if self.is_flushed(&header) {
                return;
            }
            let count = &mut counts[usize::from(header.db)];
            count.live += header.len;
            count.payload += header.len - HEADER_BYTES;
            if header.space == Space::Data {
                count.data += 1;
                count.data_with_deadline += u64::from(!header.deadline.is_never());
            }
        });
        assert_eq!(
            (end, cells),
            (0, self.index.cells()),
            "a scan sees every cell once"
        );
        (live, counts)
    }

    fn check_cell(&self, reference: Reference) -> Header {
        let header = self.header_at(reference);
        assert!(
            matches!(header.what, What::User(_)),
            "a cell leads to a caller's entry"
        );
        let entry = self.bytes_at(reference);
        let hash = self.hash_of(&header, entry);
        let found = self.find_at(hash, header.db, header.space, header.key(entry));
        assert_eq!(
            found.map(|f| f.1),
            Some(reference),
            "a key leads to its entry"
        );
        header
    }

    fn check_segment(&self, slot: usize, segment: &Segment) {
        let mut controls = 0;
        let mut tombstones = 0;
        let mut within = false;
        for offset in segment.offsets() {
            let entry = segment.entry(offset);
            let place = format::verify(entry, segment.salt).expect("a checksum in memory");
            assert!(
                segment.busy || place == Place::behind(within),
                "a batch stands together or apart"
            );
            within = Header::read(entry).more;
            match Header::read(entry).what {
                What::Control(format::Control::Tombstone) => {
                    controls += entry.len();
                    tombstones += entry.len();
                }
                What::Control(format::Control::Touch) => controls += entry.len(),
                What::Control(format::Control::State | format::Control::Note) | What::User(_) => (),
            }
        }
        assert!(segment.controls <= controls && segment.tombstones <= tombstones);
        let head = self.heads.contains(&Some(slot));
        assert_eq!(
            head, !segment.sealed,
            "heads, and only heads, are not sealed"
        );
        if segment.busy {
            return;
        }
        if segment.gap.is_some() {
            // It was emptied, and waits to be freed: its pages are given back, and nothing may live in it.
            assert!(
                segment.live_bytes == 0 && segment.controls == 0,
                "what lives was moved out of an emptied segment"
            );
            assert!(
                segment.resident <= whole_pages(segment.tail),
                "resident in an emptied segment"
            );
        } else {
            // A head's memory may have been that of another segment before.
            let resident = whole_pages(segment.tail);
            assert!(
                segment.resident == resident || (head && segment.resident > resident),
                "resident in a segment"
            );
        }
    }
}
