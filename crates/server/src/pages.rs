//! Memory for segments, straight from the operating system: only what is touched costs anything, and an unused
//! end can be given back without giving up its address.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use store::{Pages, Region};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct MappedPages;

impl Pages for MappedPages {
    fn allocate(&mut self, len: usize) -> Option<Region> {
        // SAFETY: no address is asked for, so nothing that exists is mapped over.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let start = NonNull::new(start.ok()?.cast::<u8>())?;
        // SAFETY: anonymous memory is zeroed, and stays mapped until `release`, also after `give_back`, which
        // makes it zero again; nobody else knows the address.
        Some(unsafe { Region::new(start, len, give_back, release) })
    }
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
