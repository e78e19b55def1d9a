//! Following the cluster map: which copies this node has, and what each is told.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use cluster::format::Record as _;
use cluster::map::ClusterMap;
use cluster::message::{Relic, Resigned};
use cluster::view;
use command::Other;
use model::{Member, Now, Phase, ShardConfig, ShardId};
use replica::{Replica, Restored, Vows};
use shard::Shard;
use store::{Store, SyncMode};

use super::note::Note;
use super::{Cluster, Copy, CopyId, FileTask, RestoredCopy, Told};
use crate::Node;

impl Node {
    /// The cluster map is another.
    pub(crate) fn follow_map(&mut self, now: Now, map: Arc<ClusterMap>) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        cluster.route.follow(&map);
        cluster.map = Arc::clone(&map);
        // Who is well, the shell knows better, if there is one.
        let topology = view::topology(&map, cluster.terms.me.node, &|_| true);
        cluster.stirred = true;
        self.set_topology(Arc::new(topology));
        for (&shard, record) in map.shards() {
            self.tell(now, shard, record.config);
        }
    }

    /// What an earlier life has left, and could not be taken over yet, perhaps can be by now.
    pub(super) fn tell_again(&mut self, now: Now, shard: ShardId) {
        let record = self.cluster.as_ref().and_then(|cluster| {
            let place = cluster.place(shard)?;
            cluster.copies[place].relic?;
            cluster.map.shards().get(&shard).copied()
        });
        if let Some(record) = record {
            self.tell(now, shard, record.config);
        }
    }

    /// A shard's configuration, as the metadata store has it or had it.
    pub(super) fn tell(&mut self, now: Now, shard: ShardId, config: ShardConfig) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if cluster.place(shard).is_none() {
            if !config.copies().contains(cluster.terms.me) {
                return;
            }
            cluster.begin_copy(shard, config.epoch());
        }
        if !cluster.take_over(shard, &config) {
            return;
        }
        let Some(place) = cluster.place(shard) else {
            return;
        };
        let copy = &mut cluster.copies[place];
        let known = copy.config.as_ref().map(ShardConfig::order);
        let noted = copy.noted.as_ref().map(ShardConfig::order);
        // Nor what a map shows that has lost what this copy was told before it started again.
        if known >= Some(config.order()) || noted > Some(config.order()) {
            return;
        }
        if known.is_none_or(|(epoch, _)| epoch < config.epoch()) {
            copy.resigned = Resigned::No;
        }
        copy.config = Some(config);
        let tickets = cluster.next_ticket;
        self.perform(now, shard, replica::Input::Config(config));
        if let Some(cluster) = &mut self.cluster {
            cluster.note_config(shard, tickets);
        }
    }
}

impl super::Copy {
    /// The latest configuration that it was told, in this process or before.
    pub(super) fn latest(&self) -> Option<ShardConfig> {
        [self.config, self.noted]
            .into_iter()
            .flatten()
            .max_by_key(ShardConfig::order)
    }
}

impl RestoredCopy {
    fn note(&self) -> Option<Note> {
        Note::decode(&self.note).ok()
    }
}

impl Cluster {
    /// What an earlier life of the node has left becomes its copy, if this life is to have one. Returns whether it has one that is to hear of
    /// the configuration.
    fn take_over(&mut self, shard: ShardId, config: &ShardConfig) -> bool {
        let Some(place) = self.place(shard) else {
            return false;
        };
        let Some(relic) = self.copies[place].relic else {
            return true;
        };
        let me = self.me();
        let is_source = match config.phase() {
            Phase::Recovering { from } => from.is_some_and(|from| from.copies.contains(me)),
            Phase::Serving => false,
        };
        let is_member = config.copies().contains(me);
        if (is_source || is_member) && !self.is_repaired(place) {
            return false;
        }
        if is_source || (is_member && !relic.damaged) {
            self.copies[place].relic = None;
            let vows = self.shards[place].shard.replica().vows();
            let note = self.note(place, vows);
            self.keep_note(self.copies[place].id, note);
            return true;
        }
        if is_member {
            // It could not go on from there: nobody knows what is missing.
            self.remove(place);
            self.begin_copy(shard, config.epoch());
            return true;
        }
        let whose = Member {
            incarnation: relic.life,
            ..me
        };
        if config.phase() == Phase::Serving && !config.copies().contains(whose) {
            self.remove(place);
            return false;
        }
        let known = self.copies[place].config.as_ref().map(ShardConfig::order);
        if known < Some(config.order()) {
            self.copies[place].config = Some(*config);
        }
        false
    }

