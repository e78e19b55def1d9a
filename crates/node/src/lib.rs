//! One node: connections, commands and the log, as a function of its inputs.
//!
//! ```text
//!            Input                                      Outbox
//!   bytes  ─► look ahead ─► parse a batch ─► prefetch ─► run ──► disk ops
//!   disk events                                             │         connections to send to, to read from, to close
//!   end of turn                                             ▼
//!                                                         shard
//! ```
//!
//! [`Node::handle`] takes the time and one [`Input`] and runs it to completion. It asks nobody for the
//! time, for chance or for bytes, so the shell and the simulator drive the same value, and one seed replays
//! everything.
//!
//! A *turn* of the shell's loop: hand in everything that is there, then [`Input::EndOfTurn`], do the
//! [`Outbox::disk`] ops, hand in what became of them, then ask [`Node::take_sendable`] and send. So one turn
//! costs one write per log head and one per connection, and a reply leaves only when what it depends on
//! is persisted.
#![no_std]

extern crate alloc;

mod ahead;
mod connections;
mod execute;
mod member;
mod stream;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cluster::map::ClusterMap;
use command::{Clients, Server, Settings};
use model::time::SteadyClock;
use model::{ConnectionId, NodeId, Now, ShardId};
use shard::Shard;
use store::{DiskEvent, DiskOp, Store};

pub use crate::member::{CopyId, DiskTask, FileTask, Membership, Noted, RestoredCopy};

use crate::ahead::Ahead;
pub use crate::execute::BATCH;
use crate::execute::Batch;
use crate::member::Cluster;
use crate::stream::{State, Stream};

/// What can happen to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client has connected. The answer is in [`Outbox::accepted`].
    Accepted {
        /// Its address, `host:port`.
        address: String,
        /// The address that it reached.
        local_address: String,
    },
    /// Bytes have arrived. They may be changed in place.
    Received {
        /// From whom.
        connection: ConnectionId,
        /// What.
        bytes: &'a mut [u8],
    },
    /// So many bytes of [`Node::output`] were sent.
    Sent {
        /// To whom.
        connection: ConnectionId,
        /// How many.
        bytes: usize,
    },
    /// The other end sends no more, but may still read: what has come is answered, then the connection is
    /// closed. A command that waits does not go on waiting, since nobody can tell this from a client that is gone.
    Ended {
        /// Who.
        connection: ConnectionId,
    },
    /// The other end sends no more, or is gone, and not all that it has sent was handed in, as [`Node::accepts_input`] wanted no more: a
    /// command that waits for others does not go on waiting, and nothing behind it is wanted then.
    Ending {
        /// Who.
        connection: ConnectionId,
    },
    /// The other end has gone, or an error has ended the connection.
    Closed {
        /// Whose.
        connection: ConnectionId,
    },
    /// A disk op is done.
    Disk {
        /// Whose files it was about.
        copy: CopyId,
        /// What became of it.
        event: DiskEvent,
    },
    /// An [`Outbox::files`] task of kind [`FileTask::Keep`] is done, and survives what the sync mode asks for.
    Kept {
        /// Whose.
        copy: CopyId,
        /// Which.
        ticket: u64,
    },
    /// One of [`Outbox::restore`] is read. Where it cannot be, nothing is said.
    Restored(Box<RestoredCopy>),
    /// The cluster map as the agent has it, whole, after each change: who holds which shard, and where clients find him.
    Map(Arc<ClusterMap>),
    /// A message of [`Outbox::peers`] of another node has come over a link, whole and unharmed.
    Peer {
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Everything that was there has been handed in.
    EndOfTurn,
}

/// What a node wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The answer to [`Input::Accepted`]: the connection's number, or what to send before closing it.
    pub accepted: Option<Result<ConnectionId, &'static [u8]>>,
    /// What the disk shall do to segment files.
    pub disk: Vec<DiskTask>,
    /// What the disk shall do to the folders of copies, in this order and in that of [`Outbox::disk`] within a copy: a folder is
    /// kept before segments are created in it, and removed after everything that was asked before.
    pub files: Vec<FileTask>,
    /// Copies that were set aside and are to be read, when everything that was asked about their segment files is done: [`Input::Restored`].
    pub restore: Vec<CopyId>,
    /// Messages to other nodes, in order. A link may lose any, and all after it.
    pub peers: Vec<(NodeId, Vec<u8>)>,
    /// Shards that this node has recovered, and in which epoch: for `cluster::agent::Input::Recovered`. What came of it is learnt
    /// from the next map.
    pub recovered: Vec<(ShardId, u32)>,
    /// Copies that were not and have become whole, and how.
    pub whole: Vec<(ShardId, replica::How)>,
    /// Connections that have something to send.
    pub send: Vec<ConnectionId>,
    /// Connections whose bytes were left unread ([`Node::accepts_input`]) and are wanted again.
    pub read: Vec<ConnectionId>,
    /// Connections to close now.
    pub close: Vec<ConnectionId>,
}

