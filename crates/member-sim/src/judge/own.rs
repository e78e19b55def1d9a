//! A session that one client alone knows. It asks one thing after the other, so it knows exactly what must be there, until an outcome is unknown:
//! whatever that was may still happen.

use super::{Blackout, Slack, guarded, known};
use crate::record::{Answer, Ask, Operation};

/// What is there, and since when its last id leads nowhere.
#[derive(Default)]
struct State {
    /// Version and value; `None`: it was not made, or is gone.
    there: Option<(u64, String)>,
    /// Its id.
    id: String,
    /// Between which times the last id ends to lead to it, in microseconds.
    old_ends: Option<(u64, u64)>,
    /// Between which times it was ended.
    ended: Option<(u64, u64)>,
}

/// Judges one such session, until a blackout may have taken something of it.
pub(super) fn judge(
    operations: &[&Operation],
    slack: Slack,
    blackouts: &[Blackout],
) -> Result<(), String> {
    let mut state = State::default();
    for operation in known(operations, blackouts) {
        match operation.answer {
            Answer::Unknown => return Ok(()),
            Answer::Refused if !matches!(operation.ask, Ask::Raise(..)) => {
                return Err(format!("nobody else has touched it: {operation:?}"));
            }
            Answer::Version(_)
            | Answer::State { .. }
            | Answer::Value(_)
            | Answer::Done
            | Answer::Renamed(_)
            | Answer::Ended(_)
            | Answer::Refused
            | Answer::Left(_)
            | Answer::Halves(..)
            | Answer::Flushed(_)
            | Answer::Ids(_) => {
                let told = state.follow(operation, slack);
                told.map_err(|wrong| format!("{wrong}: {operation:?}"))?;
            }
        }
    }
    Ok(())
}

impl State {
    fn follow(&mut self, operation: &Operation, slack: Slack) -> Result<(), String> {
        match (&operation.ask, &operation.answer) {
            (Ask::Bear(value, _), Answer::State { version, .. }) => {
                let before = self.there.replace((*version, value.clone()));
                self.id.clone_from(&operation.key);
                expect(before.is_none() && *version == 1, "it was there")
            }
            (Ask::Read, Answer::State { version, value, .. }) => {
                self.is(*version, value.as_deref())
            }
            (Ask::ReadOld, Answer::State { version, value, .. }) => {
                self.read_old(operation, *version, value.as_deref(), slack)
            }
            (Ask::Write(expected, value), Answer::Version(version)) => {
                let before = self.there.replace((*version, value.clone()));
                let before = before.map_or(0, |(version, _)| version);
                expect(
                    before == *expected && *version == expected + 1,
                    "not the next version",
                )
            }
            (Ask::Rotate(grace_ms), Answer::Renamed(id)) => {
                self.id.clone_from(id);
                let grace_us = grace_ms * 1_000;
                self.old_ends = Some((operation.sent_us + grace_us, operation.ended_us + grace_us));
                expect(self.there.is_some(), "what is gone got another id")
            }
            (Ask::Destroy, Answer::Ended(count)) => {
                let there = u64::from(self.there.take().is_some());
                self.ended = Some((operation.sent_us, operation.ended_us));
                expect(*count == there, "another was there, or it was not")
            }
            (Ask::Revoke(_), Answer::Ended(count)) => {
                let there = u64::from(self.there.is_some());
                if *count > 0 {
                    self.there = None;
                    self.ended = Some((operation.sent_us, operation.ended_us));
                }
                expect(*count <= there, "more were ended than there are")?;
                // Whoever does not lead its shard does not know of it.
                expect(*count == there || !operation.is_led, "it was not found")
            }
            (Ask::List(_) | Ask::Keys | Ask::Walk(_), Answer::Ids(ids)) => {
                let there: &[String] = match self.there {
                    Some(_) => std::slice::from_ref(&self.id),
                    None => &[],
                };
                // A walk asks whoever leads the shard.
                let must_find = operation.is_led || matches!(operation.ask, Ask::Walk(_));
                expect(ids.is_empty() || ids == there, "another was found")?;
                expect(ids == there || !must_find, "it was not found")
            }
            (Ask::Raise(..), Answer::Done | Answer::Refused) => {
                let ended = self.ended.ok_or("it was not ended")?;
                guarded(operation, ended, slack)
            }
            _ => Err("that is no answer".into()),
        }
    }

    fn is(&self, version: u64, value: Option<&str>) -> Result<(), String> {
        let found = value.map(|value| (version, value.to_owned()));
        if found == self.there {
            Ok(())
        } else {
            Err(format!("{:?} should be there", self.there))
        }
    }

    fn read_old(
        &self,
        operation: &Operation,
        version: u64,
        value: Option<&str>,
        slack: Slack,
    ) -> Result<(), String> {
        let Some((least_us, most_us)) = self.old_ends else {
            return Err("it has no other id".into());
        };
        let ended = operation.sent_us > most_us + slack.late_us;
        let goes_on = operation.ended_us + slack.early_us < least_us;
        if value.is_none() {
            return expect(
                !goes_on || self.there.is_none(),
                "its last id ended too early",
            );
        }
        expect(!ended, "its last id still leads to it")?;
        self.is(version, value)
    }
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}
