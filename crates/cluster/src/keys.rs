//! Where in the metadata store what stands.
//!
//! Numbers are in hexadecimal with leading zeros, so that keys sort as numbers do.

use alloc::{format, string::String};

use model::{NodeId, ShardId};

use crate::metadata::Key;

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The settings.
    Cluster,
    /// The coordinator's role.
    Coordinator,
    /// A node.
    Node(NodeId),
    /// A shard.
    Shard(ShardId),
    /// What a forced recovery of a shard, by the epoch that it began, may have lost.
    Loss(ShardId, u32),
}

impl Place {
    /// Its key.
    #[must_use]
    pub fn key(self) -> Key {
        let text: String = match self {
            Self::Cluster => "cluster".into(),
            Self::Coordinator => "coordinator".into(),
            Self::Node(NodeId(node)) => format!("node/{node:08x}"),
            Self::Shard(ShardId(shard)) => format!("shard/{shard:04x}"),
            Self::Loss(ShardId(shard), epoch) => format!("loss/{shard:04x}-{epoch:08x}"),
        };
        text.into_bytes()
    }

    /// What this key names; `None` if it is none of ours.
    #[must_use]
    pub fn of(key: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(key).ok()?;
        let place = match text.split_once('/') {
            None if text == "cluster" => Self::Cluster,
            None if text == "coordinator" => Self::Coordinator,
            Some(("node", number)) => Self::Node(NodeId(hex(number)?)),
            Some(("shard", number)) => Self::Shard(ShardId(hex(number)?.try_into().ok()?)),
            Some(("loss", numbers)) => {
                let (shard, epoch) = numbers.split_once('-')?;
                Self::Loss(ShardId(hex(shard)?.try_into().ok()?), hex(epoch)?)
            }
            None | Some(_) => return None,
        };
        // One place has one key: no other spelling of the number.
        (place.key() == key).then_some(place)
    }
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use model::{NodeId, ShardId};

    use super::Place;

    #[test]
    fn a_place_has_one_key() {
        for place in [
            Place::Cluster,
            Place::Coordinator,
            Place::Node(NodeId(u32::MAX)),
            Place::Shard(ShardId(4_095)),
            Place::Loss(ShardId(3), 9),
        ] {
            assert_eq!(Place::of(&place.key()), Some(place));
        }
        for key in [
            "node/2a",
            "node/+000002a",
            "shard/00001",
            "shard/fffff",
            "loss/0003",
            "other",
            "cluster/1",
        ] {
            assert_eq!(Place::of(key.as_bytes()), None, "{key}");
        }
    }
}
