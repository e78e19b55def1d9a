//! The plane: this node's part in the cluster, beside its data path and on the same thread.
//!
//! ```text
//!   links ── heartbeats, reports ──► agent ──► links to keep, messages
//!     │                              │  ▲
//!     │                              ▼  │ answers (messages to this thread)
//!     │                    admin thread: metadata store
//!     └── messages of copies ──► node ◄── the map, whenever it changes
//! ```
//!
//! The agent lives in the node's loop because it is cheap (a tick is microseconds) and because its heartbeats shall say that this
//! loop turns: a node whose data path stands still for longer than [`cluster::timing::SUSPICION_MS`] serves nobody, and another that
//! leads its shards is what its clients need. What waits, the metadata store above all, happens on the admin thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster::agent::{Agent, AskId, Effect, Event, Input};
use cluster::coordinator::{Command, Refusal};
use cluster::message::Message;
use cluster::metadata::{Answer, Ask, Outcome};
use cluster::timing::{REPORT_MS, TICK_MS};
use model::{Member, NodeId, Now, ShardId, Topology};
use replica::How;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use crate::links::{Kind, Links};
use crate::outside::Outside;
use crate::survey::Survey;

/// How long a node that is told to end waits for others to lead what it leads.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// How long it goes on answering when they do, so that its clients hear from it where to go, rather than find their connections closed.
const LINGER: Duration = Duration::from_millis(300);

/// What became of an operator's command.
pub type Operated = Result<(), Refusal>;

/// How often what happened, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlaneStats {
    /// Others that this node held to be dead.
    pub convictions: u64,
    /// Configurations that it proposed as coordinator.
    pub decisions: u64,
    /// Times that it became coordinator.
    pub terms: u64,
    /// Times that its own loop stood still.
    pub stalls: u64,
    /// Copies of its own that were filled from a snapshot, and such as were mended instead.
    pub filled: u64,
    pub mended: u64,
    /// Times that a copy was told in one batch what it had missed, from the primary's log.
    pub leapt: u64,
    /// Copies on this node that took back what they had set aside.
    pub taken_back: u64,
    /// Questions that the metadata store's side had no room for.
    pub dropped_asks: u64,
}

/// See the module.
pub struct Plane {
    pub agent: Agent,
    pub links: Links,
    name: String,
    asks: mpsc::Sender<(AskId, Ask)>,
    effects: Vec<Effect>,
    /// [`cluster::map::ClusterMap::digest`] of the map that the node was given.
    map: Option<u64>,
    tick_us: u64,
    heard_us: u64,
    copies_us: u64,
    operators: BTreeMap<u64, oneshot::Sender<Operated>>,
    next_operator: u64,
    /// When this node ends: whether others lead what it leads or not, or, once they do, when its clients had time to hear so.
    leaving_until: Option<Duration>,
    /// Others lead what this node led.
    is_relieved: bool,
    /// What clients are told of the cluster.
    pub outside: Outside,
    pub stats: PlaneStats,
}

impl Plane {
    pub fn new(
        agent: Agent,
        links: Links,
        name: String,
        asks: mpsc::Sender<(AskId, Ask)>,
        outside: Outside,
    ) -> Self {
        Self {
            agent,
            links,
            name,
            asks,
            effects: Vec::new(),
            map: None,
            tick_us: 0,
            heard_us: 0,
            copies_us: 0,
            operators: BTreeMap::new(),
            next_operator: 1,
            leaving_until: None,
            is_relieved: false,
            outside,
            stats: PlaneStats::default(),
        }
    }

    /// Hands the agent something, and does what it asks for.
    pub fn handle(&mut self, now: Now, input: Input) {
        if let Input::Answered(id, answer) = &input {
            debug!(
                ask = id.0,
                answer = answer_name(answer),
                "the metadata store answers"
            );
        }
        if let Input::Recovered(shard, epoch) = &input {
            debug!(shard = shard.0, epoch, "a shard is recovered");
        }
        self.agent.handle(now, input, &mut self.effects);
        for effect in std::mem::take(&mut self.effects) {
            self.carry_out(effect, now.mono_us);
        }
    }

    /// A copy of this node has everything that it lacked.
    pub fn note_whole(&mut self, shard: ShardId, how: How) {
        info!(shard = shard.0, ?how, "a copy is whole");
        match how {
            How::Filled => self.stats.filled += 1,
            How::Mended => self.stats.mended += 1,
            How::Leapt => self.stats.leapt += 1,
            How::TakenBack => self.stats.taken_back += 1,
        }
    }

