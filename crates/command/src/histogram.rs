//! How long something takes, counted in buckets.
//!
//! Eight buckets to each power of two: a percentile is off by at most an eighth of itself, over the whole range from
//! nanoseconds to a day, in three kilobytes.

use alloc::vec::Vec;

/// Buckets to a power of two, as bits.
const FINE_BITS: u32 = 3;
/// Values from two to the power of this many nanoseconds on (19 hours) share the last bucket.
const MAX_BITS: u32 = 46;
const BUCKETS: usize = ((MAX_BITS - FINE_BITS + 1) << FINE_BITS) as usize;

/// Counts of durations, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Empty until something is recorded: most commands are never run.
    buckets: Vec<u64>,
    count: u64,
    total_ns: u64,
}

fn bucket(ns: u64) -> usize {
    let top = u64::BITS - (ns | 1 << FINE_BITS).leading_zeros() - 1;
    let shift = top - FINE_BITS;
    let fine = (ns >> shift) as usize & ((1 << FINE_BITS) - 1);
    let coarse = if ns < 1 << FINE_BITS {
        0
    } else {
        shift as usize + 1
    };
    (coarse << FINE_BITS | fine).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn upper_ns(bucket: usize) -> u64 {
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
    pub fn record(&mut self, ns: u64) {
        if self.buckets.is_empty() {
            self.buckets.resize(BUCKETS, 0);
        }
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(ns);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, in nanoseconds.
    #[must_use]
    pub fn total_ns(&self) -> u64 {
        self.total_ns
    }

    /// The duration, in nanoseconds, that this share (0 to 1) of what was recorded does not exceed; zero if there is
    /// nothing.
    #[must_use]
    pub fn percentile_ns(&self, share: f64) -> u64 {
        let rank = (share * self.count as f64) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen > rank.min(self.count.saturating_sub(1)) {
                return upper_ns(index);
            }
        }
        0
    }

    /// How many took at most each power of two of nanoseconds, from the first to the last that anything fell under.
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
        for ns in (0..5000).chain((13..40).map(|bits| (1 << bits) + 77)) {
            let upper = upper_ns(bucket(ns));
            if bucket(ns) < BUCKETS - 1 {
                assert!(upper >= ns && upper <= ns + ns / 8, "{ns} {upper}");
                assert_eq!(bucket(upper), bucket(ns));
                assert_eq!(bucket(upper + 1), bucket(ns) + 1);
            }
        }
    }

    #[test]
    fn percentiles_and_counts() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_ns(0.5), 0);
        for ns in 1..=1000 {
            histogram.record(ns);
        }
        for (share, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            let got = histogram.percentile_ns(share);
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
