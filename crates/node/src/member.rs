//! A node of a cluster: many copies of shards, each with a store and a replica of its own.
//!
//! ```text
//!   Map ───► which copies, which configuration ──► replica ──► Outbox::peers, Outbox::recovered
//!   Peer ──────────────────────────────────────────►│  ▲
//!   commands ─► slot ─► copy ─► shard ─► store ─► propose │
//!                        disk tasks ◄──┘ └── persisted ──┘
//! ```
//!
//! `docs/replication.md`, "In the server".

mod aim;
mod copies;
mod map;
mod note;
mod run;
mod status;
mod turn;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use cluster::map::ClusterMap;
use cluster::message::{Relic, Resigned};
use cluster::view;
use command::{Other, Settings};
use model::{ConnectionId, NodeId, Now, Position, ShardConfig, ShardId};
use replica::{How, Ticket};
use shard::{Shard, ShardSettings};
use store::{
    DiskError, DiskEvent, DiskOp, LogPoint, Pages, Store, StoreConfig, SyncMode, Tuning, Usage,
};

use crate::{Input, Node};
use aim::Route;
pub use note::Noted;

/// Names a copy within its node, and its folder in the data directory. A copy that is filled anew is another one: a number is not
/// given twice in the life of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(pub u32);

impl CopyId {
    /// The only one of a node that is no member of a cluster; its files are those of the data directory itself.
    pub const ALONE: Self = Self(0);
}

/// What the disk shall do to a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskTask {
    /// Whose files it is about.
    pub copy: CopyId,
    /// What.
    pub op: DiskOp,
}

impl DiskTask {
    /// That it is done, and how it ended.
    #[must_use]
    pub const fn done(self, result: Result<(), DiskError>) -> Input<'static> {
        Input::Disk {
            copy: self.copy,
            event: DiskEvent {
                op: self.op,
                result,
            },
        }
    }
}

/// What the disk shall do to the folder of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTask {
    /// Make the folder if it is not there, replace its note by this text, and say [`crate::Input::Kept`]. Within a second it must
    /// survive a loss of power; until then the one of before is left, if it does not.
    Keep {
        /// Whose.
        copy: CopyId,
        /// To be said when it is done.
        ticket: u64,
        /// The note: what a restart must know of the copy.
        note: Vec<u8>,
        /// It must survive a loss of power before it is said to be kept.
        at_once: bool,
    },
    /// Delete the folder and all that is in it, when everything that was asked before is done. Nothing is said.
    Remove {
        /// Whose.
        copy: CopyId,
    },
}

/// What makes a node a member of a cluster.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The node, in this life.
    pub me: model::Member,
    /// How copies are kept together; the same in the whole cluster.
    pub replica: replica::Settings,
    /// Bytes that all copies together may keep resident.
    pub memory_bytes: usize,
    /// When a batch counts as persisted.
    pub sync: SyncMode,
    /// Which data directory segments belong to; `None`: memory is all there is, and [`crate::Outbox::disk`] and
    /// [`crate::Outbox::files`] may be answered without doing anything.
    pub directory: Option<u64>,
    /// Gives each new store its memory.
    pub pages: fn() -> Box<dyn Pages>,
    /// What an operator may set; each copy has its own hash secret, derived from this one's.
    pub shard: ShardSettings,
    /// Secret of the indexes' hashes: the same for all members of a cluster, so that a cursor of `SCAN` means the same to all copies.
    pub seed: u64,
}

/// A copy that was found in the data directory, of this life of the node or an earlier one.
pub struct RestoredCopy {
    /// Its folder.
    pub copy: CopyId,
    /// Its note, as [`FileTask::Keep`] had it.
    pub note: Vec<u8>,
    /// Its segments.
    pub store: Store,
    /// Something in them is lost that was there. Then it is of an earlier life: the one that had it is over.
    pub damaged: bool,
}

impl fmt::Debug for RestoredCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, to {:?}", self.copy, self.store.newest())
    }
}

/// One copy, besides its shard.
struct Copy {
    id: CopyId,
    /// The latest configuration that it was told of, and whether it has given up leading in it.
    config: Option<ShardConfig>,
    resigned: Resigned,
    /// Vows that are being written: the ticket of the task, and that of the replica.
    saving: VecDeque<(u64, Ticket)>,
    /// What was committed when its status was last told, what was written up to then, and when that was.
    told: Told,
    /// Set until it is a member of this life of the node: an earlier one has left it.
    relic: Option<Relic>,
    /// What it had before it was given up, set aside until it is whole again.
    aside: Option<CopyId>,
    /// Whether its note says that it is being filled or mended.
    given_up: bool,
    /// Set if it was, and what made it whole is not synced up to there.
    unsynced: Option<LogPoint>,
    /// The configuration that its note has.
    noted: Option<ShardConfig>,
    /// The first and the last slot of its shard, as the map had them last.
    slots: Option<(u16, u16)>,
}

/// What was true when the status of a copy was last told.
#[derive(Clone, Copy, Default)]
struct Told {
    committed: Position,
    last: Position,
    at_us: u64,
    writes_per_s: u32,
}

/// What a member of a cluster has besides what any node has.
///
/// Invariants: `shards` and `copies` have the same length and belong together by place; numbers ascend.
pub(crate) struct Cluster {
    terms: Membership,
    map: Arc<ClusterMap>,
    route: Route,
    shards: Vec<Other>,
    copies: Vec<Copy>,
    next_copy: u32,
    next_ticket: u64,
    /// What goes out at the end of the input that caused it.
    out: Sent,
    /// Connections whose command waits for a copy, in the order in which they came.
    waiting: Vec<ConnectionId>,
    /// Something has happened that they may have waited for.
    stirred: bool,
    /// When they are looked at anyway, by the monotonic clock.
    look_us: u64,
    /// Whose turn of maintenance it is.
    turn: usize,
    /// When memory was last divided.
    divided_us: u64,
    /// Until when the disk is held to take no more of the log.
    disk_fails_until_us: u64,
}

