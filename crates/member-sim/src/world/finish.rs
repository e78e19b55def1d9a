//! After the last fault: everything is healed, and within a bound every shard must serve, every client be answered, and all copies be equal.

use std::collections::BTreeSet;

use cluster::record::{NodeRecord, NodeState};
use model::{Member, Phase, ShardId};
use store::Store;

use super::{Event, LOOK_US, World};
use crate::rare::Rare;
use crate::record::Ask;

/// Keys that one client alone knows.
const OWN: [&str; 4] = ["mortal", "own", "idle", "flush"];
/// How long it may take until all is served, in microseconds: an isolated candidate's distrust, a flapping node's, and the brake.
const BOUND_US: u64 = 60_000_000;
/// How long it may take until nothing is missing anywhere, in microseconds: a repair's delay, and the moves.
const WHOLE_US: u64 = 120_000_000;
/// How long the copies may take to become equal, in microseconds.
const EQUAL_US: u64 = 30_000_000;

impl World {
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.heal_everything()?;
        let healed_us = self.now_us;
        while let Err(missing) = self.is_served() {
            if self.now_us > healed_us + BOUND_US {
                return Err(format!("{BOUND_US} us after the last fault: {missing}"));
            }
            self.run_for(LOOK_US)?;
        }
        self.healed_us = self.now_us - healed_us;
        self.until_drained(healed_us)?;
        if self.plan.is_repaired {
            self.until_whole(healed_us)?;
        }
        self.read_everything()?;
        self.become_equal()
    }

    /// Nodes that are drained hold nothing any more, where others can hold it.
    fn until_drained(&mut self, healed_us: u64) -> Result<(), String> {
        while self.is_draining() || self.is_served().is_err() {
            if self.now_us > healed_us + WHOLE_US {
                return Err(format!(
                    "{WHOLE_US} us after the last fault a drain goes on"
                ));
            }
            self.run_for(LOOK_US)?;
        }
        let nodes = self.service.map().nodes().values();
        let gone = nodes.filter(|node| node.state == NodeState::Gone).count();
        self.counts.note_times(Rare::Drained, gone as u64);
        Ok(())
    }

    fn is_draining(&self) -> bool {
        let nodes = self.service.map().nodes().values();
        let is_any = nodes.clone().any(|node| node.state == NodeState::Draining);
        let active = nodes.filter(|node| node.state == NodeState::Active).count();
        is_any && active >= self.plan.copies()
    }

    /// Every set has as many living members as it should, and all of them have everything.
    fn until_whole(&mut self, healed_us: u64) -> Result<(), String> {
        while let Err(missing) = self.is_whole() {
            if self.now_us > healed_us + WHOLE_US {
                return Err(format!("{WHOLE_US} us after the last fault: {missing}"));
            }
            self.run_for(LOOK_US)?;
        }
        Ok(())
    }

    fn is_whole(&mut self) -> Result<(), String> {
        self.is_served()?;
        let nodes = self.service.map().nodes().values();
        let target = self
            .plan
            .copies()
            .min(nodes.filter(|node| may_hold(node)).count());
        let shards = self.service.map().shards().iter();
        let shards: Vec<_> = shards
            .map(|(shard, record)| (*shard, record.config))
            .collect();
        for (shard, config) in shards {
            let members = config.copies().members();
            let without = self.cannot_be_replaced(members).unwrap_or(u32::MAX);
            if members.len() < target || !self.is_whole_without(shard, without) {
                return Err(format!("{shard:?} is not whole: {config:?}"));
            }
        }
        Ok(())
    }

    /// A lost member stays in its set as long as every node that could take its place is in it: to let it go would not make the set any safer.
    fn cannot_be_replaced(&self, members: &[Member]) -> Option<u32> {
        let nodes = self.service.map().nodes().iter();
        let mut others = nodes.filter(|(_, node)| may_hold(node));
        let has_spare = others.any(|(id, _)| members.iter().all(|member| member.node != *id));
        let mut lost = members.iter().filter(|member| !self.is_alive(**member));
        lost.next()
            .filter(|_| !has_spare)
            .map(|member| member.node.0)
    }

    fn heal_everything(&mut self) -> Result<(), String> {
        self.is_calm = true;
        self.trace.line(|| "everything is healed".into());
        self.links.network.heal();
        if !self.service.store.is_up() {
            self.service.store.start();
        }
        self.service.paused = false;
        self.service.store.clear_fates();
        self.wake_watches();
        for number in 0..self.plan.nodes {
            let host = &mut self.hosts[number as usize];
            host.storage.set_full(false);
            host.storage.set_failing(0);
            if host.paused_until_us > self.now_us {
                host.paused_until_us = self.now_us;
                self.turn_at(number, self.now_us);
            }
            self.start(number)?;
        }
        self.clients
            .iter_mut()
            .for_each(|client| client.is_stopped = true);
        Ok(())
    }

    /// Every shard is served by whom the map says, with its quorum.
    pub(super) fn is_served(&self) -> Result<(), String> {
        let map = self.service.map();
        if map.shards().len() != usize::from(self.plan.settings.shards) {
            return Err(format!("{} shards were created", map.shards().len()));
        }
        for (shard, record) in map.shards() {
            let primary = record.config.primary();
            let served = record.config.phase() == Phase::Serving
                && self.is_alive(primary)
                && self.can_read(primary, *shard);
            if !served {
                return Err(format!("{shard:?} is not served: {record:?}"));
            }
        }
        Ok(())
    }

    fn can_read(&self, member: Member, shard: ShardId) -> bool {
        let host = &self.hosts[member.node.0 as usize];
        let now = host.clock.now(self.now_us);
        let mut copies = host
            .process
            .iter()
            .flat_map(|process| process.node.shards());
        copies.any(|(id, data)| id == shard && data.replica().read_right(now).is_some())
    }

    /// Clients end what they are about, and then read every key.
    fn read_everything(&mut self) -> Result<(), String> {
        let since_us = self.now_us;
        self.until_idle(since_us)?;
        let keys: BTreeSet<(String, bool)> = self
            .operations
            .iter()
            .map(|operation| (operation.key.clone(), is_number(&operation.key)))
            .collect();
        for (number, (key, is_counter)) in keys.into_iter().enumerate() {
            let ask = match is_counter {
                true => Ask::Count,
                false if key.starts_with("mortal") && self.plan.is_flushed => Ask::Get,
                false if key.starts_with("pair") => Ask::Both,
                false if OWN.iter().any(|kind| key.starts_with(kind)) => continue,
                false => Ask::Read,
            };
            let client = number % self.clients.len();
            self.clients[client].shall_ask(key, ask);
            self.after(0, Event::Think(client));
        }
        for number in 0..self.clients.len() {
            self.clients[number].shall_read_own();
            self.after(0, Event::Think(number));
        }
        self.until_idle(since_us)
    }

    fn until_idle(&mut self, since_us: u64) -> Result<(), String> {
        while let Some(client) = self.clients.iter().position(|client| !client.is_idle()) {
            if self.now_us > since_us + BOUND_US {
                return Err(format!("client {client} is not answered"));
            }
            self.run_for(LOOK_US)?;
        }
        Ok(())
    }

    /// Copies of one shard hold the same, byte for byte.
    fn become_equal(&mut self) -> Result<(), String> {
        let since_us = self.now_us;
        loop {
            // What is about to expire has its time.
            self.run_for(6 * LOOK_US)?;
            let Err(differ) = self.are_equal() else {
                return Ok(());
            };
            if self.now_us > since_us + EQUAL_US {
                return Err(differ);
            }
        }
    }

    fn are_equal(&self) -> Result<(), String> {
        for (shard, record) in self.service.map().shards() {
            let members = record.config.copies().members().iter();
            let living: Vec<Member> = members.copied().filter(|m| self.is_alive(*m)).collect();
            let contents = living.iter().map(|member| self.contents(*member, *shard));
            let contents: Vec<Option<Vec<Held>>> = contents.collect();
            for (member, held) in living.iter().zip(&contents) {
                if held.is_none() || *held != contents[0] {
                    let first = living[0].node.0;
                    let wrong = difference(&contents[0], held);
                    return Err(format!(
                        "{shard:?}: nodes {first} and {} differ: {wrong}",
                        member.node.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// What a copy holds that has not expired.
    fn contents(&self, member: Member, shard: ShardId) -> Option<Vec<Held>> {
        let host = &self.hosts[member.node.0 as usize];
        let process = host.process.as_ref()?;
        let (_, data) = process.node.shards().find(|(id, _)| *id == shard)?;
        let latest = self
            .hosts
            .iter()
            .map(|host| host.clock.now(self.now_us).unix_ms);
        Some(held(data.store(), latest.max().unwrap_or(0)))
    }
}

/// Whether a lost copy may be made anew on this node.
const fn may_hold(node: &NodeRecord) -> bool {
    match node.state {
        NodeState::Active | NodeState::Draining => true,
        NodeState::Joining | NodeState::Gone => false,
    }
}

/// An entry: everything that is told of it.
type Held = (u8, store::Space, Vec<u8>, store::Kind, u64, u64, Vec<u8>);

fn held(store: &Store, now_ms: u64) -> Vec<Held> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = store.scan(cursor, 64, &mut |entry| {
            let deadline = entry.deadline();
            // What expires at this moment may be gone here and not yet there.
            if !deadline.has_passed(now_ms + 20_000) {
                all.push((
                    entry.db().number(),
                    entry.space(),
                    entry.key().to_vec(),
                    entry.kind(),
                    entry.version().raw(),
                    deadline.raw(),
                    entry.value().to_vec(),
                ));
            }
        });
        if cursor == 0 {
            all.sort();
            return all;
        }
    }
}

fn difference(one: &Option<Vec<Held>>, other: &Option<Vec<Held>>) -> String {
    let (Some(one), Some(other)) = (one, other) else {
        return "there is no copy".into();
    };
    let here = one.iter().find(|held| !other.contains(held));
    let there = other.iter().find(|held| !one.contains(held));
    let told = |held: Option<&Held>| {
        held.map(|(_, space, key, _, version, deadline, value)| {
            let key = String::from_utf8_lossy(key).into_owned();
            format!(
                "{space:?} {key} version {version} until {deadline}, {} bytes",
                value.len()
            )
        })
    };
    format!("{:?} and {:?}", told(here), told(there))
}

/// Whether a key's value is the number of its version.
fn is_number(key: &str) -> bool {
    key.starts_with("count") || key.starts_with("locked")
}
