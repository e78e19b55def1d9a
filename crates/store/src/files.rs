//! Segment files: what the disk shall do, what it did, and what is persisted by now.
//!
//! - Files are created ahead, so that a full disk shows before anything is promised. Until the disk has answered
//!   for the first time, heads are opened on trust.
//! - A failed op is final for its file: the segment, which is whole in memory, is written anew to a fresh file
//!   under a new id. `fsync` is never tried again (a second one may succeed without having done anything). As the next process could
//!   not know that, the file is *disowned* before another takes its place: marked, so that a restart writes it anew as well.
//! - A file is deleted only when everything that was appended before that was decided is synced: what made its
//!   entries dead must not be younger than their death. And only when a synced note tells so (see `cut`).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use model::Position;

use crate::SyncMode;
use crate::disk::{DiskError, DiskEvent, DiskOp, SegmentId};
use crate::entry::format::{self, Salt};
use crate::log::{Spares, Wait};
use crate::segment::{File, Flight, Stage};
use crate::store::Store;

const SYNC_EVERY_MS: u64 = 1_000;
const FIRST_RETRY_MS: u64 = 100;
const LAST_RETRY_MS: u64 = 5_000;

/// A file whose segment is not needed any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condemned {
    id: SegmentId,
    len: usize,
    /// Smallest position in it: until it is gone, its entries could come back.
    pub(crate) first_position: u64,
    /// Everything appended up to here must be synced first.
    after: u64,
    /// A synced note must tell a floor that is not before this: no position of the file is past it.
    newest: Position,
    quarantine: bool,
    /// Asked for; or not before this time.
    asked: bool,
    not_before_ms: u64,
}

/// A file that has failed, and is to be marked before another takes its place.
#[derive(Clone, Copy, Debug)]
struct Disowned {
    id: SegmentId,
    slot: usize,
    /// Asked for; or not before this time.
    asked: bool,
    not_before_ms: u64,
}

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    There,
    /// Deleted, and what was needed of it is in other files.
    Gone,
    /// Its contents, dead entries and all, may be in the file of another id.
    Unknown,
}

/// All files, and what the disk is busy with.
#[derive(Debug)]
pub(crate) struct Files {
    next_id: u64,
    /// Ids whose contents were written to a file of another id.
    renamed: BTreeSet<SegmentId>,
    /// Files deleted so far.
    pub(crate) deleted: u64,
    /// Slots of the segments in memory, by id.
    pub(crate) open: BTreeMap<SegmentId, usize>,
    spares: VecDeque<SegmentId>,
    /// Files that are being created, and whether the disk was asked to.
    creating: VecDeque<(SegmentId, bool)>,
    /// To be created first of all: heads use them already.
    trusted: Vec<SegmentId>,
    condemned: Vec<Condemned>,
    /// Files found complete at a restart, which nobody knows to be synced: to be synced, and being synced.
    resync: Vec<SegmentId>,
    resyncing: Vec<SegmentId>,
    /// Positions may be missing from the files, up to here: nothing is acknowledged until a synced note tells that this is no loss.
    hushed_until: Option<Position>,
    /// Slots of segments whose file is not closed.
    active: Vec<usize>,
    disowned: Vec<Disowned>,
    /// Slots of segments that wait for a fresh file: that of before is disowned, or damaged.
    failed: Vec<usize>,
    /// The disk has answered at least once.
    heard: bool,
    create_error: Option<DiskError>,
    retry_at_ms: u64,
    retry_ms: u64,
    /// Writes are refused until every failed file has been replaced.
    pub(crate) broken: Option<DiskError>,
    /// What time it is for the disk: see [`Store::tell_disk_time`].
    now_ms: u64,
    synced_ms: u64,
    /// See [`Store::persisted`].
    pub(crate) persisted: u64,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            next_id: 1,
            renamed: BTreeSet::new(),
            deleted: 0,
            open: BTreeMap::new(),
            spares: VecDeque::new(),
            creating: VecDeque::new(),
            trusted: Vec::new(),
            condemned: Vec::new(),
            resync: Vec::new(),
            resyncing: Vec::new(),
            hushed_until: None,
            active: Vec::new(),
            disowned: Vec::new(),
            failed: Vec::new(),
            heard: false,
            create_error: None,
            retry_at_ms: 0,
            retry_ms: FIRST_RETRY_MS,
            broken: None,
            now_ms: 0,
            synced_ms: 0,
            persisted: 0,
        }
    }

    fn new_id(&mut self) -> SegmentId {
        let id = SegmentId(self.next_id);
        self.next_id += 1;
        id
    }

    /// Ids up to this one are taken.
    pub(crate) fn taken(&mut self, id: SegmentId) {
        self.next_id = self.next_id.max(id.0 + 1);
    }

    /// What is known of the file of this id.
    pub(crate) fn fate(&self, id: SegmentId) -> Fate {
        if self.open.contains_key(&id) || self.condemned.iter().any(|c| c.id == id) {
            Fate::There
        } else if self.renamed.contains(&id) {
            Fate::Unknown
        } else {
            Fate::Gone
        }
    }

    /// Smallest position in files that are to be deleted but may still be there.
    pub(crate) fn condemned_floor(&self) -> u64 {
        let floors = self.condemned.iter().map(|c| c.first_position);
        floors.min().unwrap_or(u64::MAX)
    }

    /// The file was complete before a restart; only the operating system knows whether it was synced.
    pub(crate) fn queue_resync(&mut self, id: SegmentId) {
        self.resync.push(id);
    }

    /// The file is to be disowned, and the segment to be replaced then.
    pub(crate) fn disown(&mut self, id: SegmentId, slot: usize) {
        self.disowned.push(Disowned {
            id,
            slot,
            asked: false,
            not_before_ms: 0,
        });
    }

    /// The segment needs a fresh file.
    pub(crate) fn queue_replacement(&mut self, slot: usize) {
        self.failed.push(slot);
    }

    /// What a restart condemned stays until the log up to its end is safe.
    pub(crate) fn keep_condemned_until(&mut self, newest: Position) {
        for file in &mut self.condemned {
            file.newest = newest;
        }
    }

    pub(crate) fn is_condemned_empty(&self) -> bool {
        self.condemned.is_empty()
    }
}

