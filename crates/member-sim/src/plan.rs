//! What one run is like, drawn from its seed: the cluster, its clients, which faults there are and how often, how large things get.
//!
//! Each run has some kinds of faults and not others: what two kinds do together is found sooner without the rest, and in a run without
//! skewed clocks the checks of deadlines are strict.

use cluster::record::Settings;
use sim::random::Random;
use store::SyncMode;

/// See the module.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number that everything is drawn from.
    pub seed: u64,
    /// Nodes, each on a machine of its own.
    pub nodes: u32,
    /// What the cluster is created with.
    pub settings: Settings,
    /// How copies are kept together.
    pub replica: replica::Settings,
    /// When a batch counts as persisted; `None`: there are no disks.
    pub files: Option<SyncMode>,
    /// Longest value that a node takes, in bytes.
    pub max_value_bytes: usize,
    /// Longest value that a client writes.
    pub value_bytes: u64,
    /// Bytes of a part of a snapshot, about.
    pub part_bytes: usize,
    /// Clients.
    pub clients: usize,
    /// Those of them that only read counters, and go back to where they were not answered.
    pub readers: usize,
    /// Keys of each kind that they fight over.
    pub keys: u64,
    /// How likely each kind of request is.
    pub weights: [u32; KINDS],
    /// Counters that a client asks for without waiting.
    pub pipeline: u64,
    /// Longest time that a client thinks, in microseconds: most runs ask some hundreds of requests, and some as many as they can.
    pub think_us: u64,
    /// How long a client waits for an answer, in microseconds.
    pub patience_us: u64,
    /// Usual time that a message takes, in microseconds.
    pub delay_us: u64,
    /// Whether links are less than a stream of bytes: messages overtake each other and come twice.
    pub wild: bool,
    /// Longest time that an op of a disk takes, in microseconds.
    pub disk_us: u64,
    /// For how long ids that are gone refuse plain writes, in milliseconds; 0 if nothing guards them.
    pub guard_ms: u64,
    /// Longest time that a key which nobody else writes has to live, in milliseconds.
    pub ttl_ms: u64,
    /// Clients do nothing but set such keys, read them, and flush everything.
    pub is_flushed: bool,
    /// By how much wall clocks differ at most, in milliseconds.
    pub skew_ms: u64,
    /// By how much the rates of clocks are wrong at most, in parts of a million.
    pub rate_ppm: u64,
    /// For how long there are faults, in milliseconds.
    pub faulty_ms: u64,
    /// Mean time between two faults, in milliseconds.
    pub fault_every_ms: u64,
    /// Longest that most of them last, in milliseconds.
    pub fault_ms: u64,
    /// Which kinds.
    pub faults: Faults,
    /// What happens instead of all that, in a short run.
    pub scene: Option<Scene>,
    /// After the faults it is waited until every lost copy is replaced.
    pub is_repaired: bool,
}

/// Least [`replica::Settings::message_bytes`] where messages overtake each other.
const WILD_MESSAGE_BYTES: usize = 16 << 10;
/// Runs whose clients ask as much as they can, in parts of ten thousand.
const HURRIED: u32 = 1_500;
/// Longest value in these: one in a thousand of them took half a gigabyte, and as long as a hundred others.
const HURRIED_BYTES: u64 = 4_000;
/// For the others: how long a client thinks at most, for each request of each client that is asked meanwhile, in microseconds.
const PACE_US: u64 = 5_000;
/// Of those runs that could, how many have blackouts, in parts of ten thousand.
const BLACKOUTS: u32 = 5_000;
/// Runs without a scene in which the metadata store loses what it had, in parts of ten thousand.
const FORGETS: u32 = 2_000;
/// Kinds of requests: see [`crate::client`].
pub const KINDS: usize = 10;
/// Those that matter where everything is flushed.
const PUTS: usize = 6;
const FLUSHES: usize = 9;
/// Longest value in such a run.
const FLUSHED_BYTES: u64 = 300;
/// Runs in which it is, in parts of ten thousand.
const FLUSHED: u32 = 500;

/// One run of so many has faults of many kinds; the others have a [`Scene`].
const EVERY: u64 = 3;

/// What a short run is about: see [`crate::world`]. It happens to the primary of some shard, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// It does not hear the other nodes, or is not heard by them, or both; clients hear it.
    Deaf,
    /// It stands still, and then answers what has come meanwhile.
    Asleep,
    /// It is killed.
    Killed,
    /// It is killed, and back before anybody has missed it.
    KilledSoonBack,
    /// It is heard by nobody, and those start again that have granted it a lease.
    Lapse,
    /// Whoever takes over from it is cut off before it has.
    Succession,
    /// A standby is filled anew.
    Refill,
    /// Its node is drained.
    HandOver,
}

