//! A session to look at.

use super::{Caller, Record, Shard};
use crate::Hash;

/// A session's record and its value.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is kept of it besides the value.
    pub record: Record<'a>,
    /// The value.
    pub value: Value<'a>,
}

/// A session's value.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// A string.
    Data(&'a [u8]),
    /// Fields.
    Fields(Hash<'a>),
}

impl Shard {
    /// The session with this id. What was read is noted.
    pub fn session_view<'a>(&'a mut self, caller: Caller, id: &'a [u8]) -> Option<View<'a>> {
        // Read twice: once to take note of it, once to lend it together with the shard.
        self.record(caller.now, caller.db, id)?;
        let record = self.peek(caller.now, caller.db, id)?;
        let value = match Hash::of(self, caller.now, caller.db, id, record) {
            Ok(hash) => Value::Fields(hash),
            Err(crate::WrongType) => Value::Data(record.body),
        };
        Some(View { record, value })
    }
}
