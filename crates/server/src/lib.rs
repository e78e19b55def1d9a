//! The shell around a node: sockets, disk, clocks, signals, the admin port.
//!
//! Everything that decides stands in the core crates, which are functions of their inputs. This crate brings
//! the inputs and carries out the effects, with as little of its own as can be:
//!
//! ```text
//!   clients ── mio ──► turns::Shell ──► node::Node          one thread: the data path
//!                        │      ▲
//!              disk ops  ▼      │ messages (events of the disk, questions of the admin port, signals)
//!                 disk thread   admin thread (tokio: HTTP, signals)
//! ```
//!
//! The loop of a turn is in [`turns`], the promises of the data directory in [`directory`], what an operator
//! may set in [`config`].

mod accept;
mod admin;
pub mod clock;
pub mod config;
mod directory;
mod disk;
pub mod doctor;
mod identity;
mod limits;
mod links;
mod logs;
mod membership;
mod message;
mod metadata;
mod nodes;
mod outside;
mod pages;
mod phase;
mod plane;
mod ports;
mod process;
mod restore;
mod serve;
mod settings;
mod sockets;
mod spin;
pub mod survey;
mod turns;

pub use metadata::keep_alone as keep_metadata;
pub use nodes::serve;
pub use serve::StartError;
