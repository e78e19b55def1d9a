//! Clients that count and hold, while nodes die, start again, stand still, are cut off, lose what they had, and are told new
//! configurations. A seed is everything: `MEMBER_SEED=<seed> cargo test -p tenure-node --test member chaos` runs one alone,
//! `MEMBER_ROUNDS=<n>` runs many.

use model::{ConnectionId, CopySet, Phase, ShardConfig};

use crate::chance::Chance;
use crate::history::{Ask, History};
use crate::world::World;

/// How long a client waits for an answer before it takes the outcome for unknown.
const PATIENCE_US: u64 = 4_000_000;
const CLIENTS: usize = 6;

/// What a client has asked for.
struct Asked {
    command: String,
    key: String,
    ask: Ask,
    at_us: u64,
}

#[derive(Default)]
struct Client {
    connection: Option<(usize, ConnectionId)>,
    asked: Option<Asked>,
    /// Where it goes next.
    towards: Option<usize>,
    /// The hold that it thinks it has.
    hold: Option<(String, u64)>,
}

struct Chaos {
    world: World,
    chance: Chance,
    clients: Vec<Client>,
    history: History,
    nodes: usize,
    shards: u16,
    files: bool,
    /// Since when each node has been down or standing still.
    down: Vec<Option<u64>>,
    failovers: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let (nodes, shards) = (3 + chance.below(3) as usize, 1 + chance.below(3) as u16);
        let files = chance.one_in(2);
        let mut world = World::without_shards(nodes, files);
        world.delay_us = [0, 300, 2_000, 20_000][chance.below(4) as usize];
        if chance.one_in(2) {
            world.replica.backlog_bytes = 4 << 10;
            world.replica.uncommitted_bytes = 4 << 10;
        }
        world.chance = Some(Chance(chance.next()));
        for number in 0..nodes {
            world.kill(number);
            world.skew(number, chance.below(2_000));
            world.start(number);
        }
        world.create(shards);
        Self {
            world,
            chance,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            history: History::default(),
            nodes,
            shards,
            files,
            down: vec![None; nodes],
            failovers: 0,
        }
    }

    fn now_us(&self) -> u64 {
        self.world.time_us()
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.world.step();
            for client in 0..CLIENTS {
                self.turn_of_client(client);
            }
            if self.chance.one_in(400) {
                self.fault();
            }
            if self.chance.one_in(200) {
                self.coordinate();
            }
        }
    }

    fn turn_of_client(&mut self, number: usize) {
        match self.clients[number].asked.take() {
            Some(asked) => self.listen(number, asked),
            None if self.chance.one_in(8) => {
                let asked = self.something(number);
                self.ask(number, asked);
            }
            None => {}
        }
    }

    /// What a client asks for next.
    fn something(&mut self, number: usize) -> Asked {
        let at_us = self.now_us();
        let counter = format!("counter:{}", self.chance.below(6));
        let session = format!("session:{}", self.chance.below(2));
        let hold = self.clients[number].hold.take();
        let (command, key, ask) = match (hold, self.chance.below(8)) {
            (Some((session, fence)), _) => (
                format!("SESSION.COMMIT {session} {fence} SET 1 by {number}"),
                format!("version of {session}"),
                Ask::Write,
            ),
            (None, 0 | 1) => (
                format!("SESSION.OPEN {session} CREATE HOLD 400 WAIT 100"),
                format!("fence of {session}"),
                Ask::Write,
            ),
            (None, 2..=4) => (format!("GET {counter}"), counter, Ask::Read),
            (None, _) => (format!("INCR {counter}"), counter, Ask::Write),
        };
        Asked {
            command,
            key,
            ask,
            at_us,
        }
    }

    fn ask(&mut self, number: usize, asked: Asked) {
        let up: Vec<usize> = (0..self.nodes).filter(|n| self.world.is_up(*n)).collect();
        let client = &mut self.clients[number];
        let here = client
            .connection
            .filter(|(node, _)| self.world.is_up(*node));
        let wanted = client.towards.take().filter(|node| up.contains(node));
        let node = wanted.or(here.map(|(node, _)| node));
        let Some(node) = node.or_else(|| self.chance.pick(&up).copied()) else {
            return;
        };
        if here.is_none_or(|(at, _)| at != node) {
            client.connection = Some(self.world.connect(node));
        }
        let Some(connection) = client.connection else {
            return;
        };
        if asked.command.starts_with("INCR") {
            self.history.asked(&asked.key);
        }
        self.world.tell(connection, &asked.command);
        self.clients[number].asked = Some(asked);
    }

    fn listen(&mut self, number: usize, asked: Asked) {
        let Some(connection) = self.clients[number].connection else {
            return;
        };
        if !self.world.is_up(connection.0) {
            self.clients[number].connection = None;
            return;
        }
        let reply = self.world.take(connection);
        if reply.is_empty() {
            if self.now_us() > asked.at_us + PATIENCE_US {
                self.clients[number].connection = None;
            } else {
                self.clients[number].asked = Some(asked);
            }
            return;
        }
        self.world.trace(|| {
            let told = reply.replace('\n', " ");
            format!(
                "client {number} asked at {} {}: {told}",
                asked.at_us, asked.command
            )
        });
        self.heard(number, &asked, &reply);
        if reply.ends_with("(closed)") {
            self.clients[number].connection = None;
        }
    }

    fn heard(&mut self, number: usize, asked: &Asked, reply: &str) {
        if let Some(to) = World::redirected(reply) {
            self.clients[number].towards = Some(to);
        }
        let value = number_in(reply);
        let times = (asked.at_us, self.now_us());
        if asked.command.starts_with("SESSION.OPEN") {
            let Some(fence) = value_behind(reply, "fence") else {
                return;
            };
            self.history.answered(&asked.key, asked.ask, times, fence);
            let session = asked.key.trim_start_matches("fence of ").to_owned();
            self.clients[number].hold = Some((session, fence));
        } else if let Some(value) = value {
            self.history.answered(&asked.key, asked.ask, times, value);
        } else if reply.starts_with("$-1") {
            self.history.answered(&asked.key, asked.ask, times, 0);
        }
    }

    fn fault(&mut self) {
        let node = self.chance.below(self.nodes as u64) as usize;
        let now_us = self.now_us();
        match self.chance.below(8) {
            0 | 1 if self.may_lose(node) || self.files && self.all_up() => {
                self.kill(node);
                self.down[node] = Some(now_us);
            }
            2 if self.all_up() => {
                self.world
                    .pause(node, 50_000 + self.chance.below(1_500_000));
            }
            3 => {
                let other = self.chance.below(self.nodes as u64) as usize;
                self.world.cut(node, other);
            }
            4 => self.world.heal(),
            5 if self.files => {
                // The process alone dies, and is back at once.
                self.kill(node);
                self.world.start(node);
                self.down[node] = None;
            }
            _ => self.bring_back(node),
        }
    }

    fn all_up(&self) -> bool {
        self.down.iter().flatten().count() == 0
    }

    /// Whether every shard is served by a set of which all but this node have everything.
    fn may_lose(&mut self, node: usize) -> bool {
        if (0..self.nodes).any(|n| n != node && self.down[n].is_some()) {
            return false;
        }
        (0..self.shards).all(|shard| self.is_whole(shard, node))
    }

    fn is_whole(&mut self, shard: u16, without: usize) -> bool {
        let (config, primary) = (self.world.config(shard), self.world.primary(shard));
        if config.phase() != Phase::Serving || !self.world.is_up(primary) {
            return false;
        }
        let copies = self.world.copies(primary);
        let status = copies.iter().find(|status| status.shard.0 == shard);
        let complete = status.map_or(0, |status| status.complete);
        let members = config.copies().members().iter().enumerate();
        members
            .filter(|(_, member)| member.node.0 as usize != without)
            .all(|(at, member)| {
                complete & (1 << at) != 0 && self.world.member(member.node.0 as usize) == *member
            })
    }

    /// Connections die with the process: the next one gives their numbers to others.
    fn kill(&mut self, node: usize) {
        self.world.kill(node);
        for client in &mut self.clients {
            if client.connection.is_some_and(|(at, _)| at == node) {
                (client.connection, client.asked) = (None, None);
            }
        }
    }

    fn bring_back(&mut self, node: usize) {
        if self.down[node].take().is_some() {
            // What one node loses must be with enough others, or no rule brings it back.
            let forgets = !self.files || self.chance.one_in(3) && self.may_lose(node);
            if forgets {
                self.world.start_anew(node);
            } else {
                self.world.start(node);
            }
        }
    }

    /// A new configuration for some shard, mostly of nodes that are there, led by one of them.
    fn coordinate(&mut self) {
        let shard = self.chance.below(u64::from(self.shards)) as u16;
        let up: Vec<usize> = (0..self.nodes).filter(|n| self.world.is_up(*n)).collect();
        let config = self.world.config(shard);
        let served = served(&config);
        let members = served.members();
        let known: Vec<usize> = members.iter().map(|m| m.node.0 as usize).collect();
        let same: Vec<bool> = members
            .iter()
            .map(|m| self.world.member(m.node.0 as usize) == *m)
            .collect();
        let lost = known.iter().zip(&same).find(|(_, same)| !**same);
        let primary_up = up.contains(&self.world.primary(shard));
        if primary_up && lost.is_none() && !self.chance.one_in(10) {
            return;
        }
        let mut set = known.clone();
        let serves = config.phase() == Phase::Serving;
        if serves && self.chance.one_in(3) && self.nodes > 3 {
            // One member moves elsewhere.
            let out = self.chance.below(set.len() as u64) as usize;
            let free: Vec<usize> = up.iter().copied().filter(|n| !set.contains(n)).collect();
            if let Some(new) = self.chance.pick(&free) {
                set[out] = *new;
            }
        }
        let able: Vec<usize> = set.iter().copied().filter(|n| up.contains(n)).collect();
        if let Some(primary) = self.chance.pick(&able).copied() {
            self.failovers += 1;
            self.world.decide(shard, &set, primary);
        }
    }

    /// All faults are over: everything is served again by itself, and nothing that was told is gone.
    fn settle(&mut self) {
        self.world.heal();
        for node in 0..self.nodes {
            self.world.pause(node, 0);
            if self.down[node].is_some() {
                self.bring_back(node);
            }
        }
        for round in 0..40 {
            for shard in 0..self.shards {
                self.coordinate_to_serve(shard, round);
            }
            self.world.pass(500);
        }
        self.world.until_served();
        self.world.pass(500);
        for key in self.history.keys() {
            if key.starts_with("counter") {
                let reply = self.world.follow(&format!("GET {key}"));
                let value = number_in(&reply).unwrap_or(0);
                let times = (self.now_us(), self.now_us());
                self.history.answered(&key, Ask::Read, times, value);
            }
        }
    }

    /// As long as a shard does not serve, each member of the set leads in turn.
    fn coordinate_to_serve(&mut self, shard: u16, round: usize) {
        let config = self.world.config(shard);
        let settled =
            config.phase() == Phase::Serving && self.world.serves(self.world.primary(shard), shard);
        if settled {
            return;
        }
        let served = served(&config);
        let members = served.members();
        let set: Vec<usize> = members.iter().map(|m| m.node.0 as usize).collect();
        self.world.decide(shard, &set, set[round % set.len()]);
    }
}

