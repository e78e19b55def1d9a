//! One node alone, as the server's loop drives it.

mod ahead;
mod backpressure;
mod ending;
#[path = "../support/files.rs"]
mod files;
mod served;
#[path = "../support/topology.rs"]
mod topology;
mod waiting;
