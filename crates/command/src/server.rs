//! What a node knows about itself.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::slot::Slot;
use model::{Topology, limits};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use store::Usage;

use crate::SlowLog;
use crate::histogram::Histogram;

/// What an operator sets, for commands. Names and defaults are those of the configuration file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Password of `AUTH`; empty for none.
    pub password: String,
    /// Connections at once.
    pub max_clients: usize,
    /// Bytes that the buffers of all connections may take together; past it, the connection that has most is closed.
    pub buffer_bytes: usize,
    /// Bytes that a connection may send behind a command that waits before it is left unread: less where a simulation is to meet it.
    pub read_ahead_bytes: usize,
    /// Bytes that a connection may send behind a command that stands in a line before it stands there no longer: likewise.
    pub line_ahead_bytes: usize,
    /// Bytes of unread replies at which a connection's further commands wait: likewise.
    pub output_pause_bytes: usize,
    /// Seconds after which an idle connection is closed; zero for never.
    pub timeout_s: u64,
    /// Seconds after which a connection that was accepted and is silent is asked whether its other end is still there; zero for never.
    pub keepalive_s: u64,
    /// Commands slower than this are kept in the slow log, in microseconds; negative for none.
    pub slowlog_slower_than_us: i64,
    /// Entries of the slow log.
    pub slowlog_max_len: usize,
    /// The address that clients reach this node at.
    pub listen: String,
    /// Where the data lives, for `CONFIG GET dir`.
    pub dir: String,
    /// Reads a clock that never goes back, in nanoseconds, to tell how long commands take; nothing else depends on it.
    /// `None` where there is no such clock: nothing is timed then.
    pub stopwatch: Option<fn() -> u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            password: String::new(),
            max_clients: 10_000,
            buffer_bytes: usize::MAX,
            read_ahead_bytes: limits::READ_AHEAD_BYTES,
            line_ahead_bytes: limits::LINE_AHEAD_BYTES,
            output_pause_bytes: limits::OUTPUT_PAUSE_BYTES,
            timeout_s: 0,
            keepalive_s: limits::DEFAULT_KEEPALIVE_S,
            slowlog_slower_than_us: 10_000,
            slowlog_max_len: 128,
            listen: String::from("127.0.0.1:6379"),
            dir: String::from("./tenure-data"),
            stopwatch: None,
        }
    }
}

/// Counters of a node, since its start or `CONFIG RESETSTAT`.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By index in the table.
    pub commands: Vec<CommandStats>,
    /// Commands run.
    pub calls: u64,
    /// Errors answered, by their code.
    pub errors: BTreeMap<String, u64>,
    /// The most memory that the store has used when it was looked at, in bytes.
    pub peak_memory: usize,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused.
    pub rejected_connections: u64,
    /// Connections closed because all buffers together took too much memory.
    pub closed_for_memory: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Reads that found something.
    pub hits: u64,
    /// Reads that found nothing.
    pub misses: u64,
}

/// Counters of one command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    /// Times run; counted by the dispatcher.
    pub calls: u64,
    /// Times it answered with an error; counted by the dispatcher.
    pub failures: u64,
    /// Times it was not run: wrong number of words, not authenticated, key not writable.
    pub rejections: u64,
    /// How long it took: of commands that may take long each call, of the others a sample.
    pub latency: Histogram,
}

impl Stats {
    /// Counters of all commands, at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            commands: alloc::vec![CommandStats::default(); crate::table::TABLE.len()],
            ..Self::default()
        }
    }

    /// Counts a key that was looked for.
    #[inline]
    pub(crate) fn count_read(&mut self, found: bool) {
        self.hits += u64::from(found);
        self.misses += u64::from(!found);
    }

    /// Counts an error by the code that its text begins with.
    pub(crate) fn count_error(&mut self, text: &str) {
        let code = text.split(' ').next().unwrap_or_default();
        match self.errors.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(String::from(code), 1);
            }
        }
    }
}

/// What only the shell can know of the process. Brought up to date by it now and then.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The process's number.
    pub id: u32,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// The machine's memory, in bytes.
    pub machine_memory_bytes: u64,
    /// Processor time in user mode, in microseconds.
    pub cpu_user_us: u64,
    /// Processor time in kernel mode, in microseconds.
    pub cpu_system_us: u64,
    /// The program's path.
    pub executable: String,
    /// The configuration file's path; empty for none.
    pub config_file: String,
    /// The operating system's name and version, the architecture.
    pub os: String,
}

/// Commands wait until a time: `CLIENT PAUSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it ends, in wall-clock milliseconds.
    pub end_ms: u64,
    /// All commands, or only those that write.
    pub all: bool,
}

/// See the module.
pub struct Server {
    /// Settings, as `CONFIG SET` may have changed them.
    pub settings: Settings,
    /// Counters.
    pub stats: Stats,
    /// Where chance comes from: seeded by the shell once.
    pub random: ChaCha12Rng,
    /// When the node started, by both clocks.
    pub started: model::Now,
    /// 40 hex digits that tell this start from every other.
    pub run_id: String,
    /// Commands that took long.
    pub slow_log: SlowLog,
    /// What the shell knows of the process.
    pub process: Process,
    /// `CLIENT PAUSE`, if it was asked for; may be over.
    pub pause: Option<Pause>,
    /// The cluster that the node is a member of; `None` if it stands alone.
    pub topology: Option<Arc<Topology>>,
    /// What all copies of this node use together; `None` where there is one shard, which tells itself.
    pub usage: Option<Usage>,
    /// The slot of ids that are made here; `None` where any will do.
    pub fresh_slot: Option<Slot>,
}

impl Server {
    /// A node that starts now. `seed` is secret and never used twice.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32], now: model::Now) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        let run_id = run_id(&mut random);
        let stats = Stats::new();
        Self {
            settings,
            stats,
            random,
            started: now,
            run_id,
            slow_log: SlowLog::default(),
            process: Process::default(),
            pause: None,
            topology: None,
            usage: None,
            fresh_slot: None,
        }
    }
}

impl Server {
    /// Whether commands wait because of `CLIENT PAUSE`.
    #[must_use]
    pub fn is_paused(&self, now: model::Now) -> bool {
        self.pause.is_some_and(|pause| pause.end_ms > now.unix_ms)
    }
}

fn run_id(random: &mut ChaCha12Rng) -> String {
    use rand_chacha::rand_core::Rng as _;
    (0..40)
        .map(|_| char::from_digit(random.next_u32() % 16, 16).expect("below 16 is a hex digit"))
        .collect()
}
