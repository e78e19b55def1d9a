//! Whether one order explains what clients were told.
//!
//! The general problem (is there an order of all requests that respects time and explains every reply?) takes exponential time. It
//! takes one pass if each reply says where in the order it belongs: a position, a version, a count (Gibbons and Korach, *Testing
//! Shared Memories*, 1997). Every checker here is such a pass ([`sweep`]): each reply takes effect at the earliest point of the order that it
//! can, and never before one that somebody was told of before the request was sent.
//!
//! The simulator of a cluster knows the order from what was committed; a harness around real processes knows only what clients
//! were told ([`versions`], [`holds`]). What is left out: replies that carry no version.

pub mod holds;
pub mod sweep;
pub mod versions;