    fn carry_out(&mut self, effect: Effect, now_us: u64) {
        match effect {
            Effect::Send(to, message) => {
                self.links.send(to, Kind::Agent, &message.encode(), now_us);
            }
            Effect::Ask(id, ask) => {
                debug!(
                    ask = id.0,
                    what = ask_name(&ask),
                    "asking the metadata store"
                );
                // The agent asks again what is not answered.
                self.stats.dropped_asks += u64::from(self.asks.try_send((id, ask)).is_err());
            }
            Effect::Links(nodes) => {
                let addresses = nodes
                    .iter()
                    .filter_map(|&node| Some((node, self.address(node)?)));
                let addresses = addresses.collect();
                self.links.want(&addresses, now_us);
            }
            // The node is given the map as a whole, after each change.
            Effect::ShardChanged(_) => {}
            Effect::Event(event) => self.note(event),
            Effect::Operated(number, result) => {
                if let Some(operator) = self.operators.remove(&number) {
                    // Whoever asked may have given up.
                    let _ = operator.send(result);
                }
            }
        }
    }

    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        let record = self.agent.map().nodes().get(&node)?;
        let address = record.addresses.peer.parse();
        if address.is_err() {
            warn!(
                node = node.0,
                address = record.addresses.peer,
                "a node's address in the map is none"
            );
        }
        address.ok()
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::TookRole { term } => {
                self.stats.terms += 1;
                info!(term, "this node coordinates the cluster");
            }
            Event::LostRole => info!("this node does not coordinate the cluster any more"),
            Event::Convicted(node) => {
                self.stats.convictions += 1;
                warn!(
                    node = node.0,
                    "a node does not answer: it is held to be dead"
                );
            }
            Event::Braked => warn!(
                "many nodes at once do not answer: asking them directly before anything follows from it"
            ),
            Event::Decided {
                shard,
                epoch,
                reason,
            } => {
                self.stats.decisions += 1;
                info!(
                    shard = shard.0,
                    epoch,
                    ?reason,
                    "a shard gets another configuration"
                );
            }
            Event::Acknowledged { shard, epoch } => info!(
                shard = shard.0,
                epoch,
                "an operator has seen what a recovery may have lost: the cluster map does not say so any more"
            ),
            Event::StoodStill { for_ms } => {
                self.stats.stalls += 1;
                warn!(for_ms, "this node itself stood still");
            }
            Event::Superseded => {
                error!(
                    "another process has taken this node's number: this one serves nothing any more; stop one of the two, and start it with a number (--node) and a directory (--dir) of its own"
                );
            }
            Event::WentBack => {
                error!(
                    "the metadata store shows less than it did: it has lost the cluster map, or was restored from a backup; shards are served on, and the map is made good from what the nodes know"
                );
            }
            Event::Full => {
                error!("the cluster map has no room for this node: forget nodes that are gone")
            }
        }
    }

    /// The number of the map, if it is another than the node was given: then it shall be given this one.
    pub fn take_map_change(&mut self) -> bool {
        let digest = Some(self.agent.map().digest());
        let changed = self.map != digest;
        self.map = digest;
        changed
    }

    /// Whether the agent is to be called. Says so once each [`TICK_MS`].
    pub fn is_tick_due(&mut self, now_us: u64) -> bool {
        let due = now_us >= self.tick_us;
        if due {
            self.tick_us = now_us + TICK_MS * 1_000;
        }
        due
    }

    /// From whom something has come since this was last asked.
    pub fn take_heard(&mut self, now_us: u64) -> Vec<(Member, u64)> {
        let since_us = std::mem::replace(&mut self.heard_us, now_us);
        self.links.heard_since(since_us)
    }

    /// Whether the agent is to be told of the copies: twice for each of its reports.
    pub fn are_copies_due(&mut self, now_us: u64) -> bool {
        let due = now_us >= self.copies_us;
        if due {
            self.copies_us = now_us + REPORT_MS * 1_000 / 2;
        }
        due
    }

    /// When the agent is to be called next, in microseconds of the monotonic clock.
    pub const fn next_tick_us(&self) -> u64 {
        self.tick_us
    }

    /// What clients are told of the cluster, if it is another than they were told before.
    pub fn take_told(&mut self) -> Option<Arc<Topology>> {
        let leaving = self.leaving_until.is_some();
        self.outside.take_change(&self.agent, leaving)
    }

    /// An operator's command, and where its answer goes.
    pub fn operate(&mut self, now: Now, command: Command, answer: oneshot::Sender<Operated>) {
        let number = self.next_operator;
        self.next_operator += 1;
        self.operators.retain(|_, operator| !operator.is_closed());
        self.operators.insert(number, answer);
        self.handle(now, Input::Operate(number, command));
    }

    /// What an operator sees of the cluster.
    pub fn survey(&self) -> Survey {
        Survey::of(&self.name, &self.agent, &self.links)
    }

    /// Has others lead what this node leads.
    pub fn leave(&mut self, now: Now, elapsed: Duration) {
        self.is_relieved = !self.agent.is_needed();
        let wait = if self.is_relieved {
            Duration::ZERO
        } else {
            LEAVE_LIMIT
        };
        self.leaving_until = Some(elapsed + wait);
        self.handle(now, Input::Leave);
    }

    /// Whether this node wanted to leave and can, or has waited long enough.
    pub fn has_left(&mut self, elapsed: Duration) -> bool {
        let Some(until) = self.leaving_until else {
            return false;
        };
        if !self.is_relieved && !self.agent.is_needed() {
            self.is_relieved = true;
            self.leaving_until = Some(until.min(elapsed + LINGER));
        }
        self.leaving_until.is_some_and(|until| elapsed >= until)
    }

    /// Ends the links. What clients are told of the cluster stays.
    pub fn into_outside(self) -> Outside {
        self.outside
    }
}

/// For logs.
fn ask_name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Transact(_) => "transact",
        Ask::List => "list",
        Ask::Watch(_) => "watch",
    }
}

/// For logs.
fn answer_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Transacted(Outcome::Committed(_)) => "committed",
        Answer::Transacted(Outcome::Conflict) => "conflict",
        Answer::Transacted(Outcome::Unknown) => "unknown",
        Answer::Listed(Some(_)) => "listed",
        Answer::Listed(None) => "not listed",
        Answer::Changed(_) => "changed",
        Answer::WatchLost => "watch lost",
    }
}

/// An agent's message, if these bytes are one.
pub fn message(from: NodeId, bytes: &[u8]) -> Option<Input> {
    match Message::decode(bytes) {
        Ok(message) => Some(Input::Message(from, message)),
        Err(damage) => {
            warn!(
                node = from.0,
                ?damage,
                "a message of another node cannot be understood"
            );
            None
        }
    }
}
