use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use cluster::metadata::{Listing, Outcome, Revision, Transaction};
use cluster::record::Addresses;
use cluster::table::Table;
use meta::{MetaStore, Watch};
use model::{Incarnation, NodeId};
use store::SyncMode;

use super::{FILE, Identity, is_same_boot, parse, record};
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

/// The life after a start on this directory with this `sync`, that ends so.
fn live(dir: &Path, sync: SyncMode, end: End) -> Incarnation {
    let directory = Directory::open(dir).unwrap();
    let identity = Identity::take(Some(&directory), sync).unwrap();
    match end {
        End::Kill => {}
        End::Clean => directory.mark_clean().unwrap(),
        End::Power => start_machine(dir),
    }
    identity.life
}

enum End {
    Clean,
    Kill,
    Power,
}

/// The machine is started anew.
fn start_machine(dir: &Path) {
    let text = std::fs::read_to_string(dir.join(FILE)).unwrap();
    let (_, boot) = parse(&text).unwrap();
    std::fs::write(dir.join(FILE), text.replace(&boot, "another")).unwrap();
}

#[test]
fn what_sync_is_now_says_nothing_of_what_was_written_before() {
    let dir = tempfile::tempdir().unwrap();
    let (always, everysec) = (SyncMode::Always, SyncMode::EverySecond);
    let first = live(dir.path(), everysec, End::Power);
    let second = live(dir.path(), always, End::Power);
    assert_ne!(first, second, "what was written had not been synced");
    // From here on everything was synced.
    assert_eq!(live(dir.path(), always, End::Kill), second);
    assert_eq!(live(dir.path(), always, End::Power), second);
    assert_eq!(live(dir.path(), everysec, End::Kill), second);
    // A life that has ever done without is not made whole by a start.
    assert_eq!(live(dir.path(), always, End::Power), second);
    let third = live(dir.path(), always, End::Clean);
    assert_ne!(second, third);
    // But by a clean end.
    assert_eq!(live(dir.path(), everysec, End::Clean), third);
    assert_eq!(live(dir.path(), always, End::Power), third);
    assert_eq!(live(dir.path(), always, End::Kill), third);
}

/// An address may be in use, or a name not known yet, when a machine starts.
#[test]
fn a_start_that_fails_is_no_unclean_end() {
    let dir = tempfile::tempdir().unwrap();
    let life = live(dir.path(), SyncMode::None, End::Clean);
    start_machine(dir.path());
    drop(Directory::open(dir.path()).unwrap());
    assert_eq!(live(dir.path(), SyncMode::None, End::Power), life);
    assert_ne!(live(dir.path(), SyncMode::None, End::Power), life);
}

#[test]
fn a_system_that_does_not_tell_its_starts_apart_may_have_started_anew() {
    assert!(is_same_boot("one", "one"));
    assert!(!is_same_boot("one", "another"));
    assert!(!is_same_boot("", ""));
}
