//! RESP2 and RESP3 as bytes: requests in, replies out. Knows no command and no socket.
//!
//! - [`Parser`] takes what a connection has sent so far and gives back commands as [`Span`]s into those
//!   very bytes: nothing is copied and nothing is allocated for a length that a client merely claims.
//! - [`Reply`] writes replies in the connection's protocol version. Where RESP3 has a type that RESP2
//!   lacks (map, null, double, ...), one call writes the right form for either.
//! - [`ReplyScanner`] finds where a reply ends, for whoever passes replies on.
#![no_std]

extern crate alloc;

mod inline;
mod parser;
mod peek;
mod reply;
mod scan;

pub use parser::{CommandSpan, Limits, Parser, ProtocolError, Span};
pub use peek::{Glance, glance};
pub use reply::{Protocol, Reply, write_error};
pub use scan::{Malformed, ReplyScanner};
