//! What a cluster has to bear: never more lives are lost than sets of copies promise to survive.

use model::{CopySet, Member, Phase, Position, ShardId};

use super::World;

impl World {
    /// Whether every shard can still be recovered, as promised, without what this node has.
    pub(super) fn may_lose(&self, node: u32) -> bool {
        if !self.may_forget() {
            return false;
        }
        let mut shards = self.service.map().shards().keys();
        shards.all(|shard| self.is_recoverable(*shard, node))
    }

    /// Whether no node knows anything that the metadata store has lost: what it was told ends with its life, and power may take it.
    pub(super) fn may_forget(&self) -> bool {
        !self.service.is_behind()
    }

    /// Whether RQ members of the set that served last are what they were; where nothing can be set aside, one of them that runs must have everything.
    fn is_recoverable(&self, shard: ShardId, without: u32) -> bool {
        let config = &self.service.map().shards()[&shard].config;
        let (epoch, set) = match config.phase() {
            Phase::Serving => (config.epoch(), *config.copies()),
            Phase::Recovering { from: Some(from) } => (from.epoch, from.copies),
            Phase::Recovering { from: None } => return false,
        };
        let is_enough = |set: &CopySet| self.intact(set, without).count() >= set.read_quorum();
        let is_held = || self.plan.files.is_some() || self.is_held(shard, epoch, &set, without);
        // The set that is being brought may be said to serve at any moment.
        is_enough(&set) && is_enough(config.copies()) && is_held()
    }

    fn intact(&self, set: &CopySet, without: u32) -> impl Iterator<Item = Member> {
        let members = set.members().iter().copied();
        members.filter(move |member| {
            let host = &self.hosts[member.node.0 as usize];
            member.node.0 != without && host.member == *member && host.is_kept()
        })
    }

    /// Whether a copy that runs has all that was committed, and all that copies testify to which have given it up.
    fn is_held(&self, shard: ShardId, epoch: u32, set: &CopySet, without: u32) -> bool {
        let of = |member: Member| &self.hosts[member.node.0 as usize];
        let intact = || self.intact(set, without);
        let copies = || {
            let processes = intact().filter_map(|member| of(member).process.as_ref());
            let all = processes.flat_map(|process| process.node.shards());
            all.filter(move |(id, _)| *id == shard)
                .map(|(_, data)| data)
        };
        let given_up = intact().filter_map(|member| of(member).given_up(shard));
        let committed = copies().map(|data| data.replica().committed());
        let needed = given_up.chain(committed).max().unwrap_or(Position::ZERO);
        copies().any(|data| {
            let vows = data.replica().vows();
            let is_whole = vows.discarded.is_none() && vows.synced >= epoch;
            is_whole && data.replica().own_ack() >= needed
        })
    }
}
