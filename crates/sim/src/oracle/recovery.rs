//! Crashes: which states a restart may find. Each key must be in one of the states that the promise leaves, and all of them
//! must have been so at one moment.

use super::moment::{self, Moments};
use super::{Key, Life, NEVER, Oracle, Past, State};
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
        let mut matches = Vec::new();
        for (key, state) in found {
            let life = self.lives.get(key).cloned().unwrap_or_default();
            let mut fits = self.fitting(&life, state, now_ms, promise);
            // The clock was set back, and the log did not know how late it had been.
            let came_back = self.had_expired(state) && life.was(state);
            let excused = came_back || promise == Promise::Nothing && self.was_ever(key, state);
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
        let matches = match promise {
            Promise::ShownUntil(_) => self.at_one_moment(&matches)?,
            Promise::Nothing => {
                let last = matches.iter().map(|(_, fits)| fits.last().copied());
                last.collect()
            }
        };
        self.begin_era(crash, found, &matches);
        self.latest_ms = self.latest_ms.max(now_ms);
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

    /// Picks, of the states in which each key may have been found, those of the latest moment at which all of them were
    /// there. Keys whose state is excused have none.
    fn at_one_moment(&self, fits: &[(&Key, Matches)]) -> Result<Vec<Option<usize>>, String> {
        let known = || fits.iter().filter(|(_, fits)| !fits.is_empty());
        let mut moments = Moments::all();
        for (key, fits) in known() {
            let of_key = self.moments_of(key, fits);
            let both = moments.and(&of_key);
            if both.last().is_none() {
                return Err(format!(
                    "what is there was never there at one moment: {}:{} is as after the commands {of_key:?}, the keys \
                     before it as after {moments:?}",
                    key.0,
                    super::text(&key.1)
                ));
            }
            moments = both;
        }
        let moment = moments.last().expect("it was looked at");
        let at = |(key, fits): &(&Key, Matches)| {
            let at = moment::at(self.lives.get(*key)?, fits, moment);
            at.or(fits.last().copied())
        };
        Ok(fits.iter().map(at).collect())
    }

    /// The moments at which the key was as it was found. A file that is written anew after a failure has the deadlines of
    /// that time, also those of touches that are lost then (`docs/testing.md`, "Known limits").
    fn moments_of(&self, key: &Key, fits: &[usize]) -> Moments {
        let life = &self.lives[key];
        if !self.files_fail {
            return Moments::of(life, fits);
        }
        let body = |index: usize| life.past[index].state.as_ref().map(|value| &value.body);
        let like = |index: &usize| fits.iter().any(|&fit| body(fit) == body(*index));
        Moments::of(life, &(0..life.past.len()).filter(like).collect::<Vec<_>>())
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
        let fits =
            |state: &State| looks(state) == *found || found.is_none() && self.had_expired(state);
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
        for ((key, state), fits) in found.iter().zip(matches) {
            let life = self.lives.entry(key.clone()).or_default();
            if self.keeps_archive {
                let past = life.past.iter().map(|past| past.state.clone());
                self.archive.entry(key.clone()).or_default().extend(past);
            }
            life.begin_era(crash, self.command, state, *fits);
        }
    }
}

impl Life {
    /// Whether it was in this state, which has a deadline, when it was found or later.
    fn was(&self, state: &State) -> bool {
        let past = self.past.iter().map(|past| &past.state);
        past.chain(&self.overtaken).any(|was| was == state)
    }

    fn begin_era(&mut self, crash: Crash, command: u64, found: &State, fits: Option<usize>) {
        if let Some(index) = fits {
            self.past.truncate(index + 1);
            self.shown.retain(|(_, shown)| *shown <= index);
        }
        let last = self.past.last().filter(|_| fits.is_some());
        if last.is_none_or(|past| past.state != *found) {
            // What was possible and is not there has expired. It may be there again if the clock is set back.
            let expired = last.is_some();
            let command = last.map_or(command, |past| past.command);
            let state = found.clone();
            self.past.push(Past {
                state,
                command,
                expired,
            });
        }
        if crash == Crash::Power {
            self.become_sure();
        }
    }

    /// Of what was before the latest state nothing can be found again, but what has only expired.
    fn become_sure(&mut self) {
        self.shown.clear();
        let sure = self.past.iter().rposition(|past| !past.expired);
        let overtaken = self.past.drain(..sure.unwrap_or(0)).map(|past| past.state);
        let ends = |state: &State| state.as_ref().is_some_and(|v| v.deadline_ms < NEVER);
        self.overtaken.extend(overtaken.filter(ends));
        self.past.iter_mut().for_each(|past| past.command = 0);
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
