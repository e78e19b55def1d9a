//! Telling clients of the forwarding port what is about to happen: `CLIENT MAINT_NOTIFICATIONS ON`.
//!
//! ```text
//!                        this node drains or leaves
//!   any stage ─────────────────────────────────────────► MOVING number seconds host:port
//!
//!           the primary of something leaves or drains, or another begins ─► MIGRATING number seconds slots
//!   Calm ◄──────────────────────────────────────────────► Migrating
//!     ▲      MIGRATED number slots ◄─ all is served, by nodes that stay
//!     │      the primary of something is not believed to live, or another begins in its stead ─► FAILING_OVER number seconds slots
//!     └─────────────────────────────────────────────────► FailingOver
//!            FAILED_OVER number slots ◄─ all is served, by nodes that are believed to live
//! ```
//!
//! `MOVING` is also told to who asks when the node is about to end already. It names the forwarding port of another node that stays: clients connect there, let what is under way end, and go on there. The
//! process waits for them, up to [`MOVE_WITHIN`]. Which node is chosen by the client's host, so that the clients of a node spread over
//! the others and the connections of one pool stay together. Who asked for no address (`moving-endpoint-type none`) gets none, and is expected
//! to connect anew to where it did before, after half of the time: through a name, or a balancer.
//!
//! The other four only ask for patience: the port itself answers all the while. Their slots are those that it was about when it began; clients
//! log them, and Lettuce complains of a push without them. The clients of a node that leaves are told nothing but
//! `MOVING`: the end of what began would reach nobody.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use command::{push_number, push_number_after, push_slots};
use model::topology::{Address, Outlook};
use model::{NodeId, Topology};
use resp::{Protocol, Reply};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// How long a port that is about to end waits for clients that were told to move.
pub const MOVE_WITHIN: Duration = Duration::from_secs(2);
/// For how long clients are to keep away from the node that they are told to leave: it may be back then.
const AWAY: Duration = Duration::from_secs(15);
/// How long clients are to be patient with what moves or fails over, if they are not told earlier that it has.
const PATIENCE: Duration = Duration::from_secs(10);
/// Notices that one client may be behind; who is further behind misses the oldest.
const KEPT: usize = 64;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// To go to one of these.
    Moving {
        /// Its number.
        number: u64,
        /// Ports of nodes that stay: at least one.
        to: Arc<[Address]>,
    },
    /// The same to all.
    Same(Arc<[u8]>),
}

/// Where the cluster is between two notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Calm,
    Migrating,
    FailingOver,
}

/// What is said when the cluster changes.
#[derive(Debug)]
pub struct Watcher {
    stage: Stage,
    /// The slots that the stage is about.
    slots: String,
    outlook: Outlook,
    number: u64,
}

/// Whether all slots are served, and by whom.
struct Sight {
    fails: bool,
    /// Somebody is not believed to live, whatever it led: another may begin in its stead before this node has found that out.
    lost: bool,
    moves: bool,
    whole: bool,
}

impl Sight {
    fn of(topology: &Topology) -> Self {
        let mut primaries = topology.ranges.iter().map(|range| range.primary);
        Self {
            fails: primaries.clone().any(|id| is_lost(topology, id)),
            lost: topology.nodes.iter().any(|node| is_lost(topology, node.id)),
            moves: primaries.any(|id| topology.outlook(id) != Outlook::Stays),
            whole: topology.is_whole(),
        }
    }
}

impl Watcher {
    /// Of a cluster in which nothing goes on.
    pub const fn new() -> Self {
        Self {
            stage: Stage::Calm,
            slots: String::new(),
            outlook: Outlook::Stays,
            number: 0,
        }
    }

    /// What is to be told now that the cluster is this.
    pub fn take(&mut self, topology: &Topology) -> Vec<Notice> {
        let before = std::mem::replace(&mut self.outlook, topology.outlook(topology.me));
        if self.outlook == Outlook::Stays {
            return self.take_stage(topology);
        }
        let to = destinations(topology);
        if before == self.outlook || to.is_empty() {
            return Vec::new();
        }
        let number = self.next_number(topology);
        vec![Notice::Moving {
            number,
            to: to.into(),
        }]
    }

    fn take_stage(&mut self, topology: &Topology) -> Vec<Notice> {
        let sight = Sight::of(topology);
        let mut told = Vec::new();
        let is_over = match self.stage {
            Stage::Calm => None,
            Stage::Migrating => {
                let fails = sight.fails || (sight.lost && !sight.whole);
                (fails || (!sight.moves && sight.whole)).then_some("MIGRATED")
            }
            Stage::FailingOver => (!sight.fails && sight.whole).then_some("FAILED_OVER"),
        };
        if let Some(name) = is_over {
            self.stage = Stage::Calm;
            told.push(self.same(name, None, topology));
        }
        if self.stage != Stage::Calm {
            return told;
        }
        let (next, name) = if sight.fails || (sight.lost && !sight.whole) {
            (Stage::FailingOver, "FAILING_OVER")
        } else if sight.moves || !sight.whole {
            (Stage::Migrating, "MIGRATING")
        } else {
            return told;
        };
        self.stage = next;
        self.slots = unsettled(topology, next);
        told.push(self.same(name, Some(PATIENCE), topology));
        told
    }

    fn same(&mut self, name: &str, within: Option<Duration>, topology: &Topology) -> Notice {
        let number = self.next_number(topology);
        let mut bytes = Vec::new();
        let mut reply = begin(&mut bytes, name, number, 3 + usize::from(within.is_some()));
        if let Some(within) = within {
            reply.integer(within.as_secs() as i64);
        }
        reply.bulk_str(&self.slots);
        Notice::Same(bytes.into())
    }

