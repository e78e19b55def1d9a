//! What a node knows about itself.

use alloc::string::String;
use alloc::vec::Vec;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// What an operator sets, for commands. Names and defaults are those of the configuration file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Password of `AUTH`; empty for none.
    pub password: String,
    /// Connections at once.
    pub max_clients: usize,
    /// Seconds after which an idle connection is closed; zero for never.
    pub timeout_s: u64,
    /// Commands slower than this are kept in the slow log, in microseconds; negative for none.
    pub slowlog_slower_than_us: i64,
    /// Entries of the slow log.
    pub slowlog_max_len: usize,
    /// The address that clients reach this node at.
    pub listen: String,
    /// Where the data lives, for `CONFIG GET dir`.
    pub dir: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            password: String::new(),
            max_clients: 10_000,
            timeout_s: 0,
            slowlog_slower_than_us: 10_000,
            slowlog_max_len: 128,
            listen: String::from("127.0.0.1:6379"),
            dir: String::from("./tenure-data"),
        }
    }
}

/// Counters of a node, since its start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Commands run, by index in the table: how often, in microseconds altogether, failed.
    pub commands: Vec<CommandStats>,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused.
    pub rejected_connections: u64,
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
    /// Times run.
    pub calls: u64,
    /// Times it answered with an error.
    pub failures: u64,
    /// Time spent in it, in microseconds.
    pub total_us: u64,
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
}

impl Server {
    /// A node that starts now. `seed` is secret and never used twice.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32], now: model::Now) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        let run_id = run_id(&mut random);
        let stats = Stats {
            commands: alloc::vec![CommandStats::default(); crate::table::TABLE.len()],
            ..Stats::default()
        };
        Self {
            settings,
            stats,
            random,
            started: now,
            run_id,
        }
    }
}

fn run_id(random: &mut ChaCha12Rng) -> String {
    use rand_chacha::rand_core::Rng as _;
    (0..40)
        .map(|_| char::from_digit(random.next_u32() % 16, 16).expect("below 16 is a hex digit"))
        .collect()
}
