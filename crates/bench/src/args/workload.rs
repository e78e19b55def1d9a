//! The workloads by name.

use std::fmt;
use std::str::FromStr;

use crate::size::SizeRange;

/// One kind of request on keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `SET key value`
    Set,
    /// `GET key`
    Get,
    /// `GET` this many times in a hundred, else `SET`
    Mixed(u8),
    /// `EXPIRE key ttl`
    Touch,
    /// `SESSION.READ id`
    Read,
    /// `SESSION.CREATE`, the server making the id
    Create,
    /// `HSET key field value`
    Hset,
    /// `HGETALL key`
    Hgetall,
}

/// When writes are followed by a WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// Each by its own.
    Each,
    /// All that are sent at once by one.
    Batch,
}

/// How a holder gives the session on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `SESSION.RELEASE`
    Release,
    /// `SESSION.COMMIT` with one field
    Commit,
}

/// A memory workload: what is alive is replaced at a constant number of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Churn {
    /// Workload `number` of W1 to W8: sizes, a fraction deleted, other sizes.
    Shift {
        /// Which one, for its name.
        number: u8,
        /// Sizes of the first phase, in bytes.
        first: SizeRange,
        /// Percentage of the objects that is deleted between the phases.
        deleted: u8,
        /// Sizes of the last phase, in bytes.
        last: SizeRange,
    },
    /// Sizes that grow steadily over the run.
    Growing {
        /// Smallest and largest size, in bytes.
        sizes: SizeRange,
    },
}

/// Sizes of the workload whose values grow: 100 B to 1 KB.
const GROWING: SizeRange = SizeRange {
    low: 100,
    high: 1_000,
};

/// A row of the paper's table: sizes before, percentage deleted, sizes after.
type Row = ((u64, u64), u8, (u64, u64));

/// W1 to W8 of "Log-structured Memory for DRAM-based Storage" (Rumble, Kejriwal, Ousterhout, FAST
/// 2014), Table 1.
const PAPER: [Row; 8] = [
    ((100, 100), 0, (100, 100)),
    ((100, 100), 0, (130, 130)),
    ((100, 100), 90, (130, 130)),
    ((100, 150), 0, (200, 250)),
    ((100, 150), 90, (200, 250)),
    ((100, 200), 50, (1_000, 2_000)),
    ((1_000, 2_000), 90, (1_500, 2_500)),
    ((50, 150), 90, (5_000, 15_000)),
];

impl Churn {
    /// The largest value that it writes, in bytes.
    pub fn largest(&self) -> u64 {
        match self {
            Self::Shift { first, last, .. } => first.high.max(last.high),
            Self::Growing { sizes } => sizes.high,
        }
    }

    /// Whether its memory is looked at once more some time after its deletes.
    pub fn is_rested(&self) -> bool {
        matches!(self, Self::Shift { number: 3, .. })
    }

    fn of_paper(number: u8) -> Option<Self> {
        let row = usize::from(number.checked_sub(1)?);
        let (first, deleted, last) = *PAPER.get(row)?;
        let range = |(low, high)| SizeRange { low, high };
        Some(Self::Shift {
            number,
            first: range(first),
            deleted,
            last: range(last),
        })
    }
}

/// What a run sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Workload {
    /// Independent requests on drawn keys.
    Keyed(Operation),
    /// `SET key value`, then `WAIT 1`
    Confirmed(Confirm),
    /// Every key written once.
    Fill,
    /// Sessions opened with a hold and committed.
    Session,
    /// Every connection waits for one session.
    Contention(Ending),
    /// Every key opened with a hold, all held at once, then released.
    HoldMany,
    /// Keys that all expire within one second.
    ExpireWave,
    /// Memory used against bytes alive.
    Memory(Churn),
}

