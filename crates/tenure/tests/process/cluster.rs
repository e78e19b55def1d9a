//! Clusters of real processes.

mod dev;
mod failover;
mod members;
mod metadata;
mod notices;
mod rig;
