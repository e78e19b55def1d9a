//! After the last fault: everything is healed, and within a bound every shard of which enough is left must serve.

use cluster::{coordinator::Command, record::NodeState};
use model::{Member, Phase, ShardId};

use super::ControlWorld;

/// How long healing may take: a repair's delay, the longest distrust of a flapping node or an isolated candidate, and the moves.
const BOUND_MS: u64 = 90_000;
/// So long without a new configuration is rest, and so many times it is waited for: every copy may have to move once.
const REST_MS: u64 = 10_000;
const REST_WINDOWS: u32 = 30;
/// How often it is looked at.
const LOOK_MS: u64 = 250;

impl ControlWorld {
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.heal_everything()?;
        let healed_ms = self.now_ms();
        let mut given_up = Vec::new();
        loop {
            self.run_for(LOOK_MS)?;
            self.give_up_what_is_lost(healed_ms, &mut given_up)?;
            let Err(missing) = self.is_well() else {
                self.report.healed_ms = self.now_ms() - healed_ms;
                break;
            };
            if self.now_ms() > healed_ms + BOUND_MS {
                return Err(format!("{BOUND_MS} ms after the last fault: {missing}"));
            }
        }
        self.stays_well()
    }

    fn heal_everything(&mut self) -> Result<(), String> {
        self.network.heal();
        if !self.store.is_up() {
            self.store.start();
        }
        self.store_paused = false;
        while self.store.table().revision().0 > 0 && self.store.list(b"").is_none() {}
        self.wake_watches();
        for node in 0..self.plan.nodes {
            self.resume(node)?;
            self.start(node);
        }
        self.trace(|| "everything is healed".into());
        Ok(())
    }

    /// An operator recovers what cannot recover by itself, after giving it the time to.
    fn give_up_what_is_lost(
        &mut self,
        healed_ms: u64,
        given_up: &mut Vec<(ShardId, u32)>,
    ) -> Result<(), String> {
        if self.now_ms() < healed_ms + 15_000 {
            return Ok(());
        }
        let unprovable: Vec<_> = self
            .map()
            .shards()
            .iter()
            .filter(|(_, r)| !self.is_provable(r))
            .map(|(s, r)| (*s, r.config.epoch()))
            .collect();
        for (shard, epoch) in unprovable {
            if self.now_ms() % 1_000 < LOOK_MS {
                given_up.push((shard, epoch));
                self.command(Command::RecoverLongest(shard))?;
            }
        }
        Ok(())
    }

    fn is_alive(&self, member: Member) -> bool {
        let node = &self.nodes[member.node.0 as usize];
        node.member == member && node.agent.is_some()
    }

    fn is_provable(&self, record: &cluster::record::ShardRecord) -> bool {
        let source = cluster::situation::Situation::source(record);
        source.is_none_or(|set| {
            set.members().iter().filter(|m| self.is_alive(**m)).count() >= set.read_quorum()
        })
    }

    /// Whether anything of the shard is left that an operator could go on with. What a node that is gone still has counts once
    /// the operator has taken it back.
    fn is_left(&self, shard: ShardId) -> bool {
        let here = |member: Member| self.state_of(member) != Some(NodeState::Gone);
        let mut nodes = self.nodes.iter().map(|node| node.member);
        nodes.any(|member| here(member) && self.data.has(shard, member))
    }

    /// Every shard serves with as many complete copies as there can be, and nobody holds what is drained.
    fn is_well(&self) -> Result<(), String> {
        let map = self.map();
        if map.settings().is_none() || map.shards().len() != usize::from(self.plan.settings.shards)
        {
            return Err(format!("{} shards were created", map.shards().len()));
        }
        for (shard, record) in map.shards() {
            let lost = !self.is_provable(record) && !self.is_left(*shard);
            if !lost {
                self.is_shard_well(*shard, record)
                    .map_err(|wrong| format!("{shard:?} {wrong}: {record:?}"))?;
            }
        }
        let leads = map.role().is_some_and(|role| self.is_alive(role.holder));
        if leads {
            Ok(())
        } else {
            Err("nobody leads".into())
        }
    }

    fn is_shard_well(
        &self,
        shard: ShardId,
        record: &cluster::record::ShardRecord,
    ) -> Result<(), &'static str> {
        let config = record.config;
        let members = config.copies().members();
        if config.phase() != Phase::Serving {
            return Err("does not serve");
        }
        // Where everybody else is being drained, or is in a process that has a copy, there is no place for another.
        let sound = |m: &&Member| self.is_alive(**m) && self.data.has(shard, **m);
        let living: Vec<Member> = members.iter().filter(sound).copied().collect();
        if living.len() < members.len() && self.has_room_beside(&living) {
            return Err("has lost members");
        }
        let target = usize::from(self.plan.settings.copies).min(self.usable_processes());
        if members.len() < target {
            return Err("has too few members");
        }
        let draining = |m: &Member| self.state_of(*m) == Some(NodeState::Draining);
        if members.iter().any(draining) && self.has_room_beside(members) {
            return Err("is on a draining node");
        }
        Ok(())
    }

    fn state_of(&self, member: Member) -> Option<NodeState> {
        self.map().nodes().get(&member.node).map(|node| node.state)
    }

    /// Whether there is an active node in a process that holds no copy yet. Without one a copy cannot move.
    fn has_room_beside(&self, members: &[Member]) -> bool {
        let nodes = self.map().nodes();
        let taken = |process: u64| {
            members
                .iter()
                .any(|m| nodes.get(&m.node).is_some_and(|n| n.process == process))
        };
        nodes
            .values()
            .any(|node| node.state == NodeState::Active && !taken(node.process))
    }

    /// Processes with a node that may be given copies.
    fn usable_processes(&self) -> usize {
        let active = self
            .map()
            .nodes()
            .values()
            .filter(|n| n.state == NodeState::Active);
        let mut processes: Vec<u64> = active.map(|n| n.process).collect();
        processes.sort_unstable();
        processes.dedup();
        processes.len()
    }

    /// Nothing goes on for ever: balancing comes to rest, and then all is still well.
    fn stays_well(&mut self) -> Result<(), String> {
        let mut reasons = self.report.counts.reasons;
        for _ in 0..REST_WINDOWS {
            self.run_for(REST_MS)?;
            if reasons == self.report.counts.reasons {
                let gone = self
                    .map()
                    .nodes()
                    .values()
                    .filter(|n| n.state == NodeState::Gone);
                self.report.counts.drained = gone.count() as u64;
                let well = self.is_well();
                return well.map_err(|wrong| format!("it did not stay well: {wrong}"));
            }
            reasons = self.report.counts.reasons;
        }
        Err(format!("it never comes to rest: {reasons:?}"))
    }
}
