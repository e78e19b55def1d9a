//! The real binary as its users meet it: started, stopped, killed, talked to badly, run out of disk.
//!
//! Every test starts its own server on ports that the system chooses, with a directory of its own.

mod clients;
mod disk_full;
mod kill9;
mod lifecycle;
mod running;
mod wire;
