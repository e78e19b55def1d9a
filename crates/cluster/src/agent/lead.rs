//! Leading: what the coordinator wishes becomes transactions.
//!
//! Proposals travel in batches, as one transaction costs the store a write to disk whether it changes one record or
//! a hundred, and a node that dies takes many primaries with it. A conflict halves the next batch, so that one record that
//! somebody else keeps changing cannot hold up the others.

use alloc::vec::Vec;

use super::{
    Agent, Effect, Event,
    asks::{Asked, Purpose},
};
use crate::{
    coordinator::{Command, Proposal, Refusal},
    format::Record,
    keys::Place,
    message::Message,
    metadata::{Ask, Outcome, RequestId, Transaction},
    record::{LossRecord, NodeRecord, ShardRecord},
    timing::RECONCILE_MS,
};

/// How many records a transaction may change: one less than its limit, as it compares the role too.
const MOST: usize = model::limits::MAX_TRANSACTION_KEYS - 1;

/// How many records the next transaction changes at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize(usize);

impl Default for BatchSize {
    fn default() -> Self {
        Self(MOST)
    }
}

impl BatchSize {
    pub(super) const fn records(self) -> usize {
        self.0
    }

    fn learn(&mut self, outcome: Outcome) {
        self.0 = match outcome {
            Outcome::Committed(_) => (self.0 * 2).min(MOST),
            Outcome::Conflict => (self.0 / 2).max(1),
            Outcome::Unknown => self.0,
        };
    }
}

impl Agent {
    /// Looks around, and asks for what should change.
    pub(super) fn lead(&mut self, out: &mut Vec<Effect>) {
        // Whoever takes the role lists first: what is waiting then is not to wait for another round.
        if !self.store.is_following() {
            return;
        }
        self.reconcile_ms = self.now_ms + RECONCILE_MS;
        if self.create(out) {
            return;
        }
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        let (me, now_ms) = (self.identity.me.node, self.now_ms);
        let was_braked = coordinator.is_braked();
        let wishes = coordinator.reconcile(&self.map, &self.court, &self.detector, me, now_ms);
        if coordinator.is_braked() && !was_braked {
            out.push(Effect::Event(Event::Braked));
        }
        for node in wishes.ask {
            out.push(Effect::Send(node, Message::Question(self.identity.me)));
        }
        let mut proposals = wishes.proposals;
        while !proposals.is_empty() {
            let most = self.publisher.proposals.records().min(proposals.len());
            let batch: Vec<Proposal> = proposals.drain(..most).collect();
            self.propose(batch, None, out);
        }
    }

    /// The settings of a cluster that does not exist yet. Whether they are still missing.
    fn create(&mut self, out: &mut Vec<Effect>) -> bool {
        let place = Place::Cluster;
        if self.map.bytes(place).is_some() {
            return false;
        }
        let purpose = Purpose::Propose(None);
        if !self.store.asks.is_busy(&purpose) {
            let unchanged = self.map.unchanged(&[Place::Coordinator, place]);
            let settings = self.identity.settings.encode();
            let transact = |_| Ask::Transact(unchanged.put(place.key(), settings));
            self.ask(purpose, alloc::vec![place], transact, out);
        }
        true
    }

    fn propose(&mut self, batch: Vec<Proposal>, command: Option<u64>, out: &mut Vec<Effect>) {
        let Some(coordinator) = &mut self.coordinator else {
            return;
        };
        let places: Vec<Place> = batch.iter().flat_map(Proposal::places).collect();
        coordinator.begin(&places);
        for proposal in &batch {
            announce(proposal, out);
        }
        let compared: Vec<Place> = [Place::Coordinator]
            .iter()
            .chain(&places)
            .copied()
            .collect();
        let unchanged = self.map.unchanged(&compared);
        let transact = |request| {
            let all = batch.into_iter();
            Ask::Transact(all.fold(unchanged, |t, proposal| write(t, proposal, request)))
        };
        self.ask(Purpose::Propose(command), places, transact, out);
    }

    /// An operator's command.
    pub(super) fn operate(&mut self, number: u64, command: Command, out: &mut Vec<Effect>) {
        let Some(coordinator) = &self.coordinator else {
            let holder = self.map.role().map(|role| role.holder.node);
            out.push(Effect::Operated(
                number,
                Err(Refusal::NotCoordinator(holder)),
            ));
            return;
        };
        match coordinator.operate(command, &self.map, &self.court, self.now_ms) {
            Ok(proposal) => self.propose(alloc::vec![proposal], Some(number), out),
            Err(refusal) => out.push(Effect::Operated(number, Err(refusal))),
        }
    }

    /// The map shows what became of these proposals.
    pub(super) fn after_proposals(
        &mut self,
        asked: &Asked,
        command: Option<u64>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.end(&asked.places);
        }
        // Do not wait for the next round: what follows from it may be urgent.
        self.reconcile_ms = self.now_ms;
        if let Some(number) = command {
            let mut places = asked.places.iter();
            let done = places.all(|&place| self.is_done(place, asked.request));
            let result = if done {
                Ok(())
            } else {
                Err(Refusal::Overtaken)
            };
            out.push(Effect::Operated(number, result));
        }
    }

    /// A record that the request removed is not there to tell.
    fn is_done(&self, place: Place, request: RequestId) -> bool {
        self.map.request_at(place).is_none_or(|at| at == request)
    }

    pub(super) fn resize_batches(&mut self, purpose: &Purpose, outcome: Outcome) {
        match purpose {
            Purpose::Publish => self.publisher.publications.learn(outcome),
            Purpose::Propose(_) => self.publisher.proposals.learn(outcome),
            Purpose::List | Purpose::Watch | Purpose::Register | Purpose::TakeRole => {}
        }
    }
}

fn announce(proposal: &Proposal, out: &mut Vec<Effect>) {
    let (shard, record, reason) = match proposal {
        Proposal::Shard(shard, record, reason) => (*shard, record, *reason),
        Proposal::Revival(shard, record, _, reason) => (*shard, record, *reason),
        Proposal::Acknowledgement(shard, epochs) => {
            let told = epochs.iter().map(|epoch| Event::Acknowledged {
                shard: *shard,
                epoch: *epoch,
            });
            return out.extend(told.map(Effect::Event));
        }
        Proposal::Node(..) | Proposal::Forget(_) => return,
    };
    let epoch = record.config.epoch();
    out.push(Effect::Event(Event::Decided {
        shard,
        epoch,
        reason,
    }));
}

fn write(transaction: Transaction, proposal: Proposal, request: RequestId) -> Transaction {
    match proposal {
        Proposal::Shard(shard, record, _) => {
            let record = ShardRecord { request, ..record };
            transaction.put(Place::Shard(shard).key(), record.encode())
        }
        Proposal::Revival(shard, record, loss, _) => {
            let place = Place::Loss(shard, loss.epoch);
            let loss = LossRecord { request, ..loss };
            let record = ShardRecord { request, ..record };
            let transaction = transaction.put(Place::Shard(shard).key(), record.encode());
            transaction.put(place.key(), loss.encode())
        }
        Proposal::Node(node, record) => {
            let record = NodeRecord { request, ..record };
            transaction.put(Place::Node(node).key(), record.encode())
        }
        Proposal::Forget(node) => transaction.remove(Place::Node(node).key()),
        Proposal::Acknowledgement(shard, epochs) => epochs.iter().fold(transaction, |t, epoch| {
            t.remove(Place::Loss(shard, *epoch).key())
        }),
    }
}
