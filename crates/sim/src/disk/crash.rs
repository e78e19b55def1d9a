//! What the end of a process, or of the power, leaves on the disk.

use store::DiskOp;

use super::{Crash, Disk, Pending};
use crate::rare::{Counts, Rare};

impl Disk {
    /// Ends everything that is in flight.
    pub fn crash(&mut self, how: Crash, counts: &mut Counts) {
        self.cut_ops(counts);
        match how {
            Crash::Process => counts.note(Rare::ProcessKill),
            Crash::Power => {
                counts.note(Rare::PowerLoss);
                self.lose_power(counts);
            }
        }
    }

    /// Of each file's ops some first ones are done, and one more perhaps in part.
    fn cut_ops(&mut self, counts: &mut Counts) {
        for queue in std::mem::take(&mut self.queues).into_values() {
            let done = self.random.index(queue.len() + 1);
            let mut ops = queue.into_iter();
            for pending in ops.by_ref().take(done) {
                // The process is dead: if it fails, the next one to sync the file is told.
                let outcome = self.perform(&pending, counts);
                if let Some(file) = self.files.get_mut(&pending.op.segment()) {
                    file.owes_error |= outcome.is_err();
                }
            }
            if let Some(pending) = ops.next() {
                self.tear(&pending, counts);
            }
        }
    }

    fn tear(&mut self, pending: &Pending, counts: &mut Counts) {
        match pending.op {
            DiskOp::Write { offset, .. } if self.random.chance(7_000) => {
                let kept = self.random.index(pending.bytes.len() + 1);
                if let Some(file) = self.files.get_mut(&pending.op.segment()) {
                    file.write(offset as usize, &pending.bytes[..kept]);
                    counts.note(Rare::TornWrite);
                }
            }
            DiskOp::Close { segment, len } if self.random.chance(5_000) => {
                if self.sync(segment, counts).is_ok()
                    && let Some(file) = self.files.get_mut(&segment)
                {
                    file.cut(len as usize);
                }
            }
            DiskOp::Create { .. }
            | DiskOp::Write { .. }
            | DiskOp::Sync { .. }
            | DiskOp::Close { .. }
            | DiskOp::Disown { .. }
            | DiskOp::Delete { .. }
            | DiskOp::Quarantine { .. } => {}
        }
    }

    fn lose_power(&mut self, counts: &mut Counts) {
        let random = &mut self.random;
        self.files
            .retain(|_, file| file.entered || random.chance(5_000));
        for (segment, ghost) in std::mem::take(&mut self.ghosts) {
            if random.chance(5_000) {
                self.files.entry(segment).or_insert(ghost);
            }
        }
        for file in self.files.values_mut() {
            if file.lose_power(random) {
                counts.note(Rare::LostUnsynced);
            }
        }
    }
}
