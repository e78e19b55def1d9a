//! Keeping the map: list, watch, and list again when the watch cannot be trusted.
//!
//! ```text
//!            ┌──────────── no answer: again after 100 ms ◄──────────────────────┐
//!            ▼                                                                  │
//!   ──► listing ── listed ──► following (watch from there) ── lost, a conflict, an unknown outcome,
//!                                                              a map that differs from the coordinator's
//! ```

use alloc::vec::Vec;

use model::Member;

use super::{
    Agent, AskId, Effect, Event, Identity,
    asks::{Asked, Asks, Purpose, Shown},
};
use crate::{
    format::Record,
    keys::Place,
    map::ClusterMap,
    metadata::{Answer, Ask, Change, Listing, Outcome, RequestId},
    record::{NodeRecord, NodeState},
    timing::{BEHIND_MS, BEHIND_WAIT_MS, BRAKE_MS, RELIST_MS, STORE_RETRY_MS},
};

/// What this node knows of its metadata store.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) asks: Asks,
    sync: Sync,
    watch: Option<AskId>,
    /// Since when nothing was answered that was asked.
    silent_since_ms: Option<u64>,
    listed_ms: u64,
    /// Since when the coordinator's map differs from this one.
    pub(super) differs_since_ms: Option<u64>,
    /// A term that others told of, later than this map's when they did, and since when.
    later_term: Option<(u64, u64)>,
}

/// Whose this node's number is.
///
/// Two processes may be configured with one. If each took it back from the other, what either holds would be given up again and again. So
/// whoever has had it, and finds a third there, leaves it to that one. The life before is none: a store that was restored from a backup shows it.
#[derive(Debug, Default)]
pub(super) struct Claim {
    /// What stood there before this node did.
    before: Option<NodeRecord>,
    /// The map has shown this node as it is.
    was_shown: bool,
    /// The digest of the map that does: nothing has to be compared while it is that one.
    shown_by: Option<u64>,
    is_superseded: bool,
    /// The store has lost that this node, which it shows as gone, came back.
    is_back: bool,
}

/// What the map says of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claimed {
    Shown,
    NotShown,
    Superseded { is_news: bool },
}

impl Claim {
    pub(super) const fn is_superseded(&self) -> bool {
        self.is_superseded
    }

    fn look(&mut self, identity: &Identity, known: Option<&NodeRecord>) -> Claimed {
        let Some(record) = known else {
            return Claimed::NotShown;
        };
        self.is_back &= record.state == NodeState::Gone;
        if identity.is_shown_by(record) && !self.is_back {
            (self.was_shown, self.is_superseded) = (true, false);
            return Claimed::Shown;
        }
        if !self.was_shown {
            self.before = Some(record.clone());
        }
        let before = self.before.as_ref();
        if before.is_some_and(|before| is_same_process(before, record)) {
            return Claimed::NotShown;
        }
        let is_news = !core::mem::replace(&mut self.is_superseded, true);
        Claimed::Superseded { is_news }
    }
}

fn is_same_process(a: &NodeRecord, b: &NodeRecord) -> bool {
    a.incarnation == b.incarnation && a.addresses == b.addresses
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// To list at this time.
    Due(u64),
    Listing,
    Following,
}

impl Store {
    pub(super) const fn new(me: Member) -> Self {
        Self {
            asks: Asks::new(me),
            sync: Sync::Due(0),
            watch: None,
            silent_since_ms: None,
            listed_ms: 0,
            differs_since_ms: None,
            later_term: None,
        }
    }

    /// Whether it answers, as far as anything was asked.
    pub(super) const fn answers(&self) -> bool {
        self.silent_since_ms.is_none()
    }

    pub(super) fn is_following(&self) -> bool {
        self.sync == Sync::Following
    }

    /// Lists at this time, unless it is to happen earlier or is under way.
    fn list_at(&mut self, at_ms: u64) {
        self.sync = match self.sync {
            Sync::Due(due_ms) => Sync::Due(due_ms.min(at_ms)),
            Sync::Following => Sync::Due(at_ms),
            Sync::Listing => Sync::Listing,
        };
    }
}

impl Agent {
    /// Gives up what was not answered, lists when it is time, registers this node.
    pub(super) fn tend_store(&mut self, out: &mut Vec<Effect>) {
        for (ask, asked) in self.store.asks.take_overdue(self.now_ms) {
            let answer = match asked.purpose {
                Purpose::List => Answer::Listed(None),
                Purpose::Watch
                | Purpose::Register
                | Purpose::TakeRole
                | Purpose::Propose(_)
                | Purpose::Publish => Answer::Transacted(Outcome::Unknown),
            };
            self.on_answered(ask, asked, answer, out);
        }
        if self.store.is_following() && self.distrusts_map() {
            self.store.list_at(self.now_ms);
        }
        if let Sync::Due(due_ms) = self.store.sync
            && self.now_ms >= due_ms
        {
            self.store.sync = Sync::Listing;
            self.ask(Purpose::List, Vec::new(), |_| Ask::List, out);
        }
        self.register(out);
    }

