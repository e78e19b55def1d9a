//! How long something takes, counted in buckets.
//!
//! Eight buckets to each power of two: a percentile is off by at most an eighth of itself, over the whole range from a
//! microsecond to days, in three kilobytes.

use alloc::vec::Vec;

/// Buckets to a power of two, as bits.
const FINE_BITS: u32 = 3;
/// Values from two to the power of this many microseconds on (19 hours) share the last bucket.
const MAX_BITS: u32 = 36;
const BUCKETS: usize = ((MAX_BITS - FINE_BITS + 1) << FINE_BITS) as usize;

/// Counts of durations, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Empty until something is recorded: most commands are never run.
    buckets: Vec<u64>,
    count: u64,
    total_us: u64,
}

fn bucket(us: u64) -> usize {
    let top = u64::BITS - (us | 1 << FINE_BITS).leading_zeros() - 1;
    let shift = top - FINE_BITS;
    let fine = (us >> shift) as usize & ((1 << FINE_BITS) - 1);
    let coarse = if us < 1 << FINE_BITS {
        0
    } else {
        shift as usize + 1
    };
    (coarse << FINE_BITS | fine).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn upper_us(bucket: usize) -> u64 {
    let (coarse, fine) = (
        bucket >> FINE_BITS,
        (bucket & ((1 << FINE_BITS) - 1)) as u64,
    );
    match coarse {
        0 => fine,
        _ => ((fine + (1 << FINE_BITS) + 1) << (coarse - 1)) - 1,
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, us: u64) {
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, 0);
        }
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.total_us = self.total_us.saturating_add(us);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, in microseconds.
    #[must_use]
    pub fn total_us(&self) -> u64 {
        self.total_us
    }

    /// The duration, in microseconds, that this share (0 to 1) of what was recorded does not exceed; zero if there is
    /// nothing.
    #[must_use]
    pub fn percentile_us(&self, share: f64) -> u64 {
        let rank = (share * self.count as f64) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen > rank.min(self.count.saturating_sub(1)) {
                return upper_us(index);
            }
        }
        0
    }

    /// How many took at most each power of two of microseconds, from the first to the last that anything fell under.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut seen = 0;
        let total = self.count;
        let powers = self.buckets.chunks(1 << FINE_BITS).enumerate();
        powers
            .map(move |(coarse, counts)| {
                let before = seen;
                seen += counts.iter().sum::<u64>();
                ((1 << FINE_BITS) << coarse, before, seen)
            })
            .filter(move |(_, before, seen)| seen > before && *before < total)
            .map(|(bound, _, seen)| (bound, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_bounds_it() {
        for us in (0..5000).chain((13..40).map(|bits| (1 << bits) + 77)) {
            let upper = upper_us(bucket(us));
            if bucket(us) < BUCKETS - 1 {
                assert!(upper >= us && upper <= us + us / 8, "{us} {upper}");
                assert_eq!(bucket(upper), bucket(us));
                assert_eq!(bucket(upper + 1), bucket(us) + 1);
            }
        }
    }

    #[test]
    fn percentiles_and_counts() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_us(0.5), 0);
        for us in 1..=1000 {
            histogram.record(us);
        }
        for (share, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            let got = histogram.percentile_us(share);
            assert!(
                (exact..=exact + exact / 8 + 1).contains(&got),
                "{share} {got}"
            );
        }
        let all: Vec<_> = histogram.cumulative().collect();
        assert_eq!(all[0], (8, 7));
        assert_eq!(all.last(), Some(&(1024, 1000)));
    }
}
