//! Following the cluster map: which copies this node has, and what each is told.

use alloc::boxed::Box;
use alloc::sync::Arc;

use cluster::format::Record as _;
use cluster::map::ClusterMap;
use cluster::message::Resigned;
use cluster::view;
use command::Other;
use model::{Member, Now, Phase, Position, ShardConfig, ShardId};
use replica::{Replica, Restored, Vows};
use shard::Shard;

use super::aim::Route;
use super::note::Note;
use super::{Cluster, Copy, CopyId, FileTask, RestoredCopy, Told};
use crate::Node;

/// Of two configurations the later is greater: within an epoch it begins to serve.
fn order(config: &ShardConfig) -> (u32, bool) {
    (config.epoch(), config.phase() == Phase::Serving)
}

impl Node {
    /// The cluster map is another.
    pub(crate) fn follow_map(&mut self, now: Now, map: Arc<ClusterMap>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.route = Route::of(&map);
        cluster.map = Arc::clone(&map);
        // Who is well, the shell knows better, if there is one.
        let topology = view::topology(&map, cluster.terms.me.node, &|_| true);
        cluster.stirred = true;
        self.set_topology(Arc::new(topology));
        for (&shard, record) in map.shards() {
            self.tell(now, shard, record.config);
        }
    }

    /// A shard's configuration, as the metadata store has it or had it.
    fn tell(&mut self, now: Now, shard: ShardId, config: ShardConfig) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if cluster.place(shard).is_none() {
            if !config.copies().contains(cluster.terms.me) {
                return;
            }
            cluster.begin_copy(shard, config.epoch());
        }
        let Some(place) = cluster.place(shard) else {
            return;
        };
        let copy = &mut cluster.copies[place];
        let known = copy.config.as_ref().map(order);
        if known >= Some(order(&config)) {
            return;
        }
        if known.is_none_or(|(epoch, _)| epoch < config.epoch()) {
            copy.resigned = Resigned::No;
        }
        copy.config = Some(config);
        self.perform(now, shard, replica::Input::Config(config));
    }
}

impl Cluster {
    /// An empty copy of a shard that this node has none of.
    fn begin_copy(&mut self, shard: ShardId, epoch: u32) {
        let (me, settings) = (self.terms.me, self.terms.replica);
        let replica = Replica::fresh(shard, me, epoch, settings);
        let id = self.new_copy();
        let store = self.new_store();
        self.keep_note(id, self.note(shard, replica.vows()));
        let data = Shard::as_copy(store, replica, 0, self.shard_settings(id));
        self.insert(shard, id, data);
    }

    /// A copy that the data directory had.
    pub(super) fn take_restored(&mut self, found: RestoredCopy, now: Now) {
        let RestoredCopy {
            copy: id,
            note,
            store,
        } = found;
        self.next_copy = self.next_copy.max(id.0 + 1);
        let note = Note::decode(&note);
        let own =
            |note: &Note| note.life == self.me().incarnation && self.place(note.shard).is_none();
        let Some(note) = note.ok().filter(own) else {
            self.out.files.push(FileTask::Remove { copy: id });
            return;
        };
        if note.vows.discarded.is_some() {
            return self.begin_again(id, note, now);
        }
        // The log knows about what time it is, but not what time its last batch told: the floor is on the safe side.
        let floor_ms = store.latest_ms() + self.terms.replica.time_step_ms + CLOCK_STEP_MS;
        let replica = self.restored_replica(note, store.newest(), now);
        let data = Shard::as_copy(store, replica, floor_ms, self.shard_settings(id));
        self.insert(note.shard, id, data);
    }

    /// A copy that was being filled is filled anew: it is empty, and says what it had before.
    fn begin_again(&mut self, old: CopyId, note: Note, now: Now) {
        let id = self.new_copy();
        self.keep_note(id, note);
        self.out.files.push(FileTask::Remove { copy: old });
        let store = self.new_store();
        let replica = self.restored_replica(note, Position::ZERO, now);
        let data = Shard::as_copy(store, replica, 0, self.shard_settings(id));
        self.insert(note.shard, id, data);
    }

    fn restored_replica(&self, note: Note, last: Position, now: Now) -> Replica {
        let found = Restored {
            vows: note.vows,
            last,
            time_ms: 0,
        };
        let (me, settings) = (self.terms.me, self.terms.replica);
        Replica::restored(note.shard, me, found, now, settings)
    }

    fn shard_settings(&self, copy: CopyId) -> shard::ShardSettings {
        let mut settings = self.terms.shard.clone();
        settings.seed ^= u64::from(copy.0) << 32;
        settings
    }

    fn insert(&mut self, shard: ShardId, id: CopyId, data: Shard) {
        let place = self.shards.partition_point(|other| other.number < shard.0);
        let other = Other {
            number: shard.0,
            answers: false,
            shard: Box::new(data),
        };
        let copy = Copy {
            id,
            config: None,
            resigned: Resigned::No,
            saving: alloc::collections::VecDeque::new(),
            told: Told::default(),
        };
        self.shards.insert(place, other);
        self.copies.insert(place, copy);
    }

    /// What is to be known of a copy.
    pub(super) fn note(&self, shard: ShardId, vows: Vows) -> Note {
        let life = self.me().incarnation;
        Note { life, shard, vows }
    }

    /// Has a note written beside the segments of a copy. Returns the ticket; none where there is no disk.
    pub(super) fn keep_note(&mut self, copy: CopyId, note: Note) -> Option<u64> {
        self.terms.directory?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.out.files.push(FileTask::Keep {
            copy,
            ticket,
            note: note.bytes(),
        });
        Some(ticket)
    }

    /// Lets go of a copy and all that it had.
    pub(super) fn remove(&mut self, place: usize) -> CopyId {
        self.shards.remove(place);
        let copy = self.copies.remove(place);
        self.remove_folder(copy.id);
        copy.id
    }

    pub(super) fn remove_folder(&mut self, copy: CopyId) {
        if self.terms.directory.is_some() {
            self.out.files.push(FileTask::Remove { copy });
        }
    }
}

/// The log of a copy is told the time once a second: its last batch may be so much later than it says.
const CLOCK_STEP_MS: u64 = 1_000;

/// Who this node is.
impl Cluster {
    pub(super) fn me(&self) -> Member {
        self.terms.me
    }
}