/// What one step of maintenance may look at or move, in bytes: it bounds how long it can delay a request, some tens of
/// microseconds.
pub const MAINTENANCE_STEP_BYTES: usize = 32 << 10;
/// Where turns are long because much is asked, such steps are too few. After each so many microseconds in which maintenance
/// was never done, the step is doubled,
const LATE_US: u64 = 250_000;
/// up to so many times.
const MOST_DOUBLINGS: u64 = 3;

/// See the crate.
pub struct Node {
    /// The data; of a member of a cluster, nothing.
    shard: Shard,
    /// What makes it a member of a cluster.
    cluster: Option<Box<Cluster>>,
    server: Server,
    clients: Clients,
    /// By [`command::client::place`].
    streams: Vec<Option<alloc::boxed::Box<Stream>>>,
    /// Bytes received and not yet run, and written and not yet sent, of all connections.
    buffered: usize,
    /// Empty output buffers for whoever has something to say next. A connection keeps none: the few that are in use at a time
    /// stay in the processor's cache.
    spare: Vec<Vec<u8>>,
    /// Connections that may have something to send.
    dirty: Vec<ConnectionId>,
    /// Connections that were left unread and are wanted again.
    readable: Vec<ConnectionId>,
    /// Connections whose command waits for the log.
    waiting_for_log: Vec<ConnectionId>,
    /// Connections whose command waits for the end of a pause.
    paused: Vec<ConnectionId>,
    batch: Batch,
    ahead: Ahead,
    /// Room for what a store wants of the disk, kept between turns.
    ops: Vec<DiskOp>,
    /// See [`Node::ran`].
    ran: Vec<(ConnectionId, usize)>,
    clock: SteadyClock,
    /// When idle connections are looked for next, in microseconds of the monotonic clock.
    next_sweep_us: u64,
    draining: bool,
    /// See [`Node::seal`].
    sealed: bool,
    /// Maintenance has more to do, and has had since then, in microseconds of the monotonic clock.
    busy_since_us: Option<u64>,
    /// Something was written since [`Node::take_sendable`].
    unsent: bool,
    /// Commands were run since the last [`Input::EndOfTurn`] began: what they want of disk and peers is still to be asked for.
    unfinished: bool,
}

impl Node {
    /// A node over a shard. `seed` is secret and never used twice.
    #[must_use]
    pub fn new(shard: Shard, settings: Settings, seed: [u8; 32], now: Now) -> Self {
        Self {
            shard,
            cluster: None,
            server: Server::new(settings, seed, now),
            clients: Clients::default(),
            streams: Vec::new(),
            buffered: 0,
            spare: Vec::new(),
            dirty: Vec::new(),
            readable: Vec::new(),
            waiting_for_log: Vec::new(),
            paused: Vec::new(),
            batch: Batch::default(),
            ahead: Ahead::default(),
            ops: Vec::new(),
            ran: Vec::new(),
            clock: SteadyClock::new(now),
            next_sweep_us: now.mono_us,
            draining: false,
            sealed: false,
            busy_since_us: None,
            unsent: false,
            unfinished: false,
        }
    }

    /// Takes one input and runs it to completion.
    pub fn handle(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) {
        let now = self.clock.tell(now);
        self.ran.clear();
        match input {
            Input::Accepted {
                address,
                local_address,
            } => {
                outbox.accepted = Some(self.accept(now, address, local_address));
            }
            Input::Received { connection, bytes } => self.receive(now, connection, bytes),
            Input::Sent { connection, bytes } => self.sent(now, connection, bytes),
            Input::Ended { connection } => self.ended(now, connection),
            Input::Ending { connection } => self.ending(connection),
            Input::Closed { connection } => self.forget(connection),
            Input::Disk { copy, event } => self.disk_event(now, copy, event),
            Input::Kept { copy, ticket } => self.kept(now, copy, ticket),
            // Behind its end nothing is written to the log.
            Input::Map(_) | Input::Peer { .. } | Input::Restored(_) if self.sealed => {}
            Input::Restored(found) => self.take_back(now, *found),
            Input::Map(map) => self.follow_map(now, map),
            Input::Peer { bytes } => self.hear(now, bytes),
            Input::EndOfTurn => self.end_turn(now, outbox),
        }
        if !self.paused.is_empty() && !self.server.is_paused(now) {
            for connection in core::mem::take(&mut self.paused) {
                self.resume(now, connection, State::Paused, None);
            }
        }
        self.run_woken(now);
        outbox.read.append(&mut self.readable);
        self.close_marked(outbox);
        if let Some(cluster) = &mut self.cluster {
            cluster.give(outbox);
        }
    }

