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

use alloc::boxed::Box;
use alloc::vec::Vec;

use cluster::message::CopyStatus;
use command::Settings;
use model::{Member, Now, ShardId};
use shard::ShardSettings;
use store::{DiskError, DiskEvent, DiskOp, Pages, Store, SyncMode};

use crate::{Input, Node};

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
    /// Make the folder if it is not there, replace its note by this text, and say [`crate::Input::Kept`] when it is synced.
    Keep {
        /// Whose.
        copy: CopyId,
        /// To be said when it is done.
        ticket: u64,
        /// The note: what a restart must know of the copy.
        note: Vec<u8>,
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
    pub me: Member,
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
    /// Secret of the indexes' hashes.
    pub seed: u64,
}

/// A copy that was found in the data directory, of this life of the node.
pub struct RestoredCopy {
    /// Its folder.
    pub copy: CopyId,
    /// Its note, as [`FileTask::Keep`] had it.
    pub note: Vec<u8>,
    /// Its segments.
    pub store: Store,
}

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
        let _ = (membership, copies, settings, seed, now);
        unimplemented!("in the next commit of this branch")
    }

    /// The state of all copies, for `cluster::agent::Input::Copies`: to be told before each of the agent's ticks, or every 100 ms.
    #[must_use]
    pub fn copies(&self, now: Now) -> Vec<CopyStatus> {
        let _ = now;
        Vec::new()
    }

    /// When [`crate::Input::EndOfTurn`] is wanted at the latest by a replica, by the monotonic clock.
    #[must_use]
    pub fn next_tick_us(&self) -> Option<u64> {
        None
    }

    /// The shard whose copy has this number: for logs.
    #[must_use]
    pub fn shard_of(&self, copy: CopyId) -> Option<ShardId> {
        let _ = copy;
        None
    }
}
