//! What clients were told, and whether one copy of the data could have told it.
//!
//! Every answer carries a number that each write of its key makes greater: a counter's value, a session's version, a fence. So nothing has
//! to be searched: an answer must not be behind one that was given before it was asked for, and no two writes have the same.

use std::collections::{BTreeMap, BTreeSet};

/// What was asked of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Read,
    Write,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
struct Answer {
    ask: Ask,
    asked_us: u64,
    answered_us: u64,
    number: u64,
}

#[derive(Default)]
pub struct History {
    answers: BTreeMap<String, Vec<Answer>>,
    /// Writes of a key that were asked for: none of them can have been done more than once.
    asked: BTreeMap<String, u64>,
}

impl History {
    pub fn asked(&mut self, key: &str) {
        *self.asked.entry(key.into()).or_default() += 1;
    }

    pub fn answered(&mut self, key: &str, ask: Ask, times: (u64, u64), number: u64) {
        self.answers.entry(key.into()).or_default().push(Answer {
            ask,
            asked_us: times.0,
            answered_us: times.1,
            number,
        });
    }

    pub fn writes(&self) -> usize {
        let answers = self.answers.values().flatten();
        answers.filter(|answer| answer.ask == Ask::Write).count()
    }

    /// The greatest number that was told of a key.
    pub fn latest(&self, key: &str) -> u64 {
        let answers = self.answers.get(key).into_iter().flatten();
        answers.map(|answer| answer.number).max().unwrap_or(0)
    }

    pub fn keys(&self) -> Vec<String> {
        self.answers.keys().cloned().collect()
    }

    /// What is wrong, if anything is.
    pub fn judge(&self) -> Result<(), String> {
        for (key, answers) in &self.answers {
            judge_key(answers).map_err(|wrong| format!("{key}: {wrong}"))?;
            let latest = self.latest(key);
            let asked = self.asked.get(key).copied();
            if asked.is_some_and(|asked| latest > asked) {
                return Err(format!("{key}: {latest} after {asked:?} writes"));
            }
        }
        Ok(())
    }
}

fn judge_key(answers: &[Answer]) -> Result<(), String> {
    let mut written = BTreeSet::new();
    for answer in answers.iter().filter(|a| a.ask == Ask::Write) {
        if !written.insert(answer.number) {
            return Err(format!("two writes made {}", answer.number));
        }
    }
    let mut by_answer: Vec<&Answer> = answers.iter().collect();
    by_answer.sort_by_key(|a| a.answered_us);
    let mut by_ask = by_answer.clone();
    by_ask.sort_by_key(|a| a.asked_us);
    let (mut told, mut before) = (by_answer.into_iter().peekable(), 0);
    for answer in by_ask {
        while let Some(earlier) = told.next_if(|e| e.answered_us < answer.asked_us) {
            before = before.max(earlier.number);
        }
        let behind = match answer.ask {
            Ask::Read => answer.number < before,
            Ask::Write => answer.number <= before,
        };
        if behind {
            return Err(format!("{answer:?} although {before} was told before"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Ask, History};

    fn judged(answers: &[(Ask, u64, u64, u64)]) -> bool {
        let mut history = History::default();
        for (ask, asked_us, answered_us, number) in answers {
            history.answered("key", *ask, (*asked_us, *answered_us), *number);
        }
        history.judge().is_ok()
    }

    #[test]
    fn what_one_copy_could_not_have_told_is_found() {
        use Ask::{Read, Write};
        assert!(judged(&[
            (Write, 0, 5, 1),
            (Write, 1, 4, 2),
            (Read, 6, 7, 2)
        ]));
        assert!(
            judged(&[(Write, 0, 5, 1), (Read, 4, 7, 0)]),
            "at the same time"
        );
        assert!(!judged(&[(Write, 0, 5, 1), (Read, 6, 7, 0)]), "an old read");
        assert!(
            !judged(&[(Write, 0, 5, 1), (Write, 6, 7, 1)]),
            "a lost write"
        );
        assert!(
            !judged(&[(Read, 0, 5, 3), (Write, 6, 7, 2)]),
            "what was shown is gone"
        );
    }
}
