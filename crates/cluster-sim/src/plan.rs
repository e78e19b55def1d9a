//! What a run is like: everything that one number draws before it begins.
//!
//! Each run has only some kinds of faults, and sizes at their ends more often than in their middle: what is rare everywhere is then common somewhere.

use replica::Settings;
use sim::random::Random;

/// Whether what a node has acknowledged outlives its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is gone with the process: a start is a new life.
    Memory,
    /// It was persisted before it was acknowledged: a start goes on with the same life.
    Disk,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process dies, and is started again later.
    Crash,
    /// Every process dies at once.
    PowerCut,
    /// A disk is lost with its process.
    DiskLost,
    /// A process stands still.
    Pause,
    /// Two groups of nodes do not hear each other.
    Partition,
    /// One node's messages do not arrive, or none arrive there.
    OneWay,
    /// Two nodes do not hear each other; all others hear both.
    Pair,
    /// A node does not reach the metadata store and the coordinator.
    CutFromMetadata,
    /// The metadata store is down.
    MetadataDown,
    /// A node is slow to hear and be heard.
    SlowNode,
    /// A disk is slow.
    SlowDisk,
    /// A wall clock is set.
    ClockJump,
    /// The coordinator takes a live primary for dead.
    FalseSuspicion,
    /// A primary is handed over.
    HandOver,
    /// A healthy copy is moved elsewhere.
    Move,
    /// A coordinator acts on a configuration that is over.
    StaleCoordinator,
    /// A primary is cut off bit by bit, and another takes over while leases to it run.
    Usurper,
    /// A process dies soon after each of its starts.
    Flapping,
    /// A process dies before a vow of its is saved.
    VowLost,
}

impl Fault {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Crash,
        Self::PowerCut,
        Self::DiskLost,
        Self::Pause,
        Self::Partition,
        Self::OneWay,
        Self::Pair,
        Self::CutFromMetadata,
        Self::MetadataDown,
        Self::SlowNode,
        Self::SlowDisk,
        Self::ClockJump,
        Self::FalseSuspicion,
        Self::HandOver,
        Self::Move,
        Self::StaleCoordinator,
        Self::Usurper,
        Self::Flapping,
        Self::VowLost,
    ];
}

/// See the module. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number that drew it.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Shards.
    pub shards: u16,
    /// Copies of a shard.
    pub copies: usize,
    /// Copies that must have a write.
    pub write_quorum: usize,
    /// What outlives a process.
    pub durability: Durability,
    /// Clients, each with one request at a time.
    pub clients: usize,
    /// Keys of a shard.
    pub keys: u16,
    /// For how long a client thinks, at most.
    pub think_us: u64,
    /// For how long a client waits for a reply.
    pub patience_us: u64,
    /// Messages that are lost, in parts of ten thousand.
    pub loss: u32,
    /// Messages that arrive twice.
    pub duplicates: u32,
    /// Messages that take ten times as long.
    pub stragglers: u32,
    /// Any message may be overtaken, not only stragglers.
    pub reorders: bool,
    /// How long a message takes at most.
    pub delay_us: u64,
    /// How long a disk takes at most.
    pub disk_us: u64,
    /// For how long the metadata store's news is under way at most.
    pub watch_us: u64,
    /// Requests to the metadata store whose answer is lost, in parts of ten thousand; half of those are carried out.
    pub indeterminate: u32,
    /// After how long without a word the coordinator takes a node for dead: often before leases to it have ended.
    pub suspect_us: u64,
    /// Between two faults, on average.
    pub calm_us: u64,
    /// The kinds of faults that there are.
    pub faults: Vec<Fault>,
    /// How long faults go on.
    pub chaos_us: u64,
    /// Keys in a chunk of a snapshot.
    pub chunk_keys: usize,
    /// By how much clocks' rates differ at most, in parts of a million.
    pub rate_ppm: u64,
    /// What the copies are set to.
    pub settings: Settings,
}

impl Plan {
    /// What this number draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let random = &mut Random::new(seed, "plan");
        let (copies, write_quorum) = *random.pick(&[
            (3, 2),
            (3, 2),
            (3, 2),
            (3, 3),
            (5, 3),
            (2, 2),
            (4, 3),
            (1, 1),
        ]);
        let nodes = (copies + random.index(3)).clamp(3, 7);
        let reorders = random.chance(2_500);
        let rate_ppm = *random.pick(&[0, 1_000, 20_000, 100_000]);
        let mut plan = Self {
            seed,
            nodes,
            shards: random.between(1, 3) as u16,
            copies,
            write_quorum,
            durability: *random.pick(&[Durability::Memory, Durability::Disk]),
            clients: random.between(2, 5) as usize,
            keys: random.extreme(1, 24) as u16,
            think_us: random.extreme(10_000, 200_000),
            patience_us: random.between(200_000, 900_000),
            loss: *random.pick(&[0, 0, 100, 1_000]),
            duplicates: *random.pick(&[0, 0, 500, 2_000]),
            stragglers: *random.pick(&[0, 200, 1_000]),
            reorders,
            delay_us: *random.pick(&[200, 2_000, 20_000]),
            disk_us: *random.pick(&[100, 2_000, 30_000]),
            watch_us: *random.pick(&[1_000, 20_000, 300_000]),
            indeterminate: *random.pick(&[0, 500, 3_000]),
            suspect_us: *random.pick(&[120_000, 250_000]),
            calm_us: *random.pick(&[100_000, 300_000, 700_000]),
            faults: faults(random),
            chaos_us: random.between(2_000_000, 5_000_000),
            chunk_keys: random.between(1, 6) as usize,
            rate_ppm,
            settings: settings(random, rate_ppm, reorders),
        };
        plan.settings.sets_aside = plan.durability == Durability::Disk;
        plan
    }
}

fn faults(random: &mut Random) -> Vec<Fault> {
    let any = *random.pick(Fault::ALL);
    let share = match random.below(8) {
        // One thing again and again.
        0 => return vec![any],
        // Leases are what most rules are about.
        1 | 2 => return vec![Fault::Usurper, any],
        3 | 4 => 1_500,
        5 | 6 => 4_000,
        _ => 10_000,
    };
    let all = Fault::ALL.iter().copied();
    all.filter(|_| random.chance(share)).collect()
}

fn settings(random: &mut Random, rate_ppm: u64, reorders: bool) -> Settings {
    let backlog_bytes = *random.pick(&[400, 2_000, 1 << 20]);
    let settings = Settings::default();
    Settings {
        lease_us: *random.pick(&[200_000, 300_000, 1_000_000]),
        rate_error_ppm: rate_ppm,
        heartbeat_us: 50_000,
        resend_us: *random.pick(&[30_000, 100_000]),
        backlog_bytes,
        uncommitted_bytes: backlog_bytes / random.between(1, 3) as usize,
        window_bytes: *random.pick(&[1, 300, 1 << 20]),
        // Many small messages in any order are all gaps.
        message_bytes: match reorders {
            true => 1 << 16,
            false => *random.pick(&[1, 200, 1 << 16]),
        },
        ..settings
    }
}
