//! A disk in memory: does ops in order, late, and wrongly when told to; loses what was not synced.
// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};

use store::{DiskError, DiskEvent, DiskOp, Pages, Restore, SegmentId, Store, StoreConfig, Tuning};

use crate::random::Random;

#[derive(Clone, Debug, Default)]
pub struct File {
    /// What the operating system has.
    pub bytes: Vec<u8>,
    /// What survives a loss of power.
    pub synced: Option<Vec<u8>>,
    pub disowned: bool,
    /// What no later sync adds to, as an earlier one has failed: the pages count as clean.
    frozen: Option<Vec<u8>>,
}

impl File {
    fn sync(&mut self) {
        let kept = self.frozen.as_ref().unwrap_or(&self.bytes);
        let mut durable = kept.clone();
        durable.truncate(self.bytes.len());
        self.synced = Some(durable);
    }
}

#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<SegmentId, File>,
    pub quarantined: BTreeMap<SegmentId, File>,
    queue: VecDeque<(DiskOp, Vec<u8>)>,
    segment_bytes: usize,
    /// Ops done so far, and which of them fail.
    pub done: u64,
    pub fail: BTreeMap<u64, DiskError>,
    /// Every op fails from this one up to that one.
    pub fail_between: Option<(u64, u64, DiskError)>,
    /// Files may take this many bytes in total.
    pub space: Option<usize>,
    pub failures: u64,
    /// A failed sync leaves what it was to write where the next process reads it.
    pub keeps_pages: bool,
}

impl Disk {
    pub fn new(tuning: Tuning) -> Self {
        Self {
            segment_bytes: tuning.segment_bytes,
            ..Self::default()
        }
    }

    /// Takes the store's ops over.
    pub fn take(&mut self, store: &mut Store) {
        let mut ops = Vec::new();
        store.take_disk_ops(&mut ops);
        for op in ops {
            let data = match op {
                DiskOp::Write {
                    segment,
                    offset,
                    len,
                } => {
                    let bytes = store.segment_bytes(segment, offset, len);
                    assert_eq!(bytes.len(), len as usize);
                    bytes.to_vec()
                }
                DiskOp::Create { .. }
                | DiskOp::Sync { .. }
                | DiskOp::Close { .. }
                | DiskOp::Disown { .. }
                | DiskOp::Delete { .. }
                | DiskOp::Quarantine { .. } => Vec::new(),
            };
            self.queue.push_back((op, data));
        }
    }

    /// Does up to `n` of the ops it has.
    pub fn work(&mut self, store: &mut Store, n: usize) {
        for _ in 0..n {
            let Some((op, data)) = self.queue.pop_front() else {
                return;
            };
            let result = self.perform(op, &data);
            store.disk_event(DiskEvent { op, result });
        }
    }

    /// Takes and does ops until there are none.
    pub fn drain(&mut self, store: &mut Store) {
        for _ in 0..100 {
            self.take(store);
            if self.queue.is_empty() {
                return;
            }
            self.work(store, usize::MAX);
        }
        panic!("the store never stops asking for disk ops");
    }

