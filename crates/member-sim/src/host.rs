//! A machine with one member of the cluster: its clocks, its data directory, and its process, if that runs.
//!
//! Which life a start goes on with is decided as the server decides it (`server::identity`): what a process that died had written is there;
//! after a loss of power only with `sync = always`; and any damage begins a new one. What a life that is over has left stays there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::agent::{self, Agent, Effect};
use cluster::record::Addresses;
use command::Settings as CommandSettings;
use model::{ConnectionId, Incarnation, Member, NodeId, Now, Position, ShardId, Zone};
use node::{CopyId, Input, Membership, Node, Noted, Outbox, RestoredCopy};
use shard::{Guard, ShardSettings};
use sim::disk::Crash;
use sim::random::Random;
use store::{LogPoint, SyncMode};

use crate::clock::Clock;
use crate::pages::UsedPages;
use crate::plan::Plan;
use crate::rare::{Counts, Rare};
use crate::record::LOCK_SUFFIX;
use crate::storage::Storage;
use crate::world::Arrival;

/// Bytes that all copies of a node may keep in memory: more than any run writes.
const MEMORY_BYTES: usize = 64 << 20;
/// Port that clients know a node by; its name is its number.
const PORT: u16 = 6379;

/// The connection of a client: whose, and which of his.
pub type Line = (usize, u64);

/// A process: a node and its agent, with what the server keeps beside them.
pub struct Process {
    /// The data path.
    pub node: Node,
    /// The control plane.
    pub agent: Agent,
    /// What the node wants done.
    pub outbox: Outbox,
    /// What the agent wants done.
    pub effects: Vec<Effect>,
    /// [`cluster::map::ClusterMap::digest`] of the map that the node was given.
    pub map: Option<u64>,
    /// When the agent is called next, and when it is told of the copies, by the machine's monotonic clock.
    pub tick_us: u64,
    /// See `tick_us`.
    pub copies_us: u64,
    /// Whom it keeps links with.
    pub links: BTreeSet<NodeId>,
    /// From whom something has come since the last tick, and when.
    pub heard: BTreeMap<NodeId, (Member, u64)>,
    /// Its clients, both ways.
    pub lines: BTreeMap<Line, ConnectionId>,
    /// See `lines`.
    pub connections: BTreeMap<ConnectionId, Line>,
    /// When it ends at the latest, if it is about to, in the time of the world.
    pub leave_by_us: Option<u64>,
    /// Others lead what it led.
    pub is_relieved: bool,
    /// In which epochs it was seen to serve.
    pub served: BTreeMap<ShardId, u32>,
}

impl Process {
    fn given_up(&self, shard: ShardId) -> Option<Position> {
        let mut shards = self.node.shards();
        let (_, data) = shards.find(|(id, _)| *id == shard)?;
        data.replica().vows().discarded
    }
}

/// See the module.
pub struct Host {
    /// The node in this life.
    pub member: Member,
    /// The clocks.
    pub clock: Clock,
    /// The data directory; unused where there are no disks.
    pub storage: Storage,
    /// The process.
    pub process: Option<Process>,
    /// Counts its starts: what was meant for an earlier one does not reach a later one.
    pub run: u64,
    /// Until when it stands still, in the time of the world.
    pub paused_until_us: u64,
    /// What has come meanwhile.
    pub(crate) held: VecDeque<Arrival>,
    /// The next turn that is due, and the next look at the disk; `u64::MAX` for none.
    pub turn_us: u64,
    /// A later turn that is in the queue as well.
    pub later_us: u64,
    /// See `turn_us`.
    pub disk_us: u64,
    /// Turns in a row after which a copy wanted another at once.
    pub spins: u32,
    lives: u32,
    /// Of each copy, since when everything was synced that had been appended by then.
    synced: BTreeMap<CopyId, Synced>,
    /// What it had given up when its process ended.
    given_up: BTreeMap<ShardId, Position>,
    /// How the last process ended; `None`: with nothing to be lost.
    crashed: Option<Crash>,
    /// Its disk was lost as well, with all that was on it.
    is_diskless: bool,
    terms: Membership,
    settings: cluster::record::Settings,
    random: Random,
}

