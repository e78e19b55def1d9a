//! Memory for segments, and for the tables of the index.
//!
//! A segment is a region of [`model::limits::SEGMENT_BYTES`] of which only the touched part costs memory. The
//! shell maps regions from the operating system, and can give the unused end of one back without giving up its
//! address; the simulator and the tests take them from the allocator.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::fmt;
use core::ptr::NonNull;

/// Bytes of a page: what is resident is counted in whole pages.
pub const PAGE_BYTES: usize = 4096;

/// Bytes rounded up to whole pages.
pub(crate) const fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE_BYTES)
}

/// Where segments and tables come from.
pub trait Pages: Send {
    /// A region of `len` bytes for a segment, initialised, of any contents; `None` if there is no memory.
    fn allocate(&mut self, len: usize) -> Option<Region>;

    /// The same for a segment that follows a full one of its class, so that it will most likely be filled, too: it may become resident
    /// in large pieces from its beginning on.
    fn allocate_to_fill(&mut self, len: usize) -> Option<Region> {
        self.allocate(len)
    }

    /// The same for a table of the index, which is filled from its beginning, and perhaps never to its end: what is resident is to
    /// be what is touched, in pages of [`PAGE_BYTES`].
    fn allocate_table(&mut self, len: usize) -> Option<Region> {
        self.allocate(len)
    }
}

/// A piece of memory that frees itself.
pub struct Region {
    start: NonNull<u8>,
    len: usize,
    give_back: fn(NonNull<u8>, usize),
    release: fn(NonNull<u8>, usize),
    heir: Option<fn(Region)>,
}

// SAFETY: a region owns its memory, as a box does.
unsafe impl Send for Region {}
// SAFETY: through a shared reference its memory is only read.
unsafe impl Sync for Region {}

impl Region {
    /// Takes over `len` bytes at `start`. `give_back(p, n)` tells the system that the contents of the `n` bytes
    /// at `p`, which is on a page boundary if `start` is, are not needed any more; `release(start, len)` frees
    /// the whole.
    ///
    /// # Safety
    /// The memory is initialised, used by nobody else, and stays valid and initialised until `release`; both
    /// functions may be called from any thread.
    #[must_use]
    pub unsafe fn new(
        start: NonNull<u8>,
        len: usize,
        give_back: fn(NonNull<u8>, usize),
        release: fn(NonNull<u8>, usize),
    ) -> Self {
        Self {
            start,
            len,
            give_back,
            release,
            heir: None,
        }
    }

    /// The same memory, which is not freed when this is dropped, but passes to `heir`, as it is.
    #[must_use]
    pub fn with_heir(mut self, heir: fn(Self)) -> Self {
        self.heir = Some(heir);
        self
    }

    /// No memory, at an address where a `T` may be.
    pub(crate) fn empty<T>() -> Self {
        Self {
            start: NonNull::<T>::dangling().cast(),
            len: 0,
            give_back: |_, _| (),
            release: |_, _| (),
            heir: None,
        }
    }

    /// The memory.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `new` was promised `len` initialised bytes that nobody else uses.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The memory, to change.
    #[must_use]
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Gives the whole pages within `from..to` back to the system. Their contents are undefined (but
    /// initialised) afterwards.
    pub(crate) fn give_back(&mut self, from: usize, to: usize) {
        let from = whole_pages(from);
        let to = to.min(self.len) / PAGE_BYTES * PAGE_BYTES;
        if from < to {
            // SAFETY: `from` is within the region.
            let start = unsafe { self.start.add(from) };
            (self.give_back)(start, to - from);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match self.heir {
            None => (self.release)(self.start, self.len),
            Some(heir) => heir(Self {
                heir: None,
                ..*self
            }),
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len).finish()
    }
}

/// Regions from the global allocator, which cannot take a part of one back.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapPages;

impl Pages for HeapPages {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        from_heap::<PAGE_BYTES>(len)
    }
}

/// Cleared memory of the global allocator that begins at a multiple of `ALIGN`.
pub(crate) fn from_heap<const ALIGN: usize>(len: usize) -> Option<Region> {
    fn layout<const ALIGN: usize>(len: usize) -> Layout {
        Layout::from_size_align(len, ALIGN).expect("a region's length is far below isize::MAX")
    }
    fn release<const ALIGN: usize>(start: NonNull<u8>, len: usize) {
        // SAFETY: allocated below with the same layout.
        unsafe { dealloc(start.as_ptr(), layout::<ALIGN>(len)) }
    }
    assert!(len > 0);
    // SAFETY: the layout is not empty.
    let start = NonNull::new(unsafe { alloc_zeroed(layout::<ALIGN>(len)) })?;
    // SAFETY: the memory is zeroed, ours, and freed by `release` only.
    Some(unsafe { Region::new(start, len, |_, _| (), release::<ALIGN>) })
}
