//! What a restart must know of a copy: its note, kept beside its segments.
//!
//! ```text
//!  32 note  life u128, shard u16, promised u32, synced u32, flags u8, position u64, attempt u32, aside u32, [configuration,
//!           first slot u16, last slot u16]
//!           flags: 1 discarded, at that position; 2 made whole, and that is not synced yet; 4 damaged; 8 kept, and where another copy
//!           is filled in its place, that one's note names it: aside; 16 a configuration follows
//! ```
//!
//! Within the frame of [`cluster::format`].

use alloc::vec::Vec;

use cluster::format::{Damage, Reader, Record, Writer};
use model::{Incarnation, Position, ShardConfig, ShardId};
use replica::Vows;

use super::CopyId;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The life of the node that wrote it: what another had is not this one's.
    pub(crate) life: Incarnation,
    pub(crate) shard: ShardId,
    pub(crate) vows: Vows,
    /// It was filled or mended, and not all of that may be left after a loss of power, without a gap that a restart would see.
    pub(crate) unsynced: bool,
    /// A restart of another life has found that something of it is lost.
    pub(crate) damaged: bool,
    /// The copy that was set aside, where this one is filled in its place.
    pub(crate) aside: Option<CopyId>,
    /// The latest configuration that it was told: the metadata store may lose it.
    pub(crate) config: Option<ShardConfig>,
    /// The first and the last slot of the shard; kept only with that.
    pub(crate) slots: Option<(u16, u16)>,
}

const DISCARDED: u8 = 1;
const UNSYNCED: u8 = 2;
const DAMAGED: u8 = 4;
const KEPT: u8 = 8;
const TOLD: u8 = 16;

impl Record for Note {
    const KIND: u8 = 32;

    fn write(&self, out: &mut Writer) {
        let vows = self.vows;
        let told = self.config.as_ref().zip(self.slots);
        out.u128(self.life.0);
        out.u16(self.shard.0);
        out.u32(vows.promised);
        out.u32(vows.synced);
        out.u8(u8::from(vows.discarded.is_some()) * DISCARDED
            + u8::from(self.unsynced) * UNSYNCED
            + u8::from(self.damaged) * DAMAGED
            + u8::from(vows.kept) * KEPT
            + u8::from(told.is_some()) * TOLD);
        out.u64(vows.discarded.unwrap_or_default().raw());
        out.u32(vows.attempt);
        out.u32(self.aside.map_or(0, |copy| copy.0));
        if let Some((config, (first, last))) = told {
            out.config(config);
            out.u16(first);
            out.u16(last);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let life = Incarnation(from.u128()?);
        let shard = ShardId(from.u16()?);
        let (promised, synced) = (from.u32()?, from.u32()?);
        let (flags, position) = (from.u8()?, Position::from_raw(from.u64()?));
        let has = |flag: u8| flags & flag != 0;
        let vows = Vows {
            promised,
            synced,
            discarded: has(DISCARDED).then_some(position),
            kept: has(KEPT),
            attempt: from.u32()?,
        };
        let aside = Some(CopyId(from.u32()?)).filter(|copy| *copy != CopyId::ALONE);
        let config = has(TOLD).then(|| from.config()).transpose()?;
        let slots = config.map(|_| from.slots()).transpose()?;
        let is_kept = vows.discarded.is_some() && vows.kept;
        if flags > DISCARDED | UNSYNCED | DAMAGED | KEPT | TOLD
            || synced > promised
            || (vows.kept || aside.is_some()) && !is_kept
        {
            return Err(Damage::Value);
        }
        Ok(Self {
            life,
            shard,
            vows,
            unsynced: has(UNSYNCED),
            damaged: has(DAMAGED),
            aside,
            config,
            slots,
        })
    }
}

impl Note {
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.encode()
    }

    /// What it says once the copy that was set aside is one like any other again. The note of what was filled in its place has the latest vows.
    pub(crate) fn taken_back(self, vows: Vows) -> Self {
        Self {
            vows: vows.taken_back(),
            aside: None,
            ..self
        }
    }

    /// Whether it is that of a copy which was given up and is kept.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.vows.kept && self.aside.is_none()
    }
}

/// What a note says to whoever finds it in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The life of the node that wrote it.
    pub life: Incarnation,
    /// Whose copy it is.
    pub shard: ShardId,
    /// Whether another life can rely on the copy's being a beginning of the log that it had.
    pub is_whole: bool,
}

impl Noted {
    /// `None` if it is no note.
    #[must_use]
    pub fn read(note: &[u8]) -> Option<Self> {
        let note = Note::decode(note).ok()?;
        Some(Self {
            life: note.life,
            shard: note.shard,
            is_whole: (note.vows.discarded.is_none() || note.is_set_aside())
                && !note.unsynced
                && !note.damaged,
        })
    }
}
