//! What concerns one connection only.

use super::{Asked, Oracle, Verdict};
use crate::reply::Reply;

impl Oracle {
    pub(super) fn connection(&mut self, name: &str, asked: &mut Asked<'_>) -> Option<Verdict> {
        Some(match name {
            "PING" => asked.expect(&Reply::Simple("PONG".into())),
            "SELECT" => {
                self.databases
                    .insert(asked.connection, asked.number(1) as u8);
                asked.expect(&Reply::ok())
            }
            "HELLO" if asked.reply.under("proto").is_some() => Ok(()),
            "HELLO" => Err("expected a map with the protocol's number".into()),
            _ => return None,
        })
    }
}
