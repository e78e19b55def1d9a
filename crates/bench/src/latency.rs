//! What one worker counted: latency histograms, replies, errors.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::{MICROSECOND_NS, SECOND_NS};

/// The longest latency that is told apart; longer ones count as this.
const LONGEST_NS: u64 = 3_600 * SECOND_NS;
/// Significant decimal digits of a recorded latency.
const PRECISION: u8 = 3;

/// The kind of a request, as an index into the traffic's list of kind names.
pub type Kind = u8;

/// An empty latency histogram, in nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, PRECISION)
        .expect("one nanosecond to an hour at three digits is a valid histogram")
}

/// Errors of one first word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// How many there were.
    pub count: u64,
    /// The first one's whole text.
    pub example: String,
}

/// Errors by their first word.
pub type Errors = BTreeMap<String, ErrorCount>;

/// Everything that one worker counted since measuring began.
#[derive(Clone, Debug)]
pub struct Tally {
    /// One histogram for each kind of request, in nanoseconds.
    pub latencies: Vec<Histogram<u64>>,
    /// Errors by first word.
    pub errors: Errors,
    /// Replies that were null.
    pub nils: u64,
    /// Requests that were due in the measured time and never answered. Their age at the end is in the
    /// histogram, so that a server cannot improve its latency by not answering.
    pub unanswered: u64,
    /// How late requests left although a connection was free for them: the generator's own fault.
    pub lag: Histogram<u64>,
}

impl Tally {
    /// An empty tally for traffic of so many kinds.
    pub fn new(kinds: usize) -> Self {
        Self {
            latencies: (0..kinds).map(|_| histogram()).collect(),
            errors: Errors::new(),
            nils: 0,
            unanswered: 0,
            lag: histogram(),
        }
    }

    /// Records one latency.
    pub fn record(&mut self, kind: Kind, latency_ns: u64) {
        self.latencies[usize::from(kind)].saturating_record(latency_ns.max(1));
    }

    /// Counts an error reply.
    pub fn count_error(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let word = text.split_whitespace().next().unwrap_or("(empty)");
        match self.errors.get_mut(word) {
            Some(error) => error.count += 1,
            None => {
                let word = word.to_owned();
                let example = text.into_owned();
                self.errors.insert(word, ErrorCount { count: 1, example });
            }
        }
    }

    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            merge(mine, theirs);
        }
        for (word, error) in &other.errors {
            self.errors
                .entry(word.clone())
                .and_modify(|mine| mine.count += error.count)
                .or_insert_with(|| error.clone());
        }
        self.nils += other.nils;
        self.unanswered += other.unanswered;
        merge(&mut self.lag, &other.lag);
    }

    /// Error replies of all words.
    pub fn error_count(&self) -> u64 {
        self.errors.values().map(|error| error.count).sum()
    }

    /// All latencies in one histogram.
    pub fn all_latencies(&self) -> Histogram<u64> {
        let mut all = histogram();
        for one in &self.latencies {
            merge(&mut all, one);
        }
        all
    }
}

fn merge(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    into.add(from)
        .expect("all histograms have the same bounds and precision");
}

/// The figures of one histogram, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Latencies recorded.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// Half were at most this.
    pub p50_us: f64,
    /// Nine of ten were at most this.
    pub p90_us: f64,
    /// 99 of 100 were at most this.
    pub p99_us: f64,
    /// 999 of 1,000 were at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Latency {
    /// The figures of `histogram`, whose values are nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let micros = |ns: u64| ns as f64 / MICROSECOND_NS as f64;
        let quantile = |q: f64| micros(histogram.value_at_quantile(q));
        Self {
            count: histogram.len(),
            mean_us: histogram.mean() / MICROSECOND_NS as f64,
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: micros(histogram.max()),
        }
    }

    /// The same after the correction for coordinated omission in a closed loop: a latency longer than
    /// the interval at which a request was expected stands for the requests that were not sent
    /// meanwhile, so latencies one interval shorter each are added down to the interval.
    pub fn corrected(histogram: &Histogram<u64>, interval_ns: u64) -> Self {
        Self::of(&histogram.clone_correct(interval_ns))
    }
}
