//! Whom this node cannot hear.
//!
//! ```text
//!            silence of 240 ms, or a reset
//!   heard ───────────────────────────────► suspected
//!     ▲                                       │
//!     └──────────── a heartbeat ──────────────┘
//! ```
//!
//! A detector has opinions, nothing more; what follows from several of them is the [`crate::court`]'s matter. It
//! distrusts itself first: when its own ticks stood still, the time that it did not listen is nobody's silence,
//! and resets that it finds then are its own doing (its peers gave up on *it*).

use alloc::collections::BTreeMap;

use model::{Incarnation, NodeId};

use crate::timing::{GAP_MS, RESET_DISTRUST_MS, SILENCE_MS, TICK_MS};

/// Opinions about the peers that this node has links with.
#[derive(Clone, Debug)]
pub struct Detector {
    peers: BTreeMap<NodeId, Peer>,
    ticked_ms: u64,
    /// Until when resets are believed to be this node's own doing.
    resets_mine_until_ms: u64,
}

#[derive(Clone, Debug)]
struct Peer {
    incarnation: Incarnation,
    heard_ms: u64,
    opinion: Opinion,
    /// Until when a reset says nothing about this peer, as its last one was a false alarm.
    resets_distrusted_until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Heard,
    Suspected { after: Sign },
}

/// What made a peer suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Silence,
    Reset,
}

impl Detector {
    /// A detector without peers.
    #[must_use]
    pub const fn new(now_ms: u64) -> Self {
        Self {
            peers: BTreeMap::new(),
            ticked_ms: now_ms,
            resets_mine_until_ms: 0,
        }
    }

    /// Listens to exactly these peers from now on. One that is new, or a new incarnation, is given time to be heard.
    pub fn set_peers(&mut self, peers: &BTreeMap<NodeId, Incarnation>, now_ms: u64) {
        self.peers
            .retain(|node, peer| peers.get(node) == Some(&peer.incarnation));
        for (&node, &incarnation) in peers {
            self.peers.entry(node).or_insert(Peer {
                incarnation,
                heard_ms: now_ms,
                opinion: Opinion::Heard,
                resets_distrusted_until_ms: 0,
            });
        }
    }

    /// A sign of life. It may be told a little late, after a later one.
    pub fn hear(&mut self, node: NodeId, incarnation: Incarnation, now_ms: u64) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.incarnation != incarnation {
            return;
        }
        if peer.opinion == (Opinion::Suspected { after: Sign::Reset }) {
            peer.resets_distrusted_until_ms = now_ms + RESET_DISTRUST_MS;
        }
        peer.heard_ms = peer.heard_ms.max(now_ms);
        peer.opinion = Opinion::Heard;
    }

    /// The link to this peer was reset from the other side.
    pub fn on_reset(&mut self, node: NodeId, now_ms: u64) {
        let mine = now_ms < self.resets_mine_until_ms || self.stood_still_ms(now_ms) > 0;
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if !mine && now_ms >= peer.resets_distrusted_until_ms && peer.opinion == Opinion::Heard {
            peer.opinion = Opinion::Suspected { after: Sign::Reset };
        }
    }

    /// Time passes. Says for how long this node itself stood still, which is nearly always zero.
    pub fn tick(&mut self, now_ms: u64) -> u64 {
        let stood_still_ms = self.stood_still_ms(now_ms);
        if stood_still_ms > 0 {
            self.resets_mine_until_ms = now_ms + SILENCE_MS;
        }
        self.ticked_ms = now_ms;
        for peer in self.peers.values_mut() {
            peer.heard_ms = (peer.heard_ms + stood_still_ms).min(now_ms);
            let silent = now_ms - peer.heard_ms >= SILENCE_MS;
            if silent && peer.opinion == Opinion::Heard {
                peer.opinion = Opinion::Suspected {
                    after: Sign::Silence,
                };
            }
        }
        stood_still_ms
    }

    fn stood_still_ms(&self, now_ms: u64) -> u64 {
        let since_ms = now_ms.saturating_sub(self.ticked_ms);
        if since_ms > GAP_MS {
            since_ms - TICK_MS
        } else {
            0
        }
    }

    /// Those that this node cannot hear, in order.
    pub fn suspects(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        let peers = self.peers.iter();
        let suspected = peers.filter(|(_, peer)| peer.opinion != Opinion::Heard);
        suspected.map(|(&node, peer)| (node, peer.incarnation))
    }

    /// Whether this peer is listened to and heard.
    #[must_use]
    pub fn hears(&self, node: NodeId) -> bool {
        let peer = self.peers.get(&node);
        peer.is_some_and(|peer| peer.opinion == Opinion::Heard)
    }

    /// How many peers are listened to.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests;
