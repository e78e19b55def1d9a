//! A data plane in miniature: what a copy has is one number, how far its log goes.
//!
//! Seals, quorums, incarnations and acknowledgements are those of the protocol (`docs/cluster.md`, "Failover"), everything
//! happens in one step where the real one takes messages. That is enough to find a configuration that gives up what was acknowledged.

use std::collections::BTreeMap;

use cluster::{
    message::{CopyStatus, Resigned},
    record::ShardRecord,
};
use model::{CopySet, Member, Phase, Position, ShardId};

/// All copies of all lives of all nodes.
#[derive(Debug, Default)]
pub(super) struct Data {
    copies: BTreeMap<(ShardId, Member), Copy>,
    /// How much of each shard was ever acknowledged.
    pub(super) acked: BTreeMap<ShardId, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Copy {
    /// The highest epoch that it has promised itself to.
    sealed: u32,
    log: u64,
    /// The epoch in which its primary last brought it up to date: logs are compared by this first.
    epoch: u32,
    /// Whether it has missed nothing since.
    complete: bool,
    /// Steps until it will have been.
    copying: u32,
}

impl Copy {
    const fn recovered(epoch: u32, log: u64) -> Self {
        Self {
            sealed: epoch,
            log,
            epoch,
            complete: true,
            copying: 0,
        }
    }

    const fn is_complete_in(&self, epoch: u32) -> bool {
        self.complete && self.epoch == epoch
    }
}

/// How many steps a copy that has nothing takes to be made.
const COPYING: u32 = 10;

impl Data {
    /// A life is over: what it had is gone.
    pub(super) fn forget(&mut self, member: Member) {
        self.copies.retain(|(_, m), _| *m != member);
    }

    fn copy(&mut self, shard: ShardId, member: Member) -> &mut Copy {
        self.copies.entry((shard, member)).or_default()
    }

    /// The primary of `record`, as it knows it, does what it can with the members that it reaches. `Some(log)` when it has recovered
    /// with a log of this length.
    pub(super) fn step(
        &mut self,
        shard: ShardId,
        record: &ShardRecord,
        me: Member,
        reaches: &impl Fn(Member) -> bool,
    ) -> Option<u64> {
        let epoch = record.config.epoch();
        if self.copy(shard, me).sealed > epoch {
            return None;
        }
        match record.config.phase() {
            Phase::Recovering { from } => {
                let source = from.map(|from| from.copies);
                self.recover(shard, record, me, source, reaches)
            }
            Phase::Serving => {
                self.serve(shard, record, me, reaches);
                None
            }
        }
    }

    fn recover(
        &mut self,
        shard: ShardId,
        record: &ShardRecord,
        me: Member,
        source: Option<CopySet>,
        reaches: &impl Fn(Member) -> bool,
    ) -> Option<u64> {
        let epoch = record.config.epoch();
        if !self.copy(shard, me).is_complete_in(epoch) {
            let longest = match source {
                None => 0,
                Some(set) => self.seal(shard, &set, epoch, reaches)?,
            };
            *self.copy(shard, me) = Copy::recovered(epoch, longest);
        }
        self.bring_up(shard, record, me, reaches);
        let complete = self.complete(shard, record).count_ones() as usize;
        let log = self.copy(shard, me).log;
        (complete >= record.config.copies().write_quorum()).then_some(log)
    }

    /// Seals a read quorum; the longest log among them.
    fn seal(
        &mut self,
        shard: ShardId,
        set: &CopySet,
        epoch: u32,
        reaches: &impl Fn(Member) -> bool,
    ) -> Option<u64> {
        let mut logs = Vec::new();
        for &member in set.members() {
            let copy = self.copy(shard, member);
            if reaches(member) && copy.sealed <= epoch {
                copy.sealed = epoch;
                logs.push((copy.epoch, copy.log));
            }
        }
        let longest = logs.iter().copied().max();
        let longest = longest.filter(|_| logs.len() >= set.read_quorum());
        longest.map(|(_, log)| log)
    }

