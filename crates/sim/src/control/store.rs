//! A metadata store with every fault of a real one.
//!
//! What it means is [`cluster::table::Table`]; here it can be down, stopped and restarted, lose a
//! request or its answer, and compact what a watch has not been told.

use cluster::{
    metadata::{Change, Listing, Outcome, Revision, Transaction},
    table::{Compacted, Table},
};

/// The store.
#[derive(Debug, Default)]
pub struct SimStore {
    table: Table,
    down: bool,
    /// What becomes of the next requests.
    fates: std::collections::VecDeque<Fate>,
    restarts: u64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It never arrives.
    RequestLost,
    /// It is carried out; nobody is told.
    AnswerLost,
}

impl SimStore {
    /// Sets what becomes of the request after those whose fate is set already.
    pub fn push_fate(&mut self, fate: Fate) {
        self.fates.push_back(fate);
    }

    /// Whatever is asked from now on is done, and answered.
    pub fn clear_fates(&mut self) {
        self.fates.clear();
    }

    /// Nothing is answered from now on.
    pub fn stop(&mut self) {
        self.down = true;
    }

    /// It is there again, with everything that it had committed. Watches have to begin anew.
    pub fn start(&mut self) {
        self.down = false;
        self.restarts += 1;
    }

    /// It has lost what it had, and is as it was then, or empty.
    pub fn go_back(&mut self, table: Table) {
        self.table = table;
        self.start();
    }

    /// How many times it was started: a watch that began before is over.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether it answers.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        !self.down
    }

    /// Forgets all changes but the latest `keep`.
    pub fn compact(&mut self, keep: u64) {
        let to = self.table.revision().0.saturating_sub(keep);
        self.table.compact(Revision(to));
    }

    fn fate(&mut self) -> Fate {
        let fate = self.fates.pop_front().unwrap_or(Fate::Answered);
        if self.down { Fate::RequestLost } else { fate }
    }

    /// A transaction, as its sender sees it.
    pub fn transact(&mut self, transaction: &Transaction) -> Outcome {
        match self.fate() {
            Fate::Answered => self.table.transact(transaction),
            Fate::RequestLost => Outcome::Unknown,
            Fate::AnswerLost => {
                self.table.transact(transaction);
                Outcome::Unknown
            }
        }
    }

    /// A list; `None` if no answer comes.
    pub fn list(&mut self, prefix: &[u8]) -> Option<Listing> {
        (self.fate() == Fate::Answered).then(|| self.table.list(prefix))
    }

    /// The changes that a watch has yet to be told.
    pub fn changes_after(
        &self,
        revision: Revision,
        prefix: &[u8],
    ) -> Result<Vec<Change>, Compacted> {
        if self.down {
            return Ok(Vec::new());
        }
        self.table.changes_after(revision, prefix)
    }

    /// What it holds: for those who judge.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }
}
