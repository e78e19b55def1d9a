//! What one run is like, drawn from its seed: which faults there are, how often, and how large things get.
//!
//! Each run draws a random subset of everything (swarm testing): a run in which every fault happens all the
//! time reaches less than many runs that each have a few.

use store::SyncMode;

use crate::disk::DiskFaults;
use crate::random::Random;
use crate::workload::{DATABASE_GROUP, SESSION_GROUP};

/// Each of the store's expiry classes may have a head, and the cleaner needs some, too: below this they alone would fill its
/// memory. A server has at least as many.
const FEWEST_SEGMENTS: u64 = 24;

/// See the module. Probabilities are in parts of ten thousand turns.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number that everything is drawn from.
    pub seed: u64,
    /// Turns of the loop before the faults stop.
    pub turns: u64,
    /// When a batch counts as persisted.
    pub sync: SyncMode,
    /// Clients.
    pub clients: usize,
    /// Keys that they fight over.
    pub keys: usize,
    /// Databases that they use.
    pub databases: u8,
    /// Longest value, in bytes.
    pub value_bytes: u64,
    /// Commands that a client sends without waiting.
    pub pipeline: usize,
    /// A client hangs up.
    pub hang_up: u32,
    /// A client's bytes arrive in small pieces.
    pub splits: bool,
    /// A client leaves replies unread for a while.
    pub slow_reader: u32,
    /// Bytes that a client may send behind a command that waits.
    pub read_ahead_bytes: usize,
    /// Bytes that a client may send behind a command that stands in a line.
    pub line_ahead_bytes: usize,
    /// Bytes of unread replies at which a client's commands wait.
    pub output_pause_bytes: usize,
    /// The process is killed.
    pub kill: u32,
    /// The power goes.
    pub power: u32,
    /// The wall clock jumps.
    pub clock_jump: u32,
    /// The process stands still.
    pub pause: u32,
    /// The disk is full for a while.
    pub full_disk: u32,
    /// A bit flips in a closed file while the process is dead.
    pub bit_flip: u32,
    /// What the disk does wrong.
    pub disk: DiskFaults,
    /// Memory of the store, in bytes.
    pub memory_bytes: usize,
    /// Bytes of a segment.
    pub segment_bytes: usize,
    /// How likely each group of commands is; zero for not at all. See [`crate::workload`].
    pub weights: [u32; crate::workload::GROUPS],
    /// Longest deadline that clients give, in milliseconds.
    pub longest_ttl_ms: u64,
    /// Longest time between two turns, in microseconds.
    pub longest_turn_us: u64,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, "plan");
        let r = &mut random;
        let sync = *r.pick(&[SyncMode::Always, SyncMode::EverySecond, SyncMode::None]);
        let mut sometimes = |of_ten: u64, low: u64, high: u64| {
            if r.below(10) < of_ten {
                r.extreme(low, high) as u32
            } else {
                0
            }
        };
        let (kill, power) = (sometimes(6, 5, 200), sometimes(5, 5, 150));
        let (hang_up, slow_reader) = (sometimes(6, 20, 1_000), sometimes(4, 100, 3_000));
        let (clock_jump, pause) = (sometimes(3, 10, 300), sometimes(3, 10, 200));
        let (full_disk, bit_flip) = (sometimes(2, 10, 200), sometimes(2, 1_000, 10_000));
        let disk = DiskFaults {
            write: sometimes(2, 10, 1_000),
            sync: sometimes(2, 10, 1_000),
            create: sometimes(2, 10, 2_000),
            longest_us: r.extreme(1, 2_000_000),
        };
        let mut weights = [0; crate::workload::GROUPS];
        for weight in &mut weights {
            *weight = if r.below(10) < 3 {
                0
            } else {
                r.between(1, 10) as u32
            };
        }
        weights[0] = weights[0].max(1);
        if weights[SESSION_GROUP] > 0 {
            weights[DATABASE_GROUP] = 0;
        }
        Self {
            seed,
            turns: r.extreme(100, 1_500),
            sync,
            clients: r.extreme(1, 8) as usize,
            keys: r.extreme(1, 150) as usize,
            databases: *r.pick(&[1, 1, 2, 16]),
            value_bytes: r.extreme(1, 6_000),
            pipeline: r.extreme(1, 20) as usize,
            hang_up,
            splits: r.below(2) == 0,
            slow_reader,
            read_ahead_bytes: 0,
            line_ahead_bytes: 0,
            output_pause_bytes: 0,
            kill,
            power,
            clock_jump,
            pause,
            full_disk,
            bit_flip,
            disk,
            memory_bytes: 0,
            segment_bytes: 0,
            weights,
            longest_ttl_ms: *r.pick(&[20, 500, 5_000, 100_000]),
            longest_turn_us: *r.pick(&[50, 2_000, 50_000, 1_000_000]),
        }
        .with_sizes(r)
        .with_pauses()
    }

    /// Most clients meet the limits behind which they are left unread, or lose their place in a line, which are far away in a server.
    fn with_pauses(mut self) -> Self {
        let mut random = Random::new(self.seed, "pauses");
        self.read_ahead_bytes = random.extreme(1, 20_000) as usize;
        self.output_pause_bytes = random.extreme(1, 20_000) as usize;
        self.line_ahead_bytes = Random::new(self.seed, "lines").extreme(1, 20_000) as usize;
        self
    }

    fn with_sizes(mut self, random: &mut Random) -> Self {
        self.segment_bytes = *random.pick(&[16 << 10, 32 << 10, 64 << 10, 256 << 10]);
        self.memory_bytes = self.segment_bytes * random.extreme(FEWEST_SEGMENTS, 48) as usize;
        self
    }
}