/// What was appended to the log of a copy by some time, and what is known to be synced.
struct Synced {
    /// Looked at when, and what had been appended by then; `None`: nothing since it was last known to be synced.
    looked: Option<(u64, LogPoint)>,
    /// All that was appended before this is synced.
    since_us: u64,
}

/// What a start was like.
pub enum Started {
    /// As the member that it was.
    Again,
    /// As a new one.
    Anew,
}

/// Keys that one client alone knows refuse writes for so long when they are gone; others are guarded by locks.
fn guards(for_ms: u64) -> Vec<Guard> {
    let guard = |prefix: &str, lock_suffix: Option<&str>| Guard {
        prefix: prefix.into(),
        no_resurrection_ms: Some(for_ms).filter(|ms| *ms > 0 && lock_suffix.is_none()),
        lock_suffix: lock_suffix.map(Into::into),
    };
    vec![
        guard("own:", None),
        guard("mortal:", None),
        guard("locked:", Some(LOCK_SUFFIX)),
    ]
}

impl Host {
    /// A machine that has never run.
    #[must_use]
    pub fn new(plan: &Plan, number: u32) -> Self {
        let mut random = Random::new(plan.seed ^ u64::from(number) << 40, "host");
        let ahead_ms = random.between(0, 2 * plan.skew_ms) as i64 - plan.skew_ms as i64;
        let (most_ppm, drawn_ppm) = (plan.rate_ppm as i64, random.between(0, 2 * plan.rate_ppm));
        let rate_ppm = *random.pick(&[-most_ppm, most_ppm, drawn_ppm as i64 - most_ppm]);
        let clock = Clock::new(random.below(10_000_000), rate_ppm, ahead_ms);
        let terms = Membership {
            me: nobody(number),
            replica: plan.replica,
            memory_bytes: MEMORY_BYTES,
            sync: plan.files.unwrap_or(SyncMode::None),
            directory: plan.files.map(|_| u64::from(number) + 1),
            pages: || Box::new(UsedPages),
            shard: ShardSettings {
                max_value_bytes: plan.max_value_bytes,
                part_bytes: plan.part_bytes,
                guards: guards(plan.guard_ms),
                ..ShardSettings::default()
            },
            // The cluster's, so that a walk over keys goes on anywhere.
            seed: Random::new(plan.seed, "cluster").bits(),
        };
        let segment_bytes = terms.tuning().segment_bytes;
        let storage = Random::new(random.bits(), "storage");
        Self {
            member: nobody(number),
            clock,
            storage: Storage::new(segment_bytes, plan.disk_us, storage),
            process: None,
            run: 0,
            paused_until_us: 0,
            held: VecDeque::new(),
            turn_us: u64::MAX,
            later_us: u64::MAX,
            disk_us: u64::MAX,
            spins: 0,
            lives: 0,
            synced: BTreeMap::new(),
            given_up: BTreeMap::new(),
            crashed: None,
            is_diskless: false,
            terms,
            settings: plan.settings,
            random,
        }
    }

    /// What its clocks show.
    #[must_use]
    pub const fn now(&self, at_us: u64) -> Now {
        self.clock.now(at_us)
    }

    /// Whether its process runs, standing still or not.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it keeps what it has when its process ends like this.
    #[must_use]
    pub fn survives(&self, how: Crash) -> bool {
        match (self.terms.directory, how) {
            (None, _) => false,
            // A node that finds damage begins a new life.
            (Some(_), _) if self.storage.is_suspect() || self.is_diskless => false,
            (Some(_), Crash::Process) => true,
            (Some(_), Crash::Power) => self.terms.sync == SyncMode::Always,
        }
    }

