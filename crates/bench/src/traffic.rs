//! What is sent: one [`Traffic`] for each family of workloads.
//!
//! The engine knows connections, pipelines and time; a traffic knows what the next request of a
//! connection is and what a reply means for the ones after it. It writes into the engine's buffer and
//! is told every reply in order, so it needs no memory of its own beyond what the workload is about.

pub mod churn;
pub mod confirmed;
pub mod contention;
pub mod fill;
pub mod hold_many;
pub mod keyed;
pub mod session;
pub mod wave;

#[cfg(test)]
mod tests;

use crate::latency::Kind;
use crate::reply::Reply;

/// A stream of requests for the connections of one worker.
pub trait Traffic {
    /// The names of the kinds of requests it sends; a [`Kind`] is an index into them.
    fn kinds(&self) -> &'static [&'static str];

    /// Appends the next request of `connection` to `out` and tells its kind; `None` when this
    /// connection has nothing to send before its next reply, or ever again.
    fn next_request(&mut self, connection: usize, now_ns: u64, out: &mut Vec<u8>) -> Option<Kind>;

    /// Takes the reply to the oldest unanswered request of `connection`.
    fn take_reply(&mut self, connection: usize, kind: Kind, now_ns: u64, reply: &Reply<'_>);

    /// Whether this connection has begun something that others wait for, and its next request ends it:
    /// that request is then still sent after the end of the run.
    fn is_unfinished(&self, _connection: usize) -> bool {
        false
    }

    /// Measuring begins now: forget what was counted before.
    fn begin_measuring(&mut self) {}
}
