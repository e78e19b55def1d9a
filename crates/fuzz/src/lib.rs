//! What must hold for any bytes.
//!
//! Each function takes bytes that nobody has checked and panics if something is wrong with how they are taken. They
//! are run three ways: over the corpus and some seconds of mutants of it by `cargo test -p tenure-fuzz`, for as long as one
//! likes by `cargo fuzz` (the package `fuzz/`), and on one file: see `docs/testing.md`.

mod config;
mod forward;
pub mod mutate;
mod node;
mod resp;
mod segment;

pub use config::config;
pub use forward::forward;
pub use node::node;
pub use resp::resp;
pub use segment::segment;

/// One of the targets.
pub type Target = fn(&[u8]);

/// All of them, with the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("resp", resp),
    ("segment", segment),
    ("config", config),
    ("node", node),
    ("forward", forward),
];
