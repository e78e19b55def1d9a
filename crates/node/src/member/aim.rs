//! Which copy a command is for, or who else has it.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use cluster::map::ClusterMap;
use cluster::record::ShardRecord;
use command::{Arguments, Prepared};
use model::slot::{SLOTS, Slot};
use model::{NodeId, Now, Phase, ShardId};
use shard::Shard;

use super::Cluster;

/// Whose a slot is.
#[derive(Default)]
pub(super) struct Route {
    /// By slot; [`NOBODY`] where no shard has it. Empty before there is a map.
    shards: Vec<u16>,
    /// What that was made of: first slot, last slot, shard.
    ranges: Vec<(u16, u16, u16)>,
}

const NOBODY: u16 = u16::MAX;

impl Route {
    /// Follows the map, in which other things change more often than whose a slot is.
    pub(super) fn follow(&mut self, map: &ClusterMap) {
        let records = map.shards().iter();
        let ranges = records.map(|(shard, r)| (r.first_slot, r.last_slot, shard.0));
        if !self.shards.is_empty() && ranges.clone().eq(self.ranges.iter().copied()) {
            return;
        }
        self.ranges = ranges.collect();
        self.shards = vec![NOBODY; usize::from(SLOTS)];
        for (first, last, shard) in &self.ranges {
            if let Some(owners) = self
                .shards
                .get_mut(usize::from(*first)..=usize::from(*last))
            {
                owners.fill(*shard);
            }
        }
    }

    fn shard(&self, slot: Slot) -> Option<ShardId> {
        let shard = self.shards.get(usize::from(slot.number())).copied();
        shard.filter(|shard| *shard != NOBODY).map(ShardId)
    }
}

/// Where a command goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// To the copy at this place.
    Copy(usize),
    /// To every copy that this node answers for.
    All,
    /// To none: it is about the connection or the server.
    Nobody,
    /// Nowhere: this is the answer.
    Refused(String),
    /// To a copy that may be able to answer in a moment; if not, this is the answer.
    Later(&'static str),
}

const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
const DOWN: &str = "CLUSTERDOWN The cluster is down";
const UNBOUND: &str = "CLUSTERDOWN Hash slot not served";
pub(super) const NO_QUORUM: &str =
    "NOQUORUM Too few copies of this shard can be reached: try again";
const NOT_YET: &str = "TRYAGAIN The shard is just being taken over";

impl Cluster {
    /// Where this command goes.
    pub(super) fn aim(&self, now: Now, prepared: Prepared, arguments: Arguments<'_>) -> Aim {
        let mut keys = command::keys_of(prepared, arguments);
        let Some(first) = keys.next() else {
            if let Some(slot) = slot_asked_about(prepared, arguments) {
                return self.aim_at_own(slot);
            }
            if let Some(slot) = slot_scanned(prepared, arguments) {
                return self.aim_at(slot);
            }
            return match aim_without_key(prepared, arguments) {
                Some(Aim::All) if uses_keys(prepared) => self.aim_at_all(),
                Some(aim) => aim,
                None => self.aim_anywhere(now),
            };
        };
        let slot = Slot::of(first);
        if keys.any(|key| Slot::of(key) != slot) {
            return Aim::Refused(CROSS_SLOT.into());
        }
        self.aim_at(slot)
    }

    /// The shard here that a key belongs to, and its place.
    #[inline]
    pub(crate) fn shard_of_key(&self, key: &[u8]) -> Option<(usize, &Shard)> {
        let place = self.place(self.route.shard(Slot::of(key))?)?;
        Some((place, &self.shards[place].shard))
    }

    /// The shard at this place, if there is one.
    #[inline]
    pub(crate) fn shard_at(&self, place: usize) -> Option<&Shard> {
        Some(&self.shards.get(place)?.shard)
    }

    fn aim_at(&self, slot: Slot) -> Aim {
        let Some(shard) = self.route.shard(slot) else {
            let text = if self.route.shards.is_empty() {
                DOWN
            } else {
                UNBOUND
            };
            return Aim::Refused(text.into());
        };
        match self.place(shard) {
            Some(place) if self.leads(place) => Aim::Copy(place),
            Some(_) | None => self.aim_elsewhere(shard, slot),
        }
    }

    /// To the copy that has a slot, if this node leads it; a slot that is elsewhere has no keys here.
    fn aim_at_own(&self, slot: Slot) -> Aim {
        let place = self.route.shard(slot).and_then(|shard| self.place(shard));
        let place = place.filter(|place| self.leads(*place));
        place.map_or(Aim::Nobody, Aim::Copy)
    }

    /// To all that this node leads, once it knows what it is to lead: a map without shards is that of a node that has just started.
    fn aim_at_all(&self) -> Aim {
        if self.map.shards().is_empty() {
            Aim::Refused(DOWN.into())
        } else if self.awaits_a_shard() {
            Aim::Later(NOT_YET)
        } else {
            Aim::All
        }
    }

    /// Whether there is a shard that this node is to lead and does not yet.
    fn awaits_a_shard(&self) -> bool {
        let mut given = self.map.shards().iter();
        given.any(|(shard, record)| {
            let leads = || self.place(*shard).is_some_and(|place| self.leads(place));
            self.is_sent_here(record) && !leads()
        })
    }