impl Store {
    pub(crate) fn take_spare(&mut self, spares: Spares) -> Result<SegmentId, Wait> {
        let files = &mut self.files;
        if !files.heard {
            let id = files.new_id();
            files.trusted.push(id);
            return Ok(id);
        }
        let kept = usize::from(spares == Spares::KeepOne);
        if files.spares.len() <= kept {
            return Err(files.create_error);
        }
        Ok(files
            .spares
            .pop_front()
            .expect("there is more than is kept"))
    }

    /// Whether the cleaner has a file to write to, or will have.
    pub(crate) fn has_spare(&self) -> bool {
        let files = &self.files;
        !files.heard || !files.spares.is_empty() || files.create_error.is_none()
    }

    pub(crate) fn put_spare_back(&mut self, id: SegmentId) {
        if self.files.heard {
            self.files.spares.push_front(id);
        } else {
            self.files.trusted.retain(|trusted| *trusted != id);
        }
    }

    /// The segment's file has something to do.
    #[inline]
    pub(crate) fn activate(&mut self, slot: usize) {
        if !self.files.active.contains(&slot) {
            self.files.active.push(slot);
        }
    }

    pub(crate) fn file_count(&self) -> usize {
        self.files.open.len() + self.files.spares.len() + self.files.condemned.len()
    }

    pub(crate) fn files_unsynced(&self) -> usize {
        let found = self.segments.iter().flatten().filter(|s| s.file.found);
        found.count()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        let bytes = self.tuning.segment_bytes;
        let open = self.segments.iter().flatten().map(|segment| {
            if segment.is_closed() || segment.is_resyncing() {
                segment.file_len
            } else {
                bytes
            }
        });
        let condemned = self.files.condemned.iter().map(|c| c.len);
        let spares = self.files.spares.len() * bytes;
        (open.sum::<usize>() + condemned.sum::<usize>() + spares) as u64
    }

    /// A file that is to be deleted, or kept aside, once everything appended so far is synced.
    pub(crate) fn condemn(
        &mut self,
        id: SegmentId,
        len: usize,
        first_position: u64,
        quarantine: bool,
    ) {
        self.files.condemned.push(Condemned {
            id,
            len,
            first_position,
            after: self.appended,
            newest: self.newest,
            quarantine,
            asked: false,
            not_before_ms: 0,
        });
    }

