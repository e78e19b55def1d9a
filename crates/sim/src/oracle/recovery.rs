//! Crashes: which states a restart may find.

use super::{Key, Life, Oracle, Past, State};
use crate::disk::Crash;

/// What must have survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// What was shown at or before this time, in microseconds.
    ShownUntil(u64),
    /// Nothing: the disk was damaged. What is found must still be something that was once written.
    Nothing,
}

/// Which of a key's states a restart found: more than one if they look alike.
type Matches = Vec<usize>;

/// What a restart turned out to have kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    /// Keys whose latest state nobody had been shown, and which was kept.
    pub unshown_kept: u64,
    /// Keys whose latest state nobody had been shown, and which was lost.
    pub unshown_lost: u64,
}

impl Oracle {
    /// A restart has found these states. From now on they are what is.
    ///
    /// # Errors
    /// Which key is not as it must be.
    pub fn recovered(
        &mut self,
        now_ms: u64,
        crash: Crash,
        promise: Promise,
        found: &[(Key, State)],
    ) -> Result<Kept, String> {
        let mut kept = Kept::default();
        let swap_may_be_lost = self.swap_may_be_lost(promise);
        let mut matches = Vec::new();
        for (key, state) in found {
            let life = self.lives.get(key).cloned().unwrap_or_default();
            let mut fits = self.fitting(&life, state, now_ms, promise);
            // The clock was set back, and the log did not know how late it had been.
            let came_back = self.had_expired(state);
            let excused = came_back
                || (promise == Promise::Nothing && self.was_ever(key, state))
                || (swap_may_be_lost && self.is_of_another_db(key, state));
            if fits.is_err() && excused {
                fits = Ok(Vec::new());
            }
            let fits = fits.map_err(|wrong| {
                format!(
                    "after a restart, key {}:{} {wrong}",
                    key.0,
                    super::text(&key.1)
                )
            })?;
            let last = life.past.len().saturating_sub(1);
            let shown = life.shown.last().map_or(0, |(_, index)| *index);
            if last > shown && fits.contains(&last) {
                kept.unshown_kept += 1;
            } else if last > shown {
                kept.unshown_lost += 1;
            }
            matches.push((key, fits));
        }
        if promise != Promise::Nothing && !swap_may_be_lost {
            self.all_or_nothing(&matches)?;
        }
        let matches: Vec<Option<usize>> = matches
            .into_iter()
            .map(|(_, fits)| fits.last().copied())
            .collect();
        self.begin_era(crash, found, &matches);
        Ok(kept)
    }

    /// Nothing has crashed: every key is in its latest state.
    ///
    /// # Errors
    /// Which key is not.
    pub fn is_now(&self, found: &[(Key, State)], now_ms: u64) -> Result<(), String> {
        for (key, state) in found {
            let current = self.lives.get(key).map(Life::current).unwrap_or_default();
            let current = current.filter(|value| value.deadline_ms > now_ms);
            if current != *state {
                return Err(format!(
                    "key {}:{} is {}, and should be {}",
                    key.0,
                    super::text(&key.1),
                    shown(state),
                    shown(&current)
                ));
            }
        }
        Ok(())
    }

    /// A command that surely happened on one key has happened on every key that it changed.
    fn all_or_nothing(&self, matches: &[(&Key, Matches)]) -> Result<(), String> {
        for (key, fits) in matches {
            let [only] = fits[..] else { continue };
            let command = self.lives[*key].past[only].command;
            if command == 0 {
                continue;
            }
            for (other, other_fits) in matches {
                let past = &self.lives[*other].past;
                let Some(index) = past.iter().rposition(|past| past.command == command) else {
                    continue;
                };
                if other_fits.iter().all(|&fit| fit < index) {
                    return Err(format!(
                        "half a batch: command {command} survived on {}:{} and not on {}:{}",
                        key.0,
                        super::text(&key.1),
                        other.0,
                        super::text(&other.1)
                    ));
                }
            }
        }
        Ok(())
    }