impl Workload {
    /// Whether it moves much data and measures something else than latency: it then pipelines deeply
    /// on few connections unless told otherwise.
    pub fn is_bulk(&self) -> bool {
        match self {
            Self::Fill | Self::HoldMany | Self::ExpireWave | Self::Memory(_) => true,
            Self::Keyed(_) | Self::Confirmed(_) | Self::Session | Self::Contention(_) => false,
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, detail) = match text.split_once(':') {
            Some((name, detail)) => (name, Some(detail)),
            None => (text, None),
        };
        match (name, detail) {
            ("set", None) => Ok(Self::Keyed(Operation::Set)),
            ("set-wait", None) => Ok(Self::Confirmed(Confirm::Each)),
            ("set-wait", Some("batch")) => Ok(Self::Confirmed(Confirm::Batch)),
            ("get", None) => Ok(Self::Keyed(Operation::Get)),
            ("mixed", Some(percentage)) => mixed(percentage),
            ("touch", None) => Ok(Self::Keyed(Operation::Touch)),
            ("read", None) => Ok(Self::Keyed(Operation::Read)),
            ("create", None) => Ok(Self::Keyed(Operation::Create)),
            ("hset", None) => Ok(Self::Keyed(Operation::Hset)),
            ("hgetall", None) => Ok(Self::Keyed(Operation::Hgetall)),
            ("fill", None) => Ok(Self::Fill),
            ("session" | "commit", None) => Ok(Self::Session),
            ("hold-contention", None | Some("release")) => Ok(Self::Contention(Ending::Release)),
            ("hold-contention", Some("commit")) => Ok(Self::Contention(Ending::Commit)),
            ("hold-many", None) => Ok(Self::HoldMany),
            ("expire-wave", None) => Ok(Self::ExpireWave),
            ("growing", None) | ("memory", Some("growing")) => {
                Ok(Self::Memory(Churn::Growing { sizes: GROWING }))
            }
            ("memory", Some(which)) => memory(which),
            _ => Err(format!(
                "'{text}' is not a workload; see --help for the list"
            )),
        }
    }
}

fn mixed(percentage: &str) -> Result<Workload, String> {
    match percentage.parse::<u8>() {
        Ok(percentage) if percentage <= 100 => Ok(Workload::Keyed(Operation::Mixed(percentage))),
        _ => Err(format!("mixed:{percentage}: reads are 0 to 100 per cent")),
    }
}

fn memory(which: &str) -> Result<Workload, String> {
    which
        .strip_prefix(['W', 'w'])
        .and_then(|number| number.parse().ok())
        .and_then(Churn::of_paper)
        .map(Workload::Memory)
        .ok_or_else(|| format!("memory:{which}: use W1 to W8, or growing"))
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyed(Operation::Set) => f.write_str("set"),
            Self::Keyed(Operation::Get) => f.write_str("get"),
            Self::Keyed(Operation::Mixed(percentage)) => write!(f, "mixed:{percentage}"),
            Self::Keyed(Operation::Touch) => f.write_str("touch"),
            Self::Keyed(Operation::Read) => f.write_str("read"),
            Self::Keyed(Operation::Create) => f.write_str("create"),
            Self::Keyed(Operation::Hset) => f.write_str("hset"),
            Self::Keyed(Operation::Hgetall) => f.write_str("hgetall"),
            Self::Confirmed(Confirm::Each) => f.write_str("set-wait"),
            Self::Confirmed(Confirm::Batch) => f.write_str("set-wait:batch"),
            Self::Fill => f.write_str("fill"),
            Self::Session => f.write_str("session"),
            Self::Contention(Ending::Release) => f.write_str("hold-contention"),
            Self::Contention(Ending::Commit) => f.write_str("hold-contention:commit"),
            Self::HoldMany => f.write_str("hold-many"),
            Self::ExpireWave => f.write_str("expire-wave"),
            Self::Memory(Churn::Shift { number, .. }) => write!(f, "memory:W{number}"),
            Self::Memory(Churn::Growing { .. }) => f.write_str("growing"),
        }
    }
}
