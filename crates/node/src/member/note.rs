//! What a restart must know of a copy: its note, kept beside its segments.
//!
//! ```text
//!  32 note  life u128, shard u16, promised u32, synced u32, discarded u8, its position u64, attempt u32
//! ```
//!
//! Within the frame of [`cluster::format`].

use alloc::vec::Vec;

use cluster::format::{Damage, Reader, Record, Writer};
use model::{Incarnation, Position, ShardId};
use replica::Vows;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The life of the node that wrote it: what another had is not this one's.
    pub(crate) life: Incarnation,
    pub(crate) shard: ShardId,
    pub(crate) vows: Vows,
}

impl Record for Note {
    const KIND: u8 = 32;

    fn write(&self, out: &mut Writer) {
        let vows = self.vows;
        out.u128(self.life.0);
        out.u16(self.shard.0);
        out.u32(vows.promised);
        out.u32(vows.synced);
        out.u8(u8::from(vows.discarded.is_some()));
        out.u64(vows.discarded.unwrap_or_default().raw());
        out.u32(vows.attempt);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let life = Incarnation(from.u128()?);
        let shard = ShardId(from.u16()?);
        let (promised, synced) = (from.u32()?, from.u32()?);
        let (discarded, position) = (from.u8()?, Position::from_raw(from.u64()?));
        let vows = Vows {
            promised,
            synced,
            discarded: (discarded == 1).then_some(position),
            attempt: from.u32()?,
        };
        if discarded > 1 || synced > promised {
            return Err(Damage::Value);
        }
        Ok(Self { life, shard, vows })
    }
}

impl Note {
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.encode()
    }
}
