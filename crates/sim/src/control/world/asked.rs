//! The metadata store's side: questions arrive, answers and changes go back.

use cluster::{
    AskId, Input,
    format::Record,
    metadata::{Answer, Ask, Outcome, Revision},
    record::ShardRecord,
};
use model::{Incarnation, Member, NodeId};

use super::{ControlWorld, Happening, Watch};

impl ControlWorld {
    pub(super) fn on_asked(
        &mut self,
        node: u32,
        life: Incarnation,
        ask: AskId,
        question: Ask,
    ) -> Result<(), String> {
        if self.store_paused {
            self.after(50_000, Happening::Asked(node, life, ask, question));
            return Ok(());
        }
        match question {
            Ask::Transact(transaction) => {
                let by = Member {
                    node: NodeId(node),
                    incarnation: life,
                };
                let before = self.store.table().revision();
                let outcome = self.store.transact(&transaction);
                self.note_outcome(by, outcome, &transaction);
                if self.store.table().revision() != before {
                    self.judge_commit(by, &transaction, before)?;
                    self.wake_watches();
                }
                self.answer(node, life, ask, Answer::Transacted(outcome));
            }
            Ask::List => {
                if let Some(listing) = self.store.list(b"") {
                    self.answer(node, life, ask, Answer::Listed(Some(listing)));
                }
            }
            Ask::Watch(told) => {
                let restarts = self.store.restarts();
                self.watches
                    .iter_mut()
                    .filter(|w| w.node == node)
                    .for_each(|w| w.over = true);
                self.watches.push(Watch {
                    node,
                    life,
                    ask,
                    told,
                    restarts,
                    over: !self.store.is_up(),
                });
                self.pump(self.watches.len() - 1);
            }
        }
        Ok(())
    }

    fn note_outcome(
        &mut self,
        by: Member,
        outcome: Outcome,
        transaction: &cluster::metadata::Transaction,
    ) {
        let counts = &mut self.report.counts;
        match outcome {
            Outcome::Committed(_) => counts.committed += 1,
            Outcome::Unknown => counts.unknown += 1,
            Outcome::Conflict => {
                counts.conflicts += 1;
                let of_role = cluster::keys::Place::Coordinator.key();
                let leads = self
                    .judge
                    .map()
                    .role()
                    .is_some_and(|role| role.holder == by);
                let as_leader = transaction
                    .compares
                    .first()
                    .is_some_and(|c| c.key == of_role);
                let takes = transaction.writes.iter().any(|w| w.key == of_role);
                counts.zombies += u64::from(as_leader && !takes && !leads);
            }
        }
        self.trace(|| {
            format!(
                "store: {outcome:?} for node {}: {}",
                by.node.0,
                describe(transaction)
            )
        });
    }

    fn judge_commit(
        &mut self,
        by: Member,
        transaction: &cluster::metadata::Transaction,
        before: Revision,
    ) -> Result<(), String> {
        let changes = self.store.table().changes_after(before, b"");
        let changes = changes.expect("it was made just now");
        self.digest(self.now_us ^ (u64::from(by.node.0) << 48));
        self.judge.committed(by, transaction, &changes[0])
    }

    fn digest(&mut self, with: u64) {
        self.report.digest = (self.report.digest ^ with)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17);
    }

    /// An answer goes the way back, if there is one.
    fn answer(&mut self, node: u32, life: Incarnation, ask: AskId, answer: Answer) {
        let unknown = matches!(answer, Answer::Transacted(Outcome::Unknown));
        if unknown {
            return;
        }
        if let Some(delay_us) = self.network.store_delay_us(node) {
            self.after(
                delay_us,
                Happening::Input(node, life, Input::Answered(ask, answer)),
            );
        }
    }

    pub(super) fn wake_watches(&mut self) {
        for at in 0..self.watches.len() {
            let lag_us = if self.plan.faults.watch && self.random.chance(500) {
                self.random.below(3_000_000)
            } else {
                self.random.below(1_000)
            };
            if !self.watches[at].over {
                self.after(lag_us, Happening::Pump(at));
            }
        }
    }

    pub(super) fn pump(&mut self, at: usize) {
        if self.store_paused {
            self.after(50_000, Happening::Pump(at));
            return;
        }
        let (node, life, ask, told) = {
            let watch = &self.watches[at];
            (watch.node, watch.life, watch.ask, watch.told)
        };
        if self.watches[at].over {
            return;
        }
        let broken = self.watches[at].restarts != self.store.restarts();
        let changes = self.store.changes_after(told, b"");
        // Answers of one watch stay in order: all take the same way at the same speed.
        let Some(delay_us) = self.network.store_delay_us(node).map(|_| 500) else {
            self.watches[at].over = true;
            return;
        };
        match changes {
            Ok(changes) if !broken => {
                for change in changes {
                    self.watches[at].told = change.revision;
                    self.after(
                        delay_us,
                        Happening::Input(node, life, Input::Answered(ask, Answer::Changed(change))),
                    );
                }
            }
            Ok(_) | Err(_) => {
                self.watches[at].over = true;
                self.report.counts.watches_lost += 1;
                self.after(
                    delay_us,
                    Happening::Input(node, life, Input::Answered(ask, Answer::WatchLost)),
                );
            }
        }
    }
}

fn describe(transaction: &cluster::metadata::Transaction) -> String {
    let writes = transaction.writes.iter().map(|write| {
        let key = String::from_utf8_lossy(&write.key).into_owned();
        let record = write
            .value
            .as_ref()
            .and_then(|value| ShardRecord::decode(value).ok());
        match record.map(|record| record.config) {
            Some(config) => {
                let nodes: Vec<u32> = config.copies().members().iter().map(|m| m.node.0).collect();
                let serving = config.phase() == model::Phase::Serving;
                format!(
                    "{key} epoch {} {nodes:?} led by {} serving {serving}",
                    config.epoch(),
                    config.primary().node.0
                )
            }
            None => key,
        }
    });
    writes.collect::<Vec<_>>().join("; ")
}
