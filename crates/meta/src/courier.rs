//! Carries an agent's questions to its store, and the answers back.

use std::sync::Arc;

use cluster::{
    AskId,
    metadata::{Answer, Ask},
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::MetaStore;

/// Carries questions until there are no more. Each is a task of its own, so that a slow one does not hold up the next; a
/// new watch ends the one before.
pub async fn carry<S: MetaStore>(
    store: Arc<S>,
    mut asks: mpsc::Receiver<(AskId, Ask)>,
    answers: mpsc::Sender<(AskId, Answer)>,
) {
    let mut watch: Option<JoinHandle<()>> = None;
    while let Some((id, ask)) = asks.recv().await {
        let (store, answers) = (store.clone(), answers.clone());
        match ask {
            Ask::Transact(transaction) => {
                tokio::spawn(async move {
                    let outcome = store.transact(&transaction).await;
                    let _ = answers.send((id, Answer::Transacted(outcome))).await;
                });
            }
            Ask::List => {
                tokio::spawn(async move {
                    let listing = store.list().await;
                    let _ = answers.send((id, Answer::Listed(listing))).await;
                });
            }
            Ask::Watch(after) => {
                let next = tokio::spawn(async move {
                    let mut watch = store.watch(after).await;
                    while let Some(change) = watch.next().await {
                        if answers.send((id, Answer::Changed(change))).await.is_err() {
                            return;
                        }
                    }
                    let _ = answers.send((id, Answer::WatchLost)).await;
                });
                if let Some(before) = watch.replace(next) {
                    before.abort();
                }
            }
        }
    }
    if let Some(last) = watch {
        last.abort();
    }
}