    /// The indices of the states that the key may be in and that look as it was found. What had expired stays gone when the
    /// clock is set back.
    fn fitting(
        &self,
        life: &Life,
        found: &State,
        now_ms: u64,
        promise: Promise,
    ) -> Result<Matches, String> {
        let oldest = match promise {
            Promise::ShownUntil(until_us) => promised(life, until_us),
            Promise::Nothing => 0,
        };
        let looks = |state: &State| state.clone().filter(|value| value.deadline_ms > now_ms);
        let fits = |state: &State| {
            looks(state) == *found || found.is_none() && self.had_expired(state)
        };
        let fits: Matches = (oldest..life.past.len())
            .filter(|&index| fits(&life.past[index].state))
            .collect();
        let unknown = life.past.is_empty() && found.is_none();
        let damaged = promise == Promise::Nothing && found.is_none();
        if fits.is_empty() && !unknown && !damaged {
            return Err(format!(
                "is {}\n  allowed are its states {oldest}..{}: {}\n  at {now_ms}, {promise:?}, shown {:?}",
                shown(found),
                life.past.len(),
                states(&life.past[oldest..]),
                life.shown.last()
            ));
        }
        Ok(fits)
    }

    fn had_expired(&self, state: &State) -> bool {
        state
            .as_ref()
            .is_some_and(|value| value.deadline_ms <= self.latest_ms)
    }

    /// Whether the key, in whatever database, ever was what was found.
    fn was_ever(&self, key: &Key, found: &State) -> bool {
        let mut archived = self.archive.iter().filter(|(other, _)| other.1 == key.1);
        archived.any(|(_, states)| states.contains(found)) || self.is_of_another_db(key, found)
    }

    /// An entry is in a place, and `SWAPDB` says which database the place is. When it is lost, what was written after it
    /// is found in the other database.
    fn swap_may_be_lost(&self, promise: Promise) -> bool {
        let Some(life) = self.lives.get(&super::swap_mark()) else {
            return false;
        };
        match promise {
            Promise::ShownUntil(until_us) => promised(life, until_us) + 1 < life.past.len(),
            Promise::Nothing => true,
        }
    }

    fn is_of_another_db(&self, key: &Key, found: &State) -> bool {
        let mut lives = self.lives.iter().filter(|(other, _)| other.1 == key.1);
        lives.any(|(_, life)| life.past.iter().any(|past| past.state == *found))
    }

    /// What was found is what is. A process that died has left its states in the operating system's memory, from
    /// where the power may still take the latest: the older ones stay possible. What the power has left is sure.
    fn begin_era(&mut self, crash: Crash, found: &[(Key, State)], matches: &[Option<usize>]) {
        self.era += 1;
        self.databases.clear();
        self.holders.restart();
        if let Some(life) = self.lives.get_mut(&super::swap_mark()) {
            let last = life.past.len().checked_sub(1);
            life.begin_era(crash, &None, last);
        }
        for ((key, state), fits) in found.iter().zip(matches) {
            let life = self.lives.entry(key.clone()).or_default();
            if self.keeps_archive {
                let past = life.past.iter().map(|past| past.state.clone());
                self.archive.entry(key.clone()).or_default().extend(past);
            }
            life.begin_era(crash, state, *fits);
        }
    }
}

impl Life {
    fn begin_era(&mut self, crash: Crash, found: &State, fits: Option<usize>) {
        let sure = Past {
            state: found.clone(),
            command: 0,
        };
        match (crash, fits) {
            (Crash::Process, Some(index)) => {
                self.past.truncate(index + 1);
                self.shown.retain(|(_, shown)| *shown <= index);
            }
            (Crash::Process, None) => self.past.push(sure),
            (Crash::Power, Some(index)) => {
                let state = self.past[index].state.clone();
                self.past = vec![Past { state, command: 0 }];
                self.shown.clear();
            }
            (Crash::Power, None) => {
                self.past = vec![sure];
                self.shown.clear();
            }
        }
    }
}

/// The index of the latest state that somebody had been shown by then.
fn promised(life: &Life, until_us: u64) -> usize {
    let shown = life.shown.iter().rev().find(|(when, _)| *when <= until_us);
    shown.map_or(0, |(_, index)| *index)
}

fn states(past: &[Past]) -> String {
    let shown: Vec<String> = past.iter().map(|past| shown(&past.state)).collect();
    shown.join(" | ")
}

/// A state for people.
#[must_use]
pub fn shown(state: &State) -> String {
    match state {
        None => "absent".into(),
        Some(value) => {
            let body = match &value.body {
                super::Body::Text(text) => format!("\"{}\"", super::text(text)),
                super::Body::Hash(fields) => super::hashes::show(fields),
            };
            format!("{body} until {}", value.deadline_ms)
        }
    }
}
