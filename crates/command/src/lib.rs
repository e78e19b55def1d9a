//! Commands: one table, and what each command does.
//!
//! [`table::TABLE`] defines every command once: name, arity, flags, where its keys are, its documentation, its
//! handler. Dispatch, `COMMAND`, the documentation, the slow log and the fuzzer's dictionary all read it.
//!
//! A handler is a function of a [`Call`]: it reads arguments, asks the shard, writes a reply. It knows no
//! socket and no clock. See `docs/ARCHITECTURE.md`, "The life of one request".
#![no_std]

extern crate alloc;

mod administration;
mod arguments;
mod call;
pub mod client;
mod clients;
mod cluster;
mod config;
mod connection;
mod dispatch;
mod failure;
mod glob;
mod hashes;
pub mod histogram;
mod info;
mod introspection;
mod keys;
mod latency;
mod memory;
mod number;
mod server;
mod session;
mod slowlog;
mod strings;
pub mod table;

pub use arguments::Arguments;
pub use call::{Call, Flow, Other, Ran};
pub use client::{Client, Clients};
pub use cluster::{push_number, push_number_after, push_slots, pushes};
pub use dispatch::{
    Ended, Prepared, Scene, execute, key_indices, keys_of, name_of, prepare, refuse, spec_of,
};
pub use failure::Failure;
pub use glob::matches;
pub use introspection::manual;
pub use keys::{scanned_slot, slot_at};
pub use server::{CommandStats, Pause, Process, Server, Settings, Stats};
pub use shard::Attempt;
pub use slowlog::{SlowEntry, SlowLog};