    /// The first and the last slot of a copy's shard, as the map has or had them.
    pub(super) fn slots(&self, place: usize) -> Option<(u16, u16)> {
        let record = self.map.shards().get(&ShardId(self.shards[place].number));
        let slots = record.map(|record| (record.first_slot, record.last_slot));
        slots.or(self.copies[place].slots)
    }

    /// What a copy was told last is in its note, too, unless one was kept since this ticket.
    fn note_config(&mut self, shard: ShardId, since: u64) {
        let Some(place) = self.place(shard) else {
            return;
        };
        let slots = self.slots(place);
        let copy = &mut self.copies[place];
        copy.slots = slots;
        let is_noted = core::mem::replace(&mut copy.noted, copy.config) == copy.config;
        if !is_noted && self.next_ticket == since && copy.relic.is_none() {
            let vows = self.shards[place].shard.replica().vows();
            let note = self.note(place, vows);
            self.keep_note(self.copies[place].id, note);
        }
    }

    /// Whether what a copy has been found to lack would not be found once more by the next start: a life that finds such a thing is over.
    pub(super) fn is_repaired(&self, place: usize) -> bool {
        self.shards[place].shard.store().is_repaired()
    }

    /// An empty copy of a shard that this node has none of.
    fn begin_copy(&mut self, shard: ShardId, epoch: u32) {
        let (me, settings) = (self.terms.me, self.terms.replica);
        let replica = Replica::fresh(shard, me, epoch, settings);
        let id = self.new_copy();
        let store = self.new_store();
        let note = self.plain_note(shard, replica.vows());
        self.keep_note(id, note);
        let data = Shard::as_copy(store, replica, 0, self.shard_settings(id));
        self.insert(shard, id, data);
    }

    /// Whether it was set aside, as its note, which is this, says, and can be taken back: in this life all that it had has to be there; what another has left
    /// need only be a beginning of that.
    fn is_set_aside(&self, copy: &RestoredCopy, note: &Note) -> bool {
        let is_own = note.life == self.me().incarnation;
        let is_all_there = !copy.damaged && note.vows.discarded == Some(copy.store.newest());
        note.is_set_aside() && (is_all_there || !is_own)
    }

    /// Whether it is what was set aside when the copy with this note began to be filled, or has been taken back since.
    pub(super) fn stands_for(&self, copy: &RestoredCopy, filled: &Note) -> bool {
        copy.note().is_some_and(|note| {
            let is_whole = note.vows.discarded.is_none() || self.is_set_aside(copy, &note);
            (note.life, note.shard) == (filled.life, filled.shard) && is_whole
        })
    }

    /// What the data directory had; copies that were set aside stand in the place of those that were being filled for them.
    pub(super) fn with_set_aside(&mut self, mut found: Vec<RestoredCopy>) -> Vec<RestoredCopy> {
        let mut replaced = Vec::new();
        for index in 0..found.len() {
            let filled = found[index].copy;
            self.next_copy = self.next_copy.max(filled.0 + 1);
            let Some((note, aside)) = found[index].note().and_then(|n| Some((n, n.aside?))) else {
                continue;
            };
            let stands =
                |other: &RestoredCopy| other.copy == aside && self.stands_for(other, &note);
            if let Some(whole) = found.iter().position(stands) {
                self.take_back_note(&mut found[whole], note.vows);
                replaced.push(filled);
            } else {
                let vows = Vows {
                    kept: false,
                    ..note.vows
                };
                let note = Note {
                    vows,
                    aside: None,
                    ..note
                };
                found[index].note = note.bytes();
            }
        }
        // Nothing was filled in its place yet.
        for copy in &mut found {
            if let Some(note) = copy.note() {
                self.take_back_note(copy, note.vows);
            }
        }
        found.retain(|copy| !replaced.contains(&copy.copy));
        for filled in replaced {
            self.remove_folder(filled);
        }
        found
    }

    /// If this copy is set aside, it is one like any other again, with these vows.
    pub(super) fn take_back_note(&mut self, copy: &mut RestoredCopy, vows: Vows) {
        if let Some(note) = copy.note().filter(|note| self.is_set_aside(copy, note)) {
            let note = note.taken_back(vows);
            copy.note = note.bytes();
            self.keep_note(copy.copy, note);
        }
    }

