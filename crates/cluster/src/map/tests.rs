use alloc::vec;

use model::{Incarnation, Member, NodeId};

use super::ClusterMap;
use crate::{
    format::Record,
    keys::Place,
    metadata::{Change, RequestId, Revision, Transaction},
    record::Role,
};

fn role(term: u64) -> Role {
    let holder = Member {
        node: NodeId(1),
        incarnation: Incarnation(1),
    };
    Role {
        term,
        holder,
        request: RequestId(9),
    }
}

fn change(revision: u64, transaction: Transaction) -> Change {
    Change {
        revision: Revision(revision),
        writes: transaction.writes,
    }
}

/// It was a CRC once, and the CRC of bytes that end with their own CRC is a constant.
#[test]
fn maps_that_differ_have_different_digests() {
    let key = Place::Coordinator.key();
    let mut map = ClusterMap::default();
    let empty = map.digest();
    map.follow(&change(
        1,
        Transaction::default().put(key.clone(), role(1).encode()),
    ));
    let first = map.digest();
    map.follow(&change(
        2,
        Transaction::default().put(key.clone(), role(2).encode()),
    ));
    assert_ne!(first, map.digest());
    map.follow(&change(
        3,
        Transaction::default().put(key.clone(), role(1).encode()),
    ));
    assert_eq!(first, map.digest());
    map.follow(&change(4, Transaction::default().remove(key)));
    assert_eq!(empty, map.digest());
}

#[test]
fn what_cannot_be_read_is_told_and_decides_nothing() {
    let key = Place::Coordinator.key();
    let mut map = ClusterMap::default();
    map.follow(&change(
        1,
        Transaction::default().put(key.clone(), vec![1, 2, 3]),
    ));
    assert_eq!(map.role(), None);
    assert!(map.damaged().contains(&Place::Coordinator));
    let compare = &map.unchanged(&[Place::Coordinator]).compares[0];
    assert_eq!(
        compare.expected,
        Some(vec![1, 2, 3]),
        "still compared as it is"
    );
    map.follow(&change(
        2,
        Transaction::default().put(key, role(1).encode()),
    ));
    assert!(map.damaged().is_empty());
}
