//! A node: its clocks, its lives, and the copies that it holds, each with its content and its disk.

use std::collections::{BTreeMap, VecDeque};

use model::{Incarnation, Member, NodeId, Now, Position, ShardConfig};
use replica::{Batch, Replica, Ticket, Vows};

use crate::history::Told;
use crate::plan::Durability;
use crate::state::{Key, State};

/// The wall clock's time at the beginning, in milliseconds.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct Node {
    /// Who it is in this life.
    pub member: Member,
    /// Counts its processes: what was under way to an earlier one is lost.
    pub process: u32,
    /// Whether it runs.
    pub up: bool,
    /// Until when it stands still.
    pub paused_until_us: u64,
    /// By how much its monotonic clock is fast, in parts of a million.
    pub rate_ppm: i64,
    /// The zero of its monotonic clock.
    pub mono_offset_us: u64,
    /// By how much its wall clock is wrong.
    pub wall_offset_ms: i64,
    /// How much longer everything that it hears and says is under way.
    pub slow_us: u64,
    /// It dies when it has next made a vow, before that is saved.
    pub doomed: bool,
    /// When this process began.
    pub started_us: u64,
    /// By how much its disk is slower than it should be.
    pub disk_factor: u64,
    /// What it holds.
    pub copies: BTreeMap<usize, Copy>,
    /// The latest configurations that it was told of. It keeps them as long as its data: it takes no older one.
    pub known: BTreeMap<usize, ShardConfig>,
    /// When it is to wake up next.
    pub wake_us: u64,
}

impl Node {
    /// A node that has just started, for the first time.
    #[must_use]
    pub fn new(number: usize, incarnation: u128, rate_ppm: i64) -> Self {
        Self {
            member: Member {
                node: NodeId(number as u32),
                incarnation: Incarnation(incarnation),
            },
            process: 0,
            up: true,
            paused_until_us: 0,
            rate_ppm,
            mono_offset_us: 1_000_000 * (number as u64 + 1),
            wall_offset_ms: 0,
            slow_us: 0,
            disk_factor: 1,
            doomed: false,
            started_us: 0,
            copies: BTreeMap::new(),
            known: BTreeMap::new(),
            wake_us: u64::MAX,
        }
    }

    /// What its clocks say.
    #[must_use]
    pub fn now(&self, time_us: u64) -> Now {
        let rate = (1_000_000 + self.rate_ppm) as u64;
        let wall_ms = BEGINNING_MS + time_us / 1_000;
        Now {
            unix_ms: wall_ms.saturating_add_signed(self.wall_offset_ms),
            mono_us: self.mono_offset_us + time_us * rate / 1_000_000,
        }
    }

    /// When its monotonic clock will say that.
    #[must_use]
    pub fn when(&self, mono_us: u64) -> u64 {
        let rate = (1_000_000 + self.rate_ppm) as u64;
        mono_us
            .saturating_sub(self.mono_offset_us)
            .saturating_mul(1_000_000)
            .div_ceil(rate)
    }
}

/// What is written to a disk, in this order.
#[derive(Clone, Debug)]
pub enum Write {
    /// Vows.
    Vows(Vows, Ticket),
    /// A batch.
    Batch(Batch),
    /// Batches that came as one, and are written as one.
    Leap(Vec<Batch>),
    /// A part of a snapshot.
    Chunk {
        /// As asked.
        attempt: u32,
        /// As asked.
        step: u32,
        /// What to add.
        bytes: Vec<u8>,
    },
    /// Everything is forgotten, or set aside.
    Reset(Position, u64),
    /// The log is taken back to there, of that time, and these keys are forgotten.
    Mend(Position, u64, Vec<Key>),
}

/// What a restart finds.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The content.
    pub state: State,
    /// The vows.
    pub vows: Vows,
    /// The last batch.
    pub last: Position,
    /// Its time.
    pub time_ms: u64,
    /// Which key each batch has touched that was written: so much a log tells.
    pub touched: BTreeMap<Position, Key>,
    /// Behind this it has all batches.
    pub base: Position,
    /// What was set aside.
    pub aside: Option<Box<Self>>,
}

impl Image {
    /// What was set aside, as it was; these vows are the latest.
    #[must_use]
    pub fn taken_back(self, vows: Vows) -> Self {
        let whole = match self.aside {
            Some(aside) => *aside,
            // It was about to be set aside.
            None => self,
        };
        assert_eq!(
            vows.discarded,
            Some(whole.last),
            "another copy was set aside"
        );
        let vows = vows.taken_back();
        Self { vows, ..whole }
    }

    fn add(&mut self, batch: &Batch) {
        let entry = crate::state::Entry::decode(&batch.bytes);
        self.state.apply(batch.last, entry);
        self.touched.insert(batch.last, entry.key);
        (self.last, self.time_ms) = (batch.last, batch.time_ms);
    }

    /// Does a write.
    pub fn write(&mut self, write: &Write) {
        match write {
            Write::Vows(vows, _) => {
                self.vows = *vows;
                self.aside.take_if(|_| !vows.kept);
            }
            Write::Batch(batch) => self.add(batch),
            Write::Leap(batches) => batches.iter().for_each(|batch| self.add(batch)),
            Write::Chunk { bytes, .. } => self.state.install(bytes),
            Write::Reset(base, time_ms) => {
                if self.vows.kept && self.aside.is_none() {
                    self.aside = Some(Box::new(self.clone()));
                }
                (self.state, self.last, self.base) = (State::default(), *base, *base);
                self.time_ms = *time_ms;
                self.touched.clear();
            }
            Write::Mend(parting, time_ms, keys) => {
                (self.last, self.time_ms) = (*parting, *time_ms);
                self.state.values.retain(|key, _| !keys.contains(key));
                self.touched.retain(|at, _| at <= parting);
            }
        }
    }
}

/// A reply that waits for a position to be committed.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The position.
    pub gate: Position,
    /// The request.
    pub request: usize,
    /// What will be said.
    pub told: Told,
    /// By which time.
    pub time_ms: u64,
}

/// One copy, as its owner has it.
#[derive(Debug)]
pub struct Copy {
    /// The core.
    pub replica: Replica,
    /// The content.
    pub state: State,
    /// What is on disk.
    pub image: Image,
    /// What is being written.
    pub writes: VecDeque<Write>,
    /// How many of these are under way to the disk.
    pub writing: usize,
    /// Replies that wait.
    pub waiting: Vec<Waiting>,
    /// The latest removal: who finds nothing depends on it.
    pub removal: Position,
    /// The latest time that a reply depended on.
    pub time_ms: u64,
    /// The time of the last batch that was proposed here.
    pub told_ms: u64,
    /// It is being mended, or was when it died.
    pub is_mending: bool,
    /// Behind this it has all batches.
    pub base: Position,
}

impl Copy {
    /// A copy with this core.
    #[must_use]
    pub fn new(replica: Replica, image: Image) -> Self {
        Self {
            replica,
            state: image.state.clone(),
            removal: image.last,
            time_ms: image.time_ms,
            told_ms: 0,
            is_mending: false,
            base: image.base,
            image,
            writes: VecDeque::new(),
            writing: 0,
            waiting: Vec::new(),
        }
    }

    /// The end of what would outlive the process.
    #[must_use]
    pub fn lasting_end(&self, durability: Durability) -> Position {
        match durability {
            Durability::Memory => self.replica.last(),
            Durability::Disk => self.image.last,
        }
    }
}
