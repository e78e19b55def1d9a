//! Taking the coordinator's role when its holder is gone.
//!
//! The role is vacant when nobody ever had it, when its holder's life is over, when this node's court has convicted the holder, or when
//! the holder says that the metadata store has not answered it for two seconds. The next node on the ring tries at once, each further one a
//! tenth of a second later. Who tries wrongly does no harm: the compare-and-set decides, and at most the role changes hands.

use alloc::{collections::BTreeSet, vec::Vec};

use model::{Incarnation, NodeId};

use super::{Agent, Effect, Event, asks::Purpose};
use crate::{
    coordinator::Coordinator,
    detector::Detector,
    format::Record,
    keys::Place,
    links,
    message::Heartbeat,
    metadata::Ask,
    record::Role,
    timing::{ISOLATED_MAX_MS, ISOLATED_MS, STORE_GRACE_MS, TAKEOVER_STEP_MS},
};

/// What this node remembers about the role.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// The term that the next two are about.
    term: u64,
    /// Since when it is vacant.
    vacant_since_ms: Option<u64>,
    /// Since when its holder says that the store does not answer.
    holder_cut_off_since_ms: Option<u64>,
    /// When the map last changed: somebody is at work.
    map_changed_ms: u64,
    /// When this node took it last, and how many times it lost it again soon.
    taken_ms: Option<u64>,
    lost_soon: u32,
    /// The suspects of the last heartbeat.
    told: BTreeSet<(NodeId, Incarnation)>,
}

impl Succession {
    pub(super) const fn map_changed(&mut self, now_ms: u64) {
        self.map_changed_ms = now_ms;
    }

    /// Whether there are suspects that no heartbeat has named yet.
    pub(super) fn has_new_suspects(&mut self, detector: &Detector) -> bool {
        let new = detector
            .suspects()
            .any(|suspect| !self.told.contains(&suspect));
        self.told.clear();
        self.told.extend(detector.suspects());
        new
    }

    /// Whoever holds the role now is not to blame for what the last one said.
    fn note_term(&mut self, term: u64) {
        if term != self.term {
            self.term = term;
            self.vacant_since_ms = None;
            self.holder_cut_off_since_ms = None;
        }
    }

    fn note_loss(&mut self, now_ms: u64) {
        let taken_ms = self.taken_ms;
        let soon = taken_ms.is_some_and(|taken_ms| now_ms < taken_ms + ISOLATED_MAX_MS);
        self.lost_soon = if soon { self.lost_soon + 1 } else { 0 };
    }

    /// How long a node that seems to be cut off itself waits.
    fn reluctance_ms(&self) -> u64 {
        (ISOLATED_MS << self.lost_soon.min(8)).min(ISOLATED_MAX_MS)
    }
}

impl Agent {
    pub(super) fn hear_coordinator(&mut self, heartbeat: &Heartbeat) {
        let holder = self.map.role().map(|role| role.holder);
        if holder != Some(heartbeat.from) {
            return;
        }
        self.role.holder_cut_off_since_ms = match heartbeat.store_answers {
            true => None,
            false => self.role.holder_cut_off_since_ms.or(Some(self.now_ms)),
        };
        self.store.differs_since_ms = match heartbeat.map == self.map.digest() {
            true => None,
            false => self.store.differs_since_ms.or(Some(self.now_ms)),
        };
    }

    fn is_vacant(&self) -> bool {
        let Some(role) = self.map.role() else {
            return true;
        };
        let convicted = self.court.has_convicted(role.holder.node);
        let cut_off = self.role.holder_cut_off_since_ms;
        let cut_off = cut_off.is_some_and(|since_ms| self.now_ms >= since_ms + STORE_GRACE_MS);
        !self.map.is_present(role.holder) || convicted || cut_off
    }

    /// Takes the role, if it is vacant and this node's turn.
    pub(super) fn consider_role(&mut self, out: &mut Vec<Effect>) {
        if !self.is_vacant() {
            self.role.vacant_since_ms = None;
            return;
        }
        let since_ms = *self.role.vacant_since_ms.get_or_insert(self.now_ms);
        let known = self.map.is_present(self.identity.me);
        let ready = known && self.store.is_following() && self.store.answers();
        let busy = self.store.asks.is_busy(&Purpose::TakeRole);
        if ready && !busy && self.now_ms >= self.turn_ms(since_ms) {
            self.take_role(out);
        }
    }

    /// When this node may try.
    fn turn_ms(&self, since_ms: u64) -> u64 {
        let ring: Vec<NodeId> = self.map.present().keys().copied().collect();
        let holder = self.map.role().map(|role| role.holder.node);
        let before_all = NodeId(u32::MAX);
        let me = self.identity.me.node;
        let rank = links::distance(&ring, holder.unwrap_or(before_all), me) as u64;
        let turn_ms = since_ms + rank * TAKEOVER_STEP_MS;
        if 2 * self.detector.suspects().count() <= self.detector.peers() {
            return turn_ms;
        }
        // The store shows whether somebody else is at work.
        let quiet_since_ms = since_ms.max(self.role.map_changed_ms);
        turn_ms.max(quiet_since_ms + self.role.reluctance_ms())
    }

    fn take_role(&mut self, out: &mut Vec<Effect>) {
        let place = Place::Coordinator;
        let unchanged = self
            .map
            .unchanged(&[place, Place::Node(self.identity.me.node)]);
        let term = self.map.term() + 1;
        let holder = self.identity.me;
        let transact = |request| {
            let role = Role {
                term,
                holder,
                request,
            };
            Ask::Transact(unchanged.put(place.key(), role.encode()))
        };
        self.ask(Purpose::TakeRole, alloc::vec![place], transact, out);
    }

    /// The map may show another holder.
    pub(super) fn after_role_change(&mut self, out: &mut Vec<Effect>) {
        self.role.note_term(self.map.term());
        let mine = self
            .map
            .role()
            .filter(|role| role.holder == self.identity.me);
        match (mine, &self.coordinator) {
            (Some(role), None) => {
                let mut coordinator = Coordinator::new(self.now_ms);
                coordinator.doubt(self.doubts_until_ms);
                self.coordinator = Some(coordinator);
                self.role.taken_ms = Some(self.now_ms);
                self.reconcile_ms = self.now_ms;
                out.push(Effect::Event(Event::TookRole { term: role.term }));
            }
            (None, Some(_)) => {
                self.coordinator = None;
                self.role.note_loss(self.now_ms);
                out.push(Effect::Event(Event::LostRole));
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
