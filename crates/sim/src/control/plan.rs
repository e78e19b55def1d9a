//! What a seed draws: a cluster, and which faults it meets.

use cluster::record::Settings;

use crate::random::Random;

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct ControlPlan {
    /// The number that it was drawn from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// How many of them to a process.
    pub nodes_per_process: u32,
    /// Over how many zones.
    pub zones: u16,
    /// What the cluster is created with.
    pub settings: Settings,
    /// For how long there are faults, in milliseconds.
    pub faulty_ms: u64,
    /// Mean time between two faults, in milliseconds.
    pub fault_every_ms: u64,
    /// Which kinds.
    pub faults: Faults,
    /// Usual delay of a message, and of an answer of the store, in microseconds.
    pub delay_us: u64,
}

/// Which kinds of faults a run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Processes are killed and started again, having forgotten everything.
    pub kill: bool,
    /// Processes are stopped and go on later.
    pub pause: bool,
    /// Links are cut, one way or both.
    pub cut: bool,
    /// Messages are lost and delayed.
    pub loss: bool,
    /// The store is down, stopped, restarted.
    pub store: bool,
    /// Requests to the store and its answers are lost.
    pub unknown: bool,
    /// Watches lag, and what they should tell is compacted.
    pub watch: bool,
    /// Nodes cannot reach the store.
    pub store_cut: bool,
    /// Nodes are drained, and come back.
    pub drain: bool,
}

impl Faults {
    /// Whether a healthy node can seem to be dead.
    #[must_use]
    pub fn can_deceive(self) -> bool {
        self.cut || self.loss
    }
}

impl ControlPlan {
    /// What this seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed, "plan");
        let copies = *random.pick(&[1, 2, 3, 3, 3, 3, 5]);
        let write_quorum = random.between(copies / 2 + 1, copies);
        let nodes = random.between(copies, copies + 6) as u32;
        let nodes_per_process = if random.chance(3_000) { 2 } else { 1 };
        let processes = nodes.div_ceil(nodes_per_process);
        Self {
            seed,
            nodes,
            nodes_per_process,
            zones: random.between(1, 4) as u16,
            settings: Settings {
                shards: random.between(1, 24) as u16,
                copies: copies as u8,
                write_quorum: write_quorum as u8,
                initial_nodes: copies.min(u64::from(processes)) as u16,
            },
            faulty_ms: random.between(5_000, 40_000),
            fault_every_ms: random.between(300, 6_000),
            faults: draw_faults(&mut random),
            delay_us: random.between(50, 5_000),
        }
    }

    /// A calm cluster, for tests that bring their own faults.
    #[must_use]
    pub fn calm(nodes: u32, copies: u8, shards: u16) -> Self {
        Self {
            seed: 1,
            nodes,
            nodes_per_process: 1,
            zones: 1,
            settings: Settings {
                shards,
                copies,
                write_quorum: copies / 2 + 1,
                initial_nodes: u16::from(copies),
            },
            faulty_ms: 0,
            fault_every_ms: 1_000,
            faults: Faults::default(),
            delay_us: 1_000,
        }
    }
}

/// Each run has some kinds and not others: what two kinds do together is found sooner without the rest.
fn draw_faults(random: &mut Random) -> Faults {
    let mut kind = || random.chance(4_000);
    let faults = Faults {
        kill: kind(),
        pause: kind(),
        cut: kind(),
        loss: kind(),
        store: kind(),
        unknown: kind(),
        watch: kind(),
        store_cut: kind(),
        drain: kind(),
    };
    if faults == Faults::default() {
        return Faults {
            kill: true,
            ..faults
        };
    }
    faults
}
