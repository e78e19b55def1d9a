//! The embedded store: one `redb` file, owned by one process, served to its peers over `tenure://HOST:PORT`.
//!
//! ```text
//!   peer ── frame ──► connection ──► keeper (one thread): table in memory, file on disk
//!        ◄─ frame ──┘            ◄──┘ answers only what is on disk
//! ```
//!
//! For development and single machines: one copy, no consensus. What was answered survives the death of the process and the loss of
//! power, as far as the disk keeps what it has promised to.

mod client;
mod frame;
mod keeper;
mod server;

pub use client::Client;
pub use keeper::Keeper;
pub use server::{Server, Settings};
