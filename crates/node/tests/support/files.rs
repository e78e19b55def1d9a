//! Segment files in memory, and a store from them, as after the process was killed.

use std::collections::BTreeMap;

use model::Now;
use model::limits::SEGMENT_BYTES;
use node::{DiskTask, Node};
use store::{DiskOp, HeapPages, Restore, SegmentId, Store, StoreConfig, SyncMode, Tuning};

/// What the operating system has of each segment.
pub struct Files {
    images: BTreeMap<SegmentId, Vec<u8>>,
    sync: SyncMode,
}

fn config(sync: SyncMode) -> StoreConfig {
    StoreConfig {
        memory_bytes: 256 << 20,
        sync,
        seed: 7,
    }
}

fn tuning() -> Tuning {
    Tuning {
        directory: 7,
        ..Tuning::default()
    }
}

impl Files {
    /// None, for a store that acknowledges by this mode.
    pub const fn new(sync: SyncMode) -> Self {
        Self {
            images: BTreeMap::new(),
            sync,
        }
    }

    /// The store that a first start makes.
    pub fn empty_store(&self) -> Store {
        Store::with(config(self.sync), tuning(), Box::new(HeapPages))
    }

    /// Does what the node asks for.
    pub fn done(&mut self, node: &Node, task: &DiskTask) {
        let bytes = node.segment_bytes(task);
        match task.op {
            DiskOp::Create { segment } => {
                self.images.insert(segment, vec![0; SEGMENT_BYTES]);
            }
            DiskOp::Write {
                segment, offset, ..
            } => {
                let (image, offset) = (self.images.entry(segment).or_default(), offset as usize);
                image[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Close { segment, len } => {
                let image = self.images.entry(segment).or_default();
                image.truncate(len as usize);
            }
            DiskOp::Sync { .. } | DiskOp::Disown { .. } => {}
            DiskOp::Delete { segment } | DiskOp::Quarantine { segment } => {
                self.images.remove(&segment);
            }
        }
    }

    /// The store that a restart finds.
    pub fn restored(&self, now: Now) -> Store {
        let mut restore = Restore::new(config(self.sync), tuning(), Box::new(HeapPages));
        self.read(
            &mut restore,
            &self.images.keys().copied().collect::<Vec<_>>(),
        );
        let again = restore.put_off();
        self.read(&mut restore, &again);
        let (store, report) = restore.finish(now.unix_ms);
        assert!(
            report.damaged.is_empty() && report.foreign.is_empty(),
            "{report:?}"
        );
        store
    }

    fn read(&self, restore: &mut Restore, segments: &[SegmentId]) {
        let scanner = restore.scanner();
        for segment in segments {
            let image = &self.images[segment];
            let mut region = restore.region().expect("there is memory for a segment");
            region.bytes_mut()[..image.len()].copy_from_slice(image);
            restore.add(scanner.scan(*segment, region, image.len()));
        }
    }
}