    /// Whether whoever follows the map comes to this node with a shard's keys. If an earlier life of this node led it, another will soon.
    fn is_sent_here(&self, record: &ShardRecord) -> bool {
        record.config.primary().node == self.terms.me.node
    }

    /// Whether this copy serves, or says of itself that it does: the map may be behind.
    pub(super) fn leads(&self, place: usize) -> bool {
        self.shards[place].shard.replica().is_serving()
    }

    fn aim_elsewhere(&self, shard: ShardId, slot: Slot) -> Aim {
        let Some(record) = self.map.shards().get(&shard) else {
            return Aim::Refused(UNBOUND.into());
        };
        if self.is_sent_here(record) {
            return Aim::Later(NOT_YET);
        }
        // Its map says so too, as soon as it is the one that was decided on.
        if self.knows_better(shard, record) || !self.surely_knows(shard, record) {
            return Aim::Later(NOT_YET);
        }
        match self.address(record.config.primary().node) {
            Some(address) => Aim::Refused(format!("MOVED {} {address}", slot.number())),
            None => Aim::Refused(UNBOUND.into()),
        }
    }

    /// Whether a copy here follows a later epoch than the map shows: whoever led in the shown one does no more.
    fn knows_better(&self, shard: ShardId, record: &ShardRecord) -> bool {
        self.promised(shard)
            .is_some_and(|promised| promised > record.config.epoch())
    }

    /// Whether the shown primary knows that it leads: it serves, or has sealed the copy here. Before, it would send clients back to whom its own
    /// map shows, who may be this node, and they come and go until it hears; some of them give up after a millisecond of that.
    fn surely_knows(&self, shard: ShardId, record: &ShardRecord) -> bool {
        record.config.phase() == Phase::Serving
            || self.promised(shard) == Some(record.config.epoch())
    }

    /// The latest epoch that the copy here has been sealed in.
    fn promised(&self, shard: ShardId) -> Option<u32> {
        let copy = &self.shards[self.place(shard)?].shard;
        Some(copy.replica().vows().promised)
    }

    fn address(&self, node: NodeId) -> Option<&str> {
        let record = self.map.nodes().get(&node)?;
        let address = record.addresses.client.as_str();
        (!address.is_empty()).then_some(address)
    }

    /// A session whose id the server makes begins where this node answers.
    fn aim_anywhere(&self, now: Now) -> Aim {
        let own = (0..self.shards.len()).filter(|place| self.leads(*place));
        let may = |place: &usize| {
            self.shards[*place]
                .shard
                .replica()
                .read_right(now)
                .is_some()
        };
        let own: Vec<usize> = own.filter(may).collect();
        match own.get(now.mono_us as usize % own.len().max(1)) {
            Some(place) => Aim::Copy(*place),
            None => Aim::Refused(UNBOUND.into()),
        }
    }

    /// Some slot of the shard at this place.
    pub(super) fn slot_at(&self, now: Now, place: usize) -> Option<Slot> {
        let shard = ShardId(self.shards[place].number);
        let record = self.map.shards().get(&shard)?;
        let slots = u64::from(record.last_slot - record.first_slot) + 1;
        Slot::new(record.first_slot + (now.mono_us % slots) as u16)
    }
}

/// Whether a command reads or changes what is stored under keys.
pub(super) fn uses_keys(prepared: Prepared) -> bool {
    command::spec_of(prepared).is_some_and(command::table::Spec::uses_keys)
}

/// The slot that a command is about without naming a key: only one shard's keys need be looked at.
fn slot_asked_about(prepared: Prepared, arguments: Arguments<'_>) -> Option<Slot> {
    let spec = command::spec_of(prepared)?;
    let asks = ["cluster|countkeysinslot", "cluster|getkeysinslot"].contains(&spec.name);
    if !asks || !spec.fits(arguments.len()) {
        return None;
    }
    command::slot_at(arguments, 2)
}

/// The slot that a `SCAN` names: whoever leads its shard goes through that one's keys.
fn slot_scanned(prepared: Prepared, arguments: Arguments<'_>) -> Option<Slot> {
    let is_scan = command::spec_of(prepared).is_some_and(|spec| spec.name == "scan");
    is_scan.then(|| command::scanned_slot(arguments)).flatten()
}

/// Where a command without a key goes; `None` for one that makes one.
fn aim_without_key(prepared: Prepared, arguments: Arguments<'_>) -> Option<Aim> {
    let spec = command::spec_of(prepared);
    let name = spec.map_or("", |spec| spec.name);
    // The arity is looked at first: too few words may be why there is no key.
    let fits = spec.is_some_and(|spec| spec.fits(arguments.len()));
    if !fits || !spec.is_some_and(|spec| spec.is_about_data()) {
        return Some(Aim::Nobody);
    }
    match name {
        "session.create" => None,
        "swapdb" => Some(Aim::Refused(
            "ERR SWAPDB is not allowed in cluster mode".into(),
        )),
        _ => Some(Aim::All),
    }
}