const SCENES: [Scene; 10] = [
    Scene::Deaf,
    Scene::Deaf,
    Scene::Asleep,
    Scene::Asleep,
    Scene::Killed,
    Scene::KilledSoonBack,
    Scene::Lapse,
    Scene::Succession,
    Scene::Refill,
    Scene::HandOver,
];

/// Which kinds of faults a run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Processes are killed and started again.
    pub kill: bool,
    /// Machines lose their power.
    pub power: bool,
    /// All machines lose their power at once.
    pub blackout: bool,
    /// Processes stand still.
    pub pause: bool,
    /// Nodes are slow.
    pub limp: bool,
    /// Links are cut, one way or both.
    pub cut: bool,
    /// Messages are lost and late.
    pub loss: bool,
    /// The metadata store is down, stands still, starts again.
    pub store: bool,
    /// It loses what it had: it is as it was some time ago, or empty.
    pub forgets: bool,
    /// Requests to it and its answers are lost.
    pub unknown: bool,
    /// Watches lag, and what they should tell is compacted.
    pub watch: bool,
    /// Nodes cannot reach it.
    pub store_cut: bool,
    /// Nodes are drained, and come back.
    pub drain: bool,
    /// Nodes leave as they should, and come back.
    pub leave: bool,
    /// Wall clocks jump.
    pub clock: bool,
    /// Disks are full for a while.
    pub full: bool,
    /// Writes and syncs fail.
    pub disk: bool,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, "plan");
        let r = &mut random;
        let copies = *r.pick(&[3, 3, 3, 3, 2, 5]);
        let nodes = *r.pick(&[3, 4, 5, 5, 5, 6, 7]);
        let nodes = nodes.max(copies);
        let files = *r.pick(&[
            None,
            Some(SyncMode::Always),
            Some(SyncMode::EverySecond),
            Some(SyncMode::EverySecond),
            Some(SyncMode::None),
        ]);
        let max_value_bytes = *r.pick(&[1 << 10, 16 << 10, 16 << 10, 64 << 10]);
        let mut weights = [0; KINDS];
        for weight in &mut weights {
            *weight = if r.chance(2_000) {
                0
            } else {
                r.between(1, 6) as u32
            };
        }
        weights[0] = weights[0].max(1);
        weights[FLUSHES] = 0;
        Self {
            seed,
            nodes: nodes as u32,
            settings: Settings {
                shards: *r.pick(&[1, 1, 2, 3, 5]),
                copies: copies as u8,
                write_quorum: (copies / 2 + 1) as u8,
                initial_nodes: nodes as u16,
            },
            replica: draw_replica(r, max_value_bytes),
            files,
            max_value_bytes,
            value_bytes: r.extreme(1, max_value_bytes as u64 - 64),
            part_bytes: *r.pick(&[1, 1, 300, 4 << 10, 128 << 10]),
            clients: r.between(2, 8) as usize,
            readers: 0,
            keys: r.extreme(1, 12),
            weights,
            pipeline: r.extreme(1, 8),
            think_us: *r.pick(&[2_000, 20_000, 60_000]),
            patience_us: *r.pick(&[400_000, 2_500_000, 5_000_000]),
            delay_us: r.extreme(20, 4_000),
            wild: r.chance(4_000),
            disk_us: r.extreme(1, 30_000),
            skew_ms: *r.pick(&[0, 0, 5, 800]),
            rate_ppm: 0,
            faulty_ms: r.between(800, 3_500),
            fault_every_ms: r.between(60, 900),
            fault_ms: *r.pick(&[300, 800, 2_500, 4_000]),
            faults: draw_faults(r),
            is_repaired: r.chance(600),
            scene: None,
            guard_ms: *r.pick(&[0, 300, 1_000, 4_000]),
            ttl_ms: 3_000,
            is_flushed: false,
        }
        .with_clocks(r)
        .with_pace(r)
        .with_blackouts(seed)
        .with_loss_of_map(seed)
        .consistent()
        .with_scene()
        .with_flushes()
    }

    /// Leases that end before anybody is suspected, and such that are what a new primary waits for; and clocks that are wrong by no more
    /// than is allowed for.
    fn with_clocks(mut self, random: &mut Random) -> Self {
        let lasts_us = [150_000, 300_000, 300_000, 300_000, 800_000, 1_500_000];
        self.replica.lease_us = *random.pick(&lasts_us);
        if random.chance(2_000) {
            self.replica.rate_error_ppm = 100_000;
        }
        let error_ppm = self.replica.rate_error_ppm;
        self.rate_ppm = *random.pick(&[0, 0, 200, 9_000, error_ppm]);
        self
    }

    /// What is asked decides what a run costs, and hardly what it reaches.
    fn with_pace(mut self, random: &mut Random) -> Self {
        if random.chance(HURRIED) {
            self.value_bytes = self.value_bytes.min(HURRIED_BYTES);
        } else {
            let pace_us = PACE_US * self.clients as u64 * self.pipeline;
            self.think_us = self.think_us.max(pace_us);
        }
        self
    }

    /// Of those that promise something about them.
    fn with_blackouts(mut self, seed: u64) -> Self {
        let is_promised = match self.files {
            Some(SyncMode::Always | SyncMode::EverySecond) => true,
            Some(SyncMode::None) | None => false,
        };
        self.faults.blackout = is_promised && Random::new(seed, "blackouts").chance(BLACKOUTS);
        self
    }

    fn with_loss_of_map(mut self, seed: u64) -> Self {
        self.faults.forgets = Random::new(seed, "forgets").chance(FORGETS);
        self
    }

    /// Two runs of three have a scene. Clients ask often then, and soon look elsewhere; some only read.
    fn with_scene(mut self) -> Self {
        if self.seed % EVERY == EVERY - 1 {
            return self;
        }
        let mut random = Random::new(self.seed, "scene");
        let r = &mut random;
        let scene = *r.pick(&SCENES);
        self.scene = Some(scene);
        self.faults = Faults::default();
        self.is_repaired = false;
        self.settings.shards = *r.pick(&[1, 1, 2]);
        self.clients = r.between(3, 6) as usize;
        self.readers = r.between(1, self.clients as u64 - 1) as usize;
        // Who reads what an old primary has written, and nobody has, waits: there must be other keys.
        self.keys = r.between(1, 16);
        self.pipeline = r.extreme(1, 3);
        self.think_us = *r.pick(&[12_000, 24_000, 48_000]);
        self.patience_us = *r.pick(&[60_000, 150_000, 400_000]);
        self.delay_us = r.extreme(20, 1_500);
        self
    }

    /// What a flush takes from others would have to be told from what they lose.
    fn with_flushes(mut self) -> Self {
        self.is_flushed = Random::new(self.seed, "flushes").chance(FLUSHED);
        if self.is_flushed {
            self.weights = [0; KINDS];
            self.weights[PUTS] = 4;
            self.weights[FLUSHES] = 1;
            (self.guard_ms, self.ttl_ms) = (0, 60_000);
            // Nothing but a flush takes them.
            self.value_bytes = self.value_bytes.min(FLUSHED_BYTES);
        }
        self
    }

    fn consistent(mut self) -> Self {
        if self.files.is_none() {
            let Faults {
                power, full, disk, ..
            } = &mut self.faults;
            (*power, *full, *disk) = (false, false, false);
        }
        if self.faults == Faults::default() {
            self.faults.kill = true;
        }
        if self.wild {
            // Copies take batches in order only: of many small messages that overtake each other hardly any is of use.
            self.replica.message_bytes = self.replica.message_bytes.max(WILD_MESSAGE_BYTES);
        }
        self
    }

    /// How many nodes a shard has copies on.
    #[must_use]
    pub fn copies(&self) -> usize {
        usize::from(self.settings.copies)
    }
}

fn draw_replica(random: &mut Random, max_value_bytes: usize) -> replica::Settings {
    let settings = replica::Settings::default();
    if random.chance(5_000) {
        return settings;
    }
    let least = 2 * max_value_bytes + 1_024;
    let uncommitted_bytes = least * random.extreme(1, 16) as usize;
    replica::Settings {
        uncommitted_bytes,
        backlog_bytes: uncommitted_bytes * random.extreme(1, 4) as usize,
        window_bytes: random.extreme(1, 1 << 20) as usize,
        message_bytes: random.extreme(1, 256 << 10) as usize,
        ..settings
    }
}

fn draw_faults(random: &mut Random) -> Faults {
    let mut kind = || random.chance(3_000);
    Faults {
        kill: kind(),
        power: kind(),
        blackout: false,
        pause: kind(),
        limp: kind(),
        cut: kind(),
        loss: kind(),
        store: kind(),
        forgets: false,
        unknown: kind(),
        watch: kind(),
        store_cut: kind(),
        drain: kind(),
        leave: kind(),
        clock: kind(),
        full: kind(),
        disk: kind(),
    }
}