    /// Bytes of a segment, as a [`DiskOp::Write`] names them.
    #[must_use]
    pub fn segment_bytes(&self, task: &DiskTask) -> &[u8] {
        match task.op {
            DiskOp::Write {
                segment,
                offset,
                len,
            } => {
                let shard = match &self.cluster {
                    None => Some(&self.shard),
                    Some(cluster) => cluster.shard(task.copy),
                };
                shard.map_or(&[], |s| s.store().segment_bytes(segment, offset, len))
            }
            DiskOp::Create { .. }
            | DiskOp::Sync { .. }
            | DiskOp::Close { .. }
            | DiskOp::Disown { .. }
            | DiskOp::Delete { .. }
            | DiskOp::Quarantine { .. } => &[],
        }
    }

    /// Whose commands the last input has run, in this order, and how much of [`Node::unsent`] they had written by then: for
    /// whoever checks a node from outside.
    #[must_use]
    pub fn ran(&self) -> &[(ConnectionId, usize)] {
        &self.ran
    }

    /// The data, to look at; of a member, nothing: see [`Node::shards`].
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// What was stored: all that is left of a node that is gone.
    #[must_use]
    pub fn into_store(self) -> store::Store {
        self.shard.into_store()
    }

    /// Settings, counters and so on, to look at.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The same, for what the shell knows of the process and tells now and then.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Connections, to look at.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Whether there is more to do at once: the shell then does not wait for events.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy_since_us.is_some() || self.unsent || self.unfinished
    }

    /// When [`Input::EndOfTurn`] is wanted at the latest, in wall-clock milliseconds.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let pause = self.server.pause.filter(|_| !self.paused.is_empty());
        let pause_ms = pause.map(|pause| pause.end_ms);
        let maintenance = match &self.cluster {
            None => self.shard.next_maintenance_ms(),
            Some(cluster) => cluster.next_maintenance_ms(),
        };
        maintenance.into_iter().chain(pause_ms).min()
    }

    /// From now on nobody is accepted, and connections are closed as they fall silent.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Ends the log, so that a restart can tell any damage from an unfinished end. To be followed by turns until
    /// the disk has done what they ask for. Nothing is executed from now on, nor tidied: what was answered and is on disk then may still
    /// be sent, and connections are closed.
    pub fn seal(&mut self) {
        (self.draining, self.sealed) = (true, true);
        self.end_streams();
        if let Some(cluster) = &mut self.cluster {
            return cluster.seal();
        }
        self.shard.store_mut().seal();
    }

    /// Whether every log was ended and nothing was written since.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.stores().all(Store::is_sealed)
    }

    /// Whether the files have everything, whatever trouble there may have been on the way.
    #[must_use]
    pub fn is_all_synced(&self) -> bool {
        self.stores().all(Store::is_all_synced)
    }

    /// The store of a node alone, or those of a member's copies.
    fn stores(&self) -> impl Iterator<Item = &Store> {
        let alone = self.cluster.is_none().then(|| self.shard.store());
        let copies = self.cluster.iter().flat_map(|cluster| cluster.stores());
        alone.into_iter().chain(copies)
    }

    /// Whether [`Node::drain`] was called and every connection that had work has been served.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining
            && self.dirty.is_empty()
            && self.streams.iter().flatten().all(|s| s.is_quiet())
    }

    fn disk_event(&mut self, now: Now, copy: CopyId, event: DiskEvent) {
        if self.cluster.is_some() {
            return self.copy_disk_event(now, copy, event);
        }
        assert_eq!(copy, CopyId::ALONE, "there is one copy");
        self.shard.store_mut().disk_event(event);
        self.shard.advance_commit();
        for connection in core::mem::take(&mut self.waiting_for_log) {
            self.resume(now, connection, State::WaitingForLog, None);
        }
    }

    fn end_turn(&mut self, now: Now, outbox: &mut Outbox) {
        self.unfinished = false;
        if now.mono_us >= self.next_sweep_us {
            self.next_sweep_us = now.mono_us + 1_000_000;
            self.close_idle(now);
        }
        if self.cluster.is_some() {
            return self.end_member_turn(now, outbox);
        }
        if !self.sealed {
            self.maintain(now);
            self.run_woken(now);
        }
        self.shard.store_mut().take_disk_ops(&mut self.ops);
        let alone = |op| DiskTask {
            copy: CopyId::ALONE,
            op,
        };
        outbox.disk.extend(self.ops.drain(..).map(alone));
        self.shard.advance_commit();
    }

    fn maintain(&mut self, now: Now) {
        let since_us = self.busy_since_us.unwrap_or(now.mono_us);
        let late = now.mono_us.saturating_sub(since_us) / LATE_US;
        let step = MAINTENANCE_STEP_BYTES << late.min(MOST_DOUBLINGS);
        self.busy_since_us = self.shard.maintain(now, step).then_some(since_us);
    }
}
