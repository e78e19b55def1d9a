//! The real binary as its users meet it: started, stopped, killed, talked to badly, run out of disk.
//!
//! Every test starts its own server on ports that the system chooses, with a directory of its own.

// A test ends with its first surprise, and watches a real process by the real clock.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

mod clients;
mod cluster;
mod disk_full;
mod kill9;
mod lifecycle;
mod running;
mod wire;
