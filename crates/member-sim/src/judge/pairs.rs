//! Two keys that are written together, by several clients, without a version: each read has to find both as one write left them, and none that was
//! surely overwritten.

use std::collections::BTreeMap;

use super::Blackout;
use crate::record::{Answer, Ask, Operation};

/// A write: between which moments it was done, in microseconds.
#[derive(Clone, Copy)]
struct Write {
    sent_us: u64,
    /// `u64::MAX`: perhaps it was never done.
    done_us: u64,
}

/// Judges one pair. Over a blackout only that its halves are alike, as what it has taken is not known.
pub(super) fn judge(operations: &[&Operation], blackouts: &[Blackout]) -> Result<(), String> {
    let mut reads: Vec<(&Operation, &str)> = Vec::new();
    let mut writes: BTreeMap<&str, Write> = BTreeMap::new();
    for operation in operations {
        match (&operation.ask, &operation.answer) {
            (Ask::Pair(_), Answer::Refused) => {}
            (Ask::Pair(value), answer) => {
                let is_done = *answer == Answer::Done;
                let write = Write {
                    sent_us: operation.sent_us,
                    done_us: if is_done {
                        operation.ended_us
                    } else {
                        u64::MAX
                    },
                };
                writes.insert(value, write);
            }
            (_, Answer::Halves(one, other)) => {
                if one != other {
                    return Err(format!("its halves differ: {operation:?}"));
                }
                reads.push((operation, one.as_deref().unwrap_or_default()));
            }
            _ => {}
        }
    }
    if !blackouts.is_empty() {
        return Ok(());
    }
    for (read, value) in &reads {
        if let Some(write) = writes.get_mut(value) {
            write.done_us = write.done_us.min(read.ended_us);
        }
    }
    reads.iter().try_for_each(|(read, value)| {
        let wrong = |wrong: &str| Err(format!("{wrong}: {read:?}"));
        let done_us = match (*value, writes.get(value)) {
            ("", _) => 0,
            (_, Some(write)) if write.sent_us > read.ended_us => {
                return wrong("it was not written yet");
            }
            (_, Some(write)) => write.done_us,
            (_, None) => return wrong("nobody wrote it"),
        };
        let is_later = |write: &Write| write.sent_us > done_us && write.done_us < read.sent_us;
        if writes.values().any(is_later)
            || value.is_empty() && writes.values().any(|w| w.done_us < read.sent_us)
        {
            return wrong("it had been overwritten");
        }
        Ok(())
    })
}
