//! What is resident behind the ends of heads although nothing stands there.
//!
//! The system makes memory resident by huge pages: up to 2 MiB behind the end of each head, which no figure counts. They are given back while
//! little is written. While much is, the head's next entries come to stand there.

use crate::store::Store;

/// Whoever has written less since [`Store::give_back_ends`] was last called writes little.
const LITTLE_BYTES: u64 = 64 << 10;

/// What had been appended when [`Store::give_back_ends`] was called, and when it last did so.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    seen: u64,
    given_back: u64,
}

impl Store {
    /// To be called once a second: if little is written, what is resident is from then on what is counted.
    pub fn give_back_ends(&mut self) {
        let written = self.appended - core::mem::replace(&mut self.ends.seen, self.appended);
        if written > LITTLE_BYTES || self.ends.given_back == self.appended {
            return;
        }
        self.ends.given_back = self.appended;
        for slot in self.heads.into_iter().flatten() {
            let end = self.tuning.segment_bytes;
            let segment = self.segment_mut(slot);
            segment.region.give_back(segment.resident, end);
        }
    }
}
