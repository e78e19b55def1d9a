//! Clusters of real processes.

mod aside;
mod dev;
mod disk_full;
mod failover;
mod forwarding;
mod forwarding_load;
mod keepalive;
mod lost_map;
mod members;
mod memory;
mod metadata;
mod notices;
mod power;
mod rig;
mod secured;
#[path = "../../../meta/tests/support/secured.rs"]
mod secured_etcd;
