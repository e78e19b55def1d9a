//! What every store must do.

use std::{sync::Arc, time::Duration};

use cluster::metadata::{Change, Outcome, Revision, Transaction};
use meta::{MetaStore, Watch};
use tokio::time::timeout;

use crate::rig::Rig;

/// Longer than any answer takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn put(key: &str, before: Option<&str>, after: &str) -> Transaction {
    let before = before.map(|value| value.as_bytes().to_vec());
    let transaction = Transaction::default().when(key.into(), before);
    transaction.put(key.into(), after.into())
}

fn value(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.into(), value.into())
}

/// Committed, or the test fails.
async fn commit(store: &impl MetaStore, transaction: &Transaction) -> Revision {
    match store.transact(transaction).await {
        Outcome::Committed(revision) => revision,
        other @ (Outcome::Conflict | Outcome::Unknown) => panic!("{other:?} for {transaction:?}"),
    }
}

async fn list(store: &impl MetaStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.list().await.expect("it answers").entries
}

async fn next(watch: &mut Watch) -> Option<Change> {
    timeout(PATIENCE, watch.next())
        .await
        .expect("a watch tells, or ends")
}

/// Asks until it is answered: after a start.
async fn answered(store: &impl MetaStore) -> cluster::metadata::Listing {
    let asking = async {
        loop {
            if let Some(listing) = store.list().await {
                return listing;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asking).await.expect("it comes back")
}

pub async fn a_transaction_is_all_or_nothing(rig: impl Rig) {
    let store = rig.store();
    commit(&*store, &put("a", None, "1")).await;
    let half = put("b", None, "1").when(b"a".to_vec(), Some(b"2".to_vec()));
    assert_eq!(store.transact(&half).await, Outcome::Conflict);
    assert_eq!(list(&*store).await, [value("a", "1")]);
    let whole = put("b", None, "1")
        .when(b"a".to_vec(), Some(b"1".to_vec()))
        .remove(b"a".to_vec());
    commit(&*store, &whole).await;
    assert_eq!(list(&*store).await, [value("b", "1")]);
    commit(&*store, &put("a", None, "again")).await;
}

pub async fn a_compare_names_the_whole_value(rig: impl Rig) {
    let store = rig.store();
    commit(&*store, &put("k", None, "value")).await;
    for wrong in [None, Some(""), Some("valu"), Some("value2")] {
        assert_eq!(
            store.transact(&put("k", wrong, "x")).await,
            Outcome::Conflict,
            "{wrong:?}"
        );
    }
    commit(&*store, &put("k", Some("value"), "")).await;
    assert_eq!(
        store.transact(&put("k", None, "x")).await,
        Outcome::Conflict,
        "empty is not absent"
    );
    commit(&*store, &put("k", Some(""), "x")).await;
}

pub async fn a_list_shows_what_was_committed(rig: impl Rig) {
    let store = rig.store();
    for n in 0..20 {
        let revision = commit(&*store, &put(&format!("node/{n:02}"), None, "x")).await;
        let listing = store.list().await.expect("it answers");
        assert!(listing.revision >= revision);
        assert_eq!(listing.entries.len(), n + 1);
        assert!(listing.entries.is_sorted());
    }
}

pub async fn a_watch_tells_everything_after_its_revision_once(rig: impl Rig) {
    let store = rig.store();
    let first = commit(&*store, &put("a", None, "1")).await;
    let second = commit(&*store, &put("a", Some("1"), "2")).await;
    let mut watch = store.watch(first).await;
    let both = put("b", None, "1").remove(b"a".to_vec());
    let third = commit(&*store, &both).await;
    let change = next(&mut watch).await.expect("what was before it began");
    assert_eq!(
        (change.revision, change.writes[0].value.as_deref()),
        (second, Some(&b"2"[..]))
    );
    let change = next(&mut watch).await.expect("what came after");
    assert_eq!(
        (change.revision, change.writes.len()),
        (third, 2),
        "one transaction is one change"
    );
    let removed = change
        .writes
        .iter()
        .find(|write| write.key == b"a")
        .expect("a is in it");
    assert_eq!(removed.value, None);
}

pub async fn a_watch_that_lags_still_sees_everything_in_order(rig: impl Rig) {
    let store = rig.store();
    let mut revision = commit(&*store, &put("k", None, "0")).await;
    let mut watch = store.watch(revision).await;
    for n in 0..200 {
        commit(
            &*store,
            &put("k", Some(&n.to_string()), &(n + 1).to_string()),
        )
        .await;
    }
    for n in 0..200 {
        let change = next(&mut watch).await.expect("nothing is lost");
        assert!(change.revision > revision);
        revision = change.revision;
        assert_eq!(
            change.writes[0].value,
            Some((n + 1).to_string().into_bytes())
        );
    }
}

pub async fn a_watch_of_what_was_compacted_is_lost(mut rig: impl Rig) {
    let first = commit(&*rig.store(), &put("k", None, "0")).await;
    let mut last = first;
    for n in 0..10 {
        last = commit(
            &*rig.store(),
            &put("k", Some(&n.to_string()), &(n + 1).to_string()),
        )
        .await;
    }
    rig.compact(last).await;
    let store = rig.store();
    answered(&*store).await;
    assert_eq!(next(&mut store.watch(first).await).await, None);
    let mut watch = store.watch(last).await;
    commit(&*store, &put("k", Some("10"), "11")).await;
    assert!(next(&mut watch).await.is_some(), "from there on it works");
}

pub async fn a_watch_from_the_future_is_lost(rig: impl Rig) {
    let store = rig.store();
    let now = commit(&*store, &put("k", None, "0")).await;
    let mut watch = store.watch(Revision(now.0 + 1_000)).await;
    assert_eq!(
        next(&mut watch).await,
        None,
        "as when the store was restored from a backup"
    );
}

pub async fn what_was_committed_survives_a_kill(mut rig: impl Rig) {
    let mut last = Revision(0);
    for n in 0..20 {
        last = commit(&*rig.store(), &put(&format!("k{n:02}"), None, "x")).await;
    }
    let mut watch = rig.store().watch(last).await;
    rig.kill().await;
    assert_eq!(next(&mut watch).await, None, "its watches are over");
    rig.start_again().await;
    let listing = answered(&*rig.store()).await;
    assert_eq!(listing.entries.len(), 20);
    assert!(listing.revision >= last);
    commit(&*rig.store(), &put("k00", Some("x"), "y")).await;
}

pub async fn a_store_that_is_down_answers_unknown(mut rig: impl Rig) {
    commit(&*rig.store(), &put("k", None, "0")).await;
    rig.kill().await;
    let store = rig.store();
    let transact = timeout(PATIENCE, store.transact(&put("k", Some("0"), "1"))).await;
    assert_eq!(transact, Ok(Outcome::Unknown));
    assert_eq!(timeout(PATIENCE, store.list()).await, Ok(None));
    assert_eq!(next(&mut store.watch(Revision(0)).await).await, None);
}

pub async fn a_stopped_store_answers_unknown_and_goes_on(mut rig: impl Rig) {
    let revision = commit(&*rig.store(), &put("k", None, "0")).await;
    let store = rig.store();
    let mut watch = store.watch(revision).await;
    rig.pause();
    let transact = timeout(PATIENCE, store.transact(&put("k", Some("0"), "1"))).await;
    assert_eq!(transact, Ok(Outcome::Unknown));
    assert_eq!(timeout(PATIENCE, store.list()).await, Ok(None));
    rig.resume();
    let held = answered(&*store).await.entries;
    // It may have been carried out, and it may yet be; never half, never twice.
    assert!(
        held == [value("k", "0")] || held == [value("k", "1")],
        "{held:?}"
    );
    let next_one = async {
        loop {
            let now = answered(&*store).await.entries.remove(0).1;
            let now = String::from_utf8(now).expect("text");
            if let Outcome::Committed(revision) = store.transact(&put("k", Some(&now), "2")).await {
                return revision;
            }
        }
    };
    let last = timeout(PATIENCE, next_one).await.expect("it goes on");
    // The watch has seen it all, or is over and says so.
    while let Some(change) = next(&mut watch).await {
        if change.revision == last {
            break;
        }
    }
}

/// Adds one to a counter as often as it takes to be sure that it was added once.
pub async fn increment(store: &impl MetaStore, who: usize, turn: usize) {
    let mine = format!("done/{who:02}/{turn:02}");
    loop {
        let held = answered(store).await.entries;
        let find = |key: &str| {
            held.iter()
                .find(|(k, _)| k == key.as_bytes())
                .map(|(_, v)| v.clone())
        };
        if find(&mine).is_some() {
            return;
        }
        let before = find("counter");
        let count = before.as_ref().map_or(0, |text| {
            String::from_utf8_lossy(text)
                .parse::<u64>()
                .expect("a number")
        });
        let transaction = Transaction::default()
            .when(b"counter".to_vec(), before)
            .when(mine.clone().into_bytes(), None)
            .put(b"counter".to_vec(), (count + 1).to_string().into_bytes())
            .put(mine.clone().into_bytes(), b"x".to_vec());
        // Unknown is no different from the rest: the list tells.
        store.transact(&transaction).await;
    }
}

pub async fn count(store: &impl MetaStore) -> String {
    let held = answered(store).await.entries;
    let counter = held.iter().find(|(key, _)| key == b"counter");
    String::from_utf8(counter.expect("it was written").1.clone()).expect("text")
}

pub async fn increments_by_many_are_all_there(rig: impl Rig) {
    let mut tasks = Vec::new();
    for who in 0..6 {
        let store = rig.store();
        tasks.push(tokio::spawn(async move {
            for turn in 0..5 {
                increment(&*store, who, turn).await;
            }
        }));
    }
    for task in tasks {
        timeout(PATIENCE, task)
            .await
            .expect("it ends")
            .expect("it does not fail");
    }
    assert_eq!(count(&*rig.store()).await, "30");
}

pub async fn increments_through_kills_are_exact(mut rig: impl Rig) {
    for turn in 0..4 {
        let store = rig.store();
        let task = tokio::spawn(async move {
            for who in 0..4 {
                increment(&*store, who, turn).await;
            }
        });
        rig.kill().await;
        rig.start_again().await;
        timeout(PATIENCE, task)
            .await
            .expect("it ends")
            .expect("it does not fail");
    }
    assert_eq!(count(&*rig.store()).await, "16");
}

pub async fn a_large_transaction_and_a_large_map_fit(rig: impl Rig) {
    let store: Arc<_> = rig.store();
    let most = model::limits::MAX_TRANSACTION_KEYS;
    let record = vec![7; 400];
    for batch in 0..20 {
        let keys = (0..most).map(|n| format!("shard/{batch:02}-{n:03}").into_bytes());
        let transaction = keys.fold(Transaction::default(), |t, key| {
            t.when(key.clone(), None).put(key, record.clone())
        });
        commit(&*store, &transaction).await;
    }
    assert_eq!(list(&*store).await.len(), 20 * most);
}