/// The set that served last: who has what was acknowledged is one of it, and only then comes who is to be filled.
fn served(config: &ShardConfig) -> CopySet {
    match config.phase() {
        Phase::Recovering { from: Some(from) } => from.copies,
        Phase::Recovering { from: None } | Phase::Serving => *config.copies(),
    }
}

/// The number that a reply is.
fn number_in(reply: &str) -> Option<u64> {
    match reply.strip_prefix(':') {
        Some(number) => number.trim().parse().ok(),
        None => reply.strip_prefix('$')?.lines().nth(1)?.parse().ok(),
    }
}

/// The number behind a name, in a map.
fn value_behind(reply: &str, name: &str) -> Option<u64> {
    let mut lines = reply.lines();
    lines.find(|line| *line == name)?;
    lines.next()?.strip_prefix(':')?.parse().ok()
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = format!("run again with MEMBER_SEED={}\n", self.0);
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

fn seeds() -> Vec<u64> {
    let of = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|n| n.parse().expect("a number"))
    };
    match of("MEMBER_SEED") {
        Some(seed) => vec![seed],
        None => (0..of("MEMBER_ROUNDS").unwrap_or(60)).collect(),
    }
}

#[test]
fn chaos() {
    let (mut writes, mut failovers) = (0, 0);
    for seed in seeds() {
        let replay = Replay(seed);
        let mut chaos = Chaos::new(seed);
        chaos.run(12_000);
        chaos.settle();
        let judged = chaos.history.judge();
        assert!(judged.is_ok(), "{judged:?}");
        (writes, failovers) = (writes + chaos.history.writes(), failovers + chaos.failovers);
        drop(replay);
    }
    assert!(writes > 0 && failovers > 0);
}
