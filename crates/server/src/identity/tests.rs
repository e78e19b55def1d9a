use std::collections::BTreeMap;
use std::sync::Mutex;

use cluster::metadata::{Listing, Outcome, Revision, Transaction};
use cluster::record::Addresses;
use cluster::table::Table;
use meta::{MetaStore, Watch};
use model::NodeId;
use store::SyncMode;

use super::{FILE, Identity, parse, record};
use crate::directory::Directory;

/// The meaning of a metadata store, as in `cluster`.
struct Tabled(Mutex<Table>);

impl MetaStore for Tabled {
    async fn transact(&self, transaction: &Transaction) -> Outcome {
        self.0.lock().unwrap().transact(transaction)
    }

    async fn list(&self) -> Option<Listing> {
        Some(self.0.lock().unwrap().list(b""))
    }

    async fn watch(&self, _: Revision) -> Watch {
        Watch::new().1
    }
}

fn store() -> Tabled {
    Tabled(Mutex::new(Table::restored(Revision(0), BTreeMap::new())))
}

fn settle(
    identity: Identity,
    configured: Option<u32>,
    directory: Option<&Directory>,
    store: &Tabled,
) -> Result<u32, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let record = record(identity.life, 1, 0, Addresses::default());
    let settled = runtime.block_on(identity.settle(configured, directory, store, &record));
    settled
        .map(|member| member.node.0)
        .map_err(|error| error.to_string())
}

#[test]
fn a_process_that_died_goes_on_with_its_life_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = store();
    let first = {
        let directory = Directory::open(dir.path()).unwrap();
        let identity = Identity::take(Some(&directory), SyncMode::None).unwrap();
        assert_eq!(settle(identity, None, Some(&directory), &store), Ok(1));
        identity
    };
    let directory = Directory::open(dir.path()).unwrap();
    assert!(!directory.was_clean);
    let again = Identity::take(Some(&directory), SyncMode::None).unwrap();
    assert_eq!((again.life, again.node), (first.life, Some(NodeId(1))));
    assert_eq!(settle(again, None, Some(&directory), &store), Ok(1));
}

#[test]
fn a_machine_that_stopped_is_a_new_life_unless_everything_was_synced() {
    for (sync, goes_on) in [
        (SyncMode::Always, true),
        (SyncMode::EverySecond, false),
        (SyncMode::None, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let first = {
            let directory = Directory::open(dir.path()).unwrap();
            Identity::take(Some(&directory), sync).unwrap()
        };
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let (_, boot) = parse(&text).unwrap();
        let other = text.replace(&boot, "another");
        std::fs::write(dir.path().join(FILE), &other).unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let again = Identity::take(Some(&directory), sync).unwrap();
        assert_eq!(again.life == first.life, goes_on, "{sync:?}");
        directory.mark_clean().unwrap();
        drop(directory);
        std::fs::write(
            dir.path().join(FILE),
            other.replace(
                &format!("{:032x}", first.life.0),
                &format!("{:032x}", again.life.0),
            ),
        )
        .unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let clean = Identity::take(Some(&directory), sync).unwrap();
        assert_eq!(clean.life, again.life, "a clean end forgets nothing");
    }
}

#[test]
fn numbers_are_given_once_and_found_again_by_the_life() {
    let store = store();
    let lives: Vec<Identity> = (0..3)
        .map(|_| Identity::take(None, SyncMode::None).unwrap())
        .collect();
    for (life, number) in lives.iter().zip(1..) {
        assert_eq!(settle(*life, None, None, &store), Ok(number));
    }
    assert_eq!(settle(lives[1], None, None, &store), Ok(2));
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let identity = Identity::take(Some(&directory), SyncMode::None).unwrap();
    let store = store();
    assert_eq!(settle(identity, Some(7), Some(&directory), &store), Ok(7));
    let again = Identity::take(Some(&directory), SyncMode::None).unwrap();
    let refused = settle(again, Some(8), Some(&directory), &store).unwrap_err();
    assert!(refused.contains("that of node 7"), "{refused}");
}
