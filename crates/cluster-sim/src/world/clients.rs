//! Clients: one request at a time each, to whoever they take for the primary, and no patience for ever.

use std::collections::BTreeMap;

use model::{Phase, Position};

use crate::history::{Ask, Request, Told};
use crate::plan::Plan;
use crate::rare::Rare;
use crate::state::Key;

use super::{Event, World};

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    /// Whom it asks, by shard.
    nodes: Vec<usize>,
    waits_for: Option<usize>,
    /// The versions that it knows of.
    seen: BTreeMap<(usize, Key), Option<Position>>,
}

impl Client {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            nodes: (0..usize::from(plan.shards))
                .map(|s| s % plan.nodes)
                .collect(),
            waits_for: None,
            seen: BTreeMap::new(),
        }
    }
}

impl World {
    pub(crate) fn on_turn(&mut self, client: usize, request: Option<usize>) {
        if self.clients[client].waits_for != request || (self.quiet && request.is_none()) {
            return;
        }
        let number = request.unwrap_or_else(|| self.new_request(client));
        let shard = self.requests[number].shard;
        let node = self.clients[client].nodes[shard];
        let late = self.delay(node, node);
        let event = Event::Ask {
            node,
            request: number,
        };
        if self.healed_us.is_some() || !self.chance.network.chance(self.plan.loss) {
            self.plan_in(late, event);
        }
    }

    fn new_request(&mut self, client: usize) -> usize {
        let random = &mut self.chance.clients;
        let shard = random.index(self.ledgers.len());
        let key = random.below(u64::from(self.plan.keys)) as Key;
        let number = self.requests.len();
        let known = self.clients[client].seen.get(&(shard, key)).copied();
        let ask = match (random.below(8), known) {
            (0..=2, _) => Ask::Get,
            (3, _) => Ask::Delete,
            (4 | 5, Some(version)) => Ask::CompareAndSet(version, number as u64),
            (_, _) => Ask::Put(number as u64),
        };
        self.requests.push(Request {
            shard,
            key,
            ask,
            sent_us: self.time_us,
            answer: None,
        });
        self.owners.push(client);
        self.clients[client].waits_for = Some(number);
        self.plan_in(
            self.plan.patience_us,
            Event::Impatient {
                client,
                request: number,
            },
        );
        number
    }

    pub(crate) fn on_answer(&mut self, request: usize, told: Option<(Told, u64)>) {
        let client = self.owners[request];
        if self.clients[client].waits_for != Some(request) {
            return;
        }
        let (shard, key) = (self.requests[request].shard, self.requests[request].key);
        let Some((told, time_ms)) = told else {
            self.ask_another(client, shard);
            let soon = 500 + self.chance.clients.below(5_000);
            let again = Event::Turn {
                client,
                request: Some(request),
            };
            return self.plan_in(soon, again);
        };
        let version = match (told, self.requests[request].ask) {
            (Told::Done(_), Ask::Delete) => None,
            (Told::Done(at), Ask::Put(_) | Ask::CompareAndSet(..) | Ask::Get) => Some(at),
            (Told::Found(found), _) => found,
        };
        self.requests[request].answer = Some((self.time_us, told, time_ms));
        let client_state = &mut self.clients[client];
        client_state.seen.insert((shard, key), version);
        client_state.waits_for = None;
        self.think(client);
    }

    fn think(&mut self, client: usize) {
        let late = 1 + self.chance.clients.below(self.plan.think_us);
        let next = Event::Turn {
            client,
            request: None,
        };
        self.plan_in(late, next);
    }

    pub(crate) fn on_impatient(&mut self, client: usize, request: usize) {
        if self.clients[client].waits_for != Some(request) {
            return;
        }
        if self.requests[request].ask != Ask::Get {
            self.note_rare(Rare::Indeterminate);
        }
        self.clients[client].waits_for = None;
        let shard = self.requests[request].shard;
        self.ask_another(client, shard);
        self.think(client);
    }

    fn ask_another(&mut self, client: usize, shard: usize) {
        let record = &self.metadata.records[shard];
        let known = record.phase() == Phase::Serving && self.chance.clients.chance(8_000);
        self.clients[client].nodes[shard] = if known {
            record.primary().node.0 as usize
        } else {
            self.chance.clients.index(self.nodes.len())
        };
    }
}
