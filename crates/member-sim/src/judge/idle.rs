//! A session that ends when its client does not use it for a while, and some time whatever happens. Its client asks one thing after the other, so it
//! knows between which moments its deadline lies, until an outcome is unknown.

use super::{Blackout, Slack, known};
use crate::record::{Answer, Ask, Operation};

/// Between which moments something is, in microseconds.
#[derive(Clone, Copy)]
struct Between {
    least_us: u64,
    most_us: u64,
}

impl Between {
    /// So long after a request was executed.
    fn after(operation: &Operation, ms: u64) -> Self {
        Self {
            least_us: operation.sent_us + ms * 1_000,
            most_us: operation.ended_us + ms * 1_000,
        }
    }

    fn min(self, other: Self) -> Self {
        Self {
            least_us: self.least_us.min(other.least_us),
            most_us: self.most_us.min(other.most_us),
        }
    }
}

/// What its client knows of it.
struct State {
    idle_ms: u64,
    /// When it ends if it is not used.
    idle: Between,
    /// When it ends whatever happens.
    absolute: Between,
    is_gone: bool,
}

/// Judges one such session, until a blackout may have taken something of it.
pub(super) fn judge(
    operations: &[&Operation],
    slack: Slack,
    blackouts: &[Blackout],
) -> Result<(), String> {
    let mut state: Option<State> = None;
    for operation in known(operations, blackouts) {
        if matches!(operation.answer, Answer::Unknown | Answer::Refused) {
            return Ok(());
        }
        match (&mut state, &operation.ask) {
            (state, Ask::Arise(idle_ms, max_ms)) => {
                *state = Some(State {
                    idle_ms: *idle_ms,
                    idle: Between::after(operation, *idle_ms),
                    absolute: Between::after(operation, *max_ms),
                    is_gone: false,
                });
            }
            (Some(state), _) => {
                let told = state.follow(operation, slack);
                told.map_err(|wrong| format!("{wrong}: {operation:?}"))?;
            }
            (None, _) => return Err(format!("it was not made: {operation:?}")),
        }
    }
    Ok(())
}

impl State {
    fn follow(&mut self, operation: &Operation, slack: Slack) -> Result<(), String> {
        let ends = self.idle.min(self.absolute);
        let is_there = match &operation.answer {
            Answer::Ended(count) => *count == 1,
            Answer::State { version, .. } => *version > 0,
            Answer::Left(left) => left.is_some(),
            Answer::Version(_)
            | Answer::Value(_)
            | Answer::Done
            | Answer::Renamed(_)
            | Answer::Halves(..)
            | Answer::Ids(_)
            | Answer::Flushed(_)
            | Answer::Refused
            | Answer::Unknown => return Err("that is no answer".into()),
        };
        let bounds = || format!("between {} and {}", ends.least_us, ends.most_us);
        if !is_there {
            self.is_gone = true;
            if operation.ended_us + slack.early_us < ends.least_us {
                return Err(format!("gone too early, as it ends {}", bounds()));
            }
            return Ok(());
        }
        if self.is_gone {
            return Err("it was gone and came back".into());
        }
        if operation.sent_us > ends.most_us + slack.late_us {
            return Err(format!("there too late, as it ends {}", bounds()));
        }
        match (&operation.ask, &operation.answer) {
            (Ask::Left, Answer::Left(Some(left))) => {
                let told = Between::after(operation, *left);
                let fits = told.least_us <= ends.most_us + slack.late_us
                    && told.most_us + slack.early_us >= ends.least_us;
                if !fits {
                    return Err(format!("another deadline is told, as it ends {}", bounds()));
                }
            }
            (Ask::Touch(idle_ms), _) => self.slide(operation, *idle_ms),
            (Ask::ReadTouch | Ask::Use, _) => self.slide(operation, None),
            (Ask::Expire(ms), _) => self.idle = Between::after(operation, *ms),
            _ => {}
        }
        Ok(())
    }

    /// It was used, and may have been given another idle time.
    fn slide(&mut self, operation: &Operation, idle_ms: Option<u64>) {
        self.idle_ms = idle_ms.unwrap_or(self.idle_ms);
        self.idle = Between::after(operation, self.idle_ms);
    }
}
