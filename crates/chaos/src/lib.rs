//! Real server processes in networks of their own, killed, stopped and cut off, while clients record what they are told.
//!
//! The problem: a simulator proves much about the core and nothing about sockets, files, the kernel and the clocks of real processes. The
//! idea: run the programs as users do, at *sites* that can be cut off from each other ([`arena`], [`switch`]), strike them ([`faults`]), and
//! judge what clients were told ([`record`], [`judge`]) by the checkers of `history`. The same harness runs Redis Cluster, so that
//! figures can be compared and the harness be trusted: it must find what Redis is known to lose.
//!
//! Not here: what a machine's clock, disk or kernel does wrong. The simulators have that.

pub mod arena;
pub mod client;
pub mod cluster;
pub mod comparison;
pub mod failover;
pub mod faults;
pub mod judge;
pub mod load;
pub mod probes;
pub mod process;
pub mod progress;
pub mod record;
pub mod run;
pub mod standby;
pub mod stop;
pub mod switch;
pub mod upkeep;
pub mod wire;
pub mod workload;