    fn next_number(&mut self, topology: &Topology) -> u64 {
        self.number = match self.number {
            0 => push_number(topology),
            last => push_number_after(last, topology),
        };
        self.number
    }
}

/// Is to stay, and is not believed to live.
fn is_lost(topology: &Topology, id: NodeId) -> bool {
    topology.outlook(id) == Outlook::Stays && topology.node(id).is_some_and(|node| !node.alive)
}

/// The slots that this stage is about as it begins.
fn unsettled(topology: &Topology, stage: Stage) -> String {
    let goes = |id| match stage {
        Stage::FailingOver => is_lost(topology, id),
        Stage::Calm | Stage::Migrating => topology.outlook(id) != Outlook::Stays,
    };
    let ranges = topology.ranges.iter();
    push_slots(ranges.filter(|range| !range.serving || goes(range.primary)))
}

/// Forwarding ports of other nodes that live and stay.
fn destinations(topology: &Topology) -> Vec<Address> {
    let nodes = topology.nodes.iter();
    let others = nodes.filter(|n| n.id != topology.me && n.alive && n.outlook == Outlook::Stays);
    others.filter_map(|node| node.forwarding.clone()).collect()
}

fn begin<'a>(bytes: &'a mut Vec<u8>, name: &str, number: u64, len: usize) -> Reply<'a> {
    let mut reply = Reply::new(bytes, Protocol::V3);
    reply.push(len);
    reply.bulk_str(name);
    reply.integer(number as i64);
    reply
}

/// Tells those who listen.
pub struct Herald {
    tell: broadcast::Sender<Notice>,
    topology: watch::Receiver<Arc<Topology>>,
    /// What whoever comes late is told first: that this node is about to end.
    last_call: Mutex<Option<Notice>>,
    listeners: Arc<AtomicUsize>,
}

/// One client that wants to be told.
pub struct Listener {
    first: Option<Notice>,
    notices: broadcast::Receiver<Notice>,
    listeners: Arc<AtomicUsize>,
    /// Chooses among the nodes to move to; `None`: it wants no address.
    choice: Option<u64>,
}

impl Herald {
    /// For the port of the node whose view of the cluster this is.
    pub fn new(topology: watch::Receiver<Arc<Topology>>) -> Self {
        Self {
            tell: broadcast::Sender::new(KEPT),
            topology,
            last_call: Mutex::default(),
            listeners: Arc::default(),
        }
    }

    /// The cluster, as the node beside knows it.
    pub fn topology(&self) -> watch::Receiver<Arc<Topology>> {
        self.topology.clone()
    }

    /// Tells, for ever: when nobody knows the cluster any more there is nothing to tell.
    pub async fn run(&self) -> ! {
        let (mut topology, mut watcher) = (self.topology.clone(), Watcher::new());
        while topology.changed().await.is_ok() {
            let now = Arc::clone(&topology.borrow_and_update());
            let leaves = now.outlook(now.me) == Outlook::Leaves;
            for notice in watcher.take(&now) {
                if leaves {
                    *self.last_call() = Some(notice.clone());
                }
                // That nobody listens is no error.
                let _ = self.tell.send(notice);
            }
        }
        std::future::pending().await
    }

    fn last_call(&self) -> MutexGuard<'_, Option<Notice>> {
        self.last_call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A client at this host that wants to be told from now on.
    pub fn listen(&self, host: Option<IpAddr>, wants_address: bool) -> Listener {
        let mut hasher = DefaultHasher::new();
        host.hash(&mut hasher);
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener {
            first: self.last_call().clone(),
            notices: self.tell.subscribe(),
            listeners: Arc::clone(&self.listeners),
            choice: wants_address.then(|| hasher.finish()),
        }
    }

    /// Whether somebody was told to move, or is about to be, and has not.
    pub fn is_waiting(&self) -> bool {
        let listens = self.listeners.load(Ordering::Relaxed) > 0;
        listens && !destinations(&self.topology.borrow()).is_empty()
    }

    /// Until when clients are waited for, if they are told to move now.
    pub fn deadline() -> Instant {
        Instant::now() + MOVE_WITHIN
    }
}

impl Listener {
    /// The bytes of the next notice that is there.
    pub fn try_next(&mut self) -> Option<Vec<u8>> {
        use broadcast::error::TryRecvError;
        if let Some(notice) = self.first.take() {
            return Some(self.bytes(&notice));
        }
        loop {
            match self.notices.try_recv() {
                Ok(notice) => return Some(self.bytes(&notice)),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// The bytes of the next notice, when it comes. It may be asked again and again, and nothing is lost if it is not waited for.
    pub async fn next(&mut self) -> Vec<u8> {
        use broadcast::error::RecvError;
        if let Some(notice) = self.first.take() {
            return self.bytes(&notice);
        }
        loop {
            match self.notices.recv().await {
                Ok(notice) => return self.bytes(&notice),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn bytes(&self, notice: &Notice) -> Vec<u8> {
        match notice {
            Notice::Same(bytes) => bytes.to_vec(),
            Notice::Moving { number, to } => {
                let mut bytes = Vec::new();
                let mut reply = begin(&mut bytes, "MOVING", *number, 4);
                match self.choice {
                    Some(choice) => {
                        let Address { host, port } = &to[(choice % to.len() as u64) as usize];
                        reply.integer(AWAY.as_secs() as i64);
                        reply.bulk_str(&format!("{host}:{port}"));
                    }
                    None => {
                        reply.integer(MOVE_WITHIN.as_secs() as i64);
                        reply.null();
                    }
                }
                bytes
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
