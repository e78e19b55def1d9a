//! One file: what was written, what was synced, and what a loss of power leaves of it.

use crate::random::Random;

/// See the module.
///
/// Invariants: both buffers are at most `len` long, what is beyond them is zero; `dirty` are ranges of `cached` that
/// were written since the last sync.
#[derive(Clone, Debug)]
pub struct File {
    cached: Vec<u8>,
    durable: Vec<u8>,
    len: usize,
    durable_len: usize,
    dirty: Vec<(usize, usize)>,
    /// Its directory entry was synced.
    pub(super) entered: bool,
    /// An op has failed and nobody was told.
    pub(super) owes_error: bool,
    /// It was cut to its final length.
    pub closed: bool,
    /// It bears the mark of a file that has failed.
    pub(super) disowned: bool,
    /// And the power cannot take that.
    pub(super) disowned_for_good: bool,
}

impl File {
    /// A file whose length was synced when it was made; its name, here, was not yet.
    pub(super) fn new(len: usize) -> Self {
        Self {
            cached: Vec::new(),
            durable: Vec::new(),
            len,
            durable_len: len,
            dirty: Vec::new(),
            entered: false,
            owes_error: false,
            closed: false,
            disowned: false,
            disowned_for_good: false,
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.len = self.len.max(end);
        self.dirty.push((offset, end));
    }

    pub(super) fn cut(&mut self, len: usize) {
        self.cached.truncate(len);
        self.len = len;
        self.closed = true;
    }

    /// Everything becomes durable, save what an earlier failed sync has lost. Returns whether this was the file's
    /// first sync.
    pub(super) fn sync(&mut self) -> bool {
        for (start, end) in std::mem::take(&mut self.dirty) {
            self.keep(start, end);
        }
        self.durable_len = self.len;
        self.durable.truncate(self.len);
        !std::mem::replace(&mut self.entered, true)
    }

    /// The pages count as clean and were not written.
    pub(super) fn fail_sync(&mut self) {
        self.dirty.clear();
    }

    fn keep(&mut self, start: usize, end: usize) {
        let end = end.min(self.cached.len());
        if start >= end {
            return;
        }
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.cached[start..end]);
    }

    /// What a loss of power leaves. Returns whether something was lost.
    pub(super) fn lose_power(&mut self, random: &mut Random) -> bool {
        let piece = 512usize << random.below(4);
        let mut lost = false;
        for (start, end) in std::mem::take(&mut self.dirty) {
            let mut at = start;
            while at < end {
                let next = ((at / piece + 1) * piece).min(end);
                match random.below(3) {
                    0 => self.keep(at, next),
                    1 => lost = true,
                    _ => {
                        self.keep(at, at + random.index(next - at));
                        lost = true;
                    }
                }
                at = next;
            }
        }
        let long = self.len.max(self.durable_len);
        self.len = match random.below(3) {
            0 => self.durable_len.max(self.durable.len()),
            1 => long,
            _ => self.len,
        };
        self.durable.truncate(self.len);
        self.durable_len = self.len;
        self.cached.clone_from(&self.durable);
        self.entered = true;
        self.disowned &= self.disowned_for_good || random.chance(5_000);
        lost
    }

    /// Flips one bit of the part that is written.
    pub fn flip(&mut self, random: &mut Random) -> Option<usize> {
        let at = random.index(self.cached.len());
        let bit = 1u8 << random.below(8);
        *self.cached.get_mut(at)? ^= bit;
        if let Some(byte) = self.durable.get_mut(at) {
            *byte = self.cached[at];
        }
        Some(at)
    }

    /// The bytes of the file as a process reads them, up to where all that follow are zero.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.cached
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.len
    }
}
