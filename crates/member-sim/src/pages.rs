//! Memory for segments that is used again, by one run after the other, with whatever was left in it: as in a server that has run for long,
//! and without the cost of clearing it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use store::{HeapPages, Pages, Region};

/// Bytes that a thread keeps at most.
const MOST_KEPT: usize = 64 << 20;

/// Regions that nobody uses, by length.
#[derive(Default)]
struct Kept {
    regions: BTreeMap<usize, Vec<Region>>,
    bytes: usize,
}

impl Kept {
    fn take(&mut self, len: usize) -> Option<Region> {
        let region = self.regions.get_mut(&len)?.pop()?;
        self.bytes -= len;
        Some(region)
    }

    fn keep(&mut self, region: Region) {
        let len = region.bytes().len();
        if self.bytes + len <= MOST_KEPT {
            self.bytes += len;
            self.regions.entry(len).or_default().push(region);
        }
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// See the module.
pub struct UsedPages;

impl Pages for UsedPages {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        let used = KEPT.with_borrow_mut(|kept| kept.take(len));
        let region = used.or_else(|| HeapPages.allocate(len))?;
        // Where the thread is about to end, it is freed.
        Some(region.with_heir(|region| {
            let _ = KEPT.try_with(|kept| kept.borrow_mut().keep(region));
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_nobody_uses_any_more_is_used_again_as_it_was_left() {
        let mut first = UsedPages.allocate(8_192).expect("memory");
        let start = first.bytes().as_ptr();
        first.bytes_mut()[..4].copy_from_slice(b"left");
        let other = UsedPages.allocate(8_192).expect("memory");
        assert_ne!(other.bytes().as_ptr(), start, "it is in use");
        drop(first);
        let again = UsedPages.allocate(8_192).expect("memory");
        assert_eq!(
            (again.bytes().as_ptr(), &again.bytes()[..4]),
            (start, &b"left"[..])
        );
        assert_eq!(
            UsedPages.allocate(4_096).expect("memory").bytes().len(),
            4_096
        );
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let regions = [(); 3].map(|()| UsedPages.allocate(MOST_KEPT / 2).expect("memory"));
        drop(regions);
        KEPT.with_borrow(|kept| assert_eq!(kept.bytes, MOST_KEPT));
    }
}
