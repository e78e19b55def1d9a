//! What sessions are, written to be read: no entries, no batches, no timers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::Attempt;

pub(super) type Id = u8;
pub(super) type Connection = u64;
pub(super) type Fields = BTreeMap<u8, u8>;

/// What the model knows of a session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) version: u64,
    pub(super) fields: Fields,
    pub(super) idle_ms: Option<u64>,
    pub(super) max: Option<u64>,
    pub(super) deadline: Option<u64>,
    /// Fence, version, whether the hold was ended, and what was changed by the last commit.
    pub(super) last: Option<(u64, u64, bool, Vec<Step>)>,
}

/// One change of a field: set to a value, or removed.
pub(super) type Step = (u8, Option<u8>);

#[derive(Clone, Debug)]
pub(super) enum Who {
    Holds {
        fence: u64,
        until: u64,
        owner: Option<Connection>,
    },
    Turn(Connection),
}

#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) connection: Connection,
    pub(super) until: u64,
    pub(super) hold_ms: u64,
    pub(super) create: bool,
}

/// Answers, as far as they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A fence that the model cannot foretell, and whether it is larger than all before is checked apart.
    Open {
        held: bool,
    },
    Null,
    Waits,
    Done(bool),
    Version(u64),
    Held(u64),
    Fenced,
    Exists,
    Conflict(u64),
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) sessions: BTreeMap<Id, Session>,
    pub(super) holds: BTreeMap<Id, (Who, VecDeque<Waiter>)>,
    pub(super) woken: Vec<(Connection, Attempt)>,
}

