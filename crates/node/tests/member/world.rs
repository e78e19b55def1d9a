//! Whole nodes in one process: a network that can lose messages, disks that can be read again, and a metadata store that is asked by hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::chance::Chance;
use cluster::format::Record as _;
use cluster::keys::Place;
use cluster::map::ClusterMap;
use cluster::metadata::{Listing, RequestId, Revision};
use cluster::record::{Addresses, NodeRecord, NodeState, Settings, ShardRecord};
use command::Settings as CommandSettings;
use model::{
    ConnectionId, CopySet, Incarnation, Member, NodeId, Now, Phase, ShardConfig, ShardId, Zone,
};
use node::{CopyId, DiskTask, FileTask, Input, Membership, Node, Outbox, RestoredCopy};
use shard::ShardSettings;
use store::{DiskError, DiskOp, HeapPages, Restore, SegmentId, SyncMode};

/// The time at which every test begins: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;
/// What time passes in a step.
const STEP_US: u64 = 500;
/// Steps within which everything must have happened that happens by itself.
const PATIENCE: usize = 10_000;

/// What is on the disk of one copy.
#[derive(Default)]
struct Folder {
    note: Vec<u8>,
    images: BTreeMap<SegmentId, Vec<u8>>,
}

/// A node with what surrounds it.
struct Host {
    node: Option<Node>,
    /// Its disk has no room for another file.
    full: bool,
    /// How it was started last.
    terms: Option<Membership>,
    member: Member,
    folders: BTreeMap<CopyId, Folder>,
    received: BTreeMap<ConnectionId, Vec<u8>>,
    closed: Vec<ConnectionId>,
    /// Who was left unread and is wanted again.
    wanted: Vec<ConnectionId>,
    starts: u8,
    segment_bytes: usize,
    /// By how much its clocks are ahead.
    skew_ms: u64,
    /// Until when it stands still.
    paused_until_us: u64,
}

/// See the module.
pub struct World {
    hosts: Vec<Host>,
    now: Now,
    /// When what arrives where.
    under_way: VecDeque<(u64, usize, Vec<u8>)>,
    /// Pairs between which nothing gets through.
    cut: Vec<(usize, usize)>,
    shards: BTreeMap<ShardId, ShardRecord>,
    revision: u64,
    files: bool,
    pub settings: ShardSettings,
    pub replica: replica::Settings,
    pub memory_bytes: usize,
    /// How long a message takes at most, where there is chance.
    pub delay_us: u64,
    pub chance: Option<Chance>,
    /// Which nodes have got what a copy lacked, and how.
    pub whole: Vec<(usize, replica::How)>,
}

/// What a client is told.
pub type Reply = String;

impl World {
    /// So many nodes that share so many shards, with three copies each, led by one node after the other.
    pub fn new(nodes: usize, shards: u16, files: bool) -> Self {
        let mut world = Self::without_shards(nodes, files);
        world.create(shards);
        world
    }

    pub fn without_shards(nodes: usize, files: bool) -> Self {
        let mut world = Self {
            hosts: Vec::new(),
            now: Now {
                unix_ms: START_MS,
                mono_us: 1_000_000,
            },
            under_way: VecDeque::new(),
            cut: Vec::new(),
            shards: BTreeMap::new(),
            revision: 1,
            files,
            settings: ShardSettings::default(),
            replica: replica::Settings::default(),
            memory_bytes: 64 << 20,
            delay_us: 0,
            chance: None,
            whole: Vec::new(),
        };
        for _ in 0..nodes {
            world.add_node();
        }
        world
    }

    /// Creates the shards, and waits until they are served.
    pub fn create(&mut self, shards: u16) {
        let (nodes, all) = (self.hosts.len(), self.settings_of_cluster(shards));
        for shard in (0..shards).map(ShardId) {
            let members: Vec<Member> = (0..3.min(nodes))
                .map(|n| self.hosts[(usize::from(shard.0) + n) % nodes].member)
                .collect();
            let set = CopySet::new(&members, all.quorum_of(members.len()));
            let (first_slot, last_slot) = all.slots_of(shard);
            let record = ShardRecord {
                first_slot,
                last_slot,
                config: ShardConfig::create(set, members[0].node),
                request: RequestId(0),
            };
            self.shards.insert(shard, record);
        }
        self.tell_map();
        self.until_served();
    }