    /// Whether the member is, or will be again, what it was: it runs, or has ended so that it keeps what it has.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_up() || self.survives(self.crashed.unwrap_or(Crash::Process))
    }

    /// What this member has given up of a shard: it testifies to it, and has it no more.
    #[must_use]
    pub fn given_up(&self, shard: ShardId) -> Option<Position> {
        match &self.process {
            Some(process) => process.given_up(shard),
            None => self.given_up.get(&shard).copied(),
        }
    }

    fn note_given_up(&mut self) {
        let process = self.process.iter();
        let shards = process.clone().flat_map(|p| p.node.shards());
        let shards: Vec<ShardId> = shards.map(|(shard, _)| shard).collect();
        let given_up = shards.into_iter().filter_map(|shard| {
            let position = self.given_up(shard)?;
            Some((shard, position))
        });
        self.given_up = given_up.collect();
    }

    /// What the disk has done by now, for the node to hear of, one after the other; `None` when that is all.
    pub fn next_done(&mut self, at_us: u64) -> Option<Input<'static>> {
        let done = self.storage.next_done(at_us);
        done.or_else(|| {
            let now = self.now(at_us);
            self.storage.next_read(&self.terms, now, at_us)
        })
    }

    /// Looks at what is synced by now.
    pub fn look_at_sync(&mut self, at_us: u64) {
        let Some(process) = &self.process else {
            return;
        };
        let ids = process.node.copy_ids();
        self.synced.retain(|copy, _| ids.contains(copy));
        for (copy, (_, shard)) in ids.into_iter().zip(process.node.shards()) {
            let (store, new) = (shard.store(), Synced::at(at_us));
            self.synced
                .entry(copy)
                .or_insert(new)
                .look(at_us, store.appended(), store.synced());
        }
    }

    /// Everything that was acknowledged before this, this machine has synced as far as it has it.
    #[must_use]
    pub fn synced_us(&self, at_us: u64) -> u64 {
        let copies = self.synced.values().map(|synced| synced.since_us);
        copies.min().unwrap_or(at_us)
    }

    /// Whether a loss of power leaves enough of this copy for the shard to be recovered from.
    #[must_use]
    pub fn leaves(&mut self, shard: ShardId, at_us: u64) -> bool {
        let Some(process) = &self.process else {
            return false;
        };
        let copies = process.node.copy_ids().into_iter();
        let mut copies = copies.zip(process.node.shards());
        let Some((copy, _)) = copies.find(|(_, (id, _))| *id == shard) else {
            return false;
        };
        let whose = self.member.incarnation;
        self.storage.is_whole_without_power(copy, whose, at_us) && !self.storage.is_suspect()
    }

    /// The process ends.
    pub fn crash(&mut self, how: Crash, at_us: u64) {
        self.note_given_up();
        self.process = None;
        self.held.clear();
        self.paused_until_us = 0;
        self.crashed = Some(how);
        self.storage.crash(how, at_us);
        if how == Crash::Power {
            self.clock.boot(at_us);
        }
    }

    /// The process has ended, and its disk is lost with it: another takes its place.
    pub fn lose_disk(&mut self) {
        self.storage.replace();
        self.given_up.clear();
        self.synced.clear();
        self.is_diskless = true;
    }

    /// The process has ended as it should.
    pub fn rest(&mut self) {
        self.note_given_up();
        self.process = None;
        self.held.clear();
        self.crashed = None;
    }

    /// Starts the process, with what the data directory has.
    ///
    /// # Errors
    /// Something is damaged, and no fault explains it.
    pub fn start(&mut self, at_us: u64, counts: &mut Counts) -> Result<Started, String> {
        let has_files = self.terms.directory.is_some();
        let goes_on = match self.crashed {
            None | Some(Crash::Process) => has_files,
            Some(Crash::Power) => self.terms.sync == SyncMode::Always,
        };
        let goes_on = goes_on && !std::mem::take(&mut self.is_diskless);
        self.terms.me = self.member;
        let copies = if has_files && self.lives > 0 {
            self.storage.restore(&self.terms, self.now(at_us))
        } else {
            Vec::new()
        };
        let is_damaged = copies.iter().any(|(copy, is_whole)| {
            let note = Noted::read(&copy.note);
            !is_whole && note.is_some_and(|note| note.life == self.member.incarnation)
        });
        let is_hollow = copies
            .iter()
            .any(|(copy, is_whole)| !is_whole && !copy.damaged);
        let goes_on = goes_on && self.lives > 0;
        let without_power = self.crashed == Some(Crash::Power);
        let is_explained = self.storage.is_suspect() || (without_power && is_hollow);
        if goes_on && is_damaged && !is_explained {
            return Err(format!("node {} is damaged", self.member.node.0));
        }
        if goes_on && is_damaged {
            counts.note(Rare::RestartDamaged);
        }
        if is_hollow {
            counts.note(Rare::Hollow);
        }
        let copies = copies.into_iter().map(|(copy, _)| copy).collect();
        let started = if goes_on && !is_damaged {
            Started::Again
        } else {
            self.begin_life();
            Started::Anew
        };
        self.begin(copies, at_us);
        Ok(started)
    }

    fn begin_life(&mut self) {
        self.storage.trust();
        self.lives += 1;
        let life = u128::from(self.member.node.0 + 1) << 96 | u128::from(self.lives) << 64;
        self.member.incarnation = Incarnation(life);
        self.terms.me = self.member;
    }

    fn begin(&mut self, copies: Vec<RestoredCopy>, at_us: u64) {
        self.run += 1;
        // What was appended counts from another point now.
        for synced in self.synced.values_mut() {
            synced.looked = None;
        }
        (self.turn_us, self.disk_us) = (u64::MAX, u64::MAX);
        let now = self.now(at_us);
        let identity = agent::Identity {
            me: self.member,
            process: u64::from(self.member.node.0),
            zone: Zone(0),
            addresses: Addresses {
                client: format!("{}:{PORT}", self.member.node.0),
                peer: format!("{}:16379", self.member.node.0),
                ..Addresses::default()
            },
            settings: self.settings,
        };
        let secret = std::array::from_fn(|_| self.random.below(256) as u8);
        let settings = CommandSettings::default();
        self.process = Some(Process {
            node: Node::new_member(self.terms.clone(), copies, settings, secret, now),
            agent: Agent::new(identity, now),
            outbox: Outbox::default(),
            effects: Vec::new(),
            map: None,
            tick_us: 0,
            copies_us: 0,
            links: BTreeSet::new(),
            heard: BTreeMap::new(),
            lines: BTreeMap::new(),
            connections: BTreeMap::new(),
            leave_by_us: None,
            is_relieved: false,
            served: BTreeMap::new(),
        });
    }
}

impl Synced {
    const fn at(at_us: u64) -> Self {
        Self {
            looked: None,
            since_us: at_us,
        }
    }

    fn look(&mut self, at_us: u64, appended: LogPoint, synced: LogPoint) {
        if let Some((looked_us, _)) = self.looked.take_if(|(_, point)| *point <= synced) {
            self.since_us = looked_us;
        }
        if appended <= synced {
            (self.since_us, self.looked) = (at_us, None);
        } else {
            self.looked.get_or_insert((at_us, appended));
        }
    }
}

/// The node, before its first life.
const fn nobody(number: u32) -> Member {
    Member {
        node: NodeId(number),
        incarnation: Incarnation(0),
    }
}

/// The node that an address of a redirection names.
#[must_use]
pub fn node_at(address: &str) -> Option<u32> {
    address.strip_suffix(&format!(":{PORT}"))?.parse().ok()
}