#[derive(Default)]
struct Sent {
    peers: Vec<(NodeId, Vec<u8>)>,
    recovered: Vec<(ShardId, u32)>,
    whole: Vec<(ShardId, How)>,
    files: Vec<FileTask>,
    restore: Vec<CopyId>,
}

impl Cluster {
    fn new(mut terms: Membership) -> Self {
        terms.replica.sets_aside = terms.directory.is_some();
        Self {
            terms,
            map: Arc::default(),
            route: Route::default(),
            shards: Vec::new(),
            copies: Vec::new(),
            next_copy: 1,
            next_ticket: 1,
            out: Sent::default(),
            waiting: Vec::new(),
            stirred: false,
            look_us: 0,
            turn: 0,
            divided_us: 0,
            disk_fails_until_us: 0,
        }
    }

    /// Where a shard's copy is.
    fn place(&self, shard: ShardId) -> Option<usize> {
        self.shards
            .binary_search_by_key(&shard.0, |other| other.number)
            .ok()
    }

    fn place_of(&self, copy: CopyId) -> Option<usize> {
        self.copies.iter().position(|c| c.id == copy)
    }

    /// Up to where a copy is committed; a copy that is gone commits nothing more.
    pub(crate) fn committed(&self, copy: CopyId) -> Position {
        let place = self.place_of(copy);
        place.map_or(Position::ZERO, |place| self.shards[place].shard.committed())
    }

    /// An empty store for a copy.
    fn new_store(&self) -> Store {
        let tuning = self.terms.tuning();
        Store::with(self.terms.store(), tuning, (self.terms.pages)())
    }

    fn new_copy(&mut self) -> CopyId {
        let id = CopyId(self.next_copy);
        self.next_copy += 1;
        id
    }

    pub(crate) fn shard(&self, copy: CopyId) -> Option<&Shard> {
        self.place_of(copy).map(|place| &*self.shards[place].shard)
    }

    /// All of its shards, with their numbers.
    pub(crate) fn shards(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        let shards = self.shards.iter();
        shards.map(|other| (ShardId(other.number), &*other.shard))
    }
}

impl Membership {
    /// How the stores of copies are made.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        let longest =
            self.shard.max_value_bytes + model::limits::MAX_KEY_BYTES + SEGMENT_SLACK_BYTES;
        Tuning {
            segment_bytes: longest
                .next_power_of_two()
                .min(model::limits::SEGMENT_BYTES),
            directory: self.directory.unwrap_or_default(),
            files: self.directory.is_some(),
            ..Tuning::default()
        }
    }

    /// The limits of the stores of copies.
    #[must_use]
    pub fn store(&self) -> StoreConfig {
        StoreConfig {
            memory_bytes: self.memory_bytes,
            sync: self.sync,
            seed: self.seed,
        }
    }
}

/// What a segment must have room for besides the longest key and value.
const SEGMENT_SLACK_BYTES: usize = 16 << 10;

impl Node {
    /// A member of a cluster, with the copies that its data directory has. It holds nothing else until a [`crate::Input::Map`] says so.
    /// `seed` is secret and never used twice.
    #[must_use]
    pub fn new_member(
        membership: Membership,
        copies: Vec<RestoredCopy>,
        settings: Settings,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        // Commands without a key need a shard too: it holds nothing.
        let tuning = Tuning {
            files: false,
            ..membership.tuning()
        };
        let store = Store::with(membership.store(), tuning, (membership.pages)());
        let nothing = Shard::new(store, Position::new(1, 1), membership.shard.clone());
        let mut node = Self::new(nothing, settings, seed, now);
        let nobody = view::topology(&ClusterMap::default(), membership.me.node, &|_| true);
        node.server.topology = Some(Arc::new(nobody));
        let mut cluster = Cluster::new(membership);
        for copy in cluster.with_set_aside(copies) {
            cluster.take_restored(copy, now);
        }
        node.cluster = Some(Box::new(cluster));
        node
    }

    /// The shard whose copy has this number: for logs.
    #[must_use]
    pub fn shard_of(&self, copy: CopyId) -> Option<ShardId> {
        let cluster = self.cluster.as_ref()?;
        let place = cluster.place_of(copy)?;
        Some(ShardId(cluster.shards[place].number))
    }

    /// The copies of a member, in the order of [`Node::shards`].
    #[must_use]
    pub fn copy_ids(&self) -> Vec<CopyId> {
        let copies = self.cluster.iter().flat_map(|cluster| &cluster.copies);
        copies.map(|copy| copy.id).collect()
    }

    /// All copies of a member, by shard: to look at.
    pub fn shards(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        self.cluster.iter().flat_map(|cluster| cluster.shards())
    }

    /// To be called once a second: see [`store::Store::give_back_ends`].
    pub fn give_back_ends(&mut self) {
        self.shard.store_mut().give_back_ends();
        for other in self.cluster.iter_mut().flat_map(|c| &mut c.shards) {
            other.shard.store_mut().give_back_ends();
        }
    }

    /// Of all copies together; of a node that is no member its only one.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let own = self.shard.store().usage();
        self.shards()
            .fold(own, |all, (_, shard)| all.and(shard.usage()))
    }
}
