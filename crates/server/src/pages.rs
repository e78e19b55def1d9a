//! Memory for segments and tables, straight from the operating system: only what is touched costs anything, and an unused
//! end can be given back without giving up its address.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use store::{Pages, Region};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct MappedPages;

/// Bytes of a huge page.
const HUGE_BYTES: usize = 2 << 20;

impl Pages for MappedPages {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        segment(len, HUGE_BYTES)
    }

    fn allocate_to_fill(&mut self, len: usize) -> Option<Region> {
        segment(len, 0)
    }

    fn allocate_table(&mut self, len: usize) -> Option<Region> {
        let start = map(len)?;
        refuse_huge_pages(start, len);
        // SAFETY: as in `segment`.
        Some(unsafe { Region::new(start, len, give_back, release) })
    }
}

/// Memory for a segment that comes in huge pages from byte `from` on.
fn segment(len: usize, from: usize) -> Option<Region> {
    let start = map_aligned(len)?;
    prefer_huge_pages(start, from, len);
    // SAFETY: anonymous memory is zeroed, and stays mapped until `release`, also after `give_back`, which
    // makes it zero again; nobody else knows the address.
    Some(unsafe { Region::new(start, len, give_back, release) })
}

fn map(len: usize) -> Option<NonNull<u8>> {
    // SAFETY: no address is asked for, so nothing that exists is mapped over.
    let start = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    };
    NonNull::new(start.ok()?.cast::<u8>())
}

/// Maps `len` bytes that begin at a huge page's boundary: maps more, and unmaps what sticks out.
fn map_aligned(len: usize) -> Option<NonNull<u8>> {
    let start = map(len + HUGE_BYTES)?;
    let before = start.align_offset(HUGE_BYTES);
    // SAFETY: both ends are within the mapping, since `before < HUGE_BYTES`.
    let (first, end) = unsafe { (start.add(before), start.add(before + len)) };
    if before > 0 {
        release(start, before);
    }
    release(end, HUGE_BYTES - before);
    Some(first)
}

/// What comes in huge pages takes one page fault where it took 512, and reading it finds more in the TLB. The beginning of a segment does not where
/// nobody knows whether it will be filled, so that a head that holds a few entries costs a few small pages.
fn prefer_huge_pages(start: NonNull<u8>, from: usize, len: usize) {
    if from < len {
        // SAFETY: within the mapping. Advice changes no contents, and a refusal changes nothing.
        let _ = unsafe {
            let rest = start.add(from).as_ptr().cast::<c_void>();
            madvise(rest, len - from, Advice::LinuxHugepage)
        };
    }
}

/// Also where the system gives huge pages to who does not ask for them: the tables are neighbours, each with room to grow, which would be
/// resident then.
fn refuse_huge_pages(start: NonNull<u8>, len: usize) {
    // SAFETY: as in `prefer_huge_pages`.
    let _ = unsafe {
        madvise(
            start.as_ptr().cast::<c_void>(),
            len,
            Advice::LinuxNoHugepage,
        )
    };
}

fn give_back(start: NonNull<u8>, len: usize) {
    let start = start.as_ptr().cast::<c_void>();
    // SAFETY: the bytes are whole pages of a mapping of ours whose contents nobody needs; they read as zero
    // afterwards. A refusal leaves them as they are, which only costs memory.
    let _ = unsafe { madvise(start, len, Advice::LinuxDontNeed) };
}

fn release(start: NonNull<u8>, len: usize) {
    // SAFETY: the whole mapping of `allocate`, which nobody uses any more. It cannot fail for an existing one.
    let _ = unsafe { munmap(start.as_ptr().cast::<c_void>(), len) };
}

#[cfg(test)]
mod tests;
