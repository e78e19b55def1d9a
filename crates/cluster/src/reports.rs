//! What the nodes last reported of their copies.

use alloc::collections::BTreeMap;

use model::{Incarnation, Member, NodeId, Position, ShardId};

use crate::{
    message::{CopyStatus, Report, Resigned},
    record::ShardRecord,
    timing::REPORT_FRESH_MS,
};

/// The latest report of each copy.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// Who has told of all that it has, also that it has no copies.
    heard: BTreeMap<NodeId, Incarnation>,
    copies: BTreeMap<(ShardId, NodeId), Reported>,
    /// Since when a shard's primary has not reached a member.
    unreachable: BTreeMap<(ShardId, Member), u64>,
}

#[derive(Clone, Copy, Debug)]
struct Reported {
    at_ms: u64,
    incarnation: Incarnation,
    status: CopyStatus,
}

impl Reports {
    /// Takes a report in.
    pub fn hear(&mut self, report: &Report, now_ms: u64) {
        let Member { node, incarnation } = report.from;
        if report.is_all {
            self.heard.insert(node, incarnation);
        }
        for &status in &report.copies {
            let reported = Reported {
                at_ms: now_ms,
                incarnation: report.from.incarnation,
                status,
            };
            self.copies
                .insert((status.shard, report.from.node), reported);
        }
    }

    /// Whether this member has said which copies it has.
    #[must_use]
    pub fn has_reported(&self, member: Member) -> bool {
        self.heard.get(&member.node) == Some(&member.incarnation)
    }

    /// What was lately reported of the copies of a shard, by whom.
    pub fn fresh(
        &self,
        shard: ShardId,
        now_ms: u64,
    ) -> impl Iterator<Item = (Member, CopyStatus)> + Clone {
        let copies = self
            .copies
            .range((shard, NodeId(0))..=(shard, NodeId(u32::MAX)));
        let fresh = copies.filter(move |(_, reported)| now_ms < reported.at_ms + REPORT_FRESH_MS);
        fresh.map(|(&(_, node), reported)| {
            let incarnation = reported.incarnation;
            (Member { node, incarnation }, reported.status)
        })
    }

    /// The shards of which anybody has lately reported a copy, once for each.
    pub fn shards(&self, now_ms: u64) -> impl Iterator<Item = ShardId> {
        let copies = self.copies.iter();
        let fresh = copies.filter(move |(_, reported)| now_ms < reported.at_ms + REPORT_FRESH_MS);
        fresh.map(|((shard, _), _)| *shard)
    }

    /// Notes whom the primary of this shard cannot reach.
    pub fn note_unreachable(&mut self, shard: ShardId, record: &ShardRecord, now_ms: u64) {
        let bits = self
            .of_primary(shard, record, now_ms)
            .map_or(0, |status| status.unreachable);
        for (at, &member) in record.config.copies().members().iter().enumerate() {
            if bits & (1 << at) == 0 {
                self.unreachable.remove(&(shard, member));
            } else {
                self.unreachable.entry((shard, member)).or_insert(now_ms);
            }
        }
    }

    /// Since when the shard's primary cannot reach this member.
    #[must_use]
    pub fn unreachable_since(&self, shard: ShardId, member: Member) -> Option<u64> {
        self.unreachable.get(&(shard, member)).copied()
    }

    /// Forgets what is about nobody any more.
    pub fn forget(
        &mut self,
        now_ms: u64,
        present: &BTreeMap<NodeId, Incarnation>,
        is_member: impl Fn(ShardId, Member) -> bool,
    ) {
        self.heard
            .retain(|node, incarnation| present.get(node) == Some(incarnation));
        self.copies
            .retain(|_, reported| now_ms < reported.at_ms + 60 * REPORT_FRESH_MS);
        self.unreachable
            .retain(|&(shard, member), _| is_member(shard, member));
    }

    /// What the primary of exactly this configuration said lately.
    #[must_use]
    pub fn of_primary(
        &self,
        shard: ShardId,
        record: &ShardRecord,
        now_ms: u64,
    ) -> Option<CopyStatus> {
        let primary = record.config.primary();
        let reported = self.copies.get(&(shard, primary.node))?;
        let fresh = now_ms < reported.at_ms + REPORT_FRESH_MS;
        let same = reported.incarnation == primary.incarnation
            && reported.status.epoch == record.config.epoch();
        (fresh && same).then_some(reported.status)
    }

    /// Which members have everything, as bits in their order: what the primary of exactly this configuration said lately.
    #[must_use]
    pub fn complete(&self, shard: ShardId, record: &ShardRecord, now_ms: u64) -> u8 {
        self.of_primary(shard, record, now_ms)
            .map_or(0, |status| status.complete)
    }

    /// Whether the primary of exactly this configuration said lately that it cannot lead.
    #[must_use]
    pub fn resigned(&self, shard: ShardId, record: &ShardRecord, now_ms: u64) -> Resigned {
        self.of_primary(shard, record, now_ms)
            .map_or(Resigned::No, |status| status.resigned)
    }

    /// Whether this node said lately that its disk takes no more of the log.
    #[must_use]
    pub fn disk_fails(&self, shard: ShardId, member: Member, now_ms: u64) -> bool {
        self.copies
            .get(&(shard, member.node))
            .is_some_and(|reported| {
                let fresh = now_ms < reported.at_ms + REPORT_FRESH_MS;
                let same = reported.incarnation == member.incarnation;
                fresh && same && reported.status.disk_fails
            })
    }

    /// Who lately reported what this member, whose life is over, has left of its copy of this shard, if that is a whole beginning of it.
    #[must_use]
    pub fn heir(&self, shard: ShardId, member: Member, now_ms: u64) -> Option<Member> {
        let reported = self.copies.get(&(shard, member.node))?;
        let fresh = now_ms < reported.at_ms + REPORT_FRESH_MS;
        let relic = reported.status.relic.filter(|_| fresh)?;
        (relic.life == member.incarnation && !relic.damaged).then_some(Member {
            incarnation: reported.incarnation,
            ..member
        })
    }

    /// How far this copy was last known to go, however long ago.
    #[must_use]
    pub fn position(&self, shard: ShardId, member: Member) -> Option<Position> {
        let reported = self.copies.get(&(shard, member.node))?;
        (reported.incarnation == member.incarnation).then_some(reported.status.position)
    }

    /// Bytes and writes per second of a shard, as its largest copy reports. A copy that is gone counts only while nobody else says anything.
    #[must_use]
    pub fn size(&self, shard: ShardId, now_ms: u64) -> (u64, u32) {
        let copies = self
            .copies
            .range((shard, NodeId(0))..=(shard, NodeId(u32::MAX)));
        let is_fresh = |reported: &Reported| now_ms < reported.at_ms + REPORT_FRESH_MS;
        let any_fresh = copies.clone().any(|(_, reported)| is_fresh(reported));
        let counting = copies.filter(|(_, reported)| !any_fresh || is_fresh(reported));
        counting.fold((0, 0), |(bytes, writes), (_, reported)| {
            (
                bytes.max(reported.status.bytes),
                writes.max(reported.status.writes_per_s),
            )
        })
    }

    /// Those who lately reported a copy of this shard, whether they are members or not, with whether it is undamaged, and how far it goes.
    pub fn survivors(
        &self,
        shard: ShardId,
        now_ms: u64,
    ) -> impl Iterator<Item = (Member, (bool, Position))> {
        self.fresh(shard, now_ms).map(|(member, status)| {
            let undamaged = status.relic.is_none_or(|relic| !relic.damaged);
            (member, (undamaged, status.position))
        })
    }
}
