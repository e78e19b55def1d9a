//! Why a store does not answer, for whoever has to mend it.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last reason, until there is an answer.
#[derive(Debug, Default)]
pub struct Trouble(Mutex<Option<String>>);

impl Trouble {
    /// There was no answer, for this reason.
    pub fn note(&self, why: String) {
        *self.lock() = Some(why);
    }

    /// There was an answer.
    pub fn clear(&self) {
        *self.lock() = None;
    }

    /// The reason, if the last question was not answered.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error says, and what those say that caused it: the innermost one often is the only one that helps.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
