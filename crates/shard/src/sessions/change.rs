//! What a command makes of a session's value.

use alloc::vec::Vec;

use model::time::Deadline;
use model::{Now, Version};

use crate::batch::Batch;
use crate::hash::{FieldChange, WrongType};
use crate::record::Type;
use crate::writes::{Change, Place, plan_record};
use crate::{Meta, Record, Shard};

/// What becomes of a value.
#[derive(Clone, Copy, Debug)]
pub enum ValueChange<'a> {
    /// Fields of a hash are set and removed, in this order; none: the value stays.
    Fields(&'a [FieldChange<'a>]),
    /// The value becomes this string, whatever it was.
    Data(&'a [u8]),
}

impl ValueChange<'_> {
    /// A number that tells this change from others: FNV-1a over its parts, each with its length and what it is.
    /// Not for adversaries: it is compared under one fence, which only its holder knows. Never zero.
    pub(crate) fn digest(&self, idle_ms: Option<u64>) -> u64 {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        digest.number(idle_ms.map_or(0, |ms| ms + 1));
        match self {
            Self::Data(data) => digest.part(b'=', data),
            Self::Fields(changes) => {
                for change in *changes {
                    match change {
                        FieldChange::Set(field, value) => {
                            digest.part(b'+', field);
                            digest.part(b':', value);
                        }
                        FieldChange::Remove(field) => digest.part(b'-', field),
                    }
                }
            }
        }
        digest.0.max(1)
    }
}

struct Digest(u64);

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn part(&mut self, what: u8, bytes: &[u8]) {
        self.bytes(&[what]);
        self.number(bytes.len() as u64);
        self.bytes(bytes);
    }
}

/// What a record becomes besides its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewState<'a> {
    pub(crate) version: Version,
    pub(crate) deadline: Deadline,
    pub(crate) meta: Option<Meta<'a>>,
}

impl Shard {
    /// Adds the rewriting of a record, or the making of a new one, with all its chunks. What is there is a hash for
    /// fields, or nothing; no fields leave any value as it is.
    pub(crate) fn plan_rewrite(
        &self,
        now: Now,
        place: Place<'_>,
        change: ValueChange<'_>,
        state: NewState<'_>,
        batch: &mut Batch,
    ) -> Result<(), WrongType> {
        let old = self.peek(now, place.db, place.key);
        let (r#type, body): (Type, Vec<u8>) = match change {
            ValueChange::Data(data) => {
                self.plan_drop_chunks(place, old, batch);
                (Type::String, data.to_vec())
            }
            ValueChange::Fields([]) if old.is_some_and(is_string) => (
                Type::String,
                old.map(|old| old.body.to_vec()).unwrap_or_default(),
            ),
            ValueChange::Fields(changes) => {
                let planned = self.plan_hash(now, place, state.deadline, changes, batch)?;
                (planned.r#type, planned.body)
            }
        };
        let change = Change {
            r#type,
            deadline: state.deadline,
            body: &[&body],
        };
        plan_record(place, change, state.version, state.meta, batch);
        Ok(())
    }
}

fn is_string(record: Record<'_>) -> bool {
    !record.r#type.is_hash()
}
