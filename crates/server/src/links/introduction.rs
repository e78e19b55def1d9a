//! Who may be at the other end.

use cluster::format::Record as _;
use model::{Member, NodeId};
use tracing::warn;

use super::frame::Hello;
use super::link::Side;

/// Who this node is to its peers.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The node, in this life.
    pub me: Member,
    /// The cluster's name.
    pub cluster: String,
    /// What all nodes of the cluster know; empty if they are asked for nothing.
    pub secret: Vec<u8>,
    /// A number of this run of the process.
    pub run: u64,
}

impl Introduction {
    /// What this node says first to that one.
    pub(super) fn hello(&self, to: NodeId) -> Vec<u8> {
        let hello = Hello {
            cluster: self.cluster.clone(),
            secret: self.secret.clone(),
            from: self.me,
            to,
            run: self.run,
        };
        hello.encode()
    }

    /// Whether somebody who says this may be at the other end.
    pub(super) fn accepts(&self, hello: &Hello, side: Side) -> bool {
        let expected = match side {
            Side::Opened(node) => hello.from.node == node,
            Side::Accepted => hello.from.node != self.me.node,
        };
        let wrong = if hello.cluster != self.cluster {
            "it belongs to another cluster"
        } else if !is_same(&hello.secret, &self.secret) {
            "it does not know the cluster's secret"
        } else if hello.to != self.me.node {
            "it means another node"
        } else if !expected {
            "it is not the node that this address belonged to"
        } else {
            return true;
        };
        warn!(
            node = hello.from.node.0,
            cluster = hello.cluster,
            wrong,
            "a link is refused"
        );
        false
    }
}

/// Compares in a time that does not depend on where they differ.
pub fn is_same(shown: &[u8], secret: &[u8]) -> bool {
    let pairs = shown.iter().zip(secret);
    let differences = pairs.fold(0, |all, (a, b)| all | (a ^ b));
    shown.len() == secret.len() && differences == 0
}
