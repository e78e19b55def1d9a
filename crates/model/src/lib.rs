//! The words that every other crate shares: ids, positions, time, hash slots, limits.
//!
//! Nothing here does anything: these are the nouns of the design (see `docs/GLOSSARY.md`), each with
//! its unit and its bounds, so that two crates can never disagree about what a number means.
//! `model` knows no other crate.
#![no_std]

extern crate alloc;

pub mod ids;
pub mod limits;
pub mod membership;
pub mod position;
pub mod slot;
pub mod time;
pub mod topology;

pub use ids::{ConnectionId, Db};
pub use membership::{
    CopySet, Incarnation, Member, NodeId, Phase, ServedSet, ShardConfig, ShardId, Zone,
};
pub use position::{Fence, Position, Version};
pub use time::Now;
pub use topology::Topology;
