//! Holds: exclusive, time-bounded access to one session, with a line of those who wait for it.
//!
//! A hold says that one holder, proved by its fence, may change a session until a deadline. The table here
//! is the memory of it: who holds what, who waits for it in which order, and what is due when. Each hold is
//! also an entry in [`store::Space::Hold`], from which a restart rebuilds the table; lines are not kept
//! over a restart, since the connections that stand in them are gone then.
//!
//! # States of one session
//!
//! ```text
//!           take                      release, expiry, break
//!  (free) ────────► Held ───────────────┬── nobody waits ───► (free)
//!                    ▲                  └── first in line ──► Turn
//!                    │                                         │ │
//!                    └──────── the woken one comes back ───────┘ │
//!                              and takes it                      │
//!                 (free) or Turn of the next one ◄───────────────┘ it closed, or could not take it
//! ```
//!
//! A *turn* closes the gap between the release and the moment at which the woken connection's command runs
//! again: until then nobody else may take the hold, so the order of arrival is the order of holding.
//!
//! # Invariants
//! - A line is not empty only behind a `Held` or a `Turn`.
//! - A connection stands in at most one line or has at most one turn: it waits with one command.
//! - Every hold with a deadline and everybody in a line has exactly one timer.
//! - The fence of a hold that is taken is larger than that of every hold of the shard before it.

mod lapsed;
mod orphans;
mod owners;
mod timers;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::limits::MAX_WAITERS;
use model::time::Deadline;
use model::{ConnectionId, Db, Fence, Position};

use crate::Attempt;
use crate::session_key::{Named, SessionKey};
use lapsed::Lapsed;
pub(crate) use orphans::needs_session;
use owners::{Had, Owners};
use timers::{Timer, TimerId, Timers};

/// What made a hold, and therefore what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// A `SESSION.*` command. It dies with its session.
    Session,
    /// A lock key, see `guards`. It lives as long as the lock key, whether or not the session exists.
    Lock,
}

/// One hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The number that proves it.
    pub fence: Fence,
    /// Where its entry stands, or the last change of it: what a reply depends on that tells of it.
    pub position: Position,
    /// When it ends by itself.
    pub deadline: Deadline,
    /// The connection that took it and may use plain commands; `None` after a restart.
    pub owner: Option<ConnectionId>,
    /// What made it.
    pub by: HeldBy,
}

/// How things stand with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody holds it, and nobody is about to.
    Free,
    /// It is held.
    Held(Hold),
    /// It is this connection's turn to take it.
    Turn(ConnectionId),
}

/// How a hold comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its holder gave it back; with the connection that did, where it matters.
    Released(Option<ConnectionId>),
    /// Its deadline has passed.
    Expired,
    /// An operator ended it, or someone else took the lock over.
    Broken,
}

/// What has happened to holds since the start, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldCounts {
    /// Sessions that are held now.
    pub held: u64,
    /// Connections that wait in a line now.
    pub waiting: u64,
    /// Holds taken.
    pub taken: u64,
    /// Of these, handed over to someone who waited.
    pub handed_over: u64,
    /// Holds that have expired.
    pub expired: u64,
    /// Holds that were broken.
    pub broken: u64,
    /// Waits that were over before there was a turn.
    pub timed_out: u64,
}

struct Slot {
    state: State,
    /// Who waits, by ticket: in the order of arrival.
    line: BTreeMap<u64, ConnectionId>,
}

enum State {
    Held(Hold, TimerId),
    Turn(ConnectionId),
}

/// Where a connection waits.
enum Place {
    Line {
        key: SessionKey,
        ticket: u64,
        timer: TimerId,
    },
    Turn {
        key: SessionKey,
    },
}

/// What a timer takes in its tree.
const TIMER_BYTES: usize = 2 * size_of::<(u64, Timer)>();

/// See the module.
pub struct Holds {
    table: HashMap<SessionKey, Slot, FixedState>,
    places: BTreeMap<ConnectionId, Place>,
    timers: Timers,
    next_ticket: u64,
    lapsed: Lapsed,
    owners: Owners,
    counts: HoldCounts,
    /// Connections whose waiting command shall run again, in this order.
    woken: Vec<(ConnectionId, Attempt)>,
}

/// There are [`MAX_WAITERS`] connections in the line already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull;