    fn settings_of_cluster(&self, shards: u16) -> Settings {
        Settings {
            shards,
            copies: 3,
            write_quorum: 2,
            initial_nodes: 1,
        }
    }

    pub fn add_node(&mut self) -> usize {
        let number = self.hosts.len();
        let member = Member {
            node: NodeId(number as u32),
            incarnation: Incarnation(number as u128 + 1),
        };
        self.hosts.push(Host {
            node: None,
            member,
            folders: BTreeMap::new(),
            received: BTreeMap::new(),
            closed: Vec::new(),
            wanted: Vec::new(),
            full: false,
            terms: None,
            starts: 0,
            segment_bytes: 0,
            skew_ms: 0,
            paused_until_us: 0,
        });
        self.start(number);
        number
    }

    /// Starts a node, with what its disk has, and hands it the map.
    pub fn start(&mut self, number: usize) {
        self.start_without_map(number);
        self.tell_map();
    }

    /// Starts a node, with what its disk has.
    pub fn start_without_map(&mut self, number: usize) {
        let membership = Membership {
            me: self.hosts[number].member,
            replica: self.replica,
            memory_bytes: self.memory_bytes,
            sync: SyncMode::EverySecond,
            directory: self.files.then_some(7),
            pages: || Box::new(HeapPages),
            shard: self.settings.clone(),
            seed: 7,
        };
        self.trace(|| format!("node {number} starts as {:?}", membership.me.incarnation));
        let now = self.now_of(number);
        let host = &mut self.hosts[number];
        host.starts = host.starts.wrapping_add(1);
        host.segment_bytes = membership.tuning().segment_bytes;
        let copies = host.folders.iter();
        let copies = copies.map(|(copy, folder)| restored(&membership, *copy, folder, now));
        let copies = copies.collect();
        let seed = [host.starts; 32];
        let settings = CommandSettings::default();
        host.terms = Some(membership.clone());
        host.node = Some(Node::new_member(membership, copies, settings, seed, now));
        (host.received, host.closed) = (BTreeMap::new(), Vec::new());
        host.wanted.clear();
    }

