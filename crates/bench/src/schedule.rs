//! When requests are due in an open loop.
//!
//! Real users do not wait for one another's replies, so an open loop sends by the clock, not by the
//! answers. A request's latency counts from the moment it was due, whether or not a connection was free
//! to carry it: a server that stalls for a second is charged for every request that the second should
//! have seen, not for the one that happened to be on the wire (Gil Tene's "coordinated omission").

#[cfg(test)]
mod tests;

use clap::ValueEnum;

use crate::clock::SECOND_NS;
use crate::random::Random;

/// How the gaps between two requests are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// Equal gaps.
    Even,
    /// Exponential gaps: a Poisson process, like independent users.
    Poisson,
}

/// The times at which one worker's requests are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval_ns: f64,
    arrivals: Arrivals,
    random: Random,
    next_ns: f64,
}

impl Schedule {
    /// `per_second` requests a second, the first one at `start_ns`. The rate must be positive.
    pub fn new(per_second: f64, arrivals: Arrivals, start_ns: u64, random: Random) -> Self {
        Self {
            interval_ns: SECOND_NS as f64 / per_second,
            arrivals,
            random,
            next_ns: start_ns as f64,
        }
    }

    /// When the next request is due.
    pub fn due_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// The request that was due has been sent: moves on to the one after it, from when this one was
    /// due and not from now.
    pub fn advance(&mut self) {
        self.next_ns += match self.arrivals {
            Arrivals::Even => self.interval_ns,
            Arrivals::Poisson => self.random.exponential(self.interval_ns),
        };
    }
}