pub(super) fn min(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

impl Model {
    pub(super) fn session(&mut self, id: Id) -> Option<&mut Session> {
        let now = self.now;
        if self.sessions.get(&id)?.deadline.is_some_and(|d| d <= now) {
            self.sessions.remove(&id);
        }
        self.sessions.get_mut(&id)
    }

    pub(super) fn left(&self, id: Id) -> Option<u64> {
        match &self.holds.get(&id)?.0 {
            Who::Holds { until, .. } => Some(until - self.now),
            Who::Turn(_) => Some(0),
        }
    }

    pub(super) fn next_in_line(&mut self, id: Id) {
        let (who, line) = self.holds.get_mut(&id).unwrap();
        match line.pop_front() {
            Some(waiter) => {
                *who = Who::Turn(waiter.connection);
                self.woken.push((waiter.connection, Attempt::Woken));
            }
            None => drop(self.holds.remove(&id)),
        }
    }

    pub(super) fn advance(&mut self, ms: u64) {
        self.now += ms;
        let now = self.now;
        // In the order of time, though it only matters within one session.
        loop {
            let holds = self.holds.iter().filter_map(|(id, (who, _))| match who {
                Who::Holds { until, .. } => Some((*until, *id, None)),
                Who::Turn(_) => None,
            });
            let waits = self.holds.iter().flat_map(|(id, (_, line))| {
                line.iter().map(|w| (w.until, *id, Some(w.connection)))
            });
            let due = holds.chain(waits).filter(|(at, ..)| *at <= now).min();
            match due {
                None => return,
                Some((_, id, None)) => self.next_in_line(id),
                Some((_, id, Some(connection))) => {
                    let line = &mut self.holds.get_mut(&id).unwrap().1;
                    line.retain(|w| w.connection != connection);
                    self.woken.push((connection, Attempt::TimedOut));
                }
            }
        }
    }

    pub(super) fn slide(&mut self, id: Id, hold: Option<u64>) {
        let now = self.now;
        let session = self.session(id).unwrap();
        if let Some(idle_ms) = session.idle_ms {
            session.deadline = min(Some(now + idle_ms), session.max);
        }
        let held = match self.holds.get(&id) {
            Some((Who::Holds { until, .. }, _)) => Some(*until),
            Some((Who::Turn(_), _)) | None => None,
        };
        let session = self.sessions.get_mut(&id).unwrap();
        if let (Some(hold), Some(deadline)) = (hold.or(held), session.deadline) {
            session.deadline = Some(deadline.max(hold));
        }
    }

    pub(super) fn hold_until(&self, id: Id, hold_ms: u64) -> u64 {
        let max = self.sessions[&id].max;
        min(Some(self.now + hold_ms), max).unwrap()
    }

    pub(super) fn create(&mut self, id: Id, idle_ms: Option<u64>, max_ms: Option<u64>) {
        let max = max_ms.map(|ms| self.now + ms);
        let session = Session {
            version: 1,
            fields: Fields::new(),
            idle_ms,
            max,
            deadline: min(idle_ms.map(|ms| self.now + ms), max),
            last: None,
        };
        self.sessions.insert(id, session);
    }

    pub(super) fn take(&mut self, connection: Connection, id: Id, hold_ms: u64) -> Answer {
        let until = self.hold_until(id, hold_ms);
        self.slide(id, Some(until));
        let who = Who::Holds {
            fence: 0,
            until,
            owner: Some(connection),
        };
        let line = self.holds.remove(&id).map(|(_, line)| line);
        self.holds.insert(id, (who, line.unwrap_or_default()));
        Answer::Open { held: true }
    }

    pub(super) fn open(
        &mut self,
        connection: Connection,
        id: Id,
        hold_ms: Option<u64>,
        wait_ms: u64,
        create: bool,
    ) -> Answer {
        let is_there = self.session(id).is_some();
        if !is_there && !create {
            return Answer::Null;
        }
        let Some(hold_ms) = hold_ms else {
            if !is_there {
                self.create(id, None, None);
            }
            self.slide(id, None);
            return Answer::Open { held: false };
        };
        match self.left(id) {
            None => {
                if !is_there {
                    self.create(id, None, None);
                }
                self.take(connection, id, hold_ms)
            }
            Some(left) if wait_ms == 0 => Answer::Held(left),
            Some(_) => {
                let waiter = Waiter {
                    connection,
                    until: self.now + wait_ms,
                    hold_ms,
                    create,
                };
                self.holds.get_mut(&id).unwrap().1.push_back(waiter);
                Answer::Waits
            }
        }
    }

    /// The woken connection runs again.
    pub(super) fn again(&mut self, id: Id, waiter: &Waiter, attempt: Attempt) -> Answer {
        let is_my_turn =
            matches!(self.holds.get(&id), Some((Who::Turn(c), _)) if *c == waiter.connection);
        match attempt {
            Attempt::First => panic!("it ran already"),
            Attempt::Cancelled => Answer::Null,
            Attempt::TimedOut => Answer::Held(self.left(id).unwrap_or(0)),
            Attempt::Woken if !is_my_turn => Answer::Null,
            Attempt::Woken => {
                if self.session(id).is_none() {
                    if !waiter.create {
                        self.next_in_line(id);
                        return Answer::Null;
                    }
                    self.create(id, None, None);
                }
                self.take(waiter.connection, id, waiter.hold_ms)
            }
        }
    }

    pub(super) fn holding(&mut self, id: Id, with: u64) -> Option<u64> {
        self.session(id)?;
        match self.holds.get(&id)?.0 {
            Who::Holds { fence, until, .. } => (fence == with).then_some(until),
            Who::Turn(_) => None,
        }
    }

    pub(super) fn commit(
        &mut self,
        id: Id,
        with: u64,
        steps: &[Step],
        keep_ms: Option<u64>,
    ) -> Answer {
        let held = self.holding(id, with).is_some();
        let Some(session) = self.session(id) else {
            return Answer::Fenced;
        };
        let last = session.last.clone().filter(|last| last.0 == with);
        let same = last.filter(|(_, _, ended, what)| *ended || what == steps);
        let version = match same {
            Some((_, version, ..)) if !held => return Answer::Version(version),
            Some((_, version, ..)) if version == session.version => version,
            Some(_) | None if !held => return Answer::Fenced,
            Some(_) | None => {
                session.version += 1;
                change(&mut session.fields, steps);
                session.last = Some((with, session.version, keep_ms.is_none(), steps.to_vec()));
                session.version
            }
        };
        match keep_ms {
            None => self.next_in_line(id),
            Some(keep_ms) => {
                let until = self.hold_until(id, keep_ms);
                let session = self.sessions.get_mut(&id).unwrap();
                session.deadline = session.deadline.map(|d| d.max(until));
                self.renewed(id, until);
            }
        }
        Answer::Version(version)
    }

    pub(super) fn renewed(&mut self, id: Id, to: u64) {
        if let Some((Who::Holds { until, .. }, _)) = self.holds.get_mut(&id) {
            *until = to;
        }
    }

    pub(super) fn destroy(&mut self, id: Id) {
        self.sessions.remove(&id);
        for waiter in self
            .holds
            .remove(&id)
            .map(|(_, line)| line)
            .into_iter()
            .flatten()
        {
            self.woken.push((waiter.connection, Attempt::Cancelled));
        }
    }

    /// Whether a plain command of this connection may write; what is left if not.
    pub(super) fn may_write(&self, connection: Connection, id: Id) -> Result<(), u64> {
        match self.holds.get(&id) {
            Some((Who::Holds { owner, until, .. }, _)) if *owner != Some(connection) => {
                Err(until - self.now)
            }
            Some(_) | None => Ok(()),
        }
    }
}

pub(super) fn change(fields: &mut Fields, steps: &[Step]) {
    for (field, value) in steps {
        match value {
            Some(value) => drop(fields.insert(*field, *value)),
            None => drop(fields.remove(field)),
        }
    }
}