    /// Says what happens, where `MEMBER_TRACE` asks for it.
    pub fn trace(&self, what: impl FnOnce() -> String) {
        if std::env::var_os("MEMBER_TRACE").is_some() {
            let line = format!("{} {}\n", self.now.mono_us, what());
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes())
                .expect("there is a standard error");
        }
    }

    /// The process dies. What it has written stays, what it has sent may arrive.
    pub fn kill(&mut self, number: usize) {
        self.trace(|| format!("node {number} dies"));
        self.hosts[number].node = None;
        self.under_way.retain(|(_, to, _)| *to != number);
    }

    pub fn member(&self, number: usize) -> Member {
        self.hosts[number].member
    }

    pub fn is_up(&self, number: usize) -> bool {
        self.hosts[number].node.is_some()
    }

    /// Whether it says of itself that it serves a shard.
    pub fn serves(&self, number: usize, shard: u16) -> bool {
        let node = self.hosts[number].node.as_ref();
        let mut shards = node.into_iter().flat_map(Node::shards);
        shards.any(|(id, data)| id == ShardId(shard) && data.replica().is_serving())
    }

    /// It stands still for a while.
    pub fn pause(&mut self, number: usize, for_us: u64) {
        self.trace(|| format!("node {number} stands still for {for_us}"));
        self.hosts[number].paused_until_us = self.now.mono_us + for_us;
    }

    /// Its clocks are ahead by so much.
    pub fn skew(&mut self, number: usize, ms: u64) {
        self.hosts[number].skew_ms = ms;
    }

    pub fn time_us(&self) -> u64 {
        self.now.mono_us
    }

    fn now_of(&self, number: usize) -> Now {
        let skew_ms = self.hosts[number].skew_ms;
        Now {
            unix_ms: self.now.unix_ms + skew_ms,
            mono_us: self.now.mono_us + skew_ms * 7_000,
        }
    }

    /// A node that has lost everything is another.
    pub fn start_anew(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        host.folders.clear();
        host.member.incarnation = Incarnation(host.member.incarnation.0 + 1_000);
        self.start(number);
    }

    /// Whether the disk of a node has no room for another file.
    pub fn set_full(&mut self, number: usize, full: bool) {
        self.hosts[number].full = full;
    }

    /// How many copies have a folder in its data directory.
    pub fn folders(&self, number: usize) -> usize {
        self.hosts[number].folders.len()
    }

    pub fn cut(&mut self, a: usize, b: usize) {
        self.cut.push((a, b));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    pub fn node(&self, number: usize) -> &Node {
        self.hosts[number].node.as_ref().expect("it runs")
    }

    /// What a node tells of its copies.
    pub fn copies(&mut self, number: usize) -> Vec<cluster::message::CopyStatus> {
        let now = self.now;
        self.hosts[number]
            .node
            .as_mut()
            .expect("it runs")
            .copies(now)
            .statuses
    }

    pub fn config(&self, shard: u16) -> ShardConfig {
        self.shards[&ShardId(shard)].config
    }

    pub fn primary(&self, shard: u16) -> usize {
        self.config(shard).primary().node.0 as usize
    }

    /// Which shard has this slot.
    pub fn shard_of(&self, slot: u16) -> u16 {
        let mut shards = self.shards.iter();
        let has = |(_, record): &(_, &ShardRecord)| {
            (record.first_slot..=record.last_slot).contains(&slot)
        };
        shards.find(has).expect("every slot has a shard").0.0
    }

    /// The next configuration of a shard: this set, led by this node. All are told.
    pub fn decide(&mut self, shard: u16, members: &[usize], primary: usize) {
        self.decide_untold(shard, members, primary);
        self.tell_map();
    }

    /// The same, and nobody knows yet.
    pub fn decide_untold(&mut self, shard: u16, members: &[usize], primary: usize) {
        let members: Vec<Member> = members.iter().map(|n| self.hosts[*n].member).collect();
        let quorum = self.settings_of_cluster(1).quorum_of(members.len());
        let record = self.shards.get_mut(&ShardId(shard)).expect("it exists");
        let set = CopySet::new(&members, quorum);
        record.config = record.config.succeed(set, NodeId(primary as u32));
        let config = record.config;
        self.trace(|| format!("shard {shard}: {config:?}"));
    }

    /// The map has lost what it had of a shard, and shows this.
    pub fn go_back(&mut self, shard: u16, config: ShardConfig) {
        let record = self.shards.get_mut(&ShardId(shard)).expect("it exists");
        record.config = config;
    }

    /// Everything that this node led is led by another member that runs.
    pub fn fail_over(&mut self, number: usize) {
        for shard in self.shards.keys().copied().collect::<Vec<_>>() {
            let config = self.shards[&shard].config;
            if config.primary().node.0 as usize != number {
                continue;
            }
            let members: Vec<usize> = config
                .copies()
                .members()
                .iter()
                .map(|m| m.node.0 as usize)
                .collect();
            let up = |n: &&usize| self.hosts[**n].node.is_some() && **n != number;
            let next = *members.iter().find(up).expect("another member runs");
            self.decide(shard.0, &members, next);
        }
    }

    fn map(&self) -> ClusterMap {
        let mut entries = Vec::new();
        for (number, host) in self.hosts.iter().enumerate() {
            let record = NodeRecord {
                incarnation: host.member.incarnation,
                state: NodeState::Active,
                process: number as u64,
                zone: Zone(0),
                addresses: Addresses {
                    client: format!("node{number}:6379"),
                    ..Addresses::default()
                },
                request: RequestId(0),
            };
            entries.push((Place::Node(host.member.node).key(), record.encode()));
        }
        for (shard, record) in &self.shards {
            entries.push((Place::Shard(*shard).key(), record.encode()));
        }
        let revision = Revision(self.revision);
        ClusterMap::from_listing(&Listing { revision, entries })
    }

    pub fn tell_map(&mut self) {
        for number in 0..self.hosts.len() {
            self.tell_map_to(number);
        }
    }

    /// One node hears what was decided.
    pub fn tell_map_to(&mut self, number: usize) {
        self.revision += 1;
        let map = Arc::new(self.map());
        self.give(number, Input::Map(map));
    }

    /// Gives a node an input and does what it wants.
    fn give(&mut self, number: usize, input: Input<'_>) -> Outbox {
        let mut outbox = Outbox::default();
        let now = self.now_of(number);
        let host = &mut self.hosts[number];
        let Some(node) = &mut host.node else {
            return outbox;
        };
        node.handle(now, input, &mut outbox);
        let is_done = |outbox: &Outbox| {
            outbox.disk.is_empty() && outbox.files.is_empty() && outbox.restore.is_empty()
        };
        while !is_done(&outbox) {
            for task in std::mem::take(&mut outbox.files) {
                host.keep(task, now, &mut outbox);
            }
            for task in std::mem::take(&mut outbox.disk) {
                host.write(task, now, &mut outbox);
            }
            for copy in std::mem::take(&mut outbox.restore) {
                host.take_back(copy, now, &mut outbox);
            }
        }
        host.closed.append(&mut outbox.close);
        host.wanted.append(&mut outbox.read);
        for (to, bytes) in std::mem::take(&mut outbox.peers) {
            let to = to.0 as usize;
            let cut = self.cut.contains(&(number, to)) || self.cut.contains(&(to, number));
            if !cut && self.hosts[to].node.is_some() {
                self.transmit(to, bytes);
            }
        }
        let whole = outbox.whole.drain(..);
        self.whole.extend(whole.map(|(_, how)| (number, how)));
        let recovered = std::mem::take(&mut outbox.recovered);
        if !recovered.is_empty() {
            self.publish(&recovered);
        }
        outbox
    }

    fn publish(&mut self, recovered: &[(ShardId, u32)]) {
        for (shard, epoch) in recovered {
            let record = self.shards.get_mut(shard).expect("it exists");
            if record.config.epoch() == *epoch {
                record.config = record.config.published();
                self.trace(|| format!("{shard:?} serves: epoch {epoch}"));
            }
        }
        self.tell_map();
    }

    /// Messages keep no order between them: what two links would carry may overtake, and a copy must bear more than that.
    fn transmit(&mut self, to: usize, bytes: Vec<u8>) {
        let delay_us = match &mut self.chance {
            Some(chance) => chance.below(self.delay_us + 1),
            None => 0,
        };
        self.under_way
            .push_back((self.now.mono_us + delay_us, to, bytes));
    }

    fn is_paused(&self, number: usize) -> bool {
        self.hosts[number].paused_until_us > self.now.mono_us
    }

    /// A little time passes: what is under way arrives, each node has a turn.
    pub fn step(&mut self) {
        self.now.mono_us += STEP_US;
        self.now.unix_ms = START_MS + self.now.mono_us / 1_000;
        for (due_us, to, bytes) in std::mem::take(&mut self.under_way) {
            if due_us <= self.now.mono_us && !self.is_paused(to) {
                self.give(to, Input::Peer { bytes: &bytes });
            } else {
                self.under_way.push_back((due_us, to, bytes));
            }
        }
        for number in 0..self.hosts.len() {
            if self.is_paused(number) {
                continue;
            }
            let mut outbox = self.give(number, Input::EndOfTurn);
            self.send(number, &mut outbox);
        }
    }

    pub fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.steps((ms * 1_000 / STEP_US) as usize);
    }

    fn send(&mut self, number: usize, outbox: &mut Outbox) {
        let now = self.now_of(number);
        let host = &mut self.hosts[number];
        let Some(node) = &mut host.node else {
            return;
        };
        node.take_sendable(outbox);
        for connection in std::mem::take(&mut outbox.send) {
            let bytes = node.output(connection).to_vec();
            host.received.entry(connection).or_default().extend(&bytes);
            let sent = Input::Sent {
                connection,
                bytes: bytes.len(),
            };
            node.handle(now, sent, outbox);
        }
        host.closed.append(&mut outbox.close);
        host.wanted.append(&mut outbox.read);
    }

    /// Steps until this is so.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..PATIENCE {
            if holds(self) {
                return;
            }
            self.step();
        }
        panic!("not within {PATIENCE} steps: {what}\n{}", self.described());
    }

    /// What every copy is like, for whoever has to find out why.
    fn described(&self) -> String {
        let mut text = String::new();
        for (shard, record) in &self.shards {
            let config = record.config;
            let members = config.copies().members().iter();
            let members: Vec<_> = members.map(|m| (m.node.0, m.incarnation.0)).collect();
            let (epoch, primary, phase) = (config.epoch(), config.primary().node.0, config.phase());
            text += &format!("{shard:?}: epoch {epoch}, {members:?} led by {primary}, {phase:?}\n");
            for (number, host) in self.hosts.iter().enumerate() {
                let copies = host.node.iter().flat_map(Node::shards);
                for (_, data) in copies.filter(|(id, _)| id == shard) {
                    let replica = data.replica();
                    let standing = replica.standing(self.now_of(number));
                    let (last, committed) = (replica.last(), replica.committed());
                    text += &format!(
                        "  node {number} ({}): {standing:?}, {last}, committed {committed}, {:?}\n",
                        host.member.incarnation.0,
                        replica.vows()
                    );
                }
            }
        }
        text
    }

    pub fn until_served(&mut self) {
        self.until("every shard is served", |world| {
            let configs = world.shards.values().map(|record| record.config);
            configs.into_iter().all(|c| c.phase() == Phase::Serving)
        });
    }

    /// Connects to a node.
    pub fn connect(&mut self, number: usize) -> (usize, ConnectionId) {
        let accepted = Input::Accepted {
            address: "127.0.0.1:50000".into(),
            local_address: "127.0.0.1:6379".into(),
        };
        let accepted = self.give(number, accepted).accepted;
        let connection = accepted.expect("it answers").expect("it accepts");
        (number, connection)
    }

    /// Sends a command, without waiting.
    pub fn tell(&mut self, connection: (usize, ConnectionId), command: &str) {
        self.send_bytes(connection, format!("{command}\r\n").as_bytes());
    }

    /// Bytes arrive.
    pub fn send_bytes(&mut self, (number, connection): (usize, ConnectionId), bytes: &[u8]) {
        let bytes = &mut bytes.to_vec();
        self.give(number, Input::Received { connection, bytes });
    }

    /// Whether the node lets bytes of this connection be read now. If not, [`World::is_wanted`] says when.
    pub fn accepts(&mut self, (number, connection): (usize, ConnectionId)) -> bool {
        let node = self.hosts[number].node.as_mut().expect("it runs");
        node.accepts_input(connection)
    }

    /// Whether the node has asked for what it left unread since this was last asked.
    pub fn is_wanted(&mut self, (number, connection): (usize, ConnectionId)) -> bool {
        let wanted = &mut self.hosts[number].wanted;
        wanted.extract_if(.., |id| *id == connection).count() > 0
    }

    /// What a connection has received since the last time, `(closed)` if it was closed.
    pub fn take(&mut self, (number, connection): (usize, ConnectionId)) -> Reply {
        let host = &mut self.hosts[number];
        let bytes = host.received.remove(&connection).unwrap_or_default();
        let mut text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        if host.closed.contains(&connection) {
            text.push_str("(closed)");
        }
        text
    }

    /// The node that a reply redirects to.
    pub fn redirected(reply: &str) -> Option<usize> {
        let (_, to) = reply.strip_prefix("-MOVED ")?.split_once(" node")?;
        to.split_once(':')?.0.parse().ok()
    }

    /// Sends a command over a connection, and waits for what comes back.
    pub fn ask_over(&mut self, connection: (usize, ConnectionId), command: &str) -> Reply {
        self.tell(connection, command);
        let mut reply = String::new();
        self.until(command, |world| {
            reply = world.take(connection);
            !reply.is_empty()
        });
        reply
    }

    /// Sends a command to a node, and waits for what comes back.
    pub fn ask(&mut self, number: usize, command: &str) -> Reply {
        let connection = self.connect(number);
        let reply = self.ask_over(connection, command);
        self.give(
            number,
            Input::Closed {
                connection: connection.1,
            },
        );
        reply
    }

    /// Sends a command to whoever has its slot, as clients do that follow redirections.
    pub fn follow(&mut self, command: &str) -> Reply {
        let up = |host: &Host| host.node.is_some();
        let mut number = self.hosts.iter().position(up).expect("a node runs");
        for _ in 0..20 {
            let reply = self.ask(number, command);
            let Some(to) = Self::redirected(&reply) else {
                return reply;
            };
            if self.hosts[to].node.is_none() {
                return reply;
            }
            number = to;
        }
        panic!("redirected in circles: {command}");
    }
}

