//! Clusters of real processes.

mod dev;
mod disk_full;
mod failover;
mod members;
mod metadata;
mod notices;
mod rig;