    /// Whether every file that a restart found damaged or hollow is replaced and gone: until then the next restart finds it once more.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        let files = &self.files;
        let is_replaced = |slot: &usize| !self.segment(*slot).file.replacement;
        files.failed.is_empty()
            && files.disowned.is_empty()
            && files.active.iter().all(is_replaced)
            && !files.condemned.iter().any(|file| file.quarantine)
    }

    /// Moves what the disk shall do next to `ops`. Called once at the end of each turn of the loop.
    pub fn take_disk_ops(&mut self, ops: &mut Vec<DiskOp>) {
        self.floor.mark(self.appended, self.newest);
        for segment in core::mem::take(&mut self.files.trusted) {
            ops.push(DiskOp::Create { segment });
        }
        for segment in core::mem::take(&mut self.files.resync) {
            self.files.resyncing.push(segment);
            ops.push(DiskOp::Sync { segment });
        }
        self.take_disowns(ops);
        let sync = self.sync_is_due();
        for i in 0..self.files.active.len() {
            self.take_file_ops(self.files.active[i], sync, ops);
        }
        self.take_deletes(ops);
        self.take_creates(ops);
    }

    fn sync_is_due(&mut self) -> bool {
        let due = match self.config.sync {
            SyncMode::Always => true,
            SyncMode::EverySecond => self.files.now_ms >= self.files.synced_ms + SYNC_EVERY_MS,
            SyncMode::None => {
                !self.files.condemned.is_empty()
                    && self.files.now_ms >= self.files.synced_ms + SYNC_EVERY_MS
            }
        };
        if due {
            self.files.synced_ms = self.files.now_ms;
        }
        due
    }

    fn take_file_ops(&mut self, slot: usize, sync: bool, ops: &mut Vec<DiskOp>) {
        // One at a time groups commits; every second, what is late shall not delay what comes after it.
        let most_syncs = if self.config.sync == SyncMode::Always {
            1
        } else {
            3
        };
        let segment = self.segment_mut(slot);
        let (id, tail, sealed) = (segment.id, segment.tail, segment.sealed);
        let file = &mut segment.file;
        if file.stage != Stage::Open {
            return;
        }
        if tail > file.emitted {
            let op = DiskOp::Write {
                segment: id,
                offset: file.emitted as u32,
                len: (tail - file.emitted) as u32,
            };
            file.emitted = tail;
            let from = file.unwritten_from.take();
            file.in_flight.push_back(Flight { op, from });
            ops.push(op);
        }
        // Not before all else has been done: a file that is cut says that it is whole.
        if sealed && file.in_flight.is_empty() {
            let op = DiskOp::Close {
                segment: id,
                len: tail as u32,
            };
            file.stage = Stage::Closing;
            let from = file.unsynced_from.take();
            file.in_flight.push_back(Flight { op, from });
            ops.push(op);
        } else if sync && file.unsynced_from.is_some() && file.syncs_in_flight() < most_syncs {
            let op = DiskOp::Sync { segment: id };
            let from = file.unsynced_from.take();
            file.in_flight.push_back(Flight { op, from });
            ops.push(op);
        }
    }

    fn take_disowns(&mut self, ops: &mut Vec<DiskOp>) {
        let now_ms = self.files.now_ms;
        for file in &mut self.files.disowned {
            if !file.asked && file.not_before_ms <= now_ms {
                file.asked = true;
                ops.push(DiskOp::Disown { segment: file.id });
            }
        }
    }

    fn take_deletes(&mut self, ops: &mut Vec<DiskOp>) {
        if self.files.condemned.is_empty() {
            return;
        }
        let (synced, recorded, now_ms) =
            (self.synced_point(), self.floor.recorded, self.files.now_ms);
        for file in &mut self.files.condemned {
            let is_safe = file.after <= synced && file.newest <= recorded;
            if !file.asked && is_safe && file.not_before_ms <= now_ms {
                file.asked = true;
                let segment = file.id;
                ops.push(if file.quarantine {
                    DiskOp::Quarantine { segment }
                } else {
                    DiskOp::Delete { segment }
                });
            }
        }
    }

    fn take_creates(&mut self, ops: &mut Vec<DiskOp>) {
        let files = &mut self.files;
        if files.create_error.is_some() && files.now_ms < files.retry_at_ms {
            return;
        }
        // After an error one is enough to learn whether it is over.
        let wanted = if files.create_error.is_some() {
            1
        } else {
            self.tuning.spare_files
        };
        let wanted = wanted.saturating_sub(files.creating.len());
        let missing = self
            .tuning
            .spare_files
            .saturating_sub(files.spares.len() + files.creating.len());
        for _ in 0..missing.min(wanted) {
            let segment = files.new_id();
            files.creating.push_back((segment, true));
            ops.push(DiskOp::Create { segment });
        }
    }

    /// Everything appended up to here survives a loss of power.
    pub(crate) fn synced_point(&self) -> u64 {
        if !(self.files.resync.is_empty() && self.files.resyncing.is_empty()) {
            return 0;
        }
        let below = |slot: &usize| self.segment(*slot).file.synced_below();
        let oldest = self.files.active.iter().filter_map(below).min();
        oldest.unwrap_or(self.appended)
    }

    fn written(&self) -> u64 {
        let below = |slot: &usize| self.segment(*slot).file.written_below();
        let oldest = self.files.active.iter().filter_map(below).min();
        oldest.unwrap_or(self.appended)
    }

    fn update_persisted(&mut self) {
        let synced = self.synced_point();
        self.floor.advance(synced);
        let now = match self.config.sync {
            SyncMode::Always => synced,
            SyncMode::EverySecond | SyncMode::None => self.written(),
        };
        if self.is_hushed() {
            return;
        }
        // A file that fails after its writes were acknowledged is written anew; what was said stays said.
        self.files.persisted = self.files.persisted.max(now);
    }

    fn is_hushed(&mut self) -> bool {
        let recorded = self.floor.recorded;
        self.files.hushed_until.take_if(|until| *until <= recorded);
        self.files.hushed_until.is_some() && self.config.sync == SyncMode::Always
    }

    /// What keeps the log from taking more, or will when what room it has is used up.
    #[must_use]
    pub fn log_trouble(&self) -> Option<DiskError> {
        self.files.broken.or(self.files.create_error)
    }

    /// It is so late. The time of the data may stand still, as where it is told by another store that this one follows; what the disk
    /// has failed to do is to be tried again all the same.
    pub fn tell_disk_time(&mut self, now_ms: u64) {
        self.files.now_ms = self.files.now_ms.max(now_ms);
    }

    /// It is so late, for data and disk.
    pub(crate) fn tell_now(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.tell_disk_time(now_ms);
    }

    /// Takes note of what the disk did.
    pub fn disk_event(&mut self, event: DiskEvent) {
        self.files.heard = true;
        match event.op {
            DiskOp::Create { segment } => self.on_create(segment, event.result),
            DiskOp::Disown { segment } => self.on_disowned(segment, event.result),
            DiskOp::Delete { segment } | DiskOp::Quarantine { segment } => {
                self.on_delete(segment, event.result);
            }
            DiskOp::Write { segment, .. }
            | DiskOp::Sync { segment }
            | DiskOp::Close { segment, .. } => self.on_file(segment, event),
        }
        self.update_persisted();
    }

    fn on_create(&mut self, id: SegmentId, result: Result<(), DiskError>) {
        let files = &mut self.files;
        match result {
            Ok(()) => {
                files.create_error = None;
                files.retry_ms = FIRST_RETRY_MS;
            }
            Err(error) => {
                if files
                    .create_error
                    .is_none_or(|_| files.now_ms >= files.retry_at_ms)
                {
                    files.retry_at_ms = files.now_ms + files.retry_ms;
                    files.retry_ms = (files.retry_ms * 2).min(LAST_RETRY_MS);
                }
                files.create_error = Some(error);
            }
        }
        let in_making = files
            .creating
            .iter()
            .position(|(creating, _)| *creating == id);
        if let Some(i) = in_making {
            files.creating.remove(i);
            match result {
                Ok(()) => files.spares.push_back(id),
                Err(_) => self.condemn(id, 0, u64::MAX, false),
            }
        } else if let (Some(slot), Err(error)) = (self.files.open.get(&id).copied(), result) {
            self.fail(slot, error);
        }
        self.replace_failed();
    }

    fn on_disowned(&mut self, id: SegmentId, result: Result<(), DiskError>) {
        let now_ms = self.files.now_ms;
        let disowned = &mut self.files.disowned;
        let Some(i) = disowned.iter().position(|file| file.id == id) else {
            return;
        };
        match result {
            Ok(()) => {
                let file = disowned.swap_remove(i);
                self.files.failed.push(file.slot);
                self.replace_failed();
            }
            Err(_) => {
                disowned[i].asked = false;
                disowned[i].not_before_ms = now_ms + LAST_RETRY_MS;
            }
        }
    }

    fn on_delete(&mut self, id: SegmentId, result: Result<(), DiskError>) {
        let now_ms = self.files.now_ms;
        let condemned = &mut self.files.condemned;
        let Some(i) = condemned.iter().position(|c| c.id == id) else {
            return;
        };
        match result {
            Ok(()) => {
                condemned.swap_remove(i);
                self.files.deleted += 1;
            }
            Err(_) => {
                condemned[i].asked = false;
                condemned[i].not_before_ms = now_ms + LAST_RETRY_MS;
            }
        }
    }

    fn on_file(&mut self, id: SegmentId, event: DiskEvent) {
        if let Some(i) = self
            .files
            .resyncing
            .iter()
            .position(|segment| *segment == id)
        {
            self.files.resyncing.swap_remove(i);
            self.on_resync(id, event.result);
            return;
        }
        // A file that has failed may still be answered for.
        let Some(slot) = self.files.open.get(&id).copied() else {
            return;
        };
        let file = &mut self.segment_mut(slot).file;
        if file.stage == Stage::Failed {
            return;
        }
        let Some(i) = file
            .in_flight
            .iter()
            .position(|flight| flight.op == event.op)
        else {
            return;
        };
        if let Err(error) = event.result {
            self.fail(slot, error);
            return;
        }
        file.in_flight.remove(i);
        if matches!(event.op, DiskOp::Close { .. }) {
            self.on_closed(slot);
        }
    }

    /// What a restart found complete is synced, or is written anew to another file.
    fn on_resync(&mut self, id: SegmentId, result: Result<(), DiskError>) {
        let slot = *self
            .files
            .open
            .get(&id)
            .expect("nothing happens to it before");
        let file = &mut self.segment_mut(slot).file;
        assert!(file.stage == Stage::Resyncing, "{id:?} is {:?}", file.stage);
        match result {
            Ok(()) => {
                file.stage = Stage::Closed;
                (file.found, file.thinned) = (false, false);
                self.cleaner.look = true;
            }
            Err(error) => {
                // Nothing of what was found in it is safe until another file has it.
                file.unsynced_from = Some(0);
                if file.thinned {
                    self.files.hushed_until = Some(self.newest);
                }
                self.activate(slot);
                self.fail(slot, error);
            }
        }
    }

    fn on_closed(&mut self, slot: usize) {
        let file = &mut self.segment_mut(slot).file;
        assert!(
            file.in_flight.is_empty(),
            "ops on one file are done in order"
        );
        file.stage = Stage::Closed;
        file.found = false;
        let replacement = core::mem::take(&mut file.replacement);
        self.cleaner.look = true;
        self.files.active.retain(|active| *active != slot);
        let waiting = self
            .files
            .active
            .iter()
            .any(|s| self.segment(*s).file.replacement);
        let failed = !(self.files.failed.is_empty() && self.files.disowned.is_empty());
        if replacement && !waiting && !failed {
            self.files.broken = None;
        }
    }

    /// An op on the segment's file has failed: that is final for the file, which is disowned, then replaced.
    fn fail(&mut self, slot: usize, error: DiskError) {
        if self.segment(slot).file.stage == Stage::Failed {
            return;
        }
        if !self.segment(slot).sealed {
            self.seal_segment(slot);
        }
        let segment = self.segment_mut(slot);
        segment.file.stage = Stage::Failed;
        let id = segment.id;
        self.files.disown(id, slot);
        self.files.broken = Some(error);
    }

    /// Gives segments whose file has failed fresh ones, as far as there are any.
    pub(crate) fn replace_failed(&mut self) {
        while let Some(slot) = self.files.failed.last().copied() {
            let Some(id) = self.files.spares.pop_front() else {
                return;
            };
            self.files.failed.pop();
            self.replace_file(slot, id);
        }
    }

    /// Lets the segment be written anew, whole and from memory, to another file. The old one goes when that is
    /// done.
    fn replace_file(&mut self, slot: usize, id: SegmentId) {
        let salt = Salt::new(self.tuning.directory, id);
        let (bytes, appended) = (self.tuning.segment_bytes, self.appended);
        let segment = self.segment_mut(slot);
        assert!(segment.sealed && segment.gap.is_none());
        let (old, first_position) = (segment.id, segment.first_position);
        let quarantine = segment.file.quarantine;
        // If all of it was synced, it must still be before the old file goes.
        let last = appended.saturating_sub(1);
        let unsynced = segment.file.synced_below().unwrap_or(last).min(last);
        let unwritten = segment.file.written_below().unwrap_or(unsynced);
        segment.file = File {
            unwritten_from: Some(unwritten.min(unsynced)),
            unsynced_from: Some(unsynced),
            replacement: true,
            found: segment.file.found,
            ..File::new()
        };
        segment.id = id;
        resalt(segment, salt);
        segment.file_len = segment.tail;
        self.files.open.remove(&old);
        self.files.renamed.insert(old);
        self.files.open.insert(id, slot);
        self.write_header(slot);
        self.activate(slot);
        self.condemn(old, bytes, first_position, quarantine);
        if quarantine && let Some(old) = self.files.condemned.last_mut() {
            // Every position that passed in it is in the new one: no floor need be told first.
            old.newest = Position::ZERO;
        }
    }

    /// Bytes of a segment in memory, as a [`DiskOp::Write`] names them. They stay where they are until the op is
    /// answered; a touch may change deadlines in them meanwhile, so whoever writes from another thread copies
    /// them first. Empty if the file has been given up since the op was taken.
    #[must_use]
    pub fn segment_bytes(&self, segment: SegmentId, offset: u32, len: u32) -> &[u8] {
        let Some(slot) = self.files.open.get(&segment) else {
            return &[];
        };
        let offset = offset as usize;
        &self.segment(*slot).region.bytes()[offset..offset + len as usize]
    }

    /// When the disk is to be asked for something, at the latest.
    pub(crate) fn next_disk_ms(&self) -> Option<u64> {
        let dirty = |slot: &usize| self.segment(*slot).file.unsynced_from.is_some();
        let sync = match self.config.sync {
            SyncMode::Always => false,
            SyncMode::EverySecond => self.files.active.iter().any(dirty),
            SyncMode::None => !self.files.condemned.is_empty(),
        };
        let sync = sync.then(|| self.files.synced_ms + SYNC_EVERY_MS);
        let may_close = |slot: &usize| self.segment(*slot).may_close();
        let close = self.files.active.iter().any(may_close);
        let close = close.then_some(self.files.now_ms);
        let create = self.files.create_error.map(|_| self.files.retry_at_ms);
        let delete = self.files.condemned.iter().filter(|c| !c.asked);
        let delete = delete.map(|c| c.not_before_ms);
        let disown = self.files.disowned.iter().filter(|file| !file.asked);
        let disown = disown.map(|file| file.not_before_ms);
        let again = delete.chain(disown).filter(|ms| *ms > 0).min();
        let dues = sync.into_iter().chain(close).chain(create);
        dues.chain(again).min()
    }
}

/// Computes all checksums anew, for another segment id.
fn resalt(segment: &mut crate::segment::Segment, salt: Salt) {
    let old = core::mem::replace(&mut segment.salt, salt);
    let offsets: Vec<usize> = segment.offsets().collect();
    for offset in offsets {
        let entry = segment.entry_mut(offset);
        let place = format::verify(entry, old).expect("memory holds only entries that pass");
        let more = format::Header::read(entry).more;
        format::finish(entry, salt, place == format::Place::First, more);
    }
}
