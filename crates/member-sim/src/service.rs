//! The metadata store's side: questions arrive, answers and changes go back, and every transaction is judged.

use std::collections::BTreeMap;

use cluster::AskId;
use cluster::map::ClusterMap;
use cluster::metadata::{Answer, Ask, Change, Outcome, Revision, Transaction};
use cluster::table::Table;
use model::Member;
use sim::control::judge::Judge;
use sim::control::store::SimStore;
use sim::random::Random;

use crate::rare::{Counts, Rare};

/// Changes that a watch has yet to tell, from this revision on.
struct Watch {
    ask: AskId,
    told: Revision,
    restarts: u64,
}

/// See the module. A node has one watch: the one that it asked for last.
#[derive(Default)]
pub struct Service {
    /// The store, with its faults.
    pub store: SimStore,
    /// Nothing is done while it stands still.
    pub paused: bool,
    watches: BTreeMap<Member, Watch>,
    judge: Judge,
    /// Backups.
    backups: Vec<Table>,
}

impl Service {
    /// The map as the store has it.
    #[must_use]
    pub const fn map(&self) -> &ClusterMap {
        self.judge.map()
    }

    /// Whether it has lost a configuration that somebody may know.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.judge.is_behind()
    }

    /// What it holds is put aside.
    pub fn back_up(&mut self) {
        self.backups.push(self.store.table().clone());
    }

    /// It loses what it had, and is as one of its backups, or empty.
    pub fn go_back(&mut self, random: &mut Random) {
        let backup = self
            .backups
            .get(random.index(self.backups.len() + 1))
            .cloned();
        let mut store = SimStore::default();
        store.go_back(backup.clone().unwrap_or_default());
        let listing = store.list(b"").expect("it is up");
        self.judge.go_back(ClusterMap::from_listing(&listing));
        self.store.go_back(backup.unwrap_or_default());
    }

    /// A question has arrived. The answer, if there is one at once, and whether the map is another now.
    ///
    /// # Errors
    /// The transaction should not have been asked for.
    pub fn ask(
        &mut self,
        by: Member,
        ask: AskId,
        question: Ask,
        counts: &mut Counts,
    ) -> Result<(Option<Answer>, bool), String> {
        match question {
            Ask::Transact(transaction) => self.transact(by, &transaction, counts),
            Ask::List => {
                let listing = self.store.list(b"");
                Ok((listing.map(|listing| Answer::Listed(Some(listing))), false))
            }
            Ask::Watch(told) => {
                let restarts = self.store.restarts();
                let watch = Watch {
                    ask,
                    told,
                    restarts,
                };
                self.watches.insert(by, watch);
                Ok((None, false))
            }
        }
    }

    fn transact(
        &mut self,
        by: Member,
        transaction: &Transaction,
        counts: &mut Counts,
    ) -> Result<(Option<Answer>, bool), String> {
        let before = self.store.table().revision();
        let outcome = self.store.transact(transaction);
        let changed = self.store.table().revision() != before;
        if changed {
            let changes = self.store.table().changes_after(before, b"");
            let changes = changes.map_err(|_| "a change is compacted at once")?;
            self.judge.committed(by, transaction, &changes[0])?;
        }
        let answer = match outcome {
            Outcome::Committed(_) => Some(Answer::Transacted(outcome)),
            Outcome::Conflict => {
                counts.note(Rare::StoreConflict);
                Some(Answer::Transacted(outcome))
            }
            // An answer that does not come.
            Outcome::Unknown => {
                counts.note(Rare::StoreUnknown);
                None
            }
        };
        Ok((answer, changed))
    }

    /// What a node's watch has to tell by now. A watch that is lost says so once.
    pub fn tell(&mut self, to: Member, counts: &mut Counts) -> Vec<(AskId, Answer)> {
        let Some(watch) = self.watches.get_mut(&to) else {
            return Vec::new();
        };
        let ask = watch.ask;
        let broken = watch.restarts != self.store.restarts();
        match self.store.changes_after(watch.told, b"") {
            Ok(changes) if !broken => {
                watch.told = changes.last().map_or(watch.told, |change| change.revision);
                let tell = |change: Change| (ask, Answer::Changed(change));
                changes.into_iter().map(tell).collect()
            }
            Ok(_) | Err(_) => {
                counts.note(Rare::WatchLost);
                self.watches.remove(&to);
                vec![(ask, Answer::WatchLost)]
            }
        }
    }

    /// The connection of a watch is over: nothing more comes, and nobody says so.
    pub fn forget(&mut self, member: Member) {
        self.watches.remove(&member);
    }
}