impl Holds {
    /// No holds. `seed` keeps ids from being chosen so that they collide in the table.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            table: HashMap::with_hasher(FixedState::with_seed(seed)),
            places: BTreeMap::new(),
            timers: Timers::default(),
            next_ticket: 0,
            lapsed: Lapsed::default(),
            owners: Owners::default(),
            counts: HoldCounts::default(),
            woken: Vec::new(),
        }
    }

    /// Whether there is nothing here that could keep anybody from writing.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.lapsed.is_empty()
    }

    pub(crate) fn counts(&self) -> HoldCounts {
        self.counts
    }

    /// About the memory that it takes: tables at their capacity, and for each session the id, shared by all that names it.
    pub(crate) fn bytes(&self) -> usize {
        const ID_BYTES: usize = 16 + 48 + 16;
        const TREE_PLACE_BYTES: usize = 2 * (size_of::<ConnectionId>() + size_of::<Place>());
        self.table.capacity() * (size_of::<(SessionKey, Slot)>() + 1)
            + self.table.len() * (ID_BYTES + TIMER_BYTES)
            + self.places.len() * (TREE_PLACE_BYTES + TIMER_BYTES)
    }

    /// Knows the holds from now on, and of connections only what it had with whom, for when it leads again ([`Holds::know_again`]). Returns
    /// the connections that stood in a line, had a turn or were told so and have not come back yet.
    pub(crate) fn let_go(&mut self) -> Vec<ConnectionId> {
        // Each once: whoever has asked again may wait elsewhere by then.
        let woken: Vec<ConnectionId> = self.take_woken().into_iter().map(|(id, _)| id).collect();
        let mut gone: Vec<ConnectionId> = self.places.keys().copied().collect();
        gone.extend(woken.iter().filter(|id| !self.places.contains_key(id)));
        let mut kept = Self {
            table: HashMap::with_hasher(self.table.hasher().clone()),
            lapsed: core::mem::take(&mut self.lapsed),
            owners: core::mem::take(&mut self.owners),
            ..Self::new(0)
        };
        for key in self.keys(|_| true) {
            if let State::Held(hold, _) = self.slot(&key).state {
                if let Some(owner) = hold.owner {
                    let (fence, by) = (hold.fence, hold.by);
                    let key = key.clone();
                    kept.owners.insert(owner, Had { key, fence, by });
                }
                kept.restore(
                    key.borrowed(),
                    Hold {
                        owner: None,
                        ..hold
                    },
                );
            }
        }
        *self = kept;
        gone
    }

    /// The copy leads again: what is still held under the same fence is its connection's, and a lock that is not has passed on.
    pub(crate) fn know_again(&mut self) {
        for (owner, had) in core::mem::take(&mut self.owners).into_all() {
            let slot = self.table.get_mut(&had.key.borrowed());
            match slot.map(|slot| &mut slot.state) {
                Some(State::Held(hold, _)) if hold.fence == had.fence => hold.owner = Some(owner),
                Some(_) | None if had.by == HeldBy::Lock => self.lapsed.insert(owner, had.key),
                Some(_) | None => {}
            }
        }
    }

    /// Nothing is held any more; what connections had is known still.
    pub(crate) fn forget_holds(&mut self, seed: u64) {
        *self = Self {
            lapsed: core::mem::take(&mut self.lapsed),
            owners: core::mem::take(&mut self.owners),
            ..Self::new(seed)
        };
    }

    /// The connections that have or had locks here: their late writes are refused as long as this is remembered.
    pub(crate) fn of_locks(&self) -> Vec<ConnectionId> {
        self.owners.of_locks().chain(self.lapsed.of()).collect()
    }

    pub(crate) fn take_woken(&mut self) -> Vec<(ConnectionId, Attempt)> {
        core::mem::take(&mut self.woken)
    }

    /// When [`Holds::run_timers`] has something to do next.
    pub(crate) fn next_timer_ms(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// How things stand at `now_ms`. A hold whose deadline has passed is ended first, so that nobody depends on
    /// how often maintenance runs.
    pub(crate) fn standing(&mut self, now_ms: u64, session: Named<'_>) -> Standing {
        let Some(slot) = self.table.get(&session) else {
            return Standing::Free;
        };
        match slot.state {
            State::Held(hold, _) if hold.deadline.has_passed(now_ms) => {
                self.end(session, End::Expired);
                self.standing(now_ms, session)
            }
            State::Held(hold, _) => Standing::Held(hold),
            State::Turn(connection) => Standing::Turn(connection),
        }
    }

    /// The hold on a session, if it has one that is not over at `now_ms`.
    pub(crate) fn peek(&self, now_ms: u64, session: Named<'_>) -> Option<Hold> {
        match self.table.get(&session)?.state {
            State::Held(hold, _) => (!hold.deadline.has_passed(now_ms)).then_some(hold),
            State::Turn(_) => None,
        }
    }

    /// Whether nobody holds it, is about to, or would be if time were taken note of.
    pub(crate) fn is_free(&self, now_ms: u64, session: Named<'_>) -> bool {
        match self.table.get(&session) {
            None => true,
            Some(slot) => match slot.state {
                State::Held(hold, _) => hold.deadline.has_passed(now_ms) && slot.line.is_empty(),
                State::Turn(_) => false,
            },
        }
    }

    /// Whether there is something here that dies with the session: a hold of `SESSION.*`, or a turn.
    pub(crate) fn is_of_session(&self, session: Named<'_>) -> bool {
        self.table
            .get(&session)
            .is_some_and(|slot| match slot.state {
                State::Held(hold, _) => hold.by == HeldBy::Session,
                State::Turn(_) => true,
            })
    }

    /// How many wait for it.
    pub(crate) fn waiters(&self, session: Named<'_>) -> usize {
        self.table.get(&session).map_or(0, |slot| slot.line.len())
    }

    /// Whether this connection had a lock on the session that has passed on without being released.
    pub(crate) fn has_lapsed(&self, connection: ConnectionId, session: Named<'_>) -> bool {
        self.lapsed.contains(connection, session)
    }

    /// The session is held from now on. It is free, or it is the owner's turn.
    pub(crate) fn take(&mut self, session: Named<'_>, hold: Hold) {
        if let Some(owner) = hold.owner {
            self.lapsed.remove(owner, session);
        }
        let key = self
            .table
            .get_key_value(&session)
            .map_or_else(|| session.to_owned(), |(key, _)| key.clone());
        let timer = self.timers.start(hold.deadline, Timer::Hold(key.clone()));
        let state = State::Held(hold, timer);
        self.counts.held += 1;
        self.counts.taken += 1;
        match self.table.get_mut(&session) {
            None => {
                let line = BTreeMap::new();
                self.table.insert(key, Slot { state, line });
            }
            Some(slot) => {
                let State::Turn(connection) = slot.state else {
                    panic!("a session is held twice");
                };
                assert!(
                    hold.owner == Some(connection),
                    "a hold was taken out of turn"
                );
                slot.state = state;
                self.places.remove(&connection);
                self.counts.handed_over += 1;
            }
        }
    }

    /// As [`Holds::take`], also from another who has it now. Those who wait go on waiting.
    pub(crate) fn take_over(&mut self, session: Named<'_>, hold: Hold) {
        let Some(slot) = self.table.get(&session) else {
            return self.take(session, hold);
        };
        let State::Held(before, timer) = slot.state else {
            panic!("a lock was taken out of turn");
        };
        self.timers.stop(timer);
        self.counts.held -= 1;
        self.counts.broken += 1;
        let slot = self.table.remove_entry(&session);
        let (key, Slot { line, .. }) = slot.expect("it was just looked at");
        if let Some(owner) = before.owner.filter(|owner| Some(*owner) != hold.owner) {
            self.lapsed.insert(owner, key);
        }
        self.take(session, hold);
        let slot = self.table.get_mut(&session);
        slot.expect("it was just taken").line = line;
    }

    /// As [`Holds::take`], for a hold that was taken before a restart. It may be told of twice.
    pub(crate) fn restore(&mut self, session: Named<'_>, hold: Hold) {
        if self.table.contains_key(&session) {
            return;
        }
        self.take(session, hold);
        self.counts.taken -= 1;
    }

    /// The hold has another deadline, by the entry at `position`. Nothing happens if there is none.
    pub(crate) fn renew(&mut self, session: Named<'_>, deadline: Deadline, position: Position) {
        let Some((key, slot)) = self.table.get_key_value_mut(&session) else {
            return;
        };
        if let State::Held(hold, timer) = &mut slot.state {
            self.timers.stop(*timer);
            *timer = self.timers.start(deadline, Timer::Hold(key.clone()));
            hold.deadline = deadline;
            hold.position = position;
        }
    }

    /// The hold ends, and the next in line gets its turn. Returns whether there was one.
    pub(crate) fn end(&mut self, session: Named<'_>, how: End) -> bool {
        let Some((key, slot)) = self.table.get_key_value(&session) else {
            return false;
        };
        let State::Held(hold, timer) = slot.state else {
            return false;
        };
        let key = key.clone();
        self.timers.stop(timer);
        self.counts.held -= 1;
        match how {
            End::Released(_) => {}
            End::Expired => self.counts.expired += 1,
            End::Broken => self.counts.broken += 1,
        }
        if let Some(owner) = hold.owner
            && hold.by == HeldBy::Lock
            && how != End::Released(Some(owner))
        {
            self.lapsed.insert(owner, key.clone());
        }
        self.give_turn(&key);
        true
    }

    /// The session is gone, and the hold with it: everybody who waits is told so.
    pub(crate) fn cancel(&mut self, session: Named<'_>) {
        let Some((_, slot)) = self.table.remove_entry(&session) else {
            return;
        };
        match slot.state {
            State::Held(_, timer) => {
                self.timers.stop(timer);
                self.counts.held -= 1;
            }
            // It is woken already, and will find nothing.
            State::Turn(connection) => drop(self.places.remove(&connection)),
        }
        self.send_away(slot.line);
    }

    /// Everybody who waits for the session is told that it is gone. The hold stays.
    pub(crate) fn cancel_line(&mut self, session: Named<'_>) {
        if let Some(slot) = self.table.get_mut(&session) {
            let line = core::mem::take(&mut slot.line);
            self.send_away(line);
        }
    }

    fn send_away(&mut self, line: BTreeMap<u64, ConnectionId>) {
        for connection in line.into_values() {
            self.out_of_line(connection);
            self.woken.push((connection, Attempt::Cancelled));
        }
    }

    /// Puts a connection at the end of the line before a session that is not free.
    pub(crate) fn wait(
        &mut self,
        session: Named<'_>,
        connection: ConnectionId,
        deadline: Deadline,
    ) -> Result<(), LineFull> {
        let (key, slot) = self
            .table
            .get_key_value_mut(&session)
            .expect("only a session that is not free is waited for");
        if slot.line.len() >= MAX_WAITERS {
            return Err(LineFull);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        slot.line.insert(ticket, connection);
        let place = Place::Line {
            key: key.clone(),
            ticket,
            timer: self.timers.start(deadline, Timer::Wait(connection)),
        };
        let before = self.places.insert(connection, place);
        assert!(before.is_none(), "a connection waits in two lines");
        self.counts.waiting += 1;
        Ok(())
    }

    /// The connection no longer wants its place in a line, or its turn. Returns whether it had one.
    pub(crate) fn leave(&mut self, connection: ConnectionId) -> bool {
        match self.places.remove(&connection) {
            None => return false,
            Some(Place::Line { key, ticket, timer }) => {
                self.timers.stop(timer);
                self.counts.waiting -= 1;
                self.slot(&key).line.remove(&ticket);
            }
            Some(Place::Turn { key }) => self.give_turn(&key),
        }
        true
    }

    /// Ends the connection's wait as if its time were over. Returns whether it stood in a line.
    pub(crate) fn stop_waiting(&mut self, connection: ConnectionId) -> bool {
        if !matches!(self.places.get(&connection), Some(Place::Line { .. })) {
            return false;
        }
        self.leave(connection);
        self.counts.timed_out += 1;
        self.woken.push((connection, Attempt::TimedOut));
        true
    }

    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) {
        self.leave(connection);
        self.lapsed.forget(connection);
        self.owners.forget(connection);
    }

    /// Does up to `most` things that are due: holds that have expired, waits that are over. Returns whether
    /// there is more.
    pub(crate) fn run_timers(&mut self, now_ms: u64, most: usize) -> bool {
        for _ in 0..most {
            match self.timers.take_due(now_ms) {
                None => return false,
                Some(Timer::Hold(key)) => drop(self.end(key.borrowed(), End::Expired)),
                Some(Timer::Wait(connection)) => drop(self.stop_waiting(connection)),
            }
        }
        self.timers.next_ms().is_some_and(|next| next <= now_ms)
    }

    /// Everything that is known of one id belongs to another from now on, which is free; its hold's entry is at `position`.
    pub(crate) fn rename(&mut self, from: Named<'_>, to: &SessionKey, position: Position) {
        let Some(mut slot) = self.table.remove(&from) else {
            return;
        };
        match &mut slot.state {
            State::Held(hold, timer) => {
                self.timers.stop(*timer);
                *timer = self.timers.start(hold.deadline, Timer::Hold(to.clone()));
                hold.position = position;
            }
            State::Turn(connection) => {
                let place = Place::Turn { key: to.clone() };
                self.places.insert(*connection, place);
            }
        }
        for connection in slot.line.values() {
            if let Some(Place::Line { key, .. }) = self.places.get_mut(connection) {
                *key = to.clone();
            }
        }
        let before = self.table.insert(to.clone(), slot);
        assert!(before.is_none(), "a held session was renamed over another");
    }

    /// Every session of the database is gone, or of all of them.
    pub(crate) fn flush(&mut self, db: Option<Db>) {
        for key in self.keys(|key| db.is_none_or(|db| db == key.db)) {
            self.cancel(key.borrowed());
        }
    }

    /// Two databases change places by the entry at `position`, and the holds with them. Whoever waits in either is told
    /// that what it waited for is gone: its own database now has other sessions.
    pub(crate) fn swap(&mut self, a: Db, b: Db, position: Position) {
        let mut moved = Vec::new();
        for key in self.keys(|key| key.db == a || key.db == b) {
            if let State::Held(hold, _) = self.slot(&key).state {
                moved.push((key.clone(), hold));
            }
            self.cancel(key.borrowed());
        }
        for (mut key, mut hold) in moved {
            key.db = if key.db == a { b } else { a };
            hold.position = position;
            self.take(key.borrowed(), hold);
            self.counts.taken -= 1;
        }
    }

    /// The sessions that are not free, in an order that does not depend on the table's hashes.
    fn keys(&self, wanted: impl Fn(&SessionKey) -> bool) -> Vec<SessionKey> {
        let mut keys: Vec<_> = self
            .table
            .keys()
            .filter(|key| wanted(key))
            .cloned()
            .collect();
        keys.sort_unstable();
        keys
    }

    fn slot(&mut self, key: &SessionKey) -> &mut Slot {
        self.table
            .get_mut(&key.borrowed())
            .expect("a place in a line names a session that is not free")
    }

    /// Nobody holds the session any more: it is the next one's turn, or it is free.
    fn give_turn(&mut self, key: &SessionKey) {
        let slot = self.slot(key);
        let Some((_, next)) = slot.line.pop_first() else {
            self.table.remove(&key.borrowed());
            return;
        };
        slot.state = State::Turn(next);
        self.out_of_line(next);
        self.places.insert(next, Place::Turn { key: key.clone() });
        self.woken.push((next, Attempt::Woken));
    }

    /// Forgets the place and the timer of a connection that was taken out of its line.
    fn out_of_line(&mut self, connection: ConnectionId) {
        if let Some(Place::Line { timer, .. }) = self.places.remove(&connection) {
            self.timers.stop(timer);
            self.counts.waiting -= 1;
        }
    }

    /// Panics if an invariant of the module does not hold. Looks at everything: for tests.
    pub fn check_invariants(&self) {
        let (mut held, mut waiting, mut turns) = (0, 0, 0);
        for (key, slot) in &self.table {
            match &slot.state {
                State::Held(hold, timer) => {
                    held += 1;
                    assert!(self.timers.has(*timer) != hold.deadline.is_never());
                }
                State::Turn(connection) => {
                    turns += 1;
                    let place = self.places.get(connection);
                    assert!(matches!(place, Some(Place::Turn { key: at }) if at == key));
                }
            }
            waiting += slot.line.len();
            for (ticket, connection) in &slot.line {
                let Some(Place::Line {
                    key: at,
                    ticket: with,
                    timer,
                }) = self.places.get(connection)
                else {
                    panic!("someone in a line has no place");
                };
                assert!(at == key && with == ticket && self.timers.has(*timer));
            }
        }
        assert_eq!(self.counts.held, held);
        assert_eq!(self.counts.waiting, waiting as u64);
        assert_eq!(self.places.len(), waiting + turns);
        assert!(self.timers.len() <= self.table.len() + waiting);
    }
}

#[cfg(test)]
mod tests;
