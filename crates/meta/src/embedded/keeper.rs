//! Keeps the records: a table in memory that answers, a file that remembers.
//!
//! One thread owns both. It takes all transactions that wait, carries them out in memory one after the other, writes what they
//! changed in one durable commit, and only then answers them. When a commit fails nobody knows what is on the disk: it
//! answers nothing any more, for ever, and its process should end.

use std::{collections::BTreeMap, path::Path, sync::mpsc, thread::JoinHandle};

use cluster::{
    metadata::{Change, Listing, Outcome, Revision, Transaction, Write},
    table::{Compacted, Table},
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio::sync::{oneshot, watch};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const REVISION: &str = "revision";
/// Transactions that one commit carries at most.
const MOST: usize = 256;
/// Questions that may wait; the connection that brings one more waits itself.
const QUEUE: usize = 1_024;

/// A handle to the keeper. When all handles are gone it ends.
#[derive(Clone, Debug)]
pub struct Keeper {
    questions: mpsc::SyncSender<Question>,
    revision: watch::Receiver<Revision>,
}

#[derive(Debug)]
enum Question {
    Transact(Transaction, oneshot::Sender<Outcome>),
    List(oneshot::Sender<Listing>),
    ChangesAfter(Revision, oneshot::Sender<Result<Vec<Change>, Compacted>>),
}

impl Keeper {
    /// Opens the file, or makes one, and keeps it until every handle is gone.
    ///
    /// # Errors
    /// If another process has the file open, or it cannot be read.
    pub fn open(path: &Path) -> Result<(Self, JoinHandle<()>), redb::Error> {
        let file = Database::create(path)?;
        let table = read(&file)?;
        let (questions, asked) = mpsc::sync_channel(QUEUE);
        let (told, revision) = watch::channel(table.revision());
        let work = Work { file, table, told };
        let thread = std::thread::Builder::new().name("metadata".into());
        let thread = thread
            .spawn(move || work.run(&asked))
            .map_err(redb::StorageError::from)?;
        Ok((
            Self {
                questions,
                revision,
            },
            thread,
        ))
    }

    /// Carries a transaction out. `Unknown` if the keeper has ended or its disk has failed.
    pub async fn transact(&self, transaction: Transaction) -> Outcome {
        let (answer, answered) = oneshot::channel();
        if self.ask(Question::Transact(transaction, answer)).await {
            answered.await.unwrap_or(Outcome::Unknown)
        } else {
            Outcome::Unknown
        }
    }

    /// Lists everything.
    pub async fn list(&self) -> Option<Listing> {
        let (answer, answered) = oneshot::channel();
        if self.ask(Question::List(answer)).await {
            answered.await.ok()
        } else {
            None
        }
    }

    /// The changes after this revision; `None` if the keeper has ended.
    pub(super) async fn changes_after(
        &self,
        revision: Revision,
    ) -> Option<Result<Vec<Change>, Compacted>> {
        let (answer, answered) = oneshot::channel();
        let asked = self.ask(Question::ChangesAfter(revision, answer)).await;
        if asked { answered.await.ok() } else { None }
    }

    /// Follows the latest durable revision.
    pub(super) fn revision(&self) -> watch::Receiver<Revision> {
        self.revision.clone()
    }

    async fn ask(&self, question: Question) -> bool {
        let questions = self.questions.clone();
        let asked = tokio::task::spawn_blocking(move || questions.send(question).is_ok());
        asked.await.unwrap_or(false)
    }
}

fn read(file: &Database) -> Result<Table, redb::Error> {
    let writing = file.begin_write()?;
    writing.open_table(RECORDS)?;
    writing.open_table(STATE)?;
    writing.commit()?;
    let reading = file.begin_read()?;
    let mut values = BTreeMap::new();
    for entry in reading.open_table(RECORDS)?.iter()? {
        let (key, value) = entry?;
        values.insert(key.value().to_vec(), value.value().to_vec());
    }
    let revision = reading.open_table(STATE)?.get(REVISION)?;
    let revision = Revision(revision.map_or(0, |revision| revision.value()));
    Ok(Table::restored(revision, values))
}

struct Work {
    file: Database,
    table: Table,
    told: watch::Sender<Revision>,
}

impl Work {
    fn run(mut self, asked: &mpsc::Receiver<Question>) {
        while let Ok(first) = asked.recv() {
            let more = asked.try_iter().take(MOST - 1);
            let questions: Vec<Question> = std::iter::once(first).chain(more).collect();
            if self.turn(questions).is_err() {
                return;
            }
        }
    }

    /// Answers questions in their order: first in memory, then on disk, then to those who asked.
    fn turn(&mut self, questions: Vec<Question>) -> Result<(), redb::Error> {
        let before = self.table.revision();
        let mut writes: Vec<Write> = Vec::new();
        let mut answers: Vec<Box<dyn FnOnce()>> = Vec::new();
        for question in questions {
            match question {
                Question::Transact(transaction, answer) => {
                    let outcome = self.table.transact(&transaction);
                    if outcome != Outcome::Conflict {
                        writes.extend(transaction.writes);
                    }
                    answers.push(Box::new(move || _ = answer.send(outcome)));
                }
                Question::List(answer) => {
                    let listing = self.table.list(b"");
                    answers.push(Box::new(move || _ = answer.send(listing)));
                }
                Question::ChangesAfter(revision, answer) => {
                    let changes = self.table.changes_after(revision, b"");
                    answers.push(Box::new(move || _ = answer.send(changes)));
                }
            }
        }
        if self.table.revision() != before {
            self.persist(&writes)?;
            self.told.send_replace(self.table.revision());
        }
        answers.into_iter().for_each(|answer| answer());
        Ok(())
    }

    /// In one commit, which is durable when this returns.
    fn persist(&self, writes: &[Write]) -> Result<(), redb::Error> {
        let writing = self.file.begin_write()?;
        {
            let mut records = writing.open_table(RECORDS)?;
            for write in writes {
                match &write.value {
                    Some(value) => records.insert(write.key.as_slice(), value.as_slice())?,
                    None => records.remove(write.key.as_slice())?,
                };
            }
            writing
                .open_table(STATE)?
                .insert(REVISION, self.table.revision().0)?;
        }
        writing.commit()?;
        Ok(())
    }
}