    /// Copies what is missing to the members that are reached: at once to those that miss little, step by step to the others.
    fn bring_up(
        &mut self,
        shard: ShardId,
        record: &ShardRecord,
        me: Member,
        reaches: &impl Fn(Member) -> bool,
    ) {
        let epoch = record.config.epoch();
        let log = self.copy(shard, me).log;
        for &member in record.config.copies().members() {
            let copy = self.copy(shard, member);
            if member == me || !reaches(member) || copy.sealed > epoch || copy.is_complete_in(epoch)
            {
                continue;
            }
            let steps = if log - copy.log.min(log) > 10 {
                COPYING
            } else {
                0
            };
            copy.sealed = epoch;
            copy.copying += 1;
            if copy.copying >= steps {
                *copy = Copy::recovered(epoch, log);
            }
        }
    }

    /// One write: to everybody who is complete and reached; acknowledged if they are enough.
    fn serve(
        &mut self,
        shard: ShardId,
        record: &ShardRecord,
        me: Member,
        reaches: &impl Fn(Member) -> bool,
    ) {
        let epoch = record.config.epoch();
        let log = self.copy(shard, me).log + 1;
        let mut have = 0;
        for &member in record.config.copies().members() {
            let copy = self.copy(shard, member);
            let takes = copy.sealed <= epoch && copy.is_complete_in(epoch) && copy.log + 1 == log;
            if takes && (member == me || reaches(member)) {
                copy.log = log;
                have += 1;
            } else if copy.is_complete_in(epoch) && copy.log + 1 < log {
                // It has missed a write: it catches up like anybody else.
                copy.complete = false;
            }
        }
        if have >= record.config.copies().write_quorum() {
            let acked = self.acked.entry(shard).or_default();
            *acked = log.max(*acked);
        }
        self.bring_up(shard, record, me, reaches);
    }

    fn complete(&self, shard: ShardId, record: &ShardRecord) -> u8 {
        let epoch = record.config.epoch();
        let members = record.config.copies().members().iter().enumerate();
        let complete = members.filter(|(_, m)| {
            let copy = self.copies.get(&(shard, **m));
            copy.is_some_and(|copy| copy.is_complete_in(epoch))
        });
        complete.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// What a node reports of its copy.
    pub(super) fn status(
        &self,
        shard: ShardId,
        record: &ShardRecord,
        me: Member,
        reaches: &impl Fn(Member) -> bool,
    ) -> Option<CopyStatus> {
        let copy = self
            .copies
            .get(&(shard, me))
            .filter(|copy| copy.epoch > 0)?;
        let epoch = record.config.epoch();
        let leads = record.config.primary() == me && copy.sealed <= epoch;
        let members = record.config.copies().members().iter().enumerate();
        let unreachable = members.filter(|(_, m)| **m != me && !reaches(**m));
        Some(CopyStatus {
            shard,
            epoch,
            position: Position::new(copy.epoch, copy.log),
            // Shards differ in size, and keep theirs: balance has to come to rest.
            bytes: u64::from(shard.0 % 5 + 1) << 20,
            writes_per_s: 10,
            complete: if leads {
                self.complete(shard, record)
            } else {
                0
            },
            unreachable: if leads {
                unreachable.fold(0, |bits, (at, _)| bits | 1 << at)
            } else {
                0
            },
            resigned: Resigned::No,
            disk_fails: false,
            relic: None,
            ahead: None,
        })
    }

    /// All copies of a shard, for a trace.
    pub(super) fn describe(&self, shard: ShardId) -> String {
        let copies = self.copies.iter().filter(|((s, _), _)| *s == shard);
        let copies = copies.map(|((_, member), copy)| {
            format!(
                "node {} life {:x}: {copy:?}",
                member.node.0,
                member.incarnation.0 >> 64 & 0xffff
            )
        });
        copies.collect::<Vec<_>>().join("; ")
    }

    /// Whether this life holds anything of the shard.
    pub(super) fn has(&self, shard: ShardId, member: Member) -> bool {
        self.copies
            .get(&(shard, member))
            .is_some_and(|copy| copy.epoch > 0)
    }
}
