//! The control plane: who is alive, who owns what, and who decides it. See `docs/cluster.md`, which is this crate's chapter.
//!
//! ```text
//!   agent ── composes ──► detector ──► court ──► coordinator ──► decide, balance ──► placement
//!     │                                             brake ┘
//!     └──► map ◄── format, keys ◄── metadata (what is asked of the store, and what it means: table)
//! ```
//!
//! Nothing here does I/O. Heartbeats go out and come in as [`message::Message`]s, the metadata store is asked with [`metadata::Ask`]s, time is
//! told. `cluster` knows nothing of entries, logs or clients: it says who holds a shard, never what is in it.
#![no_std]

extern crate alloc;

pub mod agent;
pub mod balance;
pub mod brake;
pub mod coordinator;
pub mod court;
pub mod decide;
pub mod detector;
pub mod format;
pub mod keys;
pub mod links;
pub mod map;
pub mod message;
pub mod metadata;
pub mod placement;
pub mod record;
pub mod reports;
pub mod situation;
pub mod table;
pub mod timing;
pub mod view;

#[cfg(test)]
mod fixture;

pub use agent::{Agent, AskId, Effect, Event, Identity, Input};