    /// A copy that the data directory had.
    pub(super) fn take_restored(&mut self, found: RestoredCopy, now: Now) {
        let RestoredCopy {
            copy: id,
            note,
            store,
            damaged,
        } = found;
        self.next_copy = self.next_copy.max(id.0 + 1);
        let note = Note::decode(&note).ok();
        let is_own = |note: &Note| note.life == self.me().incarnation;
        // What another life has left of a copy that it was filling is nothing.
        let is_of_use = |note: &Note| is_own(note) || note.vows.discarded.is_none();
        let is_wanted = |note: &Note| self.place(note.shard).is_none() && is_of_use(note);
        let Some(note) = note.filter(is_wanted) else {
            self.out.files.push(FileTask::Remove { copy: id });
            return;
        };
        let is_own = is_own(&note);
        assert!(
            !(is_own && damaged),
            "a life that has lost something is over"
        );
        if note.vows.discarded.is_some() {
            return self.begin_again(id, note, now);
        }
        if damaged && !note.damaged {
            // At the next start the files that are damaged will stand aside.
            let note = Note {
                damaged: true,
                ..note
            };
            self.keep_note(id, note);
        }
        // The log knows about what time it is, but not what time its last batch told: the floor is on the safe side.
        let floor_ms = store.latest_ms() + self.terms.replica.time_step_ms + CLOCK_STEP_MS;
        let replica = self.restored_replica(note, &store, now);
        let appended = store.appended();
        let data = Shard::as_copy(store, replica, floor_ms, self.shard_settings(id));
        let place = self.insert(note.shard, id, data);
        let copy = &mut self.copies[place];
        (copy.noted, copy.slots) = (note.config, note.slots);
        if is_own {
            copy.unsynced = note.unsynced.then_some(appended);
        } else {
            copy.relic = Some(Relic {
                life: note.life,
                damaged: damaged || note.damaged || note.unsynced,
            });
        }
    }

    /// A copy that was being filled is filled anew: it is empty, and says what it had before.
    fn begin_again(&mut self, old: CopyId, note: Note, now: Now) {
        let id = self.new_copy();
        self.keep_note(id, note);
        self.out.files.push(FileTask::Remove { copy: old });
        let store = self.new_store();
        let replica = self.restored_replica(note, &store, now);
        let data = Shard::as_copy(store, replica, 0, self.shard_settings(id));
        let place = self.insert(note.shard, id, data);
        self.copies[place].given_up = true;
        let copy = &mut self.copies[place];
        (copy.noted, copy.slots) = (note.config, note.slots);
    }

    fn restored_replica(&self, note: Note, store: &Store, now: Now) -> Replica {
        let found = Restored {
            vows: note.vows,
            last: store.newest(),
            found: store.found(),
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

    fn insert(&mut self, shard: ShardId, id: CopyId, data: Shard) -> usize {
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
            relic: None,
            aside: None,
            given_up: false,
            unsynced: None,
            noted: None,
            slots: None,
        };
        self.shards.insert(place, other);
        self.copies.insert(place, copy);
        place
    }

    /// What is to be known of a copy.
    pub(super) fn note(&self, place: usize, vows: Vows) -> Note {
        let copy = &self.copies[place];
        Note {
            unsynced: copy.unsynced.is_some(),
            aside: copy.aside.filter(|_| vows.kept),
            config: copy.latest(),
            slots: self.slots(place),
            ..self.plain_note(ShardId(self.shards[place].number), vows)
        }
    }

    /// What is to be known of a copy that was never filled.
    fn plain_note(&self, shard: ShardId, vows: Vows) -> Note {
        Note {
            life: self.me().incarnation,
            shard,
            vows,
            unsynced: false,
            damaged: false,
            aside: None,
            config: None,
            slots: None,
        }
    }

    /// Notes that what has made a copy whole is synced, if it is so by now.
    pub(super) fn look_at_sync(&mut self, place: usize) {
        let store = self.shards[place].shard.store();
        if self.copies[place]
            .unsynced
            .take_if(|point| store.synced() >= *point)
            .is_some()
        {
            let vows = self.shards[place].shard.replica().vows();
            let note = self.note(place, vows);
            self.keep_note(self.copies[place].id, note);
        }
    }

    /// Has a note written beside the segments of a copy. Returns the ticket; none where there is no disk.
    pub(super) fn keep_note(&mut self, copy: CopyId, note: Note) -> Option<u64> {
        self.terms.directory?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        // What is done to a copy that is given up must not be there without the note that says so.
        let is_given_up = note.vows.discarded.is_some() || note.damaged;
        let at_once = is_given_up || self.terms.sync == SyncMode::Always;
        self.out.files.push(FileTask::Keep {
            copy,
            ticket,
            note: note.bytes(),
            at_once,
        });
        Some(ticket)
    }

    /// Lets go of a copy and all that it had.
    pub(super) fn remove(&mut self, place: usize) -> CopyId {
        self.shards.remove(place);
        let copy = self.copies.remove(place);
        for folder in [copy.id].into_iter().chain(copy.aside) {
            self.remove_folder(folder);
        }
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
