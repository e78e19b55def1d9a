//! Who has which slots, as a node says it.

use std::net::SocketAddr;
use std::time::Duration;

use model::slot::{SLOTS, Slot};

use crate::wire::{Reply, ask};

/// A range of slots and who has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first slot.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Its primary, then the other copies.
    pub nodes: Vec<SocketAddr>,
}

impl Range {
    /// Who orders its writes.
    #[must_use]
    pub fn primary(&self) -> Option<SocketAddr> {
        self.nodes.first().copied()
    }
}

/// What `CLUSTER SLOTS` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// In the order of slots.
    pub ranges: Vec<Range>,
}

impl Topology {
    /// What this node says, if it does in time.
    #[must_use]
    pub fn ask(addr: SocketAddr, timeout: Duration) -> Option<Self> {
        let reply = ask(addr, timeout, &["CLUSTER", "SLOTS"]).ok()?;
        let mut ranges: Vec<Range> = reply.elements().iter().filter_map(range).collect();
        ranges.sort_unstable();
        Some(Self { ranges })
    }

    /// Whether every slot has an owner.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let owned = self.ranges.iter().filter(|range| !range.nodes.is_empty());
        let slots: u32 = owned
            .map(|range| u32::from(range.last - range.first) + 1)
            .sum();
        slots == u32::from(SLOTS)
    }

    /// Ranges with their primaries.
    #[must_use]
    pub fn owners(&self) -> Vec<(u16, u16, Option<SocketAddr>)> {
        let owner = |range: &Range| (range.first, range.last, range.primary());
        self.ranges.iter().map(owner).collect()
    }

    /// The ranges of which this node is the primary.
    #[must_use]
    pub fn of_primary(&self, addr: SocketAddr) -> Vec<Range> {
        let is_its = |range: &&Range| range.primary() == Some(addr);
        self.ranges.iter().filter(is_its).cloned().collect()
    }
}

fn range(reply: &Reply) -> Option<Range> {
    let [first, last, nodes @ ..] = reply.elements() else {
        return None;
    };
    Some(Range {
        first: u16::try_from(first.number()?).ok()?,
        last: u16::try_from(last.number()?).ok()?,
        nodes: nodes.iter().filter_map(node).collect(),
    })
}

fn node(reply: &Reply) -> Option<SocketAddr> {
    let [host, port, ..] = reply.elements() else {
        return None;
    };
    let host = host.text()?.parse().ok()?;
    Some(SocketAddr::new(host, u16::try_from(port.number()?).ok()?))
}

/// So many keys in each range, that begin with `prefix`.
#[must_use]
pub fn keys_of(ranges: &[Range], prefix: &str, each: usize) -> Vec<Vec<String>> {
    let mut keys = vec![Vec::new(); ranges.len()];
    let mut missing = ranges.len() * each;
    let mut number: u64 = 0;
    while missing > 0 {
        let key = format!("{prefix}{number}");
        let slot = Slot::of(key.as_bytes()).number();
        let range = ranges
            .iter()
            .position(|r| (r.first..=r.last).contains(&slot));
        if let Some(range) = range
            && keys[range].len() < each
        {
            keys[range].push(key);
            missing -= 1;
        }
        number += 1;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_for_every_range() {
        let ranges = [(0, 99), (100, 16_383)].map(|(first, last)| Range {
            first,
            last,
            nodes: Vec::new(),
        });
        let keys = keys_of(&ranges, "k:", 3);
        for (range, keys) in ranges.iter().zip(&keys) {
            assert_eq!(keys.len(), 3);
            for key in keys {
                let slot = Slot::of(key.as_bytes()).number();
                assert!((range.first..=range.last).contains(&slot));
            }
        }
    }

    #[test]
    fn a_map_with_a_hole_is_not_whole() {
        let nodes = vec![SocketAddr::from(([127, 0, 0, 1], 1))];
        let mut map = Topology {
            ranges: vec![Range {
                first: 0,
                last: 16_383,
                nodes,
            }],
        };
        assert!(map.is_whole());
        map.ranges[0].last = 16_382;
        assert!(!map.is_whole());
    }
}