    fn distrusts_map(&self) -> bool {
        let differs = self.store.differs_since_ms;
        let differs = differs.is_some_and(|since_ms| self.now_ms >= since_ms + BEHIND_MS);
        let leads = self.coordinator.is_some();
        let old = leads && self.now_ms >= self.store.listed_ms + RELIST_MS;
        differs || self.missed_a_term() || old || self.store.asks.needs_list(self.now_ms)
    }

    /// Somebody's map is of this term. Whoever missed that a role has passed on believes in a coordinator that may say nothing, or be no
    /// more: so this is no matter of who says it.
    pub(super) fn note_term(&mut self, term: u64) {
        let known = self.map.term();
        if term > known {
            let later = self.store.later_term.filter(|&(later, _)| later > known);
            let since_ms = later.map_or(self.now_ms, |(_, since_ms)| since_ms);
            self.store.later_term = Some((term, since_ms));
        }
    }

    fn missed_a_term(&self) -> bool {
        let long = |(term, since_ms)| term > self.map.term() && self.now_ms >= since_ms + BEHIND_MS;
        self.store.later_term.is_some_and(long)
    }

    /// Asks the store something, with the name that its transaction shall carry.
    pub(super) fn ask(
        &mut self,
        purpose: Purpose,
        places: Vec<Place>,
        ask: impl FnOnce(RequestId) -> Ask,
        out: &mut Vec<Effect>,
    ) {
        let (id, request) = self.store.asks.name();
        if purpose == Purpose::Watch {
            self.store.watch = Some(id);
        }
        let asked = Asked {
            purpose,
            places,
            request,
            asked_ms: self.now_ms,
        };
        self.store.asks.open(id, asked);
        out.push(Effect::Ask(id, ask(request)));
    }

