//! One suite, four stores: the embedded one, etcd, and etcd with TLS and users as processes of their own that are really killed and
//! stopped, and the simulated one with the same faults.

#[path = "conformance/rig.rs"]
mod rig;
#[path = "conformance/secured.rs"]
mod secured;
#[path = "support/secured.rs"]
mod secured_etcd;
#[path = "conformance/suite.rs"]
mod suite;
#[path = "conformance/trio.rs"]
mod trio;

use rig::{EmbeddedRig, EtcdRig, SimRig};
use secured::SecuredRig;

/// Runs every check of the suite against a new store each time.
macro_rules! conformance {
    ($($check:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $check() {
                    super::suite::$check(super::EmbeddedRig::start().await).await;
                }
            )*
        }
        mod etcd {
            $(
                #[tokio::test]
                async fn $check() {
                    super::suite::$check(super::EtcdRig::start().await).await;
                }
            )*
        }
        mod etcd_secured {
            $(
                #[tokio::test]
                async fn $check() {
                    super::suite::$check(super::SecuredRig::start().await).await;
                }
            )*
        }
        mod simulated {
            $(
                #[tokio::test]
                async fn $check() {
                    super::suite::$check(super::SimRig::start()).await;
                }
            )*
        }
    };
}

conformance!(
    a_transaction_is_all_or_nothing,
    a_compare_names_the_whole_value,
    a_list_shows_what_was_committed,
    a_watch_tells_everything_after_its_revision_once,
    a_watch_that_lags_still_sees_everything_in_order,
    a_watch_of_what_was_compacted_is_lost,
    a_watch_from_the_future_is_lost,
    what_was_committed_survives_a_kill,
    a_store_that_is_down_answers_unknown,
    a_stopped_store_answers_unknown_and_goes_on,
    increments_by_many_are_all_there,
    increments_through_kills_are_exact,
    a_large_transaction_and_a_large_map_fit,
);

#[tokio::test]
async fn the_embedded_store_asks_for_its_secret() {
    let rig = EmbeddedRig::start_with_secret("open sesame").await;
    use meta::MetaStore as _;
    assert!(rig.client("open sesame").list().await.is_some());
    for wrong in ["", "open", "open sesamE"] {
        let client = rig.client(wrong);
        assert!(client.list().await.is_none());
        let why = client.trouble().expect("a reason");
        assert!(why.contains("TENURE_CLUSTER_SECRET"), "{why}");
    }
}

/// More connections come than it may have files open: it refuses some, says so once, and goes on when they are gone.
#[tokio::test]
async fn the_embedded_store_goes_on_when_it_has_files_again() {
    use meta::MetaStore as _;
    let rig = EmbeddedRig::start().await;
    rig.limit_files(24);
    let crowd: Vec<_> = (0..48).map(|_| rig.connect()).collect();
    let client = rig.client("");
    assert!(
        client.list().await.is_none(),
        "there is no file for one more"
    );
    let refused =
        "tenure-meta: connections cannot be accepted: Too many open files (os error 24)\n";
    assert_eq!(rig.log(), refused, "it has tried many times");
    drop(crowd);
    for _ in 0..10 {
        if client.list().await.is_some() {
            break;
        }
    }
    // The queue is worked off one by one, with failures between, which are not told of again.
    let again = "tenure-meta: connections are accepted again\n";
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert!(client.list().await.is_some(), "it serves");
        if rig.log() == format!("{refused}{again}") {
            return;
        }
    }
    panic!("it has said: {}", rig.log());
}

#[tokio::test]
async fn etcd_tells_its_version() {
    let rig = EtcdRig::start().await;
    let version = rig.etcd().version().await.expect("it runs");
    assert!(version.starts_with("3."), "{version}");
}