    fn perform(&mut self, op: DiskOp, data: &[u8]) -> Result<(), DiskError> {
        let index = self.done;
        self.done += 1;
        let planned = self
            .fail_between
            .filter(|(a, b, _)| (*a..*b).contains(&index));
        if let Some(error) = self.fail.get(&index).copied().or(planned.map(|p| p.2)) {
            self.failures += 1;
            // A failed write may have written a part; a failed sync may have dropped what it was to write.
            match op {
                DiskOp::Write {
                    segment, offset, ..
                } => {
                    if let Some(file) = self.files.get_mut(&segment) {
                        let half = data.len() / 2;
                        file.bytes[offset as usize..offset as usize + half]
                            .copy_from_slice(&data[..half]);
                    }
                }
                DiskOp::Sync { segment } | DiskOp::Close { segment, .. } => {
                    if let Some(file) = self.files.get_mut(&segment) {
                        let zeros = || vec![0; self.segment_bytes];
                        let durable = file.synced.clone().unwrap_or_else(zeros);
                        if self.keeps_pages {
                            file.frozen = Some(durable);
                        } else {
                            file.bytes = durable;
                        }
                    }
                }
                DiskOp::Create { .. }
                | DiskOp::Disown { .. }
                | DiskOp::Delete { .. }
                | DiskOp::Quarantine { .. } => (),
            }
            return Err(error);
        }
        match op {
            // A file whose creation failed is not there.
            DiskOp::Write { segment, .. }
            | DiskOp::Sync { segment }
            | DiskOp::Close { segment, .. }
                if !self.files.contains_key(&segment) =>
            {
                self.failures += 1;
                return Err(DiskError::Io(2));
            }
            DiskOp::Create { segment } => {
                let used: usize = self.files.values().map(|f| f.bytes.len()).sum();
                if self
                    .space
                    .is_some_and(|space| used + self.segment_bytes > space)
                {
                    self.failures += 1;
                    return Err(DiskError::NoSpace);
                }
                let file = File {
                    bytes: vec![0; self.segment_bytes],
                    ..File::default()
                };
                assert!(
                    self.files.insert(segment, file).is_none(),
                    "ids are never used again"
                );
            }
            DiskOp::Write {
                segment,
                offset,
                len,
            } => {
                let file = self
                    .files
                    .get_mut(&segment)
                    .expect("a write to a file that is there");
                let at = offset as usize;
                file.bytes[at..at + len as usize].copy_from_slice(data);
            }
            DiskOp::Sync { segment } => {
                let file = self
                    .files
                    .get_mut(&segment)
                    .expect("a sync of a file that is there");
                file.sync();
            }
            DiskOp::Close { segment, len } => {
                let file = self
                    .files
                    .get_mut(&segment)
                    .expect("a close of a file that is there");
                file.bytes.truncate(len as usize);
                file.sync();
            }
            DiskOp::Disown { segment } => {
                if let Some(file) = self.files.get_mut(&segment) {
                    file.disowned = true;
                }
            }
            DiskOp::Delete { segment } => {
                self.files.remove(&segment);
            }
            DiskOp::Quarantine { segment } => {
                let file = self
                    .files
                    .remove(&segment)
                    .expect("a damaged file is there");
                self.quarantined.insert(segment, file);
            }
        }
        Ok(())
    }

    /// The process dies: what was asked for and not done is lost.
    pub fn kill(&mut self) {
        self.queue.clear();
    }

    /// The process dies within the next `Close`, if it has one to do: the file has been cut, and was not synced.
    pub fn kill_within_close(&mut self) {
        while let Some((op, data)) = self.queue.pop_front() {
            if let DiskOp::Close { segment, len } = op {
                if let Some(file) = self.files.get_mut(&segment) {
                    file.bytes.truncate(len as usize);
                }
                break;
            }
            // Nobody is told any more.
            let _ = self.perform(op, &data);
        }
        self.kill();
    }

    /// The power fails: of what was not synced, any part may be lost.
    pub fn lose_power(&mut self, random: &mut Random) {
        self.queue.clear();
        let files = std::mem::take(&mut self.files);
        for (id, file) in files {
            let Some(mut bytes) = file.synced else {
                if random.one_in(2) {
                    continue;
                }
                // The directory entry survived, the contents did not, or not all.
                let len = random.below(file.bytes.len() as u64 + 1) as usize;
                let mut bytes = file.bytes;
                bytes[len..].fill(0);
                self.survives(id, bytes);
                continue;
            };
            for (page, now) in bytes.chunks_mut(512).zip(file.bytes.chunks(512)) {
                if random.one_in(2) && page.len() == now.len() {
                    page.copy_from_slice(now);
                }
            }
            self.survives(id, bytes);
        }
    }

    fn survives(&mut self, id: SegmentId, bytes: Vec<u8>) {
        let synced = Some(bytes.clone());
        let file = File {
            bytes,
            synced,
            ..File::default()
        };
        self.files.insert(id, file);
    }

    /// A store from what is there, its segments added in any order.
    pub fn restore(
        &mut self,
        config: StoreConfig,
        tuning: Tuning,
        pages: Box<dyn Pages>,
        now_ms: u64,
        random: &mut Random,
    ) -> (Store, store::RestoreReport) {
        self.done = 0;
        self.fail.clear();
        let mut restore = Restore::new(config, tuning, pages);
        let scanner = restore.scanner();
        let mut ids: Vec<_> = self.files.keys().copied().collect();
        for i in (1..ids.len()).rev() {
            ids.swap(i, random.below(i as u64 + 1) as usize);
        }
        while !ids.is_empty() {
            for id in ids {
                let File {
                    bytes, disowned, ..
                } = &self.files[&id];
                let mut region = restore.region().expect("memory");
                region.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
                let scanned = scanner.scan(id, region, bytes.len());
                restore.add(scanned.disowned(*disowned));
            }
            ids = restore.put_off();
        }
        restore.finish(now_ms)
    }
}