impl Host {
    fn keep(&mut self, task: FileTask, now: Now, outbox: &mut Outbox) {
        let node = self.node.as_mut().expect("it has asked");
        match task {
            FileTask::Keep {
                copy, ticket, note, ..
            } => {
                self.folders.entry(copy).or_default().note = note;
                node.handle(now, Input::Kept { copy, ticket }, outbox);
            }
            FileTask::Remove { copy } => drop(self.folders.remove(&copy)),
        }
    }

    fn take_back(&mut self, copy: CopyId, now: Now, outbox: &mut Outbox) {
        let terms = self.terms.as_ref().expect("it has asked");
        let found = restored(terms, copy, &self.folders[&copy], now);
        let node = self.node.as_mut().expect("it has asked");
        node.handle(now, Input::Restored(Box::new(found)), outbox);
    }

    fn write(&mut self, task: DiskTask, now: Now, outbox: &mut Outbox) {
        let node = self.node.as_mut().expect("it has asked");
        let Some(folder) = self.folders.get_mut(&task.copy) else {
            return;
        };
        if self.full && matches!(task.op, DiskOp::Create { .. }) {
            let failed = task.done(Err(DiskError::NoSpace));
            return node.handle(now, failed, outbox);
        }
        let bytes = node.segment_bytes(&task);
        match task.op {
            DiskOp::Create { segment } => {
                folder.images.insert(segment, vec![0; self.segment_bytes]);
            }
            DiskOp::Write {
                segment, offset, ..
            } => {
                let (image, offset) = (folder.images.entry(segment).or_default(), offset as usize);
                image.resize(image.len().max(offset + bytes.len()), 0);
                image[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Close { segment, len } => {
                let image = folder.images.entry(segment).or_default();
                image.truncate(len as usize);
            }
            DiskOp::Sync { .. } | DiskOp::Disown { .. } => {}
            DiskOp::Delete { segment } | DiskOp::Quarantine { segment } => {
                folder.images.remove(&segment);
            }
        }
        node.handle(now, task.done(Ok(())), outbox);
    }
}

fn restored(terms: &Membership, copy: CopyId, folder: &Folder, now: Now) -> RestoredCopy {
    let mut restore = Restore::new(terms.store(), terms.tuning(), (terms.pages)());
    read(
        &mut restore,
        folder,
        folder.images.keys().copied().collect(),
    );
    let again = restore.put_off();
    read(&mut restore, folder, again);
    let (store, report) = restore.finish(now.unix_ms);
    assert!(report.is_whole(), "{report:?}");
    RestoredCopy {
        copy,
        note: folder.note.clone(),
        store,
        damaged: false,
    }
}

fn read(restore: &mut Restore, folder: &Folder, segments: Vec<SegmentId>) {
    let scanner = restore.scanner();
    for segment in segments {
        let image = &folder.images[&segment];
        let mut region = restore.region().expect("there is memory for a segment");
        region.bytes_mut()[..image.len()].copy_from_slice(image);
        region.bytes_mut()[image.len()..].fill(0);
        restore.add(scanner.scan(segment, region, image.len()));
    }
}