    pub(super) fn on_answer(&mut self, ask: AskId, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Changed(change) => self.on_change(ask, &change, out),
            Answer::WatchLost => self.on_watch_lost(ask, out),
            Answer::Transacted(_) | Answer::Listed(_) => {
                if let Some(asked) = self.store.asks.close(ask) {
                    self.on_answered(ask, asked, answer, out);
                }
            }
        }
    }

    fn on_watch_lost(&mut self, ask: AskId, out: &mut Vec<Effect>) {
        if self.store.watch == Some(ask) {
            self.store.watch = None;
            self.store.asks.close(ask);
            // Not at once: a store that loses every watch must not be asked in a circle.
            self.store.list_at(self.now_ms + STORE_RETRY_MS);
            self.tend_store(out);
        }
    }

    fn on_answered(&mut self, ask: AskId, asked: Asked, answer: Answer, out: &mut Vec<Effect>) {
        match answer {
            Answer::Listed(None) => {
                self.note_silence();
                self.store.sync = Sync::Due(self.now_ms + STORE_RETRY_MS);
            }
            Answer::Listed(Some(listing)) => {
                self.note_answer();
                self.on_listing(ask, &listing, out);
            }
            Answer::Transacted(outcome) => self.on_outcome(asked, outcome, out),
            Answer::Changed(_) | Answer::WatchLost => unreachable!("the caller took them"),
        }
    }

    fn on_outcome(&mut self, asked: Asked, outcome: Outcome, out: &mut Vec<Effect>) {
        self.resize_batches(&asked.purpose, outcome);
        match outcome {
            Outcome::Committed(revision) => {
                self.note_answer();
                self.store.asks.settle_later(Shown::At(revision), asked);
                let settled = self.store.asks.take_settled_at(self.map.revision());
                self.settle(settled, out);
            }
            Outcome::Conflict => {
                self.note_answer();
                self.settle_by_list(asked, out);
            }
            Outcome::Unknown => {
                self.note_silence();
                self.settle_by_list(asked, out);
            }
        }
    }

    fn settle_by_list(&mut self, asked: Asked, out: &mut Vec<Effect>) {
        self.store.asks.settle_later(Shown::ByList, asked);
        self.store.list_at(self.now_ms);
        self.tend_store(out);
    }

    fn note_silence(&mut self) {
        self.store.silent_since_ms.get_or_insert(self.now_ms);
    }

    fn note_answer(&mut self) {
        if let Some(since_ms) = self.store.silent_since_ms.take()
            && self.now_ms >= since_ms + BRAKE_MS
        {
            self.distrust_myself(since_ms);
        }
    }

    fn on_listing(&mut self, ask: AskId, listing: &Listing, out: &mut Vec<Effect>) {
        let map = ClusterMap::from_listing(listing);
        let places = self.map.differences(&map);
        if map.revision() < self.map.revision() {
            self.went_back(&map, out);
        }
        self.map = map;
        self.store.sync = Sync::Following;
        self.store.listed_ms = self.now_ms;
        self.store.differs_since_ms = None;
        self.store.later_term = None;
        if let Some(old) = self.store.watch.take() {
            self.store.asks.close(old);
        }
        let from = listing.revision;
        self.ask(Purpose::Watch, Vec::new(), |_| Ask::Watch(from), out);
        self.after_map(&places, out);
        let settled = self.store.asks.take_settled_by(ask);
        self.settle(settled, out);
    }

    /// The store has lost what it had: it was restored from a backup, or is another.
    fn went_back(&mut self, map: &ClusterMap, out: &mut Vec<Effect>) {
        if let (None, Some(settings)) = (map.settings(), self.map.settings()) {
            self.identity.settings = settings;
        }
        // Whoever it shows under this node's number may be an earlier life of it, or one that was drained.
        let me = &self.identity.me.node;
        let state = |map: &ClusterMap| map.nodes().get(me).map(|record| record.state);
        let was_here = state(&self.map).is_some_and(|state| state != NodeState::Gone);
        self.claim = Claim {
            is_back: was_here && state(map) == Some(NodeState::Gone),
            ..Claim::default()
        };
        self.doubts_until_ms = self.now_ms + BEHIND_WAIT_MS;
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.doubt(self.doubts_until_ms);
        }
        out.push(Effect::Event(Event::WentBack));
    }

    /// A change that the watch saw. While a list is under way it is left out: the list shows it, and the next watch begins there.
    fn on_change(&mut self, ask: AskId, change: &Change, out: &mut Vec<Effect>) {
        let current = self.store.watch == Some(ask) && self.store.sync != Sync::Listing;
        if !current || change.revision <= self.map.revision() {
            return;
        }
        let places = self.map.follow(change);
        self.after_map(&places, out);
        let settled = self.store.asks.take_settled_at(self.map.revision());
        self.settle(settled, out);
    }

    /// The map shows what became of these.
    fn settle(&mut self, settled: Vec<Asked>, out: &mut Vec<Effect>) {
        for asked in settled {
            match asked.purpose {
                Purpose::Propose(command) => self.after_proposals(&asked, command, out),
                Purpose::Publish => self.after_publication(&asked.places),
                Purpose::List | Purpose::Watch | Purpose::Register | Purpose::TakeRole => {}
            }
        }
    }

    /// Makes the map show this node in its present life, as it is and where it is reached now.
    fn register(&mut self, out: &mut Vec<Effect>) {
        let node = self.identity.me.node;
        let is_shown = self.claim.shown_by == Some(self.map.digest());
        if is_shown || !self.store.is_following() || self.store.asks.is_busy(&Purpose::Register) {
            return;
        }
        let known = self.map.nodes().get(&node);
        match self.claim.look(&self.identity, known) {
            Claimed::Shown => {
                self.claim.shown_by = Some(self.map.digest());
                return;
            }
            Claimed::Superseded { is_news: false } => return,
            Claimed::Superseded { is_news: true } => {
                // Nor its links: they are one node's.
                self.links_stale = true;
                return out.push(Effect::Event(Event::Superseded));
            }
            Claimed::NotShown => {}
        }
        if known.is_none() && self.map.nodes().len() >= usize::from(model::limits::MAX_NODES) {
            self.store.list_at(self.now_ms + BEHIND_MS);
            out.push(Effect::Event(Event::Full));
            return;
        }
        let same = known.filter(|record| record.incarnation == self.identity.me.incarnation);
        let same = same.filter(|_| !self.claim.is_back);
        let state = match known.map(|record| record.state) {
            Some(state) if same.is_some() => state,
            // What an operator wants of a node is not over with its life.
            Some(NodeState::Draining) => NodeState::Draining,
            Some(NodeState::Joining | NodeState::Active | NodeState::Gone) | None => {
                NodeState::Joining
            }
        };
        self.write_myself(state, out);
    }

    fn write_myself(&mut self, state: NodeState, out: &mut Vec<Effect>) {
        let place = Place::Node(self.identity.me.node);
        let unchanged = self.map.unchanged(&[place]);
        let mut record = NodeRecord {
            incarnation: self.identity.me.incarnation,
            state,
            process: self.identity.process,
            zone: self.identity.zone,
            addresses: self.identity.addresses.clone(),
            request: RequestId::default(),
        };
        let transact = |request| {
            record.request = request;
            Ask::Transact(unchanged.put(place.key(), record.encode()))
        };
        self.ask(Purpose::Register, alloc::vec![place], transact, out);
    }
}
