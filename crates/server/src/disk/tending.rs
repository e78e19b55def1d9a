//! The folders of copies, and what is done to them.
//!
//! A note that cannot be kept is put off and tried again: nothing that rests on it may be said before. What was asked for later and does
//! not depend on it is done all the same, as it may be what makes room. A note that need not survive a loss of power at once does so within
//! a second, as the log does.

use std::collections::BTreeMap;
use std::time::Duration;

use node::{CopyId, FileTask};
use store::DiskError;
use tracing::{error, warn};

use super::{Done, disk_error};
use crate::directory::{Folders, MOST_UNSYNCED};

/// How long it is waited before a note is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long a note may be without its sync.
const SYNC_AFTER: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Tending {
    folders: Folders,
    /// Notes that are not synced, and how many of each copy.
    unsynced: BTreeMap<CopyId, (Vec<u8>, usize)>,
    /// When they are to be, on the clock of the caller.
    sync_by: Duration,
    /// What could not be done yet, in order, and why.
    put_off: Vec<(FileTask, DiskError)>,
    /// When that is tried again, on the clock of the caller.
    again: Duration,
}

impl Tending {
    pub(super) fn new(folders: Folders) -> Self {
        Self {
            folders,
            unsynced: BTreeMap::new(),
            sync_by: Duration::ZERO,
            put_off: Vec::new(),
            again: Duration::ZERO,
        }
    }

    /// How long to wait before there is something to do again; `None`: nothing was put off.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        let again = (!self.put_off.is_empty()).then_some(self.again);
        let sync_by = (!self.unsynced.is_empty()).then_some(self.sync_by);
        let first = again.into_iter().chain(sync_by).min()?;
        Some(first.saturating_sub(now))
    }

    /// Why the folder of this copy is not as it should be.
    pub(super) fn trouble(&self, copy: CopyId) -> Option<DiskError> {
        let mut tasks = self.put_off.iter();
        tasks
            .find(|(task, _)| copy_of(task) == copy)
            .map(|(_, error)| *error)
    }

    /// Does a task, or puts it off.
    pub(super) fn tend(&mut self, task: FileTask, now: Duration) -> Option<Done> {
        if self.put_off.is_empty() {
            self.again = now + RETRY;
        }
        if self.unsynced.is_empty() {
            self.sync_by = now + SYNC_AFTER;
        }
        let first = self.put_off.is_empty();
        let done = self.attempt(task);
        if first && let Some((_, error)) = self.put_off.first() {
            error!(
                ?error,
                "cannot keep what this node has promised; trying again"
            );
        }
        done
    }

    /// Does what was put off and is due, as far as it can be done by now.
    pub(super) fn catch_up(&mut self, now: Duration) -> Vec<Done> {
        if self.sync_by <= now {
            self.sync_notes(now);
        }
        if self.again > now {
            return Vec::new();
        }
        self.again = now + RETRY;
        let tasks = std::mem::take(&mut self.put_off);
        tasks
            .into_iter()
            .filter_map(|(task, _)| self.attempt(task))
            .collect()
    }

    fn sync_notes(&mut self, now: Duration) {
        self.sync_by = now + SYNC_AFTER;
        let folders = &self.folders;
        self.unsynced.retain(|copy, (note, _)| {
            let synced = folders.sync_note(*copy);
            // After a failed sync nobody knows what the disk has: it is written once more, to another slot.
            let kept = synced.or_else(|_| folders.keep_note(*copy, note, true));
            if let Err(error) = &kept {
                warn!(%error, copy = copy.0, "cannot sync what this node has promised; trying again");
            }
            kept.is_err()
        });
    }

    fn attempt(&mut self, task: FileTask) -> Option<Done> {
        if let Some(error) = self.reason_to_wait(&task) {
            self.put_off.push((task, error));
            return None;
        }
        match self.carry_out(&task) {
            Ok(done) => {
                // On a full disk there may be no room for it; but what was just removed may have made some.
                let _ = self.folders.make_spare();
                Some(done)
            }
            Err(error) => {
                self.put_off.push((task, disk_error(&error)));
                None
            }
        }
    }

    /// What a copy had is removed only when the notes of before are kept: one of them may be that of the copy which takes its place.
    fn reason_to_wait(&self, task: &FileTask) -> Option<DiskError> {
        match task {
            FileTask::Keep { copy, .. } => self.trouble(*copy),
            FileTask::Remove { .. } => self.put_off.first().map(|(_, error)| *error),
        }
    }

    fn carry_out(&mut self, task: &FileTask) -> std::io::Result<Done> {
        match task {
            FileTask::Keep {
                copy,
                ticket,
                note,
                at_once,
            } => {
                let (copy, ticket) = (*copy, *ticket);
                let before = self.unsynced.get(&copy).map_or(0, |(_, count)| *count);
                let at_once = *at_once || before >= MOST_UNSYNCED;
                self.folders.keep_note(copy, note, at_once)?;
                if at_once {
                    self.unsynced.remove(&copy);
                } else {
                    self.unsynced.insert(copy, (note.clone(), before + 1));
                }
                Ok(Done::Kept { copy, ticket })
            }
            FileTask::Remove { copy } => {
                self.unsynced.remove(copy);
                // What is left of it will go at the next start.
                if let Err(error) = self.folders.remove(*copy) {
                    warn!(%error, copy = copy.0, "cannot remove the folder of a copy that is not needed any more");
                }
                Ok(Done::Removed)
            }
        }
    }
}

fn copy_of(task: &FileTask) -> CopyId {
    match task {
        FileTask::Keep { copy, .. } | FileTask::Remove { copy } => *copy,
    }
}
